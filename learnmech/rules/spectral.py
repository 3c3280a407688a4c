"""Spectral rules: each matrix moved along the polar factor of its gradient, so that all its
singular directions move alike."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.language.parts import Knob, knob, structure
from learnmech.language.trees import Array, Params, leaves_by_path
from learnmech.machine.late import late
from learnmech.rules.base import BatchedRule, FlowRule, OptaxRule

if TYPE_CHECKING:
    import optax
else:
    optax = late("optax")

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(OptaxRule):
    """Momentum whose matrices are made nearly orthogonal by Newton-Schulz iterations; vectors are
    moved by Adam at the same rate (Optax's muon).

    m <- momentum m + (1 - momentum) gradient, bias corrected, Nesterov's form where `nesterov`; O =
    X/|X|_F iterated by a X + b XX'X + c (XX')^2 X with the published coefficients; params <- params
    - rate * shape factor * O. `shape`: `width` is sqrt(max(1, out/in)), `rms` is 0.2 sqrt(max(out,
    in)), which gives each entry the size of an Adam step.  Source: Jordan et al. 2024; Liu et al.
    2025 (rms).

    Without `debiased` it is PyTorch's torch.optim.Muon (adjust_lr_fn "original" is `width`,
    "match_rms_adamw" is `rms`): m as it is, X = m, or where `nesterov` (1 - momentum) gradient +
    momentum m, and vectors by Adam without Nesterov's form. Two things differ, by less than they
    say: PyTorch iterates in bfloat16, and divides by max(|X|_F, eps).
    """

    family: ClassVar[str] = "spectral"
    rate: Knob = knob(
        default=0.02,
        above=0,
        meaning=(
            "base rate: the spectral norm of a square matrix's step, in units of the parameters"
        ),
    )
    momentum: Knob = knob(
        default=0.95,
        at_least=0,
        below=1,
        meaning="share of the average of gradients that is kept at each step",
    )
    eps: Knob = knob(
        default=1e-8,
        above=0,
        meaning="what is added to the norm that divides a matrix, in loss/param",
    )
    nesterov: bool = structure(
        default=True, meaning="whether this step's gradient counts once more beside the average"
    )
    iterations: int = structure(default=5, at_least=1, meaning="Newton-Schulz iterations of a step")
    shape: str = structure(
        default="width",
        choices=("width", "rms"),
        meaning=(
            "factor on a matrix's step: `width` sqrt(max(1, out/in)), `rms` 0.2 sqrt(max(out, in))"
        ),
    )
    debiased: bool = structure(
        default=True,
        since="0.5",
        meaning="whether the bias of the average's start at 0 is corrected; false: as PyTorch's",
    )

    averages: ClassVar = ("momentum",)

    def limit(self):
        return MuonFlow(eps=self.eps, iterations=self.iterations, shape=self.shape), 1.0

    def transformation(self):
        if not self.debiased:
            # of a momentum of 0 nothing is to be corrected, and the average is made before
            plain = dataclasses.replace(
                self, momentum=0.0, nesterov=False, debiased=True
            ).transformation()
            return optax.chain(
                optax.masked(_average(self.momentum, self.nesterov), _matrices), plain
            )
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
            muon_weight_dimension_numbers=lambda params: jax.tree.map(
                lambda w: across if jnp.ndim(w) == 2 else None, params
            ),
        )

    @classmethod
    def example(cls):
        return cls(rate=0.01)


def _matrices(params):
    return jax.tree.map(lambda w: jnp.ndim(w) == 2, params)


def _average(momentum, nesterov):
    """m <- momentum m + (1 - momentum) gradient, from 0; m, or in Nesterov's form momentum m +
    (1 - momentum) gradient."""
    ema = optax.ema(momentum, debias=False)

    def update(gradient, state, params=None):
        m, state = ema.update(gradient, state, params)
        return (
            jax.tree.map(lambda m, g: momentum * m + (1 - momentum) * g, m, gradient)
            if nesterov
            else m
        ), state

    return optax.GradientTransformation(ema.init, update)


class SpectralDescent(BatchedRule):
    """params <- params - rate * polar factor of the gradient, U V' of its modes U diag(s) V' with s
    > 0: steepest descent in the spectral norm.

    At eps > 0 a mode moves by s/(s + eps). With a `momentum` it is the polar factor of m <-
    momentum m + (1 - momentum) gradient, from 0 and without bias correction, which at eps = 0 is no
    other than of m <- momentum m + gradient.  Source: Carlson et al. 2015; Bernstein & Newhouse
    2024.
    """

    family: ClassVar[str] = "spectral"
    rate: Knob = knob(
        default=0.02,
        above=0,
        meaning="base rate: the spectral norm of a step, in units of the parameters",
    )
    eps: Knob = knob(
        default=0.0,
        at_least=0,
        meaning=(
            "strength of a gradient's modes below which they move less than the rate, in loss/param"
        ),
    )
    momentum: Knob | None = knob(
        default=None,
        at_least=0,
        below=1,
        meaning="share of the average of gradients that is kept at each step; none: no average",
    )

    averages: ClassVar = ("momentum",)

    def init(self, params):
        only_matrices(type(self).__name__, params)
        return () if self.momentum is None else jax.tree.map(jnp.zeros_like, params)

    def update(self, system, gradient, memory, params):
        momentum = self.momentum
        if momentum is not None:
            gradient = memory = jax.tree.map(
                lambda m, g: momentum * m + (1 - momentum) * g, memory, gradient
            )
        return (
            self.scaled(
                system,
                jax.tree.map(lambda g: -self.rate * polar_factor(g, self.eps), gradient),
                params,
            ),
            memory,
        )

    def limit(self):
        return (SpectralFlow(eps=self.eps), 1.0) if self.eps > 0 else None

    @classmethod
    def example(cls):
        return cls(rate=0.01)


def only_matrices(who: str, params: Params) -> None:
    """Refuse parameters that are not matrices."""
    for path, leaf in leaves_by_path(params).items():
        if jnp.ndim(leaf) != 2:
            got = f"{path}, an array of {jnp.ndim(leaf)} axes"
            raise refused(
                who,
                "weights that are matrices",
                got,
                "Drop biases and gains, or choose Muon, which moves what is no matrix by Adam",
            )


def polar_factor(G: Float[Array, "out in"], eps: float | Array) -> Float[Array, "out in"]:
    """U diag(s/(s + eps)) V' of G = U diag(s) V'; modes below round-off of the largest are none."""
    if jnp.ndim(G) != 2:
        raise refused(
            "The polar factor",
            "a matrix",
            f"an array of {jnp.ndim(G)} axes",
            "Choose Muon, which moves vectors by Adam",
        )
    # LAPACK was seen never to return from a matrix with an infinite entry; from one of NaN it does
    G = jnp.where(jnp.isfinite(G).all(), G, jnp.nan)
    U, s, V = jnp.linalg.svd(G, full_matrices=False)
    there = s > max(G.shape) * jnp.finfo(G.dtype).eps * s[0]
    kept = jnp.where(there, s / jnp.where(there, s + jnp.asarray(eps, G.dtype), 1), 0)
    return (U * kept) @ V


class SpectralFlow(FlowRule):
    """d(params)/dt = -U diag(s/(s + eps)) V' of each matrix's gradient U diag(s) V': the limit of
    spectral descent at the same eps.

    Without eps the velocity jumps where a mode of the gradient dies, which no adaptive solver gets
    past.
    """

    family: ClassVar[str] = "spectral"
    eps: Knob = knob(
        default=1e-2,
        above=0,
        kw_only=True,
        meaning="strength of a gradient's modes below which they move slower than 1, in loss/param",
    )

    def init(self, params):
        only_matrices(type(self).__name__, params)
        return ()

    def velocity(self, system, params, memory=()):
        _, gradient = system.value_and_gradient(params)
        return self.scaled(
            system, jax.tree.map(lambda g: -polar_factor(g, self.eps), gradient), params
        )


class MuonFlow(FlowRule):
    """d(params)/dt = what Muon without momentum subtracts from params at rate 1: the limit of Muon
    of these knobs as the rate vanishes, whatever its momentum.

    A matrix moves along the Newton-Schulz iterate of its gradient over (its norm + eps) times the
    shape factor, an entry of a vector along gradient/(|gradient| + eps). Without eps the velocity
    jumps where a gradient dies, which no adaptive solver gets past.
    """

    family: ClassVar[str] = "spectral"
    eps: Knob = knob(
        default=1e-2,
        above=0,
        kw_only=True,
        meaning="norm of gradients below which they move slower than 1, in loss/param",
    )
    iterations: int = structure(
        default=5, at_least=1, kw_only=True, meaning="Newton-Schulz iterations of Muon"
    )
    shape: str = structure(
        default="width",
        choices=("width", "rms"),
        kw_only=True,
        meaning=(
            "factor on a matrix's step: `width` sqrt(max(1, out/in)), `rms` 0.2 sqrt(max(out, in))"
        ),
    )

    def velocity(self, system, params, memory=()):
        _, gradient = system.value_and_gradient(params)
        rule = Muon(
            rate=1.0, momentum=0.0, eps=self.eps, iterations=self.iterations, shape=self.shape
        )
        return rule.update(system, gradient, rule.init(params), params)[0]
