"""Hermite series: the duals of any smooth activation, by quadrature in one dimension, to a stated
accuracy.

With h_j the orthonormal Hermite polynomials, alpha_j(a) = E s(sqrt(a) z) h_j(z) and rho =
k/sqrt(ab) (Mehler's formula): E s(u)s(v) = sum_j alpha_j(a) alpha_j(b) rho^j, and E s'(u)s'(v) is
its derivative by k. What is left out is at most the part of E s^2 beyond the last j.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.language.trees import Array

A = Float[Array, "..."]
ACCURACY = 1e-12
# UNSEEN: the length where variances are traced and so unknown, enough for tanh up to variance 8
ROUND_OFF, UNROLLED = 1e-15, 16
REACH, SHORTEST, LONGEST, UNSEEN = 13.0, 32, 4096, 1024


class Series(NamedTuple):
    """Coefficients of inputs of variances a (m,): of even and of odd powers of rho, (m, J) each,
    sorted by power; either may be cut short."""

    even: Float[Array, "m e"]
    odd: Float[Array, "m o"]


@functools.cache
def _rule(terms: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes z (N,) and what turns s(sqrt(a) z) into alpha_j, (N, terms): the trapezoidal rule,
    which converges exponentially for analytic s.

    The step resolves the fastest Hermite function, of local frequency sqrt(terms), and an
    activation whose nearest singularity in z is 0.3 away.
    """
    step = min(0.05, np.pi / (2 * np.sqrt(terms) + 40))
    z = np.arange(-np.ceil(REACH / step), np.ceil(REACH / step) + 1) * step
    root = np.exp(-(z**2) / 4) / (2 * np.pi) ** 0.25
    columns = [root, z * root]
    for j in range(1, terms - 1):
        columns.append((z * columns[j] - np.sqrt(j) * columns[j - 1]) / np.sqrt(j + 1))
    return z, step * root[:, None] * np.stack(columns[:terms], axis=1)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _weighed(s, power, a, z, weights):
    """s(sqrt(a) z)^power times the weights, summed over z. The rule is an argument: as a
    constant a long one would be copied into every program."""
    return (
        s(jnp.expand_dims(jnp.sqrt(a), -1) * jnp.expand_dims(z, tuple(range(jnp.ndim(a))))) ** power
        @ weights
    )


def mean(s, a: A) -> A:
    """E s(sqrt(a) z)."""
    z, weights = _rule(SHORTEST)
    return _weighed(s, 1, jnp.asarray(a, float), z, weights[:, 0])


def square(s, a: A) -> A:
    """E s(sqrt(a) z)^2."""
    z, weights = _rule(SHORTEST)
    return _weighed(s, 2, jnp.asarray(a, float), z, weights[:, 0])


def coefficients(s, a: Float[Array, " m"], terms: int) -> Float[Array, "m terms"]:
    """alpha_0, ..., alpha_{terms - 1} at every variance."""
    return _weighed(s, 1, a, *_rule(terms))


@functools.partial(jax.jit, static_argnums=0)
def left_out(s, a: Float[Array, " m"], alpha: Float[Array, "m terms"]) -> Float[Array, ""]:
    """The largest part of E ss' or of E s's' that a series leaves out, each relative to its own
    E s^2 or E s'^2 (where that is 0, to 1)."""
    slope = jax.vmap(jax.grad(s))
    z, weights = _rule(SHORTEST)
    u = jnp.sqrt(a)[:, None] * z[None]
    whole, steep = (value**2 @ weights[:, 0] for value in (s(u), slope(u.ravel()).reshape(u.shape)))
    seen = (
        jnp.sum(alpha**2, axis=1),
        jnp.sum(np.arange(alpha.shape[1])[None] * alpha**2, axis=1) / a,
    )
    parts = zip(seen, (whole, steep), strict=True)
    return jnp.max(
        jnp.stack([jnp.abs(part - total) / jnp.where(total > 0, total, 1) for part, total in parts])
    )


