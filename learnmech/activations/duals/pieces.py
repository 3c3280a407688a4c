"""Activations in pieces: elu and selu, exponential below 0 and straight above, and hardtanh,
straight and clipped.

A kink makes a Hermite series fail, and the closed forms hold the distribution function of two
normals, which has none. What is left of it is one integral, summed here at places that lie as
densely around where the pieces meet as any correlation asks: to 1e-12 of the value, whatever the
correlation.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.activations.duals.rough import Rough
from learnmech.errors import unwritten
from learnmech.language.trees import Array

A = Float[Array, "..."]
# As small as a standard deviation is taken to be where it is 0, so that it can be divided by.
LEAST = 1e-150
ROOT_2, ROOT_2PI = math.sqrt(2), math.sqrt(2 * math.pi)
FAR, DEPTH = 4.0, 32
# A variance that is left, of the whole, where it may be the round-off of a matrix product.
ROUNDED = 1e-13
# And the distance of a correlation to 1, where it may be that of an input and itself some layers
# on.
SAME = 4e-15


def normal(z: A) -> A:
    """The standard normal density."""
    return jnp.exp(-z * z / 2) / ROOT_2PI


def below(z: A) -> A:
    """P(x < z) of a standard normal x, of full relative accuracy in its tail."""
    return jax.scipy.special.erfc(-z / ROOT_2) / 2


def half_line() -> tuple[np.ndarray, np.ndarray]:
    """Places x > 0 and weights for the integral over x > 0 of the normal density times what changes
    on any scale about 0 and is analytic else: x = exp(t - e^-t), t in steps of 1/10.

    With steps of 1/8 the error was 5e-14 at generic correlations and 1e-12 at 1 - 1e-10, with 1/16
    both were round-off.
    """
    t = np.arange(-36, 27) / 10
    x = np.exp(t - np.exp(-t))
    return x, x * (1 + np.exp(-t)) * np.exp(-x * x / 2) / (10 * ROOT_2PI)


def both_ends() -> tuple[np.ndarray, np.ndarray]:
    """Shares in (0, 1) of an interval and weights for an integral over it of what may change on any
    scale next to its ends: y = 1/(1 + exp(pi sinh t)), t in steps of 1/24.

    With steps of 1/18 the error was 2e-12 at a correlation of 1 - 1e-10, at generic ones round-off.
    """
    t = np.arange(-82, 83) / 24
    e = np.exp(-np.pi * np.abs(np.sinh(t)))
    small, weight = e / (1 + e), np.pi * np.cosh(t) * e / (1 + e) ** 2 / 24
    return np.where(t > 0, small, 1 / (1 + e)), weight


def _over(nodes, integrand, like):
    """sum over the nodes (x, weight) of weight * integrand(x), a tuple of arrays like `like`:
    one node at a time, so that no array is longer than the pairs."""

    def one(sums, node):
        x, weight = node
        return tuple(
            total + weight * value for total, value in zip(sums, integrand(x), strict=True)
        ), None

    shapes = jax.eval_shape(lambda: integrand(jnp.zeros(())))
    return jax.lax.scan(
        one, tuple(jnp.zeros_like(like) for _ in shapes), tuple(map(jnp.asarray, nodes))
    )[0]


class Pieces:
    """An activation in pieces. Subclasses give `values`, (E ss', E s's'), and how they grow,
    `rises`.

    With (u, v) ~ N(0, [[a, k], [k, b]]) and F_ij = E s^(i)(u) s^(j)(v): dF_ij = F_(i+1)(j+1) dk +
    (F_(i+2)j da + F_i(j+2) db)/2. Parts of it grow without bound, as a kink's towards correlations
    of 1 and -1. Along what stays there they cancel, and are computed alike, so that they do; at the
    end they are taken to be 0, as for relu.
    """

    def mean(self, a: A) -> A:
        """E s(u)."""
        raise unwritten(self, "mean")

    def values(self, a: A, b: A, k: A) -> tuple[A, A]:
        """(F_00, F_11)."""
        raise unwritten(self, "values")

    def rises(self, a: A, b: A, k: A) -> tuple[A, A, A, A, A]:
        """(F_20, F_02, F_22, F_31, F_13)."""
        raise unwritten(self, "rises")

    def squares(self, a: A) -> tuple[A, A]:
        """E s(u)^2, and its derivative by a, E s'^2 + E s s''."""
        raise unwritten(self, "squares")

    def variance(self, a: A) -> A:
        """E s(u)^2."""

        @jax.custom_jvp
        def square(a):
            return self.squares(a)[0]

        @square.defjvp
        def _(primals, tangents):
            value, rise = self.squares(*primals)
            return value, rise * tangents[0]

        return square(jnp.asarray(a))

    def pair(self, a: A, b: A, k: A) -> tuple[A, A]:
        """(E s(u)s(v), E s'(u)s'(v))."""

        @jax.custom_jvp
        def pair(a, b, k):
            return self.values(a, b, k)

        @pair.defjvp
        def _(primals, tangents):
            (product, slope), (da, db, dk) = self.values(*primals), tangents
            f20, f02, f22, f31, f13 = self.rises(*primals)
            moved = slope * dk + (f20 * da + f02 * db) / 2
            turned = f22 * dk + (f31 * da + f13 * db) / 2
            return (product, slope), (moved, turned)

        return pair(*jnp.broadcast_arrays(a, b, k))


class _Given:
    """What is expected of v once u is known to be `x` of its standard deviations, the normal of
    mean mu and standard deviation sigma that it then is."""

    def __init__(self, x, a, b, k):
        square = jnp.maximum(b - k * k / jnp.where(a > 0, a, 1), 0)
        self.sigma, self.known = jnp.maximum(jnp.sqrt(square), LEAST), square <= ROUNDED * b
        self.mu = k / jnp.sqrt(jnp.where(a > 0, a, 1)) * x
        self.r = self.mu / self.sigma

    def over(self, value):
        """value/sigma; 0 where v is known to round-off, since that is no size to divide by."""
        return jnp.where(self.known, 0, value / jnp.where(self.known, 1, self.sigma))

    @property
    def positive(self):
        """P(v > 0)."""
        return below(self.r)

    @property
    def part(self):
        """E max(v, 0) = mu Phi(r) + sigma phi(r), r = mu/sigma."""
        return self.mu * below(self.r) + self.sigma * normal(self.r)

    @property
    def decayed(self):
        """E e^v 1_{v<0} = e^(mu + sigma^2/2) Phi(-z) = phi(r) Phi(-z)/phi(z), z = r + sigma: the
        second form where the factors of the first lose their size."""
        z = self.r + self.sigma
        far = z > FAR
        near = jnp.where(far, 0, z)
        first = jnp.exp(jnp.where(far, 0, self.mu + self.sigma**2 / 2)) * below(-near)
        return jnp.where(far, normal(self.r) * _mills(jnp.where(far, z, FAR)), first)

    @property
    def elu(self):
        """E elu(v)."""
        return self.part + (self.decayed - below(-self.r))


def _mills(z):
    """(1 - Phi(z))/phi(z) for z >= FAR, 1/(z + 1/(z + 2/(z + 3/(z + ...)))): with 32 terms to
    round-off."""
    rest = z
    for term in range(DEPTH, 0, -1):
        rest = z + term / rest
    return 1 / rest


class Exponential(Pieces):
    """s(z) = scale z above 0, scale alpha (e^z - 1) below: scale times alpha elu + (1 - alpha)
    relu.

    Of elu by elu, and of elu by relu, one variable is integrated over and the other known given it;
    of relu by relu the closed form. So the kink of selu is in no integral.
    """

    def __init__(self, scale: float, alpha: float):
        self.scale, self.alpha = scale, alpha

    def mean(self, a):
        x, weight = half_line()
        u = jnp.expand_dims(jnp.sqrt(a), -1) * x
        return self.scale * ((u + self.alpha * jnp.expm1(-u)) @ weight)

    def squares(self, a):
        x, weight = half_line()
        u = jnp.expand_dims(jnp.sqrt(a), -1) * x
        s, slope = self.alpha * jnp.expm1(-u), self.alpha * jnp.exp(-u)
        return self.scale**2 * ((u * u + s * s) @ weight), self.scale**2 * (
            (1 + slope * slope + s * slope) @ weight
        )

    def values(self, a, b, k):
        alpha, beta = self.alpha, 1 - self.alpha
        product, slope = _sides(a, b, k, alpha, beta)
        if beta:
            # by relu of u and elu of v: the other way round
            size, uneven = jnp.sqrt(a * b), (jnp.sqrt(a) - jnp.sqrt(b)) ** 2
            # what round-off leaves of a distance is none: its root would be 1e-8
            apart, joint = (
                jnp.where(far - uneven <= SAME * size, uneven, far)
                for far in (a + b - 2 * k, a + b + 2 * k)
            )
            parts = zip(
                _sides(b, a, k, 0.0, alpha * beta),
                Rough(0.0).pair(a, b, apart, joint)[:2],
                strict=True,
            )
            (more, lines), (steeper, steps) = parts
            product, slope = product + more + beta**2 * lines, slope + steeper + beta**2 * steps
        return self.scale**2 * product, self.scale**2 * slope

    def rises(self, a, b, k):
        alpha, beta = self.alpha, 1 - self.alpha
        (f20, f31, one), (f02, f13, two) = self._third(a, b, k), self._third(b, a, k)

        def curved(x):
            return (jnp.exp(-jnp.sqrt(a) * x) * _Given(-x, a, b, k).decayed,)

        (both,) = _over(half_line(), curved, k)
        kinks = (
            alpha
            * beta
            * (
                _density(0.0, a) * _Given(0.0, a, b, k).decayed
                + _density(0.0, b) * _Given(0.0, b, a, k).decayed
            )
        )
        return f20, f02, self.scale**2 * (alpha**2 * both + kinks) + (one + two) / 2, f31, f13

    def _third(self, a, b, k):
        """(F_20, F_31, what the kinks of both add to F_22), s''/scale = alpha e^u below 0 and 1
        - alpha at 0."""
        alpha, beta = self.alpha, 1 - self.alpha

        def expected(given):
            return given.part + alpha * (
                given.decayed - below(-given.r)
            ), given.positive + alpha * given.decayed

        def curved(x):
            return tuple(
                jnp.exp(-jnp.sqrt(a) * x) * value for value in expected(_Given(-x, a, b, k))
            )

        product, slope = (alpha * value for value in _over(half_line(), curved, k))
        at, there = _Given(0.0, a, b, k), _density(0.0, a)
        s, steep = expected(at)
        kink = beta * at.over(1 / ROOT_2PI)
        bend = k / jnp.where(a > 0, a, 1) * (alpha * at.decayed + kink)
        turned = slope - alpha * there * steep - beta * there * bend
        return (
            self.scale**2 * (product + beta * there * s),
            self.scale**2 * turned,
            self.scale**2 * beta * there * kink,
        )


def _sides(a, b, k, alpha, beta):
    """(E f(u)g(v), E f'(u)g'(v)) of f = elu and g = alpha^2 elu + alpha beta relu (alpha = 0:
    beta relu)."""
    curved, straight = (alpha * alpha, alpha * beta) if alpha else (0.0, beta)

    def at(x):
        given = _Given(x, a, b, k)
        g, steep = straight * given.part, straight * given.positive
        if curved:
            g, steep = g + curved * given.elu, steep + curved * (given.positive + given.decayed)
        return g, steep

    def integrand(x):
        u = jnp.sqrt(a) * x
        (up, up_steep), (down, down_steep) = at(x), at(-x)
        return u * up + jnp.expm1(-u) * down, up_steep + jnp.exp(-u) * down_steep

    return _over(half_line(), integrand, k)


def _density(z, a):
    """Of u at z."""
    a = jnp.where(a > 0, a, jnp.inf)
    return jnp.exp(-z * z / (2 * a)) / (ROOT_2PI * jnp.sqrt(a))


class Clipped(Pieces):
    """hardtanh. With Q(c) = (x^2 - 2 x y c + y^2)/(2 (1 - c^2)), x = 1/sqrt a, y = 1/sqrt b and
    P(a) = P(|u| < 1):

    E s's' = P(a) P(b) + (1/pi) times the integral of e^{-Q(sin t)} - e^{-Q(-sin t)} over t from 0
    to asin(k/sqrt(ab)), and E ss' its integral over k from 0, since the derivative of E s's' by k
    is the density of (u, v) at the four corners, with their signs.  Source: Plackett 1954.
    """

    def mean(self, a):
        return jnp.zeros_like(a)

    def squares(self, a):
        x = 1 / jnp.sqrt(jnp.maximum(a, LEAST**2))
        within = jax.scipy.special.erf(x / ROOT_2)
        edge = 2 * _density(1.0, a)
        return a * (within - edge) + 2 * below(-x), within - edge

    def values(self, a, b, k):
        x, y = (1 / jnp.sqrt(jnp.maximum(side, LEAST**2)) for side in (a, b))
        size = jnp.sqrt(a * b)
        c = jnp.abs(k) / jnp.where(size > 0, size, 1)
        c = jnp.where(c >= 1 - SAME, 1, c)
        end, begun = jnp.arcsin(c), jnp.arccos(c)

        def integrand(share):
            # the angle by how far it is from the end, and that from a quarter turn
            back = end * share
            t = begun + back
            cosine, sine = jnp.sin(t), jnp.cos(t)
            far = jnp.where(cosine > 0, (x - y) / jnp.where(cosine > 0, cosine, 1), 0)
            near = jnp.exp(-far * far / 2 - x * y / (1 + sine))
            # cosine^2 may be smaller than any number; what is divided by it is then of no weight
            density = (
                -near
                * jnp.expm1(-2 * x * y * sine / jnp.maximum(cosine * cosine, LEAST**2))
                / jnp.pi
            )
            rise = 2 * jnp.sin(back / 2) * jnp.sin(begun + back / 2)
            return density * end * rise, density * end

        raised, more = _over(both_ends(), integrand, k)
        slope = jax.scipy.special.erf(x / ROOT_2) * jax.scipy.special.erf(y / ROOT_2)
        return slope * k + jnp.sign(k) * size * raised, slope + more

    def rises(self, a, b, k):
        (f20, f31, one), (f02, f13, two) = self._third(a, b, k), self._third(b, a, k)
        return f20, f02, (one + two) / 2, f31, f13

    def _third(self, a, b, k):
        """(F_20, F_31, F_22: the density of both at the corners, with their signs), s'' = 1 at
        -1 and -1 at 1."""
        given = _Given(1 / jnp.sqrt(jnp.maximum(a, LEAST**2)), a, b, k)
        # no finer than round-off has mu: where u and v are one it must be found on the corner
        # itself
        sigma = jnp.maximum(given.sigma, jnp.sqrt(ROUNDED * b))
        low, high = ((end - given.mu) / sigma for end in (-1, 1))
        inside = jnp.where(high < 0, below(high) - below(low), below(-low) - below(-high))
        s = (
            given.mu * inside
            + given.sigma * (normal(low) - normal(high))
            + below(-high)
            - below(low)
        )
        flank, there = given.over(normal(low) - normal(high)), 2 * _density(1.0, a)
        a = jnp.where(a > 0, a, 1)
        return -there * s, -there * (inside / a - k / a * flank), -there * flank
