"""Own: the kernels of inputs with themselves, and what every step needs to know of an input before
it meets others."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.activations.duals import dual
from learnmech.activations.duals.base import Quadrature
from learnmech.architectures.grids import Centers, Convolve, Normed, OnGrid, Pool, Read
from learnmech.architectures.limits import Affine
from learnmech.kernels.frames import A, Frame, alone, convolved, padded, pooled
from learnmech.kernels.recursion import Pair, Side, Table, rough, tables, through_activation
from learnmech.language.trees import Array

# Numbers in one array of a chunk of inputs, and variances whose series are found at a time.
OWN, SERIES = 2**22, 2**14


def own_of(X: Float[Array, "n d"], frame: Frame) -> A:
    """Kernels of inputs with themselves, full or of each position with its like."""
    x = X.reshape(len(X), *((frame.positions,) if frame.grid else ()), -1)
    if frame.full:
        return jnp.einsum("ipc,iqc->ipq", x, x) / x.shape[-1]
    return (x * x).sum(axis=-1) / x.shape[-1]


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
            convolved(padded(x, groups, step.windows), groups, step.windows)
            if isinstance(step, Convolve)
            else pooled(x, groups, step)
        )
        return x.reshape(n, *(math.prod(step.windows.out),) * (2 if frame.full else 1))
    if isinstance(step, Centers):
        return alone(own, frame)
    if isinstance(step, Read):
        return alone(own, frame).mean(axis=1)
    if isinstance(step, Normed):
        size = size_under(step, table.before, frame)
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


def size_under(step, variance, frame):
    """By what `Normed` divides: sqrt(eps + variance)."""
    if step.axes:
        whole = variance.reshape(len(variance), *frame.grid)
        mean = whole.mean(axis=tuple(1 + axis for axis in step.axes), keepdims=True)
        variance = jnp.broadcast_to(mean, whole.shape).reshape(variance.shape)
    size = jnp.sqrt(step.eps + variance)
    return jnp.where(size > 0, size, 1)


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


def all_known(steps, X, frame, entries):
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
