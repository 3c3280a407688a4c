"""Copies: eigenvalues that come more than once, of which a search from one vector sees each
eigenspace once."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from learnmech.curvature.lanczos import Extremes, FlatProduct, extremes, is_formed
from learnmech.language.trees import Array


def ends_with_copies(
    product: FlatProduct,
    drawn,
    top: int,
    bottom: int,
    iterations: int,
    tolerance: float,
) -> Extremes:
    """As `extremes`, with every copy of a repeated eigenvalue; `drawn(i)` (p,) is the i-th of
    independent random vectors.

    Behind a first search, what is found at an end is moved out of the way, C - 2|lambda|_max sum_i
    v_i v_i', and the largest of the rest is searched for from a fresh vector, which has a share of
    every eigenspace; until none lies above the last that was asked for. Where such a search does
    not converge, those below which it might have found one are not converged. A search more for
    each end of which more than one is asked, and one for each copy found; nothing more where the
    map is formed.  Source: Parlett 1998, ch. 13.
    """
    found = extremes(product, drawn(0), top, bottom, iterations, tolerance)
    if is_formed(drawn(0).size, iterations):
        return found
    parts = [_end(product, drawn, 1, found, 0, top, iterations, tolerance)] if top else []
    if bottom:
        parts.append(
            _end(lambda v: -product(v), drawn, -1, found, top, bottom, iterations, tolerance)
        )
    values, vectors, residuals, sound = (
        jnp.concatenate(column) for column in zip(*(part[:4] for part in parts), strict=True)
    )
    return Extremes(
        values, vectors, residuals, sound, found.products + sum(part[4] for part in parts)
    )


def _end(product, drawn, sign, found, begin, count, iterations, tolerance):
    """One end, the largest of a map first: values (with their sign), vectors, residuals, whether
    sound, further products."""
    known = (sign * found.values, found.vectors, found.residuals, found.converged)
    values, vectors, residuals, sound = (part[begin : begin + count] for part in known)
    none = jnp.zeros((), found.products.dtype)
    if count < 2:
        return sign * values, vectors, residuals, sound, none
    size = jnp.max(jnp.where(found.converged, jnp.abs(found.values), 0))
    finest = jnp.maximum(tolerance, 100 * float(jnp.finfo(values.dtype).eps)) * size

    def unfinished(carry):
        (_, _, _, right), going, round_, _ = carry
        # what has not converged is none already, and nothing more is said by looking for copies of
        # it
        return going & (round_ <= count) & jnp.all(right)

    def again(carry):
        (values, vectors, residuals, right), _, round_, products = carry
        rest = extremes(
            _without(product, vectors, 2 * size), drawn(round_), 1, 0, iterations, tolerance
        )
        value, residual, sure = rest.values[0], rest.residuals[0], rest.converged[0]
        more = sure & (value > values[-1] + finest)
        at_risk = ~sure & ~(values > value + residual + finest)
        all_values = jnp.concatenate([values, rest.values])
        all_vectors = jnp.concatenate([vectors, rest.vectors])
        order = jnp.argsort(-all_values, stable=True)[:count]
        merged = (
            all_values[order],
            all_vectors[order],
            jnp.concatenate([residuals, rest.residuals])[order],
            jnp.concatenate([right, rest.converged])[order],
        )
        kept = (values, vectors, residuals, right & ~at_risk)
        after = jax.tree.map(lambda new, old: jnp.where(more, new, old), merged, kept)
        return after, more, round_ + 1, products + rest.products

    begun = ((values, vectors, residuals, sound), jnp.array(True), jnp.ones((), jnp.int64), none)
    (values, vectors, residuals, sound), _, _, products = jax.lax.while_loop(
        unfinished, again, begun
    )
    return sign * values, vectors, residuals, sound, products


def _without(product: FlatProduct, rows: Float[Array, "k p"], lowered) -> FlatProduct:
    """The map where the directions of these orthonormal rows are lowered by so much."""
    return lambda v: product(v) - lowered.astype(v.dtype) * ((rows @ v) @ rows)
