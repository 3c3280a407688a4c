"""Kernels of one angle: a whole network as a Chebyshev series in the angle between its inputs, whatever its depth.

A kernel depends on the angle alone, up to the inputs' norms, where the network is homogeneous (relu without bias) or where all inputs have one norm.
As a function of the angle it is analytic on [0, pi].
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.architectures.limits import Affine
from learnmech.duals import dual
from learnmech.duals.closed import Linear
from learnmech.duals.rough import Rough
from learnmech.kernels.recursion import Pair, rough, tables, walked
from learnmech.trees import Array

DEGREES, STRIDE = (64, 128), 4
SETTLED = 1e-14
Pairs = Float[Array, " m"]


def homogeneous(steps: tuple) -> bool:
    """Whether scaling an input scales its signals: no biases, and activations of degree 1."""
    for step in steps:
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
def pairs_of(steps: tuple, table: tuple, gap: Pairs, rest: Pairs, variance: Float[Array, ""]) -> tuple[Pairs, Pairs]:
    """Both kernels of pairs of correlation c, all of one variance, from layer to layer: gap = 1 - c and rest = 1 + c; `table` is of one input."""
    many = [jax.tree.map(lambda x: jnp.broadcast_to(x, (len(gap), *x.shape[1:])), one) for one in table]
    distances = (2 * variance * gap, 2 * variance * rest) if rough(steps) else (None, None)
    pair = walked(steps, many, many, Pair(variance * (rest - gap) / 2, jnp.zeros_like(gap), *distances), outer=False)
    return pair.k, pair.t


def series_of(steps: tuple, variance: float) -> Float[np.ndarray, "2 degree"] | None:
    """Chebyshev coefficients in the angle of the NNGP and tangent kernels at one variance |x|^2/d; None where the longest series does not settle."""
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
            length = int(np.flatnonzero((np.abs(found) > 2 * noise).any(axis=0))[-1]) + 1  # what lies in the noise of the values says nothing
            return found[:, : -(-length // STRIDE) * STRIDE]  # lengths of few kinds share their compiled programs
    return None


def summed(coefficients: Float[Array, " degree"], theta: Float[Array, "..."]) -> Float[Array, "..."]:
    """The series at these angles, by Clenshaw's recursion."""
    x = 2 / jnp.pi * theta - 1
    one, two = jnp.zeros_like(x), jnp.zeros_like(x)
    for j in range(coefficients.shape[0] - 1, 0, -1):
        one, two = coefficients[j] + 2 * x * one - two, one
    return coefficients[0] + x * one - two