def enough(who, s, a: Float[np.ndarray, " m"], accuracy: float = ACCURACY) -> int:
    """How many terms leave out less than `accuracy` at variances up to max(a); refuses where the
    longest series leaves out more."""
    worst = np.asarray([np.max(a)], float)
    terms = SHORTEST
    while True:
        rest = float(left_out(s, worst, coefficients(s, worst, terms)))
        if rest <= accuracy:
            return terms
        if terms == LONGEST:
            said = f"{rest:.1g} at variance {float(worst[0]):.3g} with {terms} terms"
            remedy = (
                "Lower the variance of the weights, or the size of the inputs; a function with a"
                " kink has no series that gets there"
            )
            raise refused(
                "The dual of"
                f" {who if isinstance(who, str) else getattr(who, '__name__', 'a function')}",
                f"an accuracy of {accuracy:g}",
                said,
                remedy,
            )
        terms *= 2


def series(s, a: Float[Array, " m"], terms: int) -> Series:
    """The coefficients at every variance, each parity cut where the rest is round-off, where that
    can be seen (of an odd or even activation all of one).

    Lengths are multiples of what is summed at a time, so that series of few lengths share their
    compiled programs.
    """
    alpha = coefficients(s, a, terms)
    if isinstance(alpha, jax.core.Tracer):
        return Series(alpha[:, ::2], alpha[:, 1::2])
    alpha = np.asarray(alpha)
    weight = np.arange(1, terms + 1) * alpha**2
    rest = np.cumsum(weight[:, ::-1], axis=1)[:, ::-1]
    seen = (rest > ROUND_OFF * rest[:, :1]).any(axis=0) & (weight > ROUND_OFF**2 * rest[:, :1]).any(
        axis=0
    )
    last = [
        int(max((j // 2 + 1 for j in np.flatnonzero(seen) if j % 2 == parity), default=0))
        for parity in (0, 1)
    ]
    return Series(
        *(
            alpha[:, parity::2][:, : -(-length // UNROLLED) * UNROLLED]
            for parity, length in enumerate(last)
        )
    )


def matched(one: Series, two: Series) -> tuple[Series, Series]:
    """Both cut to the shorter of each parity."""
    shared = [min(a.shape[1], b.shape[1]) for a, b in zip(one, two, strict=True)]
    first, second = (
        Series(*(side[:, :length] for side, length in zip(series, shared, strict=True)))
        for series in (one, two)
    )
    return first, second


def pair(one: Series, two: Series, rho: A, size: A, outer: bool = True) -> tuple[A, A]:
    """(E ss', E s's') of all pairs (outer, rho (m1, m2)) or of pairs one by one (rho (m,)); size
    = sqrt(ab)."""
    x, product, slope = rho * rho, jnp.zeros_like(rho), jnp.zeros_like(rho)
    for parity, (a, b) in enumerate(zip(one, two, strict=True)):
        if a.shape[1]:
            value, rise = _summed(a, b, x, outer)
            product = product + (value * rho if parity else value)
            slope = slope + (value + 2 * x * rise if parity else 2 * rho * rise)
    return product, slope / size


def _summed(a, b, x, outer):
    """(sum_i a_i b_i x^i, its derivative by x)."""
    powers = np.arange(1, a.shape[1])
    return _horner(a, b, x, outer), _horner(a[:, 1:] * powers[None], b[:, 1:], x, outer)


def _horner(a, b, x, outer):
    """sum_i a_i b_i x^i, so many terms at a time unrolled that a pair stays in the processor's
    registers."""
    count = -(-a.shape[1] // UNROLLED) * UNROLLED
    left, right = (
        jnp.pad(side, ((0, 0), (0, count - side.shape[1]))).T[::-1].reshape(-1, UNROLLED, len(side))
        for side in (a, b)
    )

    def onward(value, some):
        one, two = some
        for i in range(UNROLLED):
            value = value * x + (one[i][:, None] * two[i][None] if outer else one[i] * two[i])
        return value, None

    return jax.lax.scan(onward, jnp.zeros_like(x), (left, right))[0]
