"""Kernels of one angle: a whole network as one series in the angle between its inputs, whatever its
depth.

A kernel depends on the angle alone, up to the inputs' norms, where the network is homogeneous (relu
without bias) or where all inputs have one norm. As a function of the angle it is analytic on [0,
pi].
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.activations.duals import dual
from learnmech.activations.duals.closed import Linear
from learnmech.activations.duals.rough import Rough
from learnmech.architectures.limits import Affine
from learnmech.kernels.recursion import Pair, rough, tables, walked
from learnmech.language.trees import Array

DEGREES, STRIDE = (64, 128), 4
SETTLED, GROWTH = 1e-14, 2
Pairs = Float[Array, " m"]


def homogeneous(steps: tuple) -> bool:
    """Whether scaling an input scales its signals: no biases, no norms, and activations of
    degree 1."""
    for step in steps:
        if getattr(step, "unit", False):
            return False
        affine = step if isinstance(step, Affine) else getattr(step, "affine", None)
        if affine is not None and (float(affine.bias) or float(affine.learned_bias)):
            return False
        if not isinstance(step, Affine) and not isinstance(dual(step.activation), (Rough, Linear)):
            return False
    return True


def tables_at(steps: tuple, variance: float) -> tuple:
    """What the layers need to know of one input of this variance."""
    return tables(steps, jnp.asarray([variance]))


@eqx.filter_jit
def pairs_of(
    steps: tuple, table: tuple, gap: Pairs, rest: Pairs, variance: Float[Array, ""]
) -> tuple[Pairs, Pairs]:
    """Both kernels of pairs of correlation c, all of one variance, from layer to layer: gap = 1
    - c and rest = 1 + c; `table` is of one input."""
    many = tuple(
        jax.tree.map(lambda x: jnp.broadcast_to(x, (len(gap), *x.shape[1:])), one) for one in table
    )
    distances = (2 * variance * gap, 2 * variance * rest) if rough(steps) else (None, None)
    pair = walked(
        steps,
        many,
        many,
        Pair(variance * (rest - gap) / 2, jnp.zeros_like(gap), *distances),
        outer=False,
    )
    assert pair.t is not None  # they began with one
    return pair.k, pair.t


class Series(NamedTuple):
    """Both kernels as sums over j of coefficients (2, degree) times x^j (`powers`) or T_j(x),
    x = 2 angle/pi - 1."""

    coefficients: Float[np.ndarray, "2 degree"]
    powers: bool


def series_of(steps: tuple, variance: float) -> Series | None:
    """The NNGP and tangent kernels at one variance |x|^2/d as series in the angle; None where the
    longest does not settle.

    In powers of x, which cost a third of Chebyshev polynomials, where these lose no digit: where
    their coefficients are as small.
    """
    table = tables_at(steps, variance)
    for degree in DEGREES:
        places = np.pi * (np.arange(degree) + 0.5) / degree
        theta = np.pi / 2 * (np.cos(places) + 1)
        gap, rest = (jnp.asarray(2 * half(theta / 2) ** 2) for half in (np.sin, np.cos))
        values = np.stack(pairs_of(steps, table, gap, rest, jnp.asarray(float(variance))))
        found = values @ np.cos(np.outer(places, np.arange(degree))) * 2 / degree
        found[:, 0] /= 2
        noise = np.abs(found[:, -degree // 4 :]).max(axis=1, keepdims=True)
        if (noise <= SETTLED * np.abs(found).max(axis=1, keepdims=True)).all():
            # what lies in the noise of the values says nothing
            seen = np.flatnonzero((np.abs(found) > 2 * noise).any(axis=0))
            length = int(seen[-1]) + 1 if len(seen) else 1  # none where the signals are 0
            # lengths of few kinds share their compiled programs
            found = found[:, : -(-length // STRIDE) * STRIDE]
            powers = np.zeros_like(found)
            for row, one in zip(powers, map(np.polynomial.chebyshev.cheb2poly, found), strict=True):
                row[: len(one)] = one  # without the zeros at its end
            small = bool((np.abs(powers).sum(axis=1) <= GROWTH * np.abs(found).sum(axis=1)).all())
            return Series(powers if small else found, small)
    return None


def summed(
    coefficients: Float[Array, " degree"], theta: Float[Array, "..."], powers: bool
) -> Float[Array, "..."]:
    """A series at these angles: powers by Horner's rule, Chebyshev polynomials by Clenshaw's
    recursion."""
    x = 2 / jnp.pi * theta - 1
    one, two = jnp.zeros_like(x), jnp.zeros_like(x)
    for j in range(coefficients.shape[0] - 1, 0, -1):
        one, two = (
            (coefficients[j] + x * one, two)
            if powers
            else (coefficients[j] + 2 * x * one - two, one)
        )
    return coefficients[0] + x * one - two
