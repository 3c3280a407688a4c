"""Infinite width: the NNGP and the tangent kernel of an architecture whose widths have gone to
infinity, between all pairs of inputs."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.activations.duals import hermite
from learnmech.activations.duals.arcsine import angle
from learnmech.architectures.base import Architecture
from learnmech.architectures.grids import on_grid
from learnmech.errors import nearest, refused
from learnmech.kernels import angles, positions
from learnmech.kernels.recursion import Pair, rough, tables, walked
from learnmech.language.trees import Array
from learnmech.machine.memory import check_memory

Inputs = Float[Array, "n d"]
# An odd number of cache lines: in tiles of a power of two the entries of a column share few places
# of the cache, and their mirror takes six times as long.
TILE, NEAR = 504, 1e-5


class Kernels(NamedTuple):
    """The kernel of the outputs at the start (of the Gaussian process they are), and the one
    their training moves with; None where not asked for."""

    nngp: Float[Array, "n m"] | None
    ntk: Float[Array, "n m"] | None


@overload
def kernel(
    architecture: Architecture, X1: Inputs, X2: Inputs | None = None, *, get: str
) -> Array: ...


@overload
def kernel(
    architecture: Architecture,
    X1: Inputs,
    X2: Inputs | None = None,
    get: tuple[str, ...] = ("nngp", "ntk"),
) -> Kernels: ...


def kernel(
    architecture: Architecture,
    X1: Inputs,
    X2: Inputs | None = None,
    get: str | tuple[str, ...] = ("nngp", "ntk"),
) -> Kernels | Array:
    """The kernels of the infinitely wide network between the rows of X1 (n1, d) and of X2 (n2, d;
    None: X1), each (n1, n2), in float64.

    NNGP: K = E f(x)f(x') of an output over random starts. NTK: T = sum over parameters of
    rate factor * df(x)/dw df(x')/dw, the same for every output; for the ntk scaling, whose
    factors are 1, the tangent kernel as usual. With (u, v) ~ N(0, K^l) of the pair, sw and sb
    of the ntk scaling: K^1 = sw^2 x.x'/d + sb^2, K^{l+1} = sw^2 E s(u)s(v) + sb^2, T^1 = K^1,
    T^{l+1} = K^{l+1} + sw^2 T^l E s'(u)s'(v). `get` names one or both; one named alone, "ntk",
    comes as an array. Closed forms are exact to round-off, other activations to 1e-12. Coincident
    and antipodal inputs are exact. Given traced inputs or knobs it can be differentiated. Refuses
    an architecture without a limit, inputs of unlike dimensions, and more pairs than fit into
    memory.  Source: Jacot et al. 2018; Lee et al. 2019.
    """
    wanted = (get,) if isinstance(get, str) else tuple(get)
    if not wanted or not set(wanted) <= set(Kernels._fields) or len(set(wanted)) < len(wanted):
        remedy = nearest(
            str(next((one for one in wanted if one not in Kernels._fields), "")), Kernels._fields
        )
        raise refused("kernel", "get of nngp, ntk or both", repr(get), remedy)
    traced = any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((architecture, X1, X2)))
    first = X1 if isinstance(X1, jax.core.Tracer) else _inputs(X1, "X1")
    second = None if X2 is None else X2 if isinstance(X2, jax.core.Tracer) else _inputs(X2, "X2")
    if second is not None and first.shape[1] != second.shape[1]:
        raise refused(
            "kernel",
            "inputs of one dimension",
            f"{first.shape[1]} and {second.shape[1]}",
            "Give both the same number of columns",
        )
    steps = architecture.limit(first.shape[1], tangent="ntk" in wanted)
    compute = _differentiable if traced else _tiled
    found = compute(steps, first, second, "ntk" in wanted)
    kept = Kernels(
        *(
            value if name in wanted else None
            for name, value in zip(Kernels._fields, found, strict=True)
        )
    )
    return getattr(kept, get) if isinstance(get, str) else kept


def _inputs(X, name):
    X = np.asarray(X)
    if X.ndim != 2 or 0 in X.shape or X.dtype.kind not in "biuf":
        raise refused(
            "kernel",
            f"{name} to be inputs of shape (n, d)",
            f"shape {X.shape}",
            "Give a row of numbers for every input",
        )
    if not np.isfinite(X).all():
        raise refused(
            "kernel",
            f"finite numbers in {name}",
            "NaN or infinity",
            "Remove or replace the bad entries",
        )
    return np.ascontiguousarray(X, np.float64)


def variances(X: Inputs) -> Float[Array, " n"]:
    """|x|^2/d of every input."""
    return (X**2).sum(axis=1) / X.shape[1]


# --- traced


def _differentiable(steps, X1, X2, tangent):
    if on_grid(steps):
        return positions.at_once(steps, X1, X2, tangent)
    other = X1 if X2 is None else X2
    d = X1.shape[1]
    rows, columns = (tables(steps, variances(X), hermite.UNSEEN) for X in (X1, other))
    gap = (None, None)
    if rough(steps):
        gap = tuple(
            jax.lax.map(lambda x, s=sign: jnp.sum((x[None] + s * other) ** 2, axis=1) / d, X1)
            for sign in (-1, 1)
        )
    k = X1 @ other.T / d
    pair = walked(steps, rows, columns, Pair(k, jnp.zeros_like(k) if tangent else None, *gap))
    return pair.k, pair.t


# --- in tiles


def _tiled(steps, X1, X2, tangent):
    n, m = len(X1), len(X1 if X2 is None else X2)
    needed = 8 * ((1 + tangent) * n * m + 16 * TILE**2)
    remedy = (
        "Compute it in blocks of rows of X1 and X2, ask for one of the two kernels, or use fewer"
        " inputs"
    )
    check_memory(f"The kernel of {n} by {m} inputs", needed, remedy)
    X = X1 if X2 is None else np.concatenate([X1, X2])
    out = tuple(np.empty((n, m)) for _ in range(1 + tangent))
    if on_grid(steps):
        tile, size = positions.in_tiles(steps, X, tangent, max(n, m))
        _fill(
            out,
            X1,
            X2,
            _Work(lambda rows, columns, _: (*tile(rows, columns), 0.0), None, X),
            exact=False,
            size=size,
        )
        return out if tangent else (*out, None)
    work = _of_one_angle(steps, X, tangent) or _of_layers(steps, X, tangent)
    _fill(out, X1, X2, work, exact=rough(steps))
    return out if tangent else (*out, None)


class _Work(NamedTuple):
    """How kernels are computed: of a tile (rows, columns, their units), with the largest
    correlation in it; of single pairs (indices, gap and rest)."""

    tile: Callable
    singles: Callable | None
    units: Float[np.ndarray, "n d"]


def _of_one_angle(steps, X, tangent):
    """Kernels by a series in the angle, where there is one."""
    variance = variances(X)
    homogeneous = angles.homogeneous(steps)
    if not homogeneous and np.ptp(variance) > 4e-15 * variance.max():
        return None
    common = 1.0 if homogeneous else float(variance[0])
    series = angles.series_of(steps, common)
    if series is None:
        return None
    sizes = np.sqrt(variance) if homogeneous else np.ones(len(X))
    coefficients = jnp.asarray(series.coefficients[: 1 + tangent])

    def tile(rows, columns, units):
        theta, closest = _angles(*units)
        return (
            *_summed_tile(coefficients, series.powers, theta, sizes[rows], sizes[columns]),
            closest,
        )

    def singles(one, two, gap, rest):
        found = angles.pairs_of(
            steps,
            angles.tables_at(steps, common),
            jnp.asarray(gap),
            jnp.asarray(rest),
            jnp.asarray(common),
        )
        return tuple(sizes[one] * sizes[two] * value for value in found[: 1 + tangent])

    return _Work(tile, singles, _units(X))


@jax.jit
def _angles(X1, X2):
    c = jnp.clip(X1 @ X2.T, -1, 1)
    return angle(1 - c, 1 + c), jnp.max(jnp.abs(c))


# a program of its own, or the compiler works the angle out again for each kernel
@functools.partial(jax.jit, static_argnames="powers")
def _summed_tile(coefficients, powers, theta, sizes1, sizes2):
    size = sizes1[:, None] * sizes2[None, :]
    return tuple(size * angles.summed(one, theta, powers) for one in coefficients)


def _of_layers(steps, X, tangent):
    """Kernels by the recursion from layer to layer."""
    table, sizes = jax.tree.map(np.asarray, tables(steps, variances(X))), np.sqrt(variances(X))

    def chosen(index):
        return jax.tree.map(lambda x: x[index], table)

    def tile(rows, columns, units):
        here, there = units
        return _walked_tile(
            steps, chosen(rows), chosen(columns), here, there, sizes[rows], sizes[columns], tangent
        )

    def singles(one, two, gap, rest):
        return _walked_singles(
            steps, chosen(one), chosen(two), gap, rest, sizes[one], sizes[two], tangent
        )

    return _Work(tile, singles, _units(X))


@eqx.filter_jit
def _walked_tile(steps, here, there, X1, X2, sizes1, sizes2, tangent):
    c = jnp.clip(X1 @ X2.T, -1, 1)
    pair = walked(
        steps, here, there, _begun(steps, 1 - c, 1 + c, sizes1[:, None], sizes2[None, :], tangent)
    )
    return *((pair.k, pair.t) if tangent else (pair.k,)), jnp.max(jnp.abs(c))


@eqx.filter_jit
def _walked_singles(steps, here, there, gap, rest, sizes1, sizes2, tangent):
    pair = walked(
        steps, here, there, _begun(steps, gap, rest, sizes1, sizes2, tangent), outer=False
    )
    return (pair.k, pair.t) if tangent else (pair.k,)


@jax.jit
def _correlations(X1, X2):
    return X1 @ X2.T


def _begun(steps, gap, rest, one, two, tangent):
    """The inputs' own kernel, from the gap 1 - c of their correlation to 1 and the rest 1 + c."""
    size, uneven = one * two, (one - two) ** 2
    k = size * (rest - gap) / 2
    distances = (
        (uneven + 2 * size * gap, uneven + 2 * size * rest) if rough(steps) else (None, None)
    )
    return Pair(k, jnp.zeros_like(k) if tangent else None, *distances)


def _units(X):
    """Rows over their norms; zeros stay."""
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norms > 0, norms, 1)


def _fill(out, X1, X2, work, exact, size=TILE):
    """Every tile, two at a time; of a symmetric kernel the upper triangle, mirrored. Nearly
    collinear pairs are done again from their distances."""
    n, m, offset = len(X1), len(X1 if X2 is None else X2), 0 if X2 is None else len(X1)
    starts = [
        (i, j) for i in range(0, n, size) for j in range(0, m, size) if X2 is not None or j >= i
    ]

    def done(corner):
        i, j = corner
        rows, columns = np.arange(i, min(i + size, n)), np.arange(j, min(j + size, m)) + offset
        units = work.units[rows], work.units[columns]
        *values, closest = work.tile(rows, columns, units)
        for whole, value in zip(out, map(np.asarray, values), strict=True):
            if X2 is None and i == j:
                value = np.triu(value) + np.triu(value, 1).T
            whole[i : i + size, j : j + size] = value
            if X2 is None and i != j:
                whole[j : j + size, i : i + size] = value.T
        if float(closest) > 1 - NEAR and (exact or (X2 is None and i == j)):
            near = np.argwhere(np.abs(_correlations(*units)) > 1 - NEAR)
            for whole, found in zip(out, _near(work, rows, columns, near), strict=True):
                whole[i + near[:, 0], j + near[:, 1]] = found
                if X2 is None:
                    whole[j + near[:, 1], i + near[:, 0]] = found

    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    with ThreadPoolExecutor(
        cores + 1
    ) as pool:  # one more than the cores, so that none waits while a tile is written
        list(pool.map(done, starts))


PAIRS = 2**14


def _near(work, rows, columns, near):
    """The kernels of these pairs of a tile, from the distances between their units, so many at a
    time."""
    found = []
    for at in range(0, len(near), PAIRS):
        some = near[at : at + PAIRS]
        padded = np.concatenate(
            [some, np.repeat(some[-1:], _rounded(len(some)) - len(some), axis=0)]
        )
        one, two = rows[padded[:, 0]], columns[padded[:, 1]]
        gap, rest = (
            np.sum((work.units[one] + sign * work.units[two]) ** 2, axis=1) / 2 for sign in (-1, 1)
        )
        zero = gap + rest < 1.5  # a row of zeros has no direction
        gap, rest = np.where(zero, 1.0, gap), np.where(zero, 1.0, rest)
        found.append(
            [np.asarray(value)[: len(some)] for value in work.singles(one, two, gap, rest)]
        )
    return (
        [np.concatenate(parts) for parts in zip(*found, strict=True)]
        if found
        else [[] for _ in range(2)]
    )


def _rounded(count):
    """The next power of two, so that few programs are compiled."""
    return 1 << max(count - 1, 15).bit_length()
