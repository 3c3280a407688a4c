"""Positions: the kernels of infinitely wide convolutional networks, between the positions of
inputs, in tiles of pairs of inputs.

Kernels of each position with its like lie as (positions, n1, n2), full ones as
(n1 positions, n2 positions): pairs of "inputs", as every activation takes them.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.activations.duals import dual, hermite
from learnmech.activations.duals.base import Quadrature
from learnmech.architectures.grids import (
    Centers,
    Convolve,
    Grid,
    Normed,
    OnGrid,
    Pool,
    Positions,
    Read,
)
from learnmech.architectures.limits import Affine
from learnmech.kernels.recursion import (
    Pair,
    Side,
    Table,
    rough,
    tables,
    through_activation,
    through_affine,
)
from learnmech.language.trees import Array
from learnmech.machine.memory import check_memory

A = Float[Array, "..."]
# Numbers in one array of a tile, of a chunk of inputs by themselves, and variances whose series are
# found at a time.
TILE, OWN, SERIES = 2**20, 2**22, 2**14
ARRAYS = 14  # of a tile's size at once, measured at full kernels of rectifiers with padding
BLURRED = (
    2.0**-46
    # relative to variances: distances of pooled signals below it are 0, which is what coincident
    # ones leave
)


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


# --- windows


def _padded(x, groups, windows):
    """What goes on around the grid, along each group of axes."""
    around = [(0, 0)] * x.ndim
    for axes in groups:
        for axis, before, after in zip(axes, windows.before, windows.after, strict=True):
            around[axis] = (before, after)
    return jnp.pad(x, around, mode="wrap" if windows.wraps else "constant")


def _added(x, axes, size, stride):
    """The sum over a window's offsets, moved along these axes together."""
    count = (x.shape[axes[0]] - size) // stride + 1
    total = 0
    for offset in range(size):
        cut = [slice(None)] * x.ndim
        for axis in axes:
            cut[axis] = slice(offset, offset + stride * (count - 1) + 1, stride)
        total = total + x[tuple(cut)]
    return total


def _convolved(x, groups, windows):
    """The mean over offsets, the same in every group of axes."""
    for at, (size, stride) in enumerate(zip(windows.sizes, windows.strides, strict=True)):
        x = _added(x, [axes[at] for axes in groups], size, stride)
    return x / math.prod(windows.sizes)


def _pooled(x, groups, step):
    """The mean over windows in each group of axes."""
    windows = step.windows
    x = _padded(x, groups, windows)
    for axes in groups:
        for axis, size, stride in zip(axes, windows.sizes, windows.strides, strict=True):
            x = (
                x.sum(axis=axis, keepdims=True)
                if size == x.shape[axis]
                else _added(x, [axis], size, stride)
            )
        x = x * jnp.expand_dims(
            _shares(step), tuple(axis for axis in range(x.ndim) if axis not in axes)
        )
    return x


def _shares(step):
    """One over the positions of each window."""
    windows = step.windows
    if not step.edges or windows.wraps:
        return np.full(windows.out, 1 / math.prod(windows.sizes))
    there = np.pad(np.ones(windows.grid), list(zip(windows.before, windows.after, strict=True)))
    for axis, (size, stride) in enumerate(zip(windows.sizes, windows.strides, strict=True)):
        there = np.asarray(_added(there, [axis], size, stride))
    return 1 / there


# --- inputs by themselves


def alone(own: A, frame: Frame) -> A:
    """Variances (n, positions), or (n,), from full kernels (n, positions, positions) of inputs
    with themselves, or from these variances."""
    return jnp.diagonal(own, axis1=1, axis2=2) if frame.full else own


def _table(step, own, frame, terms):
    """What a step needs to know of inputs by themselves."""
    variance = alone(own, frame)
    if isinstance(step, (Affine, OnGrid)):
        return Table(variance, Side(variance, None), None, None)
    known = not isinstance(variance, jax.core.Tracer)
    flat = (np.asarray(variance) if known else variance).ravel()
    parts = [flat[at : at + SERIES] for at in range(0, len(flat), SERIES)] if known else [flat]
    found = joined([tables((step,), part, terms)[0] for part in parts])
    return jax.tree.map(lambda x: x.reshape(*variance.shape, *x.shape[1:]), found)


def joined(parts: list) -> Table:
    """Tables of many inputs as one; a series that is shorter goes on with zeros."""
    if len(parts) == 1:
        return parts[0]

    def filled(*arrays):
        width = max(x.shape[-1] for x in arrays) if arrays[0].ndim > 1 else None
        grown = (
            arrays
            if width is None
            else [np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, width - x.shape[-1])]) for x in arrays]
        )
        return np.concatenate(grown)

    series = [one.series for one in parts]
    rest = jax.tree.map(
        lambda *xs: np.concatenate(xs), *(one._replace(series=None) for one in parts)
    )
    return rest._replace(series=None if series[0] is None else jax.tree.map(filled, *series))


