"""Signals: the kernels of what passes between two layers of infinite width, what is known of their law, and how steps act on them."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float

from learnmech.kernels.recursion import Pair, rough, tables, walked
from learnmech.trees import Array


class Law(NamedTuple):
    """What is known of signals: their number (None: not known), whether they are Gaussian, and
    whether the weights that made them have made nothing else; the `grid` of their positions, and
    whether kernels are `full`, of all pairs of positions."""

    width: int | None
    is_gaussian: bool = False
    is_fresh: bool = False
    is_input: bool = False
    grid: tuple[int, ...] = ()
    full: bool = False


class Signals(eqx.Module):
    """The kernels of signals of infinite width between the rows of x1 (n1) and of x2 (n2), as layers hand them on.

    k = E h(x)h(x') of one unit, t = sum over parameters of dh(x)/dw dh(x')/dw, both (n1, n2); own1 = E h(x)^2 over x1, own2 over x2 (None: x1 again).
    `apart` and `joint` are E (h(x) -+ h(x'))^2, where they are known better than by difference.
    """

    k: Float[Array, "n1 n2"]
    t: Float[Array, "n1 n2"] | None
    own1: Float[Array, " n1"]
    own2: Float[Array, " n2"] | None
    same: bool = eqx.field(static=True)
    law: Law = eqx.field(static=True)
    apart: Float[Array, "n1 n2"] | None = None
    joint: Float[Array, "n1 n2"] | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """(n1, n2)."""
        return len(self.own1), len(self.other)

    @property
    def other(self) -> Float[Array, " n2"]:
        """own2, also where x1 is x2."""
        return self.own1 if self.own2 is None else self.own2

    def replace(self, **changes) -> "Signals":
        """The same with other values in some fields."""
        return dataclasses.replace(self, **changes)


_walked = eqx.filter_jit(walked)


def through(steps: tuple, signals: Signals, law: Law) -> Signals:
    """The kernels after the steps. A smooth activation leaves no distances: a rough one after it takes them by difference."""
    if not steps:
        return signals.replace(law=law)
    if rough(steps) and signals.apart is None:
        signals = with_distances(signals)
    rows, columns = tables(steps, signals.own1), tables(steps, signals.other)
    pair = _walked(steps, rows, columns, Pair(signals.k, signals.t, signals.apart, signals.joint))
    own1, own2 = jnp.asarray(rows[-1].after.variance), None if signals.own2 is None else jnp.asarray(columns[-1].after.variance)
    return Signals(pair.k, pair.t, own1, own2, signals.same, law, pair.apart, pair.joint)


def with_distances(signals: Signals) -> Signals:
    """E (h -+ h')^2 = E h^2 + E h'^2 -+ 2 E hh', to round-off of E h^2; 0 of an input and itself."""
    whole = signals.own1[:, None] + signals.other[None, :]
    apart = jnp.maximum(whole - 2 * signals.k, 0)
    if signals.same:
        apart = apart * (1 - jnp.eye(len(signals.own1)))
    return signals.replace(apart=apart, joint=jnp.maximum(whole + 2 * signals.k, 0))


def summed(branches, law: Law) -> Signals:
    """The kernels of the sum of signals whose cross-covariances vanish: they add, and so do all their parts."""

    def total(name):
        values = [getattr(branch, name) for branch in branches]
        return None if any(value is None for value in values) else sum(values)

    fields = {name: total(name) for name in ("k", "t", "own1", "own2", "apart", "joint")}
    return Signals(same=branches[0].same, law=law, **fields)
