"""Closed forms: Gaussian expectations of activations and of products of two, where they have one.

(u, v) ~ N(0, [[a, k], [k, b]]). Sources: Cho & Saul 2009 (relu), Williams 1997 (erf); the others by
Gaussian integration by parts.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Float

from learnmech.activations.duals.arcsine import arcsine
from learnmech.errors import unwritten
from learnmech.language.trees import Array

A = Float[Array, "..."]


class Closed:
    """An activation whose duals have a closed form, analytic in (a, b, k)."""

    def mean(self, a: A) -> A:
        """E s(u)."""
        return jnp.zeros_like(a)

    def variance(self, a: A) -> A:
        """E s(u)^2."""
        return self.pair(a, a, a)[0]

    def pair(self, a: A, b: A, k: A) -> tuple[A, A]:
        """(E s(u)s(v), E s'(u)s'(v))."""
        raise unwritten(self, "pair")


class Linear(Closed):
    """s(z) = z: k and 1."""

    def pair(self, a, b, k):
        return k, jnp.ones_like(k)


class Erf(Closed):
    """(2/pi) asin x and (4/pi)/sqrt((1+2a)(1+2b) - 4k^2), x = 2k/sqrt((1+2a)(1+2b))."""

    def pair(self, a, b, k):
        size = jax.lax.rsqrt(1 + 2 * a) * jax.lax.rsqrt(1 + 2 * b)
        x = 2 * k * size
        cosine = jnp.sqrt((1 - x) * (1 + x))
        return 2 / jnp.pi * arcsine(x, cosine), 4 / jnp.pi * size / cosine


class Gelu(Closed):
    """s(z) = z Phi(z), with D = (1+a)(1+b) - k^2 and both = 1/4 + asin(k/sqrt((1+a)(1+b)))/(2 pi) =
    E Phi(u)Phi(v):

    k both + [ab + k^2 (1/(1+a) + 1/(1+b) - 1)]/(2 pi sqrt D) and both + k (1/(1+a) + 1/(1+b) +
    1/D)/(2 pi sqrt D).
    """

    def mean(self, a):
        return a / jnp.sqrt(2 * jnp.pi * (1 + a))

    def pair(self, a, b, k):
        halves, size = 1 / (1 + a) + 1 / (1 + b), jax.lax.rsqrt(1 + a) * jax.lax.rsqrt(1 + b)
        x = k * size
        cosine = jnp.sqrt((1 - x) * (1 + x))
        both, root = 0.25 + arcsine(x, cosine) / (2 * jnp.pi), size / (2 * jnp.pi * cosine)
        slope = both + k * root * (halves + (size / cosine) ** 2)
        return k * both + (a * b + k * k * (halves - 1)) * root, slope


class Sin(Closed):
    """e^{-(a+b)/2} sinh k and e^{-(a+b)/2} cosh k."""

    def pair(self, a, b, k):
        return _waves(a, b, k)


class Cos(Closed):
    """e^{-(a+b)/2} cosh k and e^{-(a+b)/2} sinh k."""

    def mean(self, a):
        return jnp.exp(-a / 2)

    def pair(self, a, b, k):
        odd, even = _waves(a, b, k)
        return even, odd


def _waves(a, b, k):
    """The odd and the even one, in exponents that are never positive; for small k by the power
    series of sinh, since the difference would cancel."""
    above, below = jnp.exp(k - (a + b) / 2), jnp.exp(-k - (a + b) / 2)
    square = jnp.minimum(k * k, 0.25)
    series: Array | float = 0.0
    for order in range(13, 0, -2):
        series = series * square + 1 / math.factorial(order)
    faded = jnp.exp(-a / 2) * jnp.exp(-b / 2)
    return jnp.where(k * k < 0.25, faded * k * series, (above - below) / 2), (above + below) / 2


class Monomial(Closed):
    """s(z) = z^p: sum over r = p, p-2, ... of C(p,r)^2 r! ((p-r-1)!!)^2 k^r (ab)^{(p-r)/2}, and
    p^2 times the same of p-1."""

    def __init__(self, power: int):
        self.power = power

    def mean(self, a):
        return (
            jnp.zeros_like(a)
            if self.power % 2
            else _odd_factorial(self.power - 1) * a ** (self.power // 2)
        )

    def pair(self, a, b, k):
        return _moments(self.power, a * b, k), self.power**2 * _moments(self.power - 1, a * b, k)


def _odd_factorial(n):
    """n!! of an odd n, 1 for n = -1."""
    return float(math.prod(range(n, 1, -2)))


def _moments(p, ab, k):
    terms = range(p % 2, p + 1, 2)
    shared = jnp.broadcast_shapes(jnp.shape(ab), jnp.shape(k))
    return sum(
        (
            math.comb(p, r) ** 2
            * float(math.factorial(r))
            * _odd_factorial(p - r - 1) ** 2
            * k**r
            * ab ** ((p - r) // 2)
            for r in terms
        ),
        jnp.zeros(shared),
    )