@eqx.filter_jit
def _own_after(step, table, own, frame):
    """Kernels of inputs with themselves after a step."""
    axes = len(frame.grid)
    first, second = range(1, 1 + axes), range(1 + axes, 1 + 2 * axes)
    groups = (first, second) if frame.full else (first,)
    n, opened = len(own), (len(own), *frame.grid * (2 if frame.full else 1))
    if isinstance(step, Affine):
        return step.signal * own + step.bias
    if isinstance(step, (Convolve, Pool)):
        x = own.reshape(opened)
        x = (
            _convolved(_padded(x, groups, step.windows), groups, step.windows)
            if isinstance(step, Convolve)
            else _pooled(x, groups, step)
        )
        return x.reshape(n, *(math.prod(step.windows.out),) * (2 if frame.full else 1))
    if isinstance(step, Centers):
        return alone(own, frame)
    if isinstance(step, Read):
        return alone(own, frame).mean(axis=1)
    if isinstance(step, Normed):
        size = _sizes(step, table.before, frame)
        return own / (size[:, :, None] * size[:, None, :] if frame.full else size**2)
    if not frame.full:
        return table.after.variance
    # distances by difference: E ss' hangs on them to first order alone, so that it keeps its digits
    before = table.before if table.raw is None else table.raw
    whole = before[:, :, None] + before[:, None, :]
    pair = Pair(own, None, jnp.maximum(whole - 2 * own, 0), jnp.maximum(whole + 2 * own, 0))
    pair = pair if rough((step,)) else pair._replace(apart=None, joint=None)
    return jax.vmap(lambda side, one: through_activation(step, side, side, one, True).k)(
        table, pair
    )


def _sizes(step, variance, frame):
    """By what `Normed` divides."""
    if step.axes:
        whole = variance.reshape(len(variance), *frame.grid)
        mean = whole.mean(axis=tuple(1 + axis for axis in step.axes), keepdims=True)
        variance = jnp.broadcast_to(mean, whole.shape).reshape(variance.shape)
    size = jnp.sqrt(step.eps + variance)
    return jnp.where(size > 0, size, 1)


def own_walked(
    steps: tuple, own: A, frame: Frame, terms: int | None = None
) -> tuple[list[Table], A]:
    """What every step needs to know of inputs by themselves, and their kernels in the end."""
    found = []
    nothing: Any = None  # in place of a mean, which is not asked for behind pools and norms
    for step in steps:
        table = _table(step, own, frame, terms)
        own = _own_after(step, table, own, frame)
        frame = frame.after(step)
        if isinstance(step, (Pool, Normed)):
            table = table._replace(after=Side(alone(own, frame), nothing))
        found.append(table)
    return found, own


def own_of(X: Float[Array, "n d"], frame: Frame) -> A:
    """Kernels of inputs with themselves, full or of each position with its like."""
    x = X.reshape(len(X), *((frame.positions,) if frame.grid else ()), -1)
    if frame.full:
        return jnp.einsum("ipc,iqc->ipq", x, x) / x.shape[-1]
    return (x * x).sum(axis=-1) / x.shape[-1]


# --- pairs


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
        far, _ = jax.lax.scan(
            more, nothing, tuple(jnp.moveaxis(side, -1, 0) for side in (one, two))
        )
        far = tuple(x / channels for x in far)
    return Pair(k, jnp.zeros_like(k) if tangent else None, *far)


