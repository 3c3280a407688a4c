"""The march: the only room that steps. One compiled loop, for steps and for flows, which reads at the clock's marks."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from learnmech import trees
from learnmech.freezing import Frozen, Narrowed
from learnmech.instruments.base import Instrument, Moment
from learnmech.rules.base import Rule
from learnmech.state import State
from learnmech.system import System
from learnmech.trees import Array


class Until(eqx.Module):
    """Stop at the first mark where a scalar quantity is below or above a bound."""

    quantity: str = eqx.field(static=True)
    below: bool = eqx.field(static=True)
    bound: Float[Array, ""] = eqx.field(converter=np.float64)

    def met(self, value: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether it is time to stop."""
        return value < self.bound if self.below else value > self.bound


class Block(NamedTuple):
    """One compiled stretch of marks: the state after it, {every: {name: (slots, ...)}}, and how many marks were reached."""

    state: State
    readings: dict[int, dict[str, Array]]
    reached: Int[Array, ""]
    halted: Bool[Array, ""]


class Way(NamedTuple):
    """The marks of one compiled stretch, laid out beforehand.

    `first` is the index of its first mark, which decides what every k-th mark is; `position` (m,) the turn at which each mark is met, -1 where the stretch is
    padded; `ahead` (m,) the steps (rules that step) or span of time (flows) from each mark to the next; `passed` (m,) their sum before it; `total` the turns
    that move, `turns` those that are taken.
    """

    first: Int[np.ndarray, ""]
    position: Int[np.ndarray, " m"]
    ahead: Int[np.ndarray, " m"] | Float[np.ndarray, " m"]
    passed: Int[np.ndarray, " m"] | Float[np.ndarray, " m"]
    total: Int[np.ndarray, ""]
    turns: Int[np.ndarray, ""]


def way_of(gaps: np.ndarray, flows: bool, first: int = 0, lead: int = 0) -> Way:
    """The way along `gaps` (m,) from each mark to the next: 0 at the last mark of a run, negative where padded; `lead` lies before the first mark."""
    real = gaps >= 0
    count, ahead = int(real.sum()), np.where(real, gaps, 0)
    passed = np.cumsum(ahead) - ahead
    if flows:
        position, total = np.where(real, np.arange(len(gaps)), -1), count
    else:
        position, total = np.where(real, lead + passed, -1), lead + int(ahead.sum())
    # the last mark of a run is read without a step after it
    turns = total + bool(not flows and gaps[count - 1] == 0)
    return Way(np.asarray(first, np.int64), position, ahead, passed, np.asarray(total, np.int64), np.asarray(turns, np.int64))


def _here(system, rule, state, frozen):
    """The loss, gradient and update of this instant, and the rule's memory after it."""
    if frozen:
        narrow = Narrowed.of(system, state.params, frozen)
        free = State(frozen.free(state.params), frozen.free(state.memory), state.step, state.time, state.key)
        loss, gradient, update, memory = _here(narrow, rule, free, None)
        gradient, update = (frozen.still(tree, state.params) for tree in (gradient, update))
        return loss, gradient, update, frozen.kept(frozen.combined(memory, state.memory), state.memory)
    if rule.flows:
        loss, gradient = system.value_and_gradient(state.params)
        return loss, gradient, rule.velocity(system, state.params, state.memory), state.memory
    view = rule.view(system, state).at_step(state.key, state.step)
    loss, gradient = view.value_and_gradient(state.params)
    return loss, gradient, *rule.moved(view, gradient, state)


def _after(system, rule, state, update, span, moving, frozen):
    """Parameters and memory one step or one span of time on, or the same where not moving; `update` and the memory after a step come with it."""
    if not rule.flows:
        update, memory = update
        after = jax.tree.map(lambda p, u: jnp.where(moving, p + u, p), state.params, update)
        memory = jax.tree.map(lambda new, old: jnp.where(moving, new, old), memory, state.memory)
        return (frozen.kept(frozen.combined(after, state.params), state.params) if frozen else after), memory
    if not frozen:
        return jax.lax.cond(moving & (span > 0), lambda: rule.advance(system, state, span)[:2], lambda: (state.params, state.memory))
    narrow, free = Narrowed.of(system, state.params, frozen), frozen.free
    held = State(free(state.params), free(state.memory), state.step, state.time, state.key)
    after = jax.lax.cond(moving & (span > 0), lambda: rule.advance(narrow, held, span)[:2], lambda: (held.params, held.memory))
    return tuple(frozen.kept(frozen.combined(new, old), old) for new, old in zip(after, (state.params, state.memory), strict=True))


def _read(instruments, moment):
    readings = {}
    for instrument in instruments:
        readings |= instrument.read(moment)
    return readings


def _by_cadence(instruments):
    cadences = sorted({instrument.every for instrument in instruments})
    return {every: tuple(i for i in instruments if i.every == every) for every in cadences}


