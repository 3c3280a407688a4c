"""Spectral rules: each matrix moved along the polar factor of its gradient, so that all its singular directions move alike."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.late import late
from learnmech.parts import Knob, knob, structure
from learnmech.rules.base import BatchedRule, OptaxRule
from learnmech.trees import Array, Params, leaves_by_path

optax = late("optax")

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(OptaxRule):
    """Momentum whose matrices are made nearly orthogonal by Newton-Schulz iterations; vectors are moved by Adam at the same rate (Optax's muon).

    m <- momentum m + (1 - momentum) gradient, bias corrected, Nesterov's form where `nesterov`; O = X/|X|_F iterated by a X + b XX'X + c (XX')^2 X with the
    published coefficients; params <- params - rate * shape factor * O. `shape`: `width` is sqrt(max(1, out/in)), `rms` is 0.2 sqrt(max(out, in)),
    which gives each entry the size of an Adam step.  Source: Jordan et al. 2024; Liu et al. 2025 (rms).
    """

    family: ClassVar[str] = "spectral"
    rate: Knob = knob(0.02, above=0)
    momentum: Knob = knob(0.95, at_least=0, below=1)
    eps: Knob = knob(1e-8, above=0)
    nesterov: bool = structure(True)
    iterations: int = structure(5, at_least=1)
    shape: str = structure("width", choices=("width", "rms"))

    def transformation(self):
        # Optax's matrices act from the right, ours from the left
        across = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=0)
        return optax.contrib.muon(
            self.rate,
            ns_coeffs=NEWTON_SCHULZ,
            ns_steps=self.iterations,
            beta=self.momentum,
            eps=self.eps,
            nesterov=self.nesterov,
            consistent_rms=0.2 if self.shape == "rms" else None,
            muon_weight_dimension_numbers=lambda params: jax.tree.map(lambda w: across if jnp.ndim(w) == 2 else None, params),
        )

    @classmethod
    def example(cls):
        return cls(rate=0.01)


class SpectralDescent(BatchedRule):
    """params <- params - rate * polar factor of the gradient, U V' of its modes U diag(s) V' with s > 0: steepest descent in the spectral norm.

    At eps > 0 a mode moves by s/(s + eps).  Source: Carlson et al. 2015; Bernstein & Newhouse 2024.
    """

    family: ClassVar[str] = "spectral"
    rate: Knob = knob(0.02, above=0)
    eps: Knob = knob(0.0, at_least=0)

    def init(self, params):
        only_matrices(type(self).__name__, params)
        return ()

    def update(self, system, gradient, memory, params):
        return self.scaled(system, jax.tree.map(lambda g: -self.rate * polar_factor(g, self.eps), gradient), params), memory

    @classmethod
    def example(cls):
        return cls(rate=0.01)


def only_matrices(who: str, params: Params) -> None:
    """Refuse parameters that are not matrices."""
    for path, leaf in leaves_by_path(params).items():
        if jnp.ndim(leaf) != 2:
            got = f"{path}, an array of {jnp.ndim(leaf)} axes"
            raise refused(who, "weights that are matrices", got, "Drop biases and gains, or choose Muon, which moves what is no matrix by Adam")


def polar_factor(G: Float[Array, "out in"], eps: float | Array) -> Float[Array, "out in"]:
    """U diag(s/(s + eps)) V' of G = U diag(s) V'; modes below round-off of the largest are none."""
    if jnp.ndim(G) != 2:
        raise refused("The polar factor", "a matrix", f"an array of {jnp.ndim(G)} axes", "Choose Muon, which moves vectors by Adam")
    U, s, V = jnp.linalg.svd(G, full_matrices=False)
    there = s > max(G.shape) * jnp.finfo(G.dtype).eps * s[0]
    kept = jnp.where(there, s / jnp.where(there, s + jnp.asarray(eps, G.dtype), 1), 0)
    return (U * kept) @ V