def laid(values, frame):
    """What inputs by themselves have at every position, (n, positions, ...), as kernels lie: (n
    positions, ...) or (positions, n, ...)."""
    if not frame.grid:
        return values
    # sizes by themselves: what has no coefficients of a series is empty, of which -1 says nothing
    return (
        values.reshape(values.shape[0] * values.shape[1], *values.shape[2:])
        if frame.full
        else jnp.moveaxis(values, 1, 0)
    )


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
        return _seen_apart(
            pair, *(laid(side.after.variance, frame.after(step)) for side in (here, there))
        )
    if isinstance(step, (Centers, Read)):
        return _centered(step, pair, (len(here.before), len(there.before)), frame)
    sides = [jax.tree.map(lambda x: laid(x, frame), side) for side in (here, there)]
    if isinstance(step, Normed):
        sizes = [laid(_sizes(step, side.before, frame), frame) for side in (here, there)]
        return _normed(pair, *(side.before for side in sides), *sizes)
    if frame.grid and not frame.full:
        return jax.vmap(lambda one, two, part: through_activation(step, one, two, part, True))(
            *sides, pair
        )
    return through_activation(step, *sides, pair, True)


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
            return _pooled(x, groups, step).reshape(closed)
        x = _padded(x, groups, windows)
        return _convolved(x + lone if far else x, groups, windows).reshape(closed)

    pooled = isinstance(step, Pool)
    return Pair(
        *(
            None if x is None or (far and pooled) else moved(x, far)
            for x, far in zip(pair, (False, False, True, True), strict=True)
        )
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
    out1, out2 = (
        jnp.expand_dims(outside, (0, *(axis for axis in rows))),
        jnp.expand_dims(outside, (*columns, 1 + axes)),
    )
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
            x = jnp.moveaxis(
                jnp.diagonal(
                    x.reshape(counts[0], frame.positions, counts[1], frame.positions),
                    axis1=1,
                    axis2=3,
                ),
                -1,
                0,
            )
        return x.mean(axis=0) if isinstance(step, Read) else x

    return Pair(*(None if x is None else of(x) for x in pair))


def _normed(pair, one, two, size1, size2):
    """u/r - v/r': E (u/r - v/r')^2 = (E (u - v)^2 + (r' - r)(E u^2/r - E v^2/r'))/(r r')."""
    a, b, r, q = one[..., :, None], two[..., None, :], size1[..., :, None], size2[..., None, :]
    uneven = (q - r) * (a / r - b / q)
    far = (
        None if x is None else jnp.maximum(x + uneven, 0) / (r * q)
        for x in (pair.apart, pair.joint)
    )
    return Pair(pair.k / (r * q), None if pair.t is None else pair.t / (r * q), *far)


# --- whole kernels


def at_once(
    steps: tuple, X1: Float[Array, "n1 d"], X2: Float[Array, "n2 d"] | None, tangent: bool
) -> tuple[A, A | None]:
    """Both kernels of all pairs at once, which can be traced."""
    start, rest = steps[0], steps[1:]
    frame, other = Frame().after(start), X1 if X2 is None else X2
    rows, columns = (
        own_walked(rest, own_of(jnp.asarray(X), frame), frame, hermite.UNSEEN)[0]
        for X in (X1, other)
    )
    pair = walked(
        rest,
        rows,
        columns,
        pair_of(jnp.asarray(X1), jnp.asarray(other), frame, tangent, rough(rest)),
        frame,
    )
    return pair.k, pair.t


def in_tiles(steps: tuple, X: Float[np.ndarray, "n d"], tangent: bool, most: int) -> tuple:
    """(tile, size): what gives the kernels of `size` rows of X by as many columns, and the size,
    for up to `most` rows."""
    start, rest = steps[0], steps[1:]
    frames = [Frame().after(start)]
    for step in rest:
        frames.append(frames[-1].after(step))
    entries = max(frame.entries for frame in frames)
    _check(X, frames, entries)
    size = max(1, min(most, math.isqrt(TILE // entries) if entries < TILE else 1))
    size = -(-most // -(-most // size))
    known = _tables(rest, X, frames[0], entries)

    def tile(rows, columns):
        chosen = [
            np.concatenate([index, np.repeat(index[-1:], size - len(index))])
            for index in (rows, columns)
        ]
        sides = [jax.tree.map(lambda x, index=index: x[index], known) for index in chosen]
        found = _walked_tile(rest, *sides, *(X[index] for index in chosen), frames[0], tangent)
        return tuple(np.asarray(value)[: len(rows), : len(columns)] for value in found)

    return tile, size


def _check(X, frames, entries):
    remedy = (
        "Shrink the inputs, pool them first, or leave pooling out of the network: without it"
        " positions need no kernels with each other"
    )
    sides = 8 * len(X) * sum(2 * frame.positions for frame in frames)
    check_memory(
        f"The kernel of inputs of {frames[0].positions} positions",
        sides + 8 * ARRAYS * max(entries, TILE),
        remedy,
    )


@eqx.filter_jit
def _walked_tile(steps, rows, columns, X1, X2, frame, tangent):
    pair = walked(steps, rows, columns, pair_of(X1, X2, frame, tangent, rough(steps)), frame)
    return (pair.k, pair.t) if tangent else (pair.k,)


@eqx.filter_jit
def _own_at_once(steps, X, frame):
    """The tables of inputs by themselves in one program, where no series waits for their
    variances."""
    return own_walked(steps, own_of(X, frame), frame)


def of_inputs(steps: tuple, X: Float[np.ndarray, "n d"], frame: Frame) -> tuple[list[Table], A]:
    """What every step needs to know of these inputs by themselves, and their kernels in the end."""
    if any(
        isinstance(dual(step.activation), Quadrature)
        for step in steps
        if hasattr(step, "activation")
    ):
        return own_walked(steps, own_of(jnp.asarray(X), frame), frame)
    return _own_at_once(steps, jnp.asarray(X), frame)


def _tables(steps, X, frame, entries):
    """What every step needs of every input by itself, so many inputs at a time."""
    count = max(1, min(len(X), OWN // entries))
    count = -(-len(X) // -(-len(X) // count))
    parts = []
    for at in range(0, len(X), count):
        some = X[at : at + count]
        filled = np.concatenate([some, np.repeat(some[-1:], count - len(some), axis=0)])
        found, _ = of_inputs(steps, filled, frame)
        kept = len(some)
        parts.append(
            [jax.tree.map(lambda x, kept=kept: np.asarray(x)[:kept], table) for table in found]
        )
    return [joined(list(tables)) for tables in zip(*parts, strict=True)]
