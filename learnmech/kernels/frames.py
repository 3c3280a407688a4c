"""Frames: at which positions kernels are, how they lie, and how windows move over them.

Kernels of each position with its like lie as (positions, n1, n2), full ones as
(n1 positions, n2 positions): pairs of "inputs", as every activation takes them.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.architectures.grids import Centers, Convolve, Grid, Pool, Positions, Read
from learnmech.language.trees import Array

A = Float[Array, "..."]


class Frame(NamedTuple):
    """Where kernels are: the positions, and whether all pairs of them are kept."""

    grid: Grid = ()
    full: bool = False

    @property
    def positions(self) -> int:
        """How many."""
        return math.prod(self.grid)

    @property
    def entries(self) -> int:
        """Of the kernel of one pair of inputs."""
        return self.positions ** (2 if self.full else 1)

    def after(self, step) -> "Frame":
        """Where they are after a step."""
        if isinstance(step, Positions):
            return Frame(step.grid, step.full)
        if isinstance(step, (Convolve, Pool)):
            return self._replace(grid=step.windows.out)
        if isinstance(step, Centers):
            return self._replace(full=False)
        return Frame() if isinstance(step, Read) else self


def alone(own: A, frame: Frame) -> A:
    """Variances (n, positions), or (n,), from full kernels (n, positions, positions) of inputs
    with themselves, or from these variances."""
    return jnp.diagonal(own, axis1=1, axis2=2) if frame.full else own


def laid(values, frame):
    """What inputs by themselves have at every position, (n, positions, ...), as kernels lie: (n
    positions, ...) or (positions, n, ...)."""
    if not frame.grid:
        return values
    if not frame.full:
        return jnp.moveaxis(values, 1, 0)
    # sizes by themselves: what has no coefficients of a series is empty, of which -1 says nothing
    return values.reshape(values.shape[0] * values.shape[1], *values.shape[2:])


def padded(x, groups, windows):
    """What goes on around the grid, along each group of axes."""
    around = [(0, 0)] * x.ndim
    for axes in groups:
        for axis, before, after in zip(axes, windows.before, windows.after, strict=True):
            around[axis] = (before, after)
    return jnp.pad(x, around, mode="wrap" if windows.wraps else "constant")


def added(x, axes, size, stride):
    """The sum over a window's offsets, moved along these axes together."""
    count = (x.shape[axes[0]] - size) // stride + 1
    total = 0
    for offset in range(size):
        cut = [slice(None)] * x.ndim
        for axis in axes:
            cut[axis] = slice(offset, offset + stride * (count - 1) + 1, stride)
        total = total + x[tuple(cut)]
    return total


def convolved(x, groups, windows):
    """The mean over offsets, the same in every group of axes."""
    for at, (size, stride) in enumerate(zip(windows.sizes, windows.strides, strict=True)):
        x = added(x, [axes[at] for axes in groups], size, stride)
    return x / math.prod(windows.sizes)


def pooled(x, groups, step):
    """The mean over windows in each group of axes."""
    windows = step.windows
    x = padded(x, groups, windows)
    for axes in groups:
        for axis, size, stride in zip(axes, windows.sizes, windows.strides, strict=True):
            whole = size == x.shape[axis]
            x = x.sum(axis=axis, keepdims=True) if whole else added(x, [axis], size, stride)
        others = tuple(axis for axis in range(x.ndim) if axis not in axes)
        x = x * jnp.expand_dims(_shares(step), others)
    return x


def _shares(step):
    """One over the positions of each window."""
    windows = step.windows
    if not step.edges or windows.wraps:
        return np.full(windows.out, 1 / math.prod(windows.sizes))
    there = np.pad(np.ones(windows.grid), list(zip(windows.before, windows.after, strict=True)))
    for axis, (size, stride) in enumerate(zip(windows.sizes, windows.strides, strict=True)):
        there = np.asarray(added(there, [axis], size, stride))
    return 1 / there
