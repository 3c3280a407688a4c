"""Lanczos: the ends of the spectrum of a symmetric map on flat vectors, with full reorthogonalization and restarts, and the residual of everything it says.

Our own few lines, since what there is does not serve: matfree (0.6) divides by the length of the next vector whatever it is, so that it goes on with round-off
where the vectors seen are all there are to see; it neither stops nor restarts, and it maps products over probes at once, which takes twice as long on a CPU.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from learnmech.trees import Array

FORMED = 64
"""Up to so many parameters a product for each is cheaper than to search."""
STAGED = 2**20
"""Entries of a basis above which only the part in use is gone through."""
FlatProduct = Callable[[Float[Array, " p"]], Float[Array, " p"]]


class Extremes(NamedTuple):
    """Eigenvalues (the largest first, behind them the lowest first), unit eigenvectors as rows, |Cv - lambda v|, whether that is small, and the products."""

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
    """Orthonormal rows Q (zeros below those in use), the map between them T = Q C Q' (float64), how many are in T, and how far C leads out of them.

    The next row is in Q already, unless C does not lead out.
    """

    Q: Float[Array, "m+1 p"]
    T: Float[Array, "m m"]
    used: Int[Array, ""]
    out: Float[Array, ""]


class _Ritz(NamedTuple):
    """The eigenvalues of T in rising order, its eigenvectors as columns, and how many of the first stand for rows not in use."""

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
    """The `top` largest and `bottom` lowest eigenvalues of a symmetric map, by thick-restarted Lanczos, every vector orthogonalized against all others.

    Stops as soon as every residual is at most `tolerance` times the largest eigenvalue in size (looked at each `often` products), or after `iterations`
    products; one more for each eigenvalue measures its residual (where not `measured`, it is what the basis says of it, true down to round-off). A tolerance
    below 100 round-offs of the precision is raised to it. A map of at most 64 parameters (and `iterations`) is formed and diagonalized (`formed` says so where
    `iterations` is traced). Otherwise a start sees each eigenspace once, so that an eigenvalue of multiplicity m comes once (`eigenpairs` looks for copies);
    where it has seen all there is before as many as asked for are found, a fresh direction made of the start goes on. `within` is a mask of ones and zeros
    outside of which the map and the start are zero. `held` vectors are kept in memory: 32, or 20 more than four times those asked for.
    Source: Wu & Simon 2000; Parlett 1998.
    """
    size, wanted = start.size, top + bottom
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

        last = (basis.used >= jnp.minimum(most, room)) | (products >= iterations) | ((basis.out == 0) & (basis.used >= wanted))
        due = alive & (last | ((products % often == 0) & (basis.used >= wanted)))
        ritz, done = jax.lax.cond(due, looked, lambda: (ritz, jnp.array(False)))
        return basis, ritz, products, done | jnp.isnan(basis.out)

    def cycle(carry):
        basis, ritz, products, done = carry
        basis = jax.lax.cond(basis.used == most, lambda: _thinned(basis, ritz, top, bottom), lambda: basis)
        return jax.lax.while_loop(going, step, (basis, ritz, products, done))

    def unfinished(carry):
        basis, _, products, done = carry
        return (products < iterations) & ~done & (basis.used < room)

    zero = jnp.zeros((), jnp.int64)
    basis = _Basis(jnp.zeros((most + 1, size), start.dtype), jnp.zeros((most, most)), zero, jnp.zeros(()))
    begun = (basis, _Ritz(jnp.zeros(most), jnp.zeros((most, most)), zero), zero, jnp.array(False))
    basis, ritz, products, _ = jax.lax.while_loop(unfinished, cycle, begun)
    values, turned, known, greatest = _ends(ritz, basis, top, bottom)
    vectors = turned.T.astype(start.dtype) @ basis.Q[:most]
    return _judged(product if measured else None, values.astype(start.dtype), vectors, known.astype(start.dtype), finest, greatest, products)


def _judged(product, values, vectors, known, tolerance, size, products):
    """The residuals, by a product with each vector itself where there is one, and which are small enough beside the largest eigenvalue in size.

    NaN where too few were seen.
    """
    lengths = jnp.linalg.norm(vectors, axis=1)
    vectors = vectors / lengths[:, None]
    values = jnp.where(lengths > 0, values, jnp.nan)
    residuals = known
    if product is not None:
        residuals = jax.lax.map(lambda pair: jnp.linalg.norm(product(pair[0]) - pair[1] * pair[0]), (vectors, values))
        products = products + len(values)
    return Extremes(values, vectors, residuals, (residuals <= (tolerance * size).astype(values.dtype)) & (lengths > 0), products)


def _formed(product, start, top, bottom, tolerance):
    matrix = jax.lax.map(product, jnp.eye(start.size, dtype=start.dtype)).astype(jnp.float64)
    values, vectors = _eigh((matrix + matrix.T) / 2)
    order = np.concatenate([np.arange(start.size)[::-1][:top], np.arange(start.size)[:bottom]]).astype(int)
    values, vectors, size = values[order], vectors.T[order], jnp.max(jnp.abs(values))
    residuals = jnp.linalg.norm(vectors @ matrix.T - values[:, None] * vectors, axis=1)
    values, vectors, residuals, most = (x.astype(start.dtype) for x in (values, vectors, residuals, tolerance * size))
    return Extremes(values, vectors, residuals, residuals <= most, jnp.asarray(start.size))


def is_formed(size: int, iterations: int) -> bool:
    """Whether a map of so many parameters is formed rather than searched."""
    return size <= min(iterations, FORMED)


def quadrature(product: FlatProduct, start: Float[Array, " p"], iterations: int) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """(nodes, weights) of the Gauss rule with m = min(iterations, p) nodes of a start's spectral measure.

    sum_j weight_j g(node_j) = u' g(C) u for polynomials g of degree below 2m, u the start over its length. Weights are positive and sum to 1; where the start's
    Krylov space is smaller, those of the nodes too many are 0.  Source: Golub & Meurant 2010; Ubaru, Chen & Saad 2017.
    """
    size, most = start.size, min(iterations, start.size)
    begun = _Basis(jnp.zeros((most + 1, size), start.dtype), jnp.zeros((most, most)), jnp.zeros((), jnp.int64), jnp.zeros(()))
    # the first turn takes the start in; a map that leads nowhere behind it has shown all that the start sees
    more = lambda basis: (basis.used < most) & ((basis.used == 0) | (basis.out > 0))  # noqa: E731
    ritz = _diagonalized(jax.lax.while_loop(more, lambda basis: _grown(product, basis, start, basis.used), begun))
    spare = jnp.arange(most) < ritz.unused
    return jnp.where(spare, ritz.values[-1], ritz.values).astype(start.dtype), jnp.where(spare, 0, ritz.vectors[0] ** 2).astype(start.dtype)


# --- the basis


@jax.custom_batching.sequential_vmap
def _eigh(T):
    """One matrix after another under vmap: a batch of them waits for threads, for ever where two programs wait for the same (JAX 0.10 on two cores)."""
    return tuple(jnp.linalg.eigh(T, symmetrize_input=False))


def _cleared(w, Q):
    """(w without its parts along the rows of Q, those parts, whether most of what was left went with the second time): twice, which otherwise is enough."""
    along = Q @ w
    once = w - along @ Q
    again = Q @ once
    twice = once - again @ Q
    return twice, along + again, jnp.linalg.norm(twice) < jnp.linalg.norm(once) / 2


def _cleared_among(w, Q, used):
    """The same along the rows in use: where there are many entries, among no more rows than the next of some counts, since those of zeros cost as much."""
    counts = [count for count in range(16, len(Q), 16) if Q.size > STAGED] + [len(Q)]

    def among(count):
        cleared, parts, left = _cleared(w, Q[:count])
        return cleared, jnp.pad(parts, (0, len(Q) - count)), left

    place = jnp.sum(jnp.asarray(counts[:-1], used.dtype) <= used)
    return jax.lax.switch(place, [lambda count=count: among(count) for count in counts])


def _other(start, count):
    """A direction as good as the start and far from it, by factors that look random; the start itself at 0; zero where the start is."""
    return start * jnp.cos(count * jnp.arange(start.size, dtype=jnp.float64) ** 2).astype(start.dtype)


def _grown(product, basis, start, count):
    """The basis with the image of its last vector: its parts along all of them in T, and what is left as the next vector.

    Where there is no next vector to begin with, it is given one instead.
    """
    Q, T, used, out = basis
    alive = out > 0
    image = jax.lax.cond(alive, lambda: product(Q[used]), lambda: _other(start, count))
    ahead, parts, left = _cleared_among(image, Q, used)
    length = jnp.linalg.norm(ahead)
    # below this it is the round-off of the product, of which too much would lie along the others
    length = jnp.where(length > 1000 * jnp.finfo(image.dtype).eps * jnp.linalg.norm(image), length, 0 * length)
    parts = parts[: len(T)].astype(jnp.float64)
    here = alive & (jnp.arange(len(T)) == used)
    T = jnp.where(here[None, :], parts[:, None], jnp.where(here[:, None], parts[None, :], T))
    row = ahead / jnp.where(length > 0, length, jnp.inf)
    row = jax.lax.cond(left, lambda: row - (Q @ row) @ Q, lambda: row)
    Q = jax.lax.dynamic_update_index_in_dim(Q, row, used + alive, 0)
    return _Basis(Q, T, used + alive, jnp.where(alive, length, 1).astype(jnp.float64))


def _diagonalized(basis):
    place = jnp.arange(len(basis.T))
    below = -(2 * jnp.sum(jnp.abs(basis.T)) + 1)  # lower than every eigenvalue
    values, vectors = _eigh(jnp.diag(jnp.where(place < basis.used, 0, below)) + basis.T)
    return _Ritz(values, vectors, len(basis.T) - basis.used)


def _ends(ritz, basis, top, bottom):
    """(values, vectors within the basis as columns, lengths of residuals, the largest eigenvalue in size) of the wanted ends."""
    most = len(ritz.values)
    order = jnp.minimum(jnp.concatenate([jnp.arange(most)[::-1][:top], ritz.unused + jnp.arange(bottom)]).astype(int), most - 1)
    chosen = ritz.vectors[:, order]
    greatest = jnp.max(jnp.where(jnp.arange(most) >= ritz.unused, jnp.abs(ritz.values), 0))
    return ritz.values[order], chosen, basis.out * jnp.abs(chosen[jnp.maximum(basis.used - 1, 0)]), greatest


def _thinned(basis, ritz, top, bottom):
    """The basis of its best vectors at the wanted ends, and the direction in which it went on."""
    most = len(ritz.values)
    spare = (most - top - bottom) // 2
    high = top + (spare if not bottom else spare // 2 if top else 0)
    low = bottom + (spare if not top else spare // 2 if bottom else 0)
    order = np.concatenate([np.arange(most)[::-1][:high], np.arange(most)[:low]]).astype(int)
    kept = len(order)
    rows = ritz.vectors[:, order].T.astype(basis.Q.dtype) @ basis.Q[:most]
    Q = jnp.concatenate([rows, basis.Q[most:], jnp.zeros((most - kept, rows.shape[1]), rows.dtype)])
    T = jnp.diag(jnp.pad(ritz.values[order], (0, most - kept)))
    return _Basis(Q, T, jnp.asarray(kept, basis.used.dtype), basis.out)
