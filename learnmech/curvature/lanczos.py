"""Lanczos: the ends of the spectrum of a symmetric map on flat vectors, with full
reorthogonalization and restarts, and the residual of everything it says.

Our own few lines, since what there is does not serve: matfree (0.6) divides by the length of the
next vector whatever it is, so that it goes on with round-off where the vectors seen are all there
are to see; it neither stops nor restarts, and it maps products over probes at once, which takes
twice as long on a CPU.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from learnmech.language.trees import Array

FORMED = 64
"""Up to so many parameters a product for each is cheaper than to search."""
BLOCK, BLOCKED = 32, 2**20
"""Rows to a block where a basis has more entries than the second: only the blocks in use are
gone through, since rows of zeros cost as much."""
FlatProduct = Callable[[Float[Array, " p"]], Float[Array, " p"]]


class Extremes(NamedTuple):
    """Eigenvalues (the largest first, behind them the lowest first), unit eigenvectors as rows,
    |Cv - lambda v|, whether that is small, and the products."""

    values: Float[Array, " k"]
    vectors: Float[Array, "k p"]
    residuals: Float[Array, " k"]
    converged: Bool[Array, " k"]
    products: Int[Array, ""]

    @property
    def said(self) -> Float[Array, " k"]:
        """The eigenvalues that have converged, NaN in place of the others."""
        return jnp.where(self.converged, self.values, jnp.nan)


class _Basis(NamedTuple):
    """Orthonormal rows Q (zeros below those in use) in blocks, the map between them T = Q C Q'
    (float64), how many are in T, and the unit vector ahead.

    `out` is how far C leads from the rows along the vector ahead: 0 where it does not lead out of
    them.
    """

    Q: tuple[Float[Array, "b p"], ...]
    T: Float[Array, "m m"]
    ahead: Float[Array, " p"]
    used: Int[Array, ""]
    out: Float[Array, ""]


class _Ritz(NamedTuple):
    """The eigenvalues of T in rising order, its eigenvectors as columns, and how many of the
    first stand for rows not in use."""

    values: Float[Array, " m"]
    vectors: Float[Array, "m m"]
    unused: Int[Array, ""]


def extremes(
    product: FlatProduct,
    start: Float[Array, " p"],
    top: int = 1,
    bottom: int = 0,
    iterations: int | Int[Array, ""] = 100,
    tolerance: float | Float[Array, ""] = 1e-6,
    often: int = 4,
    within: Float[Array, " p"] | None = None,
    measured: bool = True,
    formed: bool | None = None,
    held: int | None = None,
) -> Extremes:
    """The `top` largest and `bottom` lowest eigenvalues of a symmetric map, by thick-restarted
    Lanczos, every vector orthogonalized against all others.

    Stops as soon as every residual is at most `tolerance` times the largest eigenvalue in size
    (looked at each `often` products), or after `iterations` products; one more for each eigenvalue
    measures its residual (where not `measured`, it is what the basis says of it, true down to
    round-off). A tolerance below 100 round-offs of the precision is raised to it. A map of at most
    64 parameters (and `iterations`) is formed and diagonalized (`formed` says so where `iterations`
    is traced). Otherwise a start sees each eigenspace once, so that an eigenvalue of multiplicity m
    comes once (`eigenpairs` looks for copies); where it has seen all there is before as many as
    asked for are found, a fresh direction made of the start goes on. `within` is a mask of ones and
    zeros outside of which the map and the start are zero. `held` vectors are kept in memory: 32, or
    20 more than four times those asked for. Source: Wu & Simon 2000; Parlett 1998.
    """
    size, wanted = int(start.size), top + bottom
    finest = jnp.maximum(tolerance, 100 * float(jnp.finfo(start.dtype).eps))
    if is_formed(size, iterations) and within is None if formed is None else formed:
        return _formed(product, start, top, bottom, finest)
    most = min(held or max(32, 4 * wanted + 20), size)
    room = jnp.asarray(size) if within is None else jnp.sum(within > 0)

    def going(carry):
        basis, _, products, done = carry
        return (basis.used < jnp.minimum(most, room)) & (products < iterations) & ~done

    def step(carry):
        basis, ritz, products, _ = carry
        alive = basis.out > 0
        basis = _grown(product, basis, start, products)
        products = products + alive

        def looked():
            found = _diagonalized(basis)
            _, _, residuals, size = _ends(found, basis, top, bottom)
            # half, for the round-off by which a residual differs from what the basis says of it
            return found, jnp.all(residuals <= finest / 2 * size) & (basis.used >= wanted)

        last = (
            (basis.used >= jnp.minimum(most, room))
            | (products >= iterations)
            | ((basis.out == 0) & (basis.used >= wanted))
        )
        due = alive & (last | ((products % often == 0) & (basis.used >= wanted)))
        ritz, done = jax.lax.cond(due, looked, lambda: (ritz, jnp.array(False)))
        return basis, ritz, products, done | jnp.isnan(basis.out)

    def cycle(carry):
        basis, ritz, products, done = carry
        basis = jax.lax.cond(
            basis.used == most, lambda: _thinned(basis, ritz, top, bottom), lambda: basis
        )
        return jax.lax.while_loop(going, step, (basis, ritz, products, done))

    def unfinished(carry):
        basis, _, products, done = carry
        return (products < iterations) & ~done & (basis.used < room)

    zero = jnp.zeros((), jnp.int64)
    begun = (
        _begun(start, most),
        _Ritz(jnp.zeros(most), jnp.zeros((most, most)), zero),
        zero,
        jnp.array(False),
    )
    basis, ritz, products, _ = jax.lax.while_loop(unfinished, cycle, begun)
    values, turned, known, greatest = _ends(ritz, basis, top, bottom)
    vectors = _turned(turned, basis.Q)
    return _judged(
        product if measured else None,
        values.astype(start.dtype),
        vectors,
        known.astype(start.dtype),
        finest,
        greatest,
        products,
    )


def _judged(product, values, vectors, known, tolerance, size, products):
    """The residuals, by a product with each vector itself where there is one, and which are small
    enough beside the largest eigenvalue in size.

    NaN where too few were seen.
    """
    lengths = jnp.linalg.norm(vectors, axis=1)
    vectors = vectors / lengths[:, None]
    values = jnp.where(lengths > 0, values, jnp.nan)
    residuals = known
    if product is not None:
        residuals = jax.lax.map(
            lambda pair: jnp.linalg.norm(product(pair[0]) - pair[1] * pair[0]), (vectors, values)
        )
        products = products + len(values)
    return Extremes(
        values,
        vectors,
        residuals,
        (residuals <= (tolerance * size).astype(values.dtype)) & (lengths > 0),
        products,
    )


def _formed(product, start, top, bottom, tolerance):
    matrix = jax.lax.map(product, jnp.eye(start.size, dtype=start.dtype)).astype(jnp.float64)
    values, vectors = _eigh((matrix + matrix.T) / 2)
    order = np.concatenate(
        [np.arange(start.size)[::-1][:top], np.arange(start.size)[:bottom]]
    ).astype(int)
    values, vectors, size = values[order], vectors.T[order], jnp.max(jnp.abs(values))
    residuals = jnp.linalg.norm(vectors @ matrix.T - values[:, None] * vectors, axis=1)
    values, vectors, residuals, most = (
        x.astype(start.dtype) for x in (values, vectors, residuals, tolerance * size)
    )
    return Extremes(values, vectors, residuals, residuals <= most, jnp.asarray(start.size))


def is_formed(size: int, iterations: Any) -> bool:
    """Whether a map of so many parameters is formed rather than searched."""
    return size <= min(iterations, FORMED)


def quadrature(
    product: FlatProduct, start: Float[Array, " p"], iterations: int
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """(nodes, weights) of the Gauss rule with m = min(iterations, p) nodes of a start's spectral
    measure.

    sum_j weight_j g(node_j) = u' g(C) u for polynomials g of degree below 2m, u the start over its
    length. Weights are positive and sum to 1; where the start's Krylov space is smaller, those of
    the nodes too many are 0.  Source: Golub & Meurant 2010; Ubaru, Chen & Saad 2017.
    """
    most = min(iterations, start.size)
    # a map that leads nowhere has shown all that the start sees
    more = lambda basis: (basis.used < most) & (basis.out > 0)  # noqa: E731
    basis = jax.lax.while_loop(
        more, lambda basis: _grown(product, basis, start, basis.used), _begun(start, most)
    )
    ritz = _diagonalized(basis)
    spare, known = jnp.arange(most) < ritz.unused, ~jnp.isnan(basis.out)
    nodes = jnp.where(known, jnp.where(spare, ritz.values[-1], ritz.values), jnp.nan)
    return nodes.astype(start.dtype), jnp.where(spare, 0, ritz.vectors[0] ** 2).astype(start.dtype)


# --- the basis


@jax.custom_batching.sequential_vmap
def _eigh(T):
    """One matrix after another under vmap: a batch of them waits for threads, for ever where two
    programs wait for the same (JAX 0.10 on two cores)."""
    return tuple(jnp.linalg.eigh(T, symmetrize_input=False))


def _begun(start, most):
    """A basis without rows, and the start ahead."""
    heights = (
        [BLOCK] * (most // BLOCK) + [most % BLOCK] * (most % BLOCK > 0)
        if most * start.size > BLOCKED
        else [most]
    )
    length = jnp.linalg.norm(start)
    ahead = start / jnp.where(length > 0, length, 1)
    blocks = tuple(jnp.zeros((height, start.size), start.dtype) for height in heights)
    return _Basis(blocks, jnp.zeros((most, most)), ahead, jnp.zeros((), jnp.int64), jnp.ones(()))


def _cleared(w, Q, used):
    """(w without its parts along the rows in use, those parts, its length): twice, which is
    enough unless most of what was left went with the second time."""
    begins = np.cumsum([0] + [len(block) for block in Q])

    def along(w, block, begin):
        def cleared():
            parts = block @ w
            return w - parts @ block, parts

        return jax.lax.cond(used >= begin, cleared, lambda: (w, jnp.zeros(len(block), w.dtype)))

    def again(carry):
        w, parts, _, length, times = carry
        found = []
        for block, begin in zip(Q, begins, strict=False):
            w, part = along(w, block, begin)
            found.append(part)
        return w, parts + jnp.concatenate(found), length, jnp.linalg.norm(w), times + 1

    def unclear(carry):
        _, _, before, length, times = carry
        return (times < 2) | ((length < before / 2) & (times < 3))

    nothing = jnp.zeros((), w.dtype)
    w, parts, _, length, _ = jax.lax.while_loop(
        unclear, again, (w, jnp.zeros(begins[-1], w.dtype), nothing, nothing, 0)
    )
    return w, parts, length


def _written(Q, row, at):
    """The rows with another at a place."""
    blocks, begin = [], 0
    for block in Q:
        place = jnp.clip(at - begin, 0, len(block) - 1)
        blocks.append(block.at[place].set(jnp.where(at - begin == place, row, block[place])))
        begin += len(block)
    return tuple(blocks)


def _turned(columns, Q):
    """The vectors that columns of coefficients make of the rows."""
    parts = jnp.split(
        columns.T.astype(Q[0].dtype), np.cumsum([len(block) for block in Q])[:-1], axis=1
    )
    return sum(part @ block for part, block in zip(parts, Q, strict=True))


def _other(start, count):
    """A direction as good as the start and far from it, by factors that look random; the start
    itself at 0; zero where the start is."""
    return start * jnp.cos(count * jnp.arange(start.size, dtype=jnp.float64) ** 2).astype(
        start.dtype
    )


def _grown(product, basis, start, count):
    """The basis with the image of its last vector: its parts along all of them in T, and what is
    left as the next vector.

    Where there is no next vector to begin with, it is given one instead.
    """
    Q, T, row, used, out = basis
    alive = out > 0
    image = product(row)
    image = jax.lax.cond(alive, lambda: image, lambda: _other(start, count))
    Q = _written(Q, row, used)
    ahead, parts, length = _cleared(image, Q, used)
    # below this it is the round-off of the product, of which too much would lie along the others
    size = jnp.linalg.norm(image)
    length = jnp.where(length > 1000 * jnp.finfo(image.dtype).eps * size, length, 0 * length)
    length = jnp.where(
        jnp.isfinite(size), length, jnp.nan
    )  # nothing is beside a length that overflows: it leads somewhere
    parts = parts.astype(jnp.float64)
    here = alive & (jnp.arange(len(T)) == used)
    T = jnp.where(here[None, :], parts[:, None], jnp.where(here[:, None], parts[None, :], T))
    ahead = ahead / jnp.where(length > 0, length, jnp.inf)
    return _Basis(Q, T, ahead, used + alive, jnp.where(alive, length, 1).astype(jnp.float64))


def _diagonalized(basis):
    place = jnp.arange(len(basis.T))
    below = -(2 * jnp.sum(jnp.abs(basis.T)) + 1)  # lower than every eigenvalue
    values, vectors = _eigh(jnp.diag(jnp.where(place < basis.used, 0, below)) + basis.T)
    return _Ritz(values, vectors, len(basis.T) - basis.used)


def _ends(ritz, basis, top, bottom):
    """(values, vectors within the basis as columns, lengths of residuals, the largest eigenvalue
    in size) of the wanted ends."""
    most = len(ritz.values)
    order = jnp.minimum(
        jnp.concatenate([jnp.arange(most)[::-1][:top], ritz.unused + jnp.arange(bottom)]).astype(
            int
        ),
        most - 1,
    )
    chosen = ritz.vectors[:, order]
    greatest = jnp.max(jnp.where(jnp.arange(most) >= ritz.unused, jnp.abs(ritz.values), 0))
    return (
        ritz.values[order],
        chosen,
        basis.out * jnp.abs(chosen[jnp.maximum(basis.used - 1, 0)]),
        greatest,
    )


def _thinned(basis, ritz, top, bottom):
    """The basis of its best vectors at the wanted ends, and the direction in which it went on."""
    most = len(ritz.values)
    spare = (most - top - bottom) // 2
    high = top + (spare if not bottom else spare // 2 if top else 0)
    low = bottom + (spare if not top else spare // 2 if bottom else 0)
    order = np.concatenate([np.arange(most)[::-1][:high], np.arange(most)[:low]]).astype(int)
    kept = len(order)
    rows = _turned(ritz.vectors[:, order], basis.Q)
    heights = [len(block) for block in basis.Q]
    Q = tuple(jnp.split(jnp.pad(rows, ((0, most - kept), (0, 0))), np.cumsum(heights)[:-1]))
    T = jnp.diag(jnp.pad(ritz.values[order], (0, most - kept)))
    return _Basis(Q, T, basis.ahead, jnp.asarray(kept, basis.used.dtype), basis.out)
