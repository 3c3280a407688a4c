"""Phases: order, chaos and the edge between them, of signals in infinitely wide networks; where
variances and correlations go, and how fast."""

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.activations import duals
from learnmech.activations.duals.base import Quadrature
from learnmech.activations.duals.closed import Linear
from learnmech.activations.duals.rough import Rough
from learnmech.activations.functions import activation as function_of
from learnmech.errors import refused
from learnmech.language.trees import Array
from learnmech.machine.late import late

if TYPE_CHECKING:
    from scipy import optimize
else:
    optimize = late("scipy.optimize")

A = Float[Array, "..."]
REACH, STEP = 9.0, 0.25
SMALL = 1e-3
EDGE = 1e-9  # chi_1 this near 1 is called critical
FARTHEST = {
    True: 1e6,
    False: 1e15,
    # a variance beyond this is said to grow without bound: by quadrature, whose nodes grow as its
    # root, or in closed form
}


class Moments(NamedTuple):
    """Of s(u), u ~ N(0, q): square E s^2, slope E s'^2, and bend E s s'', which make E s^2 rise
    by q at slope + bend."""

    square: A
    slope: A
    bend: A


def moments(activation: str, q: A | float) -> Moments:
    """The Gaussian moments at variances q >= 0: in closed form, else by the trapezoidal rule,
    which for analytic activations is exact to round-off."""
    one, q = duals.dual(activation), jnp.asarray(q, float)
    if isinstance(one, Rough):
        half = jnp.full_like(q, (1 + one.slope**2) / 2)
        return Moments(half * q, half, 0 * q)
    return Moments(
        *(
            _by_quadrature(activation, _step(q), q)
            if isinstance(one, Quadrature)
            else _in_closed_form(activation, q)
        )
    )


@functools.partial(jax.jit, static_argnums=0)
def _in_closed_form(activation, q):
    one: Any = duals.dual(activation)
    value, rise = jax.jvp(one.variance, (q,), (jnp.ones_like(q),))
    slope = one.pair(q, q, q)[1]
    return value, slope, rise - slope


def _step(q) -> float:
    """The step in z that resolves s(sqrt(q) z), a power of two so that few programs are
    compiled: its singularities are 1.5 away or more in u."""
    return STEP / 2.0 ** max(0, math.ceil(math.log2(max(float(np.max(q)), 1.0)) / 2))


def _nodes(step):
    z = np.arange(-round(REACH / step), round(REACH / step) + 1) * step
    return z, step * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def _derivatives(activation):
    s = function_of(activation)
    return s, jax.grad(s), jax.grad(jax.grad(s))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _by_quadrature(activation, step, q):
    z, weights = _nodes(step)
    u = jnp.sqrt(q)[..., None] * z
    value, slope, bend = (jax.vmap(f)(u.ravel()).reshape(u.shape) for f in _derivatives(activation))
    return value**2 @ weights, slope**2 @ weights, (value * bend) @ weights


@functools.partial(jax.jit, static_argnums=(0, 1))
def _pairs_by_quadrature(activation, step, q, c):
    """(E s(u)s(v), E s'(u)s'(v)) of correlations c (m,) at one variance q; Hermite series, which
    duals use, need too many terms where q is large."""
    z, weights = _nodes(step)
    s, slope, _ = _derivatives(activation)

    def of_one(c):
        u, v = jnp.sqrt(q) * z, jnp.sqrt(q) * (c * z[:, None] + jnp.sqrt((1 - c) * (1 + c)) * z)
        inner = (jax.vmap(f)(v.ravel()).reshape(v.shape) @ weights for f in (s, slope))
        return tuple(
            jnp.sum(weights * jax.vmap(f)(u) * far)
            for f, far in zip((s, slope), inner, strict=True)
        )

    return jax.lax.map(of_one, c)


def _pair(activation, q, c):
    """(E s(u)s(v), E s'(u)s'(v)) at correlations c of any shape and one variance q > 0."""
    c = jnp.asarray(c, float)
    if isinstance(duals.dual(activation), Quadrature):
        return tuple(
            value.reshape(c.shape)
            for value in _pairs_by_quadrature(activation, _step(q), q, c.ravel())
        )
    return _pairs_in_closed_form(activation, q, c)


@functools.partial(jax.jit, static_argnums=0)
def _pairs_in_closed_form(activation, q, c):
    return duals.product(activation, q, q, c * q), duals.slope(activation, q, q, c * q)


def variance_map(activation: str, sw: float, sb: float, q: A) -> A:
    """The variance of pre-activations one layer on: sw^2 E s(sqrt(q) z)^2 + sb^2.  Source: Poole
    et al. 2016."""
    return sw**2 * moments(activation, q).square + sb**2


