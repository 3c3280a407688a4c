"""Rough activations: relu and its leaky kin, whose duals have a kink where two inputs are
collinear.

What is nearly collinear must be known by its distance, not by a correlation near 1, which keeps
half the digits of an angle alone.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from learnmech.activations.duals.arcsine import angle
from learnmech.language.trees import Array

A = Float[Array, "..."]


@jax.custom_jvp
def turned(gap: A, rest: A) -> tuple[A, A]:
    """(theta, sin theta - theta cos theta). The derivative of theta is 0 where it has a kink."""
    theta = angle(gap, rest)
    return theta, jnp.sqrt(gap * rest) - theta * (rest - gap) / 2


@turned.defjvp
def _turned_jvp(primals, tangents):
    (gap, rest), (d_gap, d_rest) = primals, tangents
    theta, bow = turned(gap, rest)
    size, moved = gap * rest, (d_gap - d_rest) / 2
    d_theta = jnp.where(size > 0, moved / jnp.sqrt(jnp.where(size > 0, size, 1)), 0)
    return (theta, bow), (d_theta, theta * moved)


def _within(x):
    """x between 0 and 2, which round-off may leave; at the ends the derivative passes whole,
    where a clip would share it."""
    return jnp.where(x < 0, 0, jnp.where(x > 2, 2, x))


class Rough:
    """s(z) = z above 0, slope z below.

    With cos theta = k/sqrt(ab) and J = cos theta + (sin theta - theta cos theta)/pi: E ss' =
    sqrt(ab) (slope cos theta + (1-slope)^2 J/2), E s's' = slope + (1-slope)^2 (pi - theta)/(2 pi).
    Source: Cho & Saul 2009.
    """

    def __init__(self, slope: float):
        self.slope = slope

    def mean(self, a: A) -> A:
        """E s(u) = (1-slope) sqrt(a/(2 pi))."""
        return (1 - self.slope) * jnp.sqrt(a / (2 * jnp.pi))

    def variance(self, a: A) -> A:
        """E s(u)^2 = (1+slope^2) a/2."""
        return (1 + self.slope**2) / 2 * a

    def pair(self, a: A, b: A, apart: A, joint: A) -> tuple[A, A, A, A]:
        """(E ss', E s's', E (s-s')^2, E (s+s')^2) from apart = E (u-v)^2 and joint = E (u+v)^2,
        in sums of positive terms."""
        size, uneven = jnp.sqrt(a * b), (jnp.sqrt(a) - jnp.sqrt(b)) ** 2
        there = size > 0
        scale = 2 * jnp.where(there, size, 1)
        gap, rest = (jnp.where(there, _within((far - uneven) / scale), 1) for far in (apart, joint))
        theta, bow = turned(gap, rest)
        kink, slope = (1 - self.slope) ** 2, self.slope
        product = size * (slope * (rest - gap) / 2 + kink / 2 * ((rest - gap) / 2 + bow / jnp.pi))
        moved = (1 + slope**2) / 2 * uneven
        split = moved + size * (2 * slope * gap + kink * (gap - bow / jnp.pi))
        both = moved + size * (2 * slope * rest + kink * (2 - gap + bow / jnp.pi))
        return product, slope + kink * (jnp.pi - theta) / (2 * jnp.pi), split, both
