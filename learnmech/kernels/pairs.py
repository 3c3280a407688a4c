"""Pairs: the kernels of inputs with others between their positions, step by step."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.architectures.grids import Centers, Convolve, Normed, Pool, Read
from learnmech.architectures.limits import Affine
from learnmech.kernels.frames import Frame, convolved, laid, padded, pooled
from learnmech.kernels.own import size_under
from learnmech.kernels.recursion import Pair, through_activation, through_affine
from learnmech.language.trees import Array

# relative to variances: distances of pooled signals below it are 0, which is what coincident ones
# leave
BLURRED = 2.0**-46


def pair_of(
    X1: Float[Array, "n1 d"], X2: Float[Array, "n2 d"], frame: Frame, tangent: bool, distances: bool
) -> Pair:
    """Kernels of inputs with others, and their distances, each a sum of squares."""
    one, two = (
        laid(X.reshape(len(X), *((frame.positions,) if frame.grid else ()), -1), frame)
        for X in (X1, X2)
    )
    channels = one.shape[-1]
    k = one @ jnp.swapaxes(two, -1, -2) / channels
    far: Any = (None, None)
    if distances:

        def more(total, both):
            u, v = both[0][..., :, None], both[1][..., None, :]
            return (total[0] + (u - v) ** 2, total[1] + (u + v) ** 2), None

        nothing = (jnp.zeros_like(k),) * 2
        sides = tuple(jnp.moveaxis(side, -1, 0) for side in (one, two))
        far, _ = jax.lax.scan(more, nothing, sides)
        far = tuple(x / channels for x in far)
    return Pair(k, jnp.zeros_like(k) if tangent else None, *far)


def walked(steps: tuple, rows: list, columns: list, pair: Pair, frame: Frame) -> Pair:
    """Kernels at the end of the steps, from what these need of the rows and of the columns."""
    for step, here, there in zip(steps, rows, columns, strict=True):
        pair = _through(step, here, there, pair, frame)
        frame = frame.after(step)
    return pair


def _through(step, here, there, pair, frame):
    if isinstance(step, Affine):
        return through_affine(step, pair)
    if isinstance(step, Convolve):
        return _through_windows(step, here, there, pair, frame)
    if isinstance(step, Pool):
        pair = _through_windows(step, here, there, pair, frame)
        variances = [laid(side.after.variance, frame.after(step)) for side in (here, there)]
        return _seen_apart(pair, *variances)
    if isinstance(step, (Centers, Read)):
        return _centered(step, pair, (len(here.before), len(there.before)), frame)
    sides = [jax.tree.map(lambda x: laid(x, frame), side) for side in (here, there)]
    if isinstance(step, Normed):
        sizes = [laid(size_under(step, side.before, frame), frame) for side in (here, there)]
        return _normed(pair, *(side.before for side in sides), *sizes)
    if frame.grid and not frame.full:
        return jax.vmap(lambda one, two, part: through_activation(step, one, two, part, True))(
            sides[0], sides[1], pair
        )
    return through_activation(step, sides[0], sides[1], pair, True)


def _through_windows(step, here, there, pair, frame):
    windows, axes, n1, n2 = step.windows, len(frame.grid), len(here.before), len(there.before)
    first, second = (
        (range(1, 1 + axes), range(2 + axes, 2 + 2 * axes)) if frame.full else (range(axes), None)
    )
    groups = (first, second) if frame.full else (first,)
    opened = (n1, *frame.grid, n2, *frame.grid) if frame.full else (*frame.grid, n1, n2)
    count = math.prod(windows.out)
    closed = (n1 * count, n2 * count) if frame.full else (count, n1, n2)
    lone = (
        _beyond(windows, here.before, there.before)
        if frame.full and not windows.wraps and windows.padded != windows.grid
        else 0
    )

    def moved(x, far):
        x = x.reshape(opened)
        if isinstance(step, Pool):
            return pooled(x, groups, step).reshape(closed)
        x = padded(x, groups, windows)
        return convolved(x + lone if far else x, groups, windows).reshape(closed)

    # behind a pool distances are taken by difference
    asked = pair._replace(apart=None, joint=None) if isinstance(step, Pool) else pair
    return Pair._make(
        None if x is None else moved(x, far)
        for x, far in zip(asked, (False, False, True, True), strict=True)
    )


def _beyond(windows, one, two):
    """E (u -+ v)^2 where one of the two is 0, beyond the grid: the variance of the other."""
    axes = len(windows.grid)
    around = list(zip(windows.before, windows.after, strict=True))
    outside = 1 - np.pad(np.ones(windows.grid), around)
    here, there = (
        jnp.pad(side.reshape(-1, *windows.grid), [(0, 0), *around]) for side in (one, two)
    )
    rows, columns = tuple(range(1 + axes, 2 + 2 * axes)), tuple(range(1 + axes))
    out1 = jnp.expand_dims(outside, (0, *rows))
    out2 = jnp.expand_dims(outside, (*columns, 1 + axes))
    return out1 * jnp.expand_dims(there, columns) + jnp.expand_dims(here, rows) * out2


def _seen_apart(pair, one, two):
    """Distances by difference; those that could be the round-off of none are none."""
    whole = one[..., :, None] + two[..., None, :]
    apart, joint = (whole + sign * 2 * pair.k for sign in (-1, 1))
    return pair._replace(
        apart=jnp.where(apart > BLURRED * whole, apart, 0),
        joint=jnp.where(joint > BLURRED * whole, joint, 0),
    )


def _centered(step, pair, counts, frame):
    def of(x):
        if frame.full:
            x = x.reshape(counts[0], frame.positions, counts[1], frame.positions)
            x = jnp.moveaxis(jnp.diagonal(x, axis1=1, axis2=3), -1, 0)
        return x.mean(axis=0) if isinstance(step, Read) else x

    return Pair._make(None if x is None else of(x) for x in pair)


def _normed(pair, one, two, size1, size2):
    """u/r - v/r': E (u/r - v/r')^2 = (E (u - v)^2 + (r' - r)(E u^2/r - E v^2/r'))/(r r')."""
    a, b, r, q = one[..., :, None], two[..., None, :], size1[..., :, None], size2[..., None, :]
    uneven = (q - r) * (a / r - b / q)
    far = (
        None if x is None else jnp.maximum(x + uneven, 0) / (r * q)
        for x in (pair.apart, pair.joint)
    )
    return Pair(pair.k / (r * q), None if pair.t is None else pair.t / (r * q), *far)
