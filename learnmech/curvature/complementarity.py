"""Complementarity: two positive semidefinite matrices, one an affine map of the other, whose
product is zero; for matrices of a few rows."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.language.trees import Array

ROUNDS, HALVINGS = 100, 20


class Pair(NamedTuple):
    """X and M of `complementary`, and |Q + B[X] - M| over |Q|: where that is not small, no pair
    was found."""

    X: Float[Array, "k k"]
    M: Float[Array, "k k"]
    off: Float[Array, ""]


def symmetric_basis(k: int) -> Float[np.ndarray, "m k k"]:
    """An orthonormal basis E_a of the symmetric k x k matrices, m = k(k+1)/2, in the order of
    `triu_indices`; <E_a, X> are the coordinates of X."""
    rows, columns = np.triu_indices(k)
    basis, place = np.zeros((len(rows), k, k)), np.arange(len(rows))
    basis[place, rows, columns] = basis[place, columns, rows] = np.where(
        rows == columns, 1.0, np.sqrt(0.5)
    )
    return basis


def complementary(Q: Float[Array, "k k"], B: Float[Array, "m m"], tolerance: float = 1e-12) -> Pair:
    """X, M = Q + B[X] with 0 <= X, 0 <= M and XM = 0: a semidefinite complementarity problem, B
    positive semidefinite in the coordinates of `symmetric_basis`.

    With Y = X - M, X its positive part and M its negative one, both are semidefinite and XM = 0
    whatever Y is, and one equation is left, F(Y) = Q + B[Y+] - (-Y)+ = 0. Newton's steps solve it
    with y+ softened to (y + sqrt(y^2 + 4 s^2))/2 in each eigenvalue, so that XM = s^2, as s goes to
    0. For k = 1, X = max(0, -Q/B).  Source: Chen & Tseng 2003; the problem is that of Cohen et al.
    2025.
    """
    k = len(Q)
    E, one = jnp.asarray(symmetric_basis(k), Q.dtype), jnp.eye(len(B), dtype=B.dtype)
    size, stiff = jnp.linalg.norm(Q), jnp.trace(B)
    size, stiff = jnp.where(size > 0, size, 1), jnp.where(stiff > 0, stiff, 1)
    q, B = jnp.einsum("aij,ij->a", E, Q) / size, B / stiff

    def missed(y, s):
        """(F, the softened positive part) in coordinates, and what its derivative is made of."""
        values, V = jnp.linalg.eigh(jnp.einsum("a,aij->ij", y, E))
        roots = jnp.sqrt(values**2 + 4 * s**2)
        x = jnp.einsum("aij,ik,k,jk->a", E, V, (values + roots) / 2, V)
        return q + B @ x - (x - y), x, (values, roots, V)

    def newton(y, s):
        f, _, (values, roots, V) = missed(y, s)
        both = roots[:, None] + roots[None, :]
        slope = (1 + (values[:, None] + values[None, :]) / jnp.where(both > 0, both, 1)) / 2
        turned = jnp.einsum("ik,aij,jl->akl", V, E, V)
        J = (B - one) @ jnp.einsum("akl,kl,bkl->ab", turned, slope, turned) + one
        # the tiny share keeps a B that has null directions solvable
        way, now = -jnp.linalg.solve(J + 1e-14 * one, f), jnp.linalg.norm(f)

        def too_far(carry):
            share, f = carry
            return ~(jnp.linalg.norm(f) <= (1 - share / 10) * now) & (share > 0.5**HALVINGS)

        def halved(carry):
            share = carry[0] / 2
            return share, missed(y + share * way, s)[0]

        share, f = jax.lax.while_loop(
            too_far, halved, (jnp.ones((), y.dtype), missed(y + way, s)[0])
        )
        return y + share * way, jnp.linalg.norm(f)

    def turn(carry):
        y, s, _, count = carry
        y, now = newton(y, s)
        s = jnp.where(now <= s, jnp.where(s < 1e-12, 0, jnp.minimum(s / 10, s**1.5)), s)
        return y, s, jnp.linalg.norm(missed(y, 0.0)[0]), count + 1

    def unfinished(carry):
        return (carry[2] > tolerance) & (carry[3] < ROUNDS)

    # where Q is semidefinite itself there is nothing to do
    begun, nothing = -q, jnp.linalg.norm(missed(-q, 0.0)[0])
    begun = jnp.where(nothing <= tolerance, begun, 0)
    y, _, off, _ = jax.lax.while_loop(unfinished, turn, (begun, jnp.ones_like(size), nothing, 0))
    x = missed(y, 0.0)[1]
    X, M = (jnp.einsum("a,aij->ij", part, E) for part in (x, x - y))
    return Pair(X * size / stiff, M * size, off)
