"""The march: the only room that steps. Compiled loops over the clock's marks, for steps and for flows."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from learnmech import trees
from learnmech.instruments.base import Instrument, Moment
from learnmech.rules.base import Rule
from learnmech.state import State
from learnmech.system import System


class Until(eqx.Module):
    """Stop at the first mark where a scalar quantity is below or above a bound."""

    quantity: str = eqx.field(static=True)
    below: bool = eqx.field(static=True)
    bound: Float[Array, ""] = eqx.field(converter=np.float64)

    def met(self, readings: dict[str, Array]) -> Bool[Array, ""]:
        """Whether it is time to stop."""
        value = readings[self.quantity]
        return value < self.bound if self.below else value > self.bound


class Block(NamedTuple):
    """One compiled stretch of marks: the state after it, {every: {name: (slots, ...)}}, and how many marks were reached."""

    state: State
    readings: dict[int, dict[str, Array]]
    reached: Int[Array, ""]
    halted: Bool[Array, ""]


def _dtype(params):
    return jax.tree.leaves(params)[0].dtype


def _step(system, rule, exact_rate, state):
    view = rule.view(system, state)
    loss, gradient = view.value_and_gradient(state.params)
    update, memory = rule.update(view, gradient, state.memory, state.params)
    return loss, gradient, update, lambda: _moved(state, update, memory, exact_rate)


def _moved(state, update, memory, exact_rate):
    step = state.step + 1
    return State(trees.add(state.params, update), memory, step, step * exact_rate, state.key)


def _advance_steps(system, rule, exact_rate, state, following, gap):
    state = jax.lax.cond(gap > 0, following, lambda: state)
    return jax.lax.fori_loop(1, gap, lambda _, s: _step(system, rule, exact_rate, s)[3](), state)


def _read(instruments, moment):
    readings = {}
    for instrument in instruments:
        readings |= instrument.read(moment)
    return readings


def _by_cadence(instruments):
    cadences = sorted({instrument.every for instrument in instruments})
    return {every: tuple(i for i in instruments if i.every == every) for every in cadences}


@eqx.filter_jit
def march(
    system: System,
    rule: Rule,
    state: State,
    origin: trees.Params,
    instruments: tuple[Instrument, ...],
    first: Int[Array, ""],
    gaps: Array,
    until: Until | None = None,
) -> Block:
    """Walk from mark to mark, reading at each.

    `gaps` (m,) are the steps (rules that step) or the span of time (flows) from each mark to the next, 0 at the last mark of a run and
    negative where the block is padded; `first` is the index of the block's first mark, which decides what every k-th mark is.
    """
    exact, rule = rule, trees.cast(rule, _dtype(state.params))
    groups = _by_cadence(instruments)

    def at_mark(carry, here):
        state, buffers, cursors, reached, halted = carry
        index, gap = here
        padded = halted | (gap < 0)
        gap = jnp.where(padded, 0, gap)
        if rule.flows:
            loss, gradient = system.value_and_gradient(state.params)
            update, following = rule.velocity(system, state.params), None
        else:
            loss, gradient, update, following = _step(system, rule, exact.rate, state)
        moment = Moment(system, state, rule, origin, loss, gradient, update)
        readings, slots = {}, {}
        for every, group in groups.items():
            if every == 1:
                slots[1] = readings[1] = _read(group, moment)
                continue
            due = ((first + index) % every == 0) & ~padded
            shapes = jax.eval_shape(lambda g=group: _read(g, moment))
            seen = jax.lax.cond(
                due, lambda g=group: _read(g, moment), lambda s=shapes: jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan, x.dtype), s)
            )
            place = cursors[every]
            buffers = buffers | {every: jax.tree.map(lambda b, x, p=place: b.at[p].set(x), buffers[every], seen)}
            cursors = cursors | {every: place + due}
        stop = ~jnp.isfinite(loss)
        if until is not None:
            stop = stop | until.met(readings[1])
        reached = reached + ~padded
        halted = halted | (stop & ~padded)
        gap = jnp.where(halted, 0, gap)
        if rule.flows:
            params, met = jax.lax.cond(
                gap > 0, lambda: rule.advance(system, state.params, state.time, gap), lambda: (state.params, jnp.array(True))
            )
            state = State(params, state.memory, state.step, state.time + gap, state.key)
        else:
            state = _advance_steps(system, rule, exact.rate, state, following, gap)
        return (state, buffers, cursors, reached, halted), slots.get(1, {})

    buffers, cursors = {}, {}
    if any(every > 1 for every in groups):
        sample = _sample_moment(system, rule, exact, state, origin)
        for every, group in groups.items():
            if every > 1:
                capacity = -(-len(gaps) // every) + 1
                shapes = jax.eval_shape(lambda m, g=group: _read(g, m), sample)
                buffers[every] = jax.tree.map(lambda s, c=capacity: jnp.full((c, *s.shape), jnp.nan, s.dtype), shapes)
                cursors[every] = jnp.zeros((), jnp.int64)
    carry = (state, buffers, cursors, jnp.zeros((), jnp.int64), jnp.array(False))
    (state, buffers, cursors, reached, halted), dense = jax.lax.scan(at_mark, carry, (jnp.arange(len(gaps)), gaps))
    readings = {every: jax.tree.map(lambda b: b[:-1], buffer) for every, buffer in buffers.items()}
    return Block(state, ({1: dense} if 1 in groups else {}) | readings, reached, halted)


def _sample_moment(system, rule, exact, state, origin):
    def moment():
        if rule.flows:
            loss, gradient = system.value_and_gradient(state.params)
            return Moment(system, state, rule, origin, loss, gradient, rule.velocity(system, state.params))
        loss, gradient, update, _ = _step(system, rule, exact.rate, state)
        return Moment(system, state, rule, origin, loss, gradient, update)

    return eqx.filter_eval_shape(moment)
