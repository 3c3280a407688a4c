"""The arcsine, as one polynomial that a compiler can spread over a processor's lanes, and the
angle whose cosine is known by its distance to 1."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.language.trees import Array

A = Float[Array, "..."]
TERMS = 21


@functools.cache
def _coefficients() -> np.ndarray:
    """Of asin(sqrt x)/sqrt x in powers of 4x - 1, for x in [0, 1/2]: good to 2e-16."""
    x = (np.cos(np.pi * (np.arange(4 * TERMS) + 0.5) / (4 * TERMS)) + 1) / 4
    series = np.polynomial.chebyshev.chebfit(4 * x - 1, np.arcsin(np.sqrt(x)) / np.sqrt(x), TERMS)
    return np.polynomial.chebyshev.cheb2poly(series)


def _over_root(x):
    t, value = 4 * x - 1, 0.0
    for coefficient in _coefficients()[::-1]:
        value = value * t + coefficient
    return value


def arcsine(x: A, cosine: A) -> A:
    """asin x, given cosine = sqrt(1 - x^2): x P(x^2) up to 1/sqrt 2, pi/2 - cosine P(cosine^2)
    above. Several times faster than a library's."""
    square, rest = x * x, cosine * cosine
    low = square <= rest
    value = _over_root(jnp.minimum(square, rest))
    return jnp.where(low, x * value, jnp.sign(x) * (jnp.pi / 2 - cosine * value))


def angle(gap: A, rest: A) -> A:
    """The angle whose cosine is c, from gap = 1 - c and rest = 1 + c, each as exact as it is known:
    2 asin sqrt(gap/2), or pi minus that of the rest.

    An arc cosine of c would lose half the digits near 0 and pi.
    """
    x = jnp.minimum(gap, rest) / 2
    half = jnp.sqrt(x) * _over_root(x)
    return jnp.where(gap <= rest, 2 * half, jnp.pi - 2 * half)