def fixed_point(activation: str, sw: float, sb: float, start: float = 1.0) -> float:
    """q*, which the variance goes to from `start` as layers go by: the fixed point of the variance
    map next to it, on the side to which it first moves.

    0 where signals die out. Every q is fixed for relu at sw^2 = 2, sb = 0: then `start` itself.
    Refuses where the variance grows without bound.
    """
    _sane(activation, sw, sb, start=start)
    closed = not isinstance(duals.dual(activation), Quadrature)

    def excess(q):
        return np.asarray(variance_map(activation, sw, sb, q), float) / q - 1

    first = float(excess(start))
    if abs(first) <= 1e-14:
        return float(start)
    block = 2.0 ** (np.arange(17) / 4 * np.sign(first))
    near, farthest = float(start), FARTHEST[not closed] * max(start, 1.0)
    while 1e-8 * min(start, 1.0) < near < farthest:
        q = near * block
        turned = np.flatnonzero(np.sign(excess(q)) != np.sign(first))
        if len(turned):
            inner, outer = q[turned[0] - 1], q[turned[0]]
            return float(
                optimize.brentq(
                    lambda x: float(excess(x)),
                    min(inner, outer),
                    max(inner, outer),
                    xtol=1e-300,
                    rtol=1e-15,
                )
            )
        near = float(q[-1])
    if first > 0:
        got = f"one that passes {near:.0e} at sw = {sw:g}, sb = {sb:g}"
        raise refused(
            f"The fixed point of {activation}",
            "a variance that stays bounded as layers go by",
            got,
            "Lower sw, or sb at the edge",
        )
    at_zero = moments(activation, 0.0)
    if (
        sw**2 * float(at_zero.slope + at_zero.bend) - 1 > 1e-12
        or sb > 0
        or float(at_zero.square) > 0
    ):
        return float(
            optimize.brentq(lambda x: float(excess(x)), 1e-18, near, xtol=1e-300, rtol=1e-15)
        )
    return 0.0


def _sane(activation, sw, sb, **positive):
    function_of(activation)
    for name, value, least in (
        ("sw", sw, False),
        ("sb", sb, True),
        *((name, value, False) for name, value in positive.items()),
    ):
        if not (math.isfinite(value) and (value >= 0 if least else value > 0)):
            raise refused(
                "Signal propagation",
                f"a finite {name} {'>= 0' if least else '> 0'}",
                value,
                f"Change {name}",
            )


def chi_1(activation: str, sw: float, sb: float, start: float = 1.0) -> float:
    """sw^2 E s'(sqrt(q*) z)^2: what a small difference of two inputs, squared, and a squared
    gradient are multiplied by in each layer.

    Where it does not depend on the variance (relu and kin, linear) it needs no fixed point.
    Source: Poole et al. 2016.
    """
    _sane(activation, sw, sb)
    free = isinstance(duals.dual(activation), (Rough, Linear))
    return float(
        sw**2 * moments(activation, 1.0 if free else fixed_point(activation, sw, sb, start)).slope
    )


def phase(activation: str, sw: float, sb: float, start: float = 1.0) -> str:
    """ordered (chi_1 < 1: inputs come together, gradients vanish), critical, or chaotic (chi_1 > 1:
    they part, gradients explode)."""
    chi = chi_1(activation, sw, sb, start)
    return "critical" if abs(chi - 1) <= EDGE else "ordered" if chi < 1 else "chaotic"


def _alive(activation, sw, sb, start):
    q = fixed_point(activation, sw, sb, start)
    if q == 0:
        raise refused(
            "The correlation map",
            "signals that do not die out",
            f"q* = 0 for {activation} at sw = {sw:g}, sb = {sb:g}",
            "Raise sb, or sw",
        )
    return q


def correlation_map(activation: str, sw: float, sb: float, c: A, start: float = 1.0) -> A:
    """The correlation of two inputs one layer on, at the fixed variance:
    (sw^2 E s(u)s(v) + sb^2)/q*, (u, v) ~ N(0, q* [[1, c], [c, 1]]), |c| <= 1."""
    q = _alive(activation, sw, sb, start)
    return (sw**2 * _pair(activation, q, c)[0] + sb**2) / q