def _blank(shapes, marks: int):
    """NaN buffers for what each cadence reads over so many marks, whatever the first one is; `shapes` of each of its instruments' readings."""
    buffers = {}
    for every, read in shapes.items():
        capacity = marks if every == 1 else -(-marks // every) + 1
        buffers[every] = {name: jnp.full((capacity, *s.shape), jnp.nan, s.dtype) for one in read for name, s in one.items()}
    return buffers


@eqx.filter_jit
def march(
    system: System,
    rule: Rule,
    state: State,
    origin: trees.Params,
    instruments: tuple[Instrument, ...],
    way: Way,
    until: Until | None = None,
    together: bool = False,
    since: tuple[Array, Array] | None = None,
    frozen: Frozen | None = None,
) -> Block:
    """Walk from mark to mark, reading at each.

    `since` (step, time) is where the rule's rate began, from which time is counted. What is `frozen` stands still and is not seen by the rule.

    Every step runs the same compiled body, at a mark or between marks, so that where the marks are does not move the learner by a bit;
    readings are computations of their own, entered on a condition. `together` walks to the end although a run halts (for vmap).
    """
    exact, rule = rule, trees.cast(rule, jax.tree.leaves(state.params)[0].dtype)
    groups = _by_cadence(instruments)
    first, position, ahead, passed, total, turns = map(jnp.asarray, way)
    marks = len(position)
    slots = {every: -(-first // every) for every in groups}

    def at(turn, params, memory):
        if rule.flows:
            return State(params, memory, state.step, state.time + passed[turn], state.key)
        step = state.step + turn
        time = exact.elapsed(step) if since is None else since[1] + exact.elapsed(step, since[0])
        return State(params, memory, step, time, state.key)

    def going(carry):
        turn, halted = carry[0], carry[-1]
        return turn < turns if together else (turn < turns) & ~halted

    def body(carry):
        turn, mark, reached, params, memory, buffers, halted = carry
        here = at(turn, params, memory)
        loss, gradient, update, next_memory = _here(system, rule, here, frozen)
        moment = Moment(system, here, rule, origin, loss, gradient, update)
        at_mark = position[jnp.minimum(mark, marks - 1)] == turn
        filled = {}
        for every, group in groups.items():
            due = at_mark if every == 1 else at_mark & ((first + mark) % every == 0)
            place = mark if every == 1 else (first + mark) // every - slots[every]

            filled[every] = {}
            for instrument, read in zip(group, shapes[every], strict=True):
                # a condition of its own for each, so that a reading is compiled the same whatever else is read
                def write(buffer, i=instrument, p=place):
                    return jax.tree.map(lambda b, x: jax.lax.dynamic_update_index_in_dim(b, x, p, 0), buffer, i.read(moment))

                filled[every] |= jax.lax.cond(due, write, lambda buffer: buffer, {name: buffers[every][name] for name in read})
        stop = ~jnp.isfinite(loss)
        if until is not None:
            stop = stop | until.met(filled[1][until.quantity][mark])
        reached = reached + (at_mark & ~halted) if together else mark + at_mark
        halted = halted | (stop & at_mark)
        moving = ~halted & (turn < total)
        params, memory = _after(system, rule, here, (update, next_memory), ahead[turn] if rule.flows else None, moving, frozen)
        return turn + 1, mark + at_mark, reached, params, memory, filled, halted

    sample = eqx.filter_eval_shape(_sample, system, rule, state, origin)
    shapes = {every: [jax.eval_shape(instrument.read, sample) for instrument in group] for every, group in groups.items()}
    zero = jnp.zeros((), jnp.int64)
    carry = (zero, zero, zero, state.params, state.memory, _blank(shapes, marks), jnp.array(False))
    turn, _, reached, params, memory, buffers, halted = jax.lax.while_loop(going, body, carry)
    moved = jnp.minimum(turn - halted, total)
    if rule.flows:
        after = State(params, memory, state.step, state.time + jnp.sum(jnp.where(jnp.arange(marks) < moved, ahead, 0)), state.key)
    else:
        after = at(moved, params, memory)
    return Block(after, buffers, reached, halted)


def _sample(system, rule, state, origin):
    """A moment in its shapes alone, of which the gradient and the update have those of the parameters: neither need be traced for it."""
    return Moment(system, state, rule, origin, system.loss(state.params), state.params, state.params)


def shapes_of(system: System, rule: Rule, state: State, instruments: tuple[Instrument, ...]) -> dict[int, dict[str, jax.ShapeDtypeStruct]]:
    """{every: {name: shape and type of one reading}}, without computing any."""
    groups = _by_cadence(instruments)

    def read(system, rule, state):
        exact = trees.cast(rule, jax.tree.leaves(state.params)[0].dtype)
        moment = _sample(system, exact, state, state.params)
        return {every: _read(group, moment) for every, group in groups.items()}

    return eqx.filter_eval_shape(read, system, rule, state)
