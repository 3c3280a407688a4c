"""Spectrum: what is read of a whole spectrum from probes: its density, its trace and its
Frobenius norm, each with an error."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray, UInt

from learnmech.curvature.eigenpairs import fraction
from learnmech.curvature.lanczos import FlatProduct, quadrature
from learnmech.language.parts import whole_number
from learnmech.language.trees import Array

Key = PRNGKeyArray | UInt[Array, "2"]


class Density(NamedTuple):
    """The spectral density at a grid of curvatures, which integrates to 1, and its standard
    error over probes."""

    at: Float[Array, " g"]
    value: Float[Array, " g"]
    error: Float[Array, " g"]


class Sums(NamedTuple):
    """The trace and the Frobenius norm of a map, each with its standard error."""

    trace: Float[Array, ""]
    trace_error: Float[Array, ""]
    norm: Float[Array, ""]
    norm_error: Float[Array, ""]


def signs(key: Key, size: int, dtype) -> Float[Array, " p"]:
    """A probe z of independent signs: E zz' = I, |z|^2 = p."""
    return jax.random.rademacher(key, (size,), dtype)


def measures(
    product: FlatProduct, size: int, dtype, key: Key, probes: int = 8, iterations: int = 40
) -> tuple[Float[Array, "probes m"], Float[Array, "probes m"]]:
    """(nodes, weights) of each probe's spectral measure by stochastic Lanczos quadrature,
    `iterations` products a probe."""
    probes, iterations = (
        whole_number("measures", "probes", probes, 1),
        whole_number("measures", "iterations", iterations, 1),
    )
    return jax.lax.map(
        lambda k: quadrature(product, signs(k, size, dtype), iterations),
        jax.random.split(key, probes),
    )


def density(
    nodes: Float[Array, "probes m"],
    weights: Float[Array, "probes m"],
    points: int = 200,
    width: float = 0.01,
) -> Density:
    """phi(x) = mean over probes of sum_j weight_j N(x; node_j, s^2): the density of the spectrum
    smoothed by a normal of deviation s, at evenly spaced x.

    s is `width` of the range of the nodes (one, where they have none, is their size or 1), and the
    grid reaches 4 s beyond it. The error is that of a mean over probes; the quadrature's own is
    below it once the nodes stand closer than s.  Source: Lin, Saad & Yang 2016; Ghorbani, Krishnan
    & Xiao 2019.
    """
    points, width = (
        whole_number("density", "points", points, 2),
        fraction("density", "width", width, "0.01"),
    )
    kept = weights > 0
    low, high = jnp.min(jnp.where(kept, nodes, jnp.inf)), jnp.max(jnp.where(kept, nodes, -jnp.inf))
    spread = jnp.where(high > low, high - low, jnp.where(high != 0, jnp.abs(high), 1))
    s = width * spread
    at = jnp.linspace(low - 4 * s, high + 4 * s, points)

    def smoothed(probe):
        apart = (at[:, None] - probe[0]) / s
        return jnp.exp(-apart * apart / 2) @ probe[1] / (np.sqrt(2 * np.pi) * s)

    seen = jax.lax.map(smoothed, (nodes, weights))
    return Density(at, *_mean(seen))


def _mean(seen):
    return jnp.mean(seen, axis=0), jnp.std(seen, axis=0, ddof=1) / np.sqrt(len(seen))


def sums(
    product: FlatProduct, size: int, dtype, key: Key, probes: int = 32, exact_up_to: int = 512
) -> Sums:
    """tr C = E z'Cz and |C|_F^2 = E |Cz|^2 over z of independent signs, with the standard errors of
    `probes` such; that of the norm is error/(2 norm).

    Exact, with error 0, by a product for every parameter up to `exact_up_to` of them.  Source:
    Hutchinson 1990.
    """
    probes = whole_number("sums", "probes", probes, 2)
    if size <= exact_up_to:

        def column(totals, index):
            image = product(jnp.zeros(size, dtype).at[index].set(1))
            return (totals[0] + image[index], totals[1] + jnp.sum(image * image)), None

        zero = jnp.zeros((), dtype)
        (trace, squares), _ = jax.lax.scan(column, (zero, zero), jnp.arange(size))
        return Sums(trace, zero, jnp.sqrt(squares), zero)

    def probe(k):
        z = signs(k, size, dtype)
        image = product(z)
        return jnp.stack([jnp.dot(z, image), jnp.sum(image * image)])

    (trace, squares), (trace_error, error) = _mean(
        jax.lax.map(probe, jax.random.split(key, probes))
    )
    norm = jnp.sqrt(squares)
    return Sums(
        trace,
        trace_error,
        norm,
        jnp.where(norm == 0, 0, error / (2 * jnp.where(norm == 0, 1, norm))),
    )
