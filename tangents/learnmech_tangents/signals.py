"""Signals: the kernels of what passes between two layers of infinite width, what is known of
their law, and how steps act on them."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float

from learnmech.architectures.grids import on_grid
from learnmech.kernels.frames import Frame, alone, laid
from learnmech.kernels.own import own_walked
from learnmech.kernels.pairs import walked as walked_at
from learnmech.kernels.recursion import Pair, rough, tables, walked
from learnmech.language.trees import Array


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
    """The kernels of signals of infinite width between the rows of x1 (n1) and of x2 (n2), as
    layers hand them on.

    k = E h(x)h(x') of one unit, t = sum over parameters of dh(x)/dw dh(x')/dw, both (n1, n2);
    own1 = E h(x)^2 over x1, own2 over x2 (None: x1 again). Of signals at positions k and t lie
    as in `kernels.frames`, own1 is (n1, positions), of full kernels (n1, positions, positions).
    `apart` and `joint` are E (h(x) -+ h(x'))^2, where they are known better than by difference.
    """

    k: Float[Array, "..."]
    t: Float[Array, "..."] | None
    own1: Float[Array, "n1 ..."]
    own2: Float[Array, "n2 ..."] | None
    same: bool = eqx.field(static=True)
    law: Law = eqx.field(static=True)
    apart: Float[Array, "..."] | None = None
    joint: Float[Array, "..."] | None = None

    @property
    def frame(self) -> Frame:
        """Where they are."""
        return Frame(self.law.grid, self.law.full)

    @property
    def counts(self) -> tuple[int, int]:
        """(n1, n2)."""
        return len(self.own1), len(self.other)

    @property
    def other(self) -> Float[Array, "n2 ..."]:
        """own2, also where x1 is x2."""
        return self.own1 if self.own2 is None else self.own2

    def replace(self, **changes) -> "Signals":
        """The same with other values in some fields."""
        return dataclasses.replace(self, **changes)


_walked = eqx.filter_jit(walked)


def through(steps: tuple, signals: Signals, law: Law) -> Signals:
    """The kernels after the steps. A smooth activation leaves no distances: a rough one after it
    takes them by difference."""
    if not steps:
        return signals.replace(law=law)
    if rough(steps) and signals.apart is None:
        signals = with_distances(signals)
    if law.grid or signals.law.grid or on_grid(steps):
        return _through_positions(steps, signals, law)
    rows: Any = tables(steps, signals.own1)
    columns: Any = tables(steps, signals.other)
    pair = _walked(steps, rows, columns, Pair(signals.k, signals.t, signals.apart, signals.joint))
    own1 = jnp.asarray(rows[-1].after.variance)
    own2 = None if signals.own2 is None else jnp.asarray(columns[-1].after.variance)
    return Signals(pair.k, pair.t, own1, own2, signals.same, law, pair.apart, pair.joint)


_walked_positions = eqx.filter_jit(walked_at)


def _through_positions(steps, signals, law):
    frame = signals.frame
    rows, own1 = own_walked(steps, signals.own1, frame)
    columns, own2 = (rows, None) if signals.own2 is None else own_walked(steps, signals.own2, frame)
    pair = _walked_positions(
        steps, rows, columns, Pair(signals.k, signals.t, signals.apart, signals.joint), frame
    )
    return Signals(
        pair.k, pair.t, jnp.asarray(own1), own2, signals.same, law, pair.apart, pair.joint
    )


def with_distances(signals: Signals) -> Signals:
    """E (h -+ h')^2 = E h^2 + E h'^2 -+ 2 E hh', to round-off of E h^2; 0 of an input and
    itself."""
    one, two = (
        laid(alone(own, signals.frame), signals.frame) for own in (signals.own1, signals.other)
    )
    whole = one[..., :, None] + two[..., None, :]
    apart = jnp.maximum(whole - 2 * signals.k, 0)
    if signals.same:
        apart = apart * (1 - jnp.eye(apart.shape[-1])).reshape(
            (1,) * (apart.ndim - 2) + apart.shape[-2:]
        )
    return signals.replace(apart=apart, joint=jnp.maximum(whole + 2 * signals.k, 0))


def summed(branches, law: Law) -> Signals:
    """The kernels of the sum of signals whose cross-covariances vanish: they add, and so do all
    their parts."""

    def total(name):
        values = [getattr(branch, name) for branch in branches]
        return None if any(value is None for value in values) else sum(values)

    fields = {name: total(name) for name in ("k", "t", "own1", "own2", "apart", "joint")}
    return Signals(same=branches[0].same, law=law, **fields)
