"""The recursion: how the two kernels of an infinitely wide network go from layer to layer, for
every pair of inputs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.activations.duals import dual, hermite
from learnmech.activations.duals.base import Quadrature, alone
from learnmech.activations.duals.rough import Rough
from learnmech.architectures.limits import Activate, Affine, Skip
from learnmech.language.trees import Array

A = Float[Array, "..."]


class Side(NamedTuple):
    """Inputs by themselves, one entry each: the variance of their signals, and the mean of their
    units."""

    variance: A
    mean: A | None


class Table(NamedTuple):
    """What a layer needs to know of inputs by themselves: the variance it is given, those and the
    mean it gives, and a Hermite series where its dual is one.

    `raw` is the variance before a norm, where there is one.
    """

    before: A
    after: Side
    stream: Side | None
    series: Any  # a hermite.Series, or None where its dual is none
    raw: A | None = None


class Pair(NamedTuple):
    """Pairs of inputs: covariance k of their signals, tangent kernel t, and, for rough
    activations, E (u-v)^2 and E (u+v)^2."""

    k: A
    t: A | None
    apart: A | None = None
    joint: A | None = None


def rough(steps: tuple) -> bool:
    """Whether some activation has a kink."""
    return any(
        isinstance(dual(step.activation), Rough) for step in steps if hasattr(step, "activation")
    )


def tables(
    steps: tuple, variance: Float[Array, " m"], terms: int | None = None
) -> tuple[Table | None, ...]:
    """For every step, what it needs of inputs with these variances |x|^2/d. `terms` is the
    length of series where the variances are not known yet."""
    variance = variance if isinstance(variance, jax.core.Tracer) else np.asarray(variance, float)
    side, found = Side(variance, 0 * variance), []
    for step in steps:
        if isinstance(step, Affine):
            found.append(Table(side.variance, _affine(step, side), None, None))
        else:
            inner = _affine(step.affine, side) if isinstance(step, Skip) else side
            raw = inner.variance if step.unit else None
            inner = Side(_unit(raw, step.eps), inner.mean) if step.unit else inner
            unit, series = _activated(step.activation, inner.variance, terms)
            after = unit
            if isinstance(step, Skip):
                unit = unit if step.second is None else _affine(step.second, unit)
                cross = (
                    side.variance
                    + step.branch**2 * unit.variance
                    + 2 * step.branch * side.mean * unit.mean
                )
                after = Side(cross, side.mean + step.branch * unit.mean)
            found.append(
                Table(inner.variance, after, side if isinstance(step, Skip) else None, series, raw)
            )
        side = found[-1].after
    return tuple(found)


def _affine(step, side):
    return Side(step.signal * side.variance + step.bias, 0 * side.mean)


def _unit(variance, eps):
    """1, and 0 for inputs that are all 0; with eps what is left of the size."""
    if eps is not None:
        return variance / (variance + eps)
    return variance / (
        jnp.where(variance > 0, variance, 1)
        if isinstance(variance, jax.core.Tracer)
        else np.where(variance > 0, variance, 1)
    )


def _activated(name, variance, terms):
    one, series = dual(name), None
    if isinstance(one, Quadrature):
        # inputs that are all 0 have a constant signal; the series begins at the smallest variance
        # that can be divided by
        variance = (
            jnp.maximum(variance, 1e-300)
            if isinstance(variance, jax.core.Tracer)
            else np.maximum(variance, 1e-300)
        )
        unseen = isinstance(variance, jax.core.Tracer)
        terms = terms or (
            hermite.UNSEEN if unseen else hermite.enough(name, one.s, np.asarray(variance))
        )
        series = hermite.series(one.s, variance, terms)
    unit = Side(*alone(name, variance))
    return unit if isinstance(unit.variance, jax.core.Tracer) else Side(
        *map(np.asarray, unit)
    ), series


def walked(steps: tuple, rows: tuple, columns: tuple, pair: Pair, outer: bool = True) -> Pair:
    """The kernels at the end of the steps: of all pairs (outer), rows (m1, 1) by columns (1,
    m2), or of pairs one by one."""
    for step, here, there in zip(steps, rows, columns, strict=True):
        if isinstance(step, Affine):
            pair = through_affine(step, pair)
        elif isinstance(step, Activate):
            pair = through_activation(step, here, there, pair, outer)
        else:
            pair = _through_skip(step, here, there, pair, outer)
    return pair


def through_affine(step: Affine, pair: Pair) -> Pair:
    """Both kernels behind an affine map."""
    t = (
        None
        if pair.t is None
        else step.learned * pair.k + step.learned_bias + step.backward * pair.t
    )
    apart = None if pair.apart is None else step.signal * pair.apart
    joint = None if pair.joint is None else step.signal * pair.joint + 4 * step.bias
    return Pair(step.signal * pair.k + step.bias, t, apart, joint)


def _sides(one, two, outer):
    return (one[:, None], two[None, :]) if outer else (one, two)


def through_activation(
    step: Activate | Skip, here: Table, there: Table, pair: Pair, outer: bool
) -> Pair:
    """Both kernels behind an activation, and distances where it is rough."""
    one: Any = dual(step.activation)
    apart: A | None
    joint: A | None
    a, b = _sides(here.before, there.before, outer)
    if here.raw is not None:
        raw, other = _sides(here.raw, there.raw, outer)
        pair = _through_norm(raw, other, step.eps, pair)
    if isinstance(one, Rough):
        assert pair.apart is not None and pair.joint is not None  # `rough` saw to them
        k, slope, apart, joint = one.pair(a, b, pair.apart, pair.joint)
    else:
        apart = joint = None
        if isinstance(one, Quadrature):
            size = jnp.sqrt(jnp.maximum(a * b, 1e-300))
            k, slope = hermite.pair(here.series, there.series, pair.k / size, size, outer)
        else:
            k, slope = one.pair(a, b, pair.k)
            if pair.apart is not None:  # linear, in a network with a rough activation
                apart, joint = pair.apart, pair.joint
    return Pair(k, None if pair.t is None else slope * pair.t, apart, joint)


def _through_norm(a, b, eps, pair):
    """Signals of variances a and b over their sizes: E (u - v)^2 = 2 - 2c to the round-off of the
    larger variance.

    With eps the sizes still differ, by the difference of sqrt(a/(a + eps)) and sqrt(b/(b + eps)).
    """
    size, uneven = jnp.sqrt(a * b), (jnp.sqrt(a) - jnp.sqrt(b)) ** 2
    left: Array | float = 0.0
    if eps is None:
        size = jnp.where(size > 0, size, 1)
    else:
        size = jnp.sqrt((a + eps) * (b + eps))
        left = (jnp.sqrt(a / (a + eps)) - jnp.sqrt(b / (b + eps))) ** 2
    apart, joint = (
        None if one is None else jnp.maximum(one - uneven, 0) / size + left
        for one in (pair.apart, pair.joint)
    )
    return Pair(pair.k / size, None if pair.t is None else pair.t / size, apart, joint)


def _through_skip(step, here, there, pair, outer):
    branch = through_activation(step, here, there, through_affine(step.affine, pair), outer)
    branch = branch if step.second is None else through_affine(step.second, branch)
    m, n = _sides(here.stream.mean, there.stream.mean, outer)
    # what the branch adds to each stream's mean
    s, r = _sides(
        (here.after.mean - here.stream.mean), (there.after.mean - there.stream.mean), outer
    )
    k = pair.k + step.branch**2 * branch.k + (m * r + n * s)
    t = None if pair.t is None else pair.t + step.branch**2 * branch.t
    apart = joint = None
    if pair.apart is not None:
        apart = pair.apart + step.branch**2 * branch.apart + 2 * (m - n) * (s - r)
        joint = pair.joint + step.branch**2 * branch.joint + 2 * (m + n) * (s + r)
    return Pair(k, t, apart, joint)