def fixed_correlation(activation: str, sw: float, sb: float, start: float = 1.0) -> float:
    """c*, which correlations of inputs go to: 1 where chi_1 <= 1; in the chaotic phase the one
    below 1 (the map has a Taylor series of positive terms, so that it is convex on [0, 1], and
    there is exactly one)."""
    q = _alive(activation, sw, sb, start)
    above = float(sw**2 * moments(activation, q).slope) - 1
    if above <= EDGE:
        return 1.0

    def excess(c):
        return float((sw**2 * _pair(activation, q, c)[0] + sb**2) / q) - c

    low, high = excess(0.0), 1 - 0.1 * min(above, 1.0)
    while (
        excess(high) >= 0 and 1 - high > 1e-7
    ):  # bent more than most: nearer to 1, where it is straight
        high = (1 + high) / 2
    if low <= 1e-15:
        return 0.0
    return (
        float(optimize.brentq(excess, 0.0, high, xtol=1e-15, rtol=1e-15))
        if excess(high) < 0
        else 1.0
    )


def contraction(activation: str, sw: float, sb: float, start: float = 1.0) -> float:
    """What a small distance of a correlation from c* is multiplied by in each layer: sw^2 E
    s'(u)s'(v) at c*; chi_1 where c* = 1."""
    q, c = _alive(activation, sw, sb, start), fixed_correlation(activation, sw, sb, start)
    return float(sw**2 * (moments(activation, q).slope if c == 1 else _pair(activation, q, c)[1]))


def depth_scale(
    activation: str, sw: float, sb: float, of: str = "correlation", start: float = 1.0
) -> float:
    """How many layers it takes for a factor e, infinity at the edge.

    `correlation`: c_l - c* ~ e^{-l/xi}, xi = -1/ln chi_1 in the ordered phase and -1/ln of sw^2 E
    s'(u)s'(v) at c* in the chaotic one. `gradient`: squared gradients ~ e^{-l/xi} toward the inputs
    (or e^{+l/xi}), xi = 1/|ln chi_1|. `variance`: q_l - q* ~ e^{-l/xi}, xi = -1/ln |chi_1 + sw^2 E
    s s''|. Source: Schoenholz et al. 2017.
    """
    if of == "correlation":
        rate = contraction(activation, sw, sb, start)
    elif of == "gradient":
        rate = chi_1(activation, sw, sb, start)
        rate = min(rate, 1 / rate) if rate > 0 else 0.0
    elif of == "variance":
        there = moments(activation, fixed_point(activation, sw, sb, start))
        rate = abs(float(sw**2 * (there.slope + there.bend)))
    else:
        raise refused(
            "depth_scale", "of correlation, gradient or variance", repr(of), "Name one of them"
        )
    return math.inf if rate >= 1 - EDGE else 0.0 if rate == 0 else -1 / math.log(rate)


def critical_line(activation: str, q: A) -> tuple[A, A]:
    """(sw, sb) at which q is fixed and chi_1 = 1: sw^2 = 1/E s'^2, sb^2 = q - E s^2/E s'^2; sb
    is NaN where there is none."""
    there = moments(activation, q)
    square = jnp.asarray(q, float) - there.square / there.slope
    return 1 / jnp.sqrt(there.slope), jnp.where(
        square >= 0, jnp.sqrt(jnp.maximum(square, 0)), jnp.nan
    )


def edge(activation: str, sb: float) -> float:
    """The sw at which signals go to a variance with chi_1 = 1, for this sb; where there are
    several, that of the smallest variance.

    At sb = 0 it is 1/|s'(0)|, where s(0) = 0 (tanh 1), sqrt 2 for relu. Refuses where signals
    go to no such variance: relu with a bias, or gelu, at whose critical line they would grow
    (E s s'' > 0).
    """
    _sane(activation, 1.0, sb)
    still = moments(activation, 0.0)
    if (
        sb == 0
        and still.square == 0
        and still.slope > 0
        and moments(activation, SMALL).square <= SMALL * still.slope * (1 + 1e-12)
    ):
        return float(1 / jnp.sqrt(still.slope))

    def excess(q):
        there = moments(activation, q)
        return np.asarray(q - there.square / there.slope, float) - sb**2

    q = 2.0 ** (np.arange(-80, 41) / 4)
    # whether chi_1 is that of every variance, and none is fixed where it is 1
    free = isinstance(duals.dual(activation), (Rough, Linear))
    for low in () if free else np.flatnonzero(np.diff(np.sign(excess(q)))):
        there = optimize.brentq(
            lambda x: float(excess(x)), q[low], q[low + 1], xtol=1e-300, rtol=1e-15
        )
        found = moments(activation, there)
        if abs(float(1 + found.bend / found.slope)) <= 1:
            return float(1 / jnp.sqrt(found.slope))
    raise refused(
        f"The edge of {activation}",
        "a variance with chi_1 = 1 that signals go to",
        f"none at sb = {sb:g}",
        "Change sb, or the activation",
    )
