"""The march: the only room that steps. One compiled loop, for steps and for flows, which reads
at the clock's marks."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PyTree

from learnmech.instruments.base import Instrument, Moment, Sound
from learnmech.language import trees
from learnmech.language.trees import Array
from learnmech.rules.base import Rule
from learnmech.system.freezing import Frozen, Narrowed
from learnmech.system.landscape import System
from learnmech.system.state import State

LEG = 64
"""Steps to a leg of a walk."""


class Until(eqx.Module):
    """Stop at the first mark where a scalar quantity is below or above a bound."""

    quantity: str = eqx.field(static=True)
    below: bool = eqx.field(static=True)
    bound: Float[Array, ""] = eqx.field(converter=np.float64)

    def met(self, value: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether it is time to stop."""
        return value < self.bound if self.below else value > self.bound


class Block(NamedTuple):
    """One compiled stretch of marks: the state after it, {every: {name: (slots, ...)}}, and how
    many marks were reached."""

    state: State
    readings: dict[int, dict[str, Array]]
    reached: Int[Array, ""]
    halted: Bool[Array, ""]


class Way(NamedTuple):
    """The marks of one compiled stretch, laid out beforehand.

    `first` is the index of its first mark, which decides what every k-th mark is; `position` (m,)
    the turn at which each mark is met, -1 where the stretch is padded; `ahead` (m,) the steps
    (rules that step) or span of time (flows) from each mark to the next; `passed` (m,) their sum
    before it; `total` the turns that move, `turns` those that are taken.
    """

    first: Int[np.ndarray, ""]
    position: Int[np.ndarray, " m"]
    ahead: Int[np.ndarray, " m"] | Float[np.ndarray, " m"]
    passed: Int[np.ndarray, " m"] | Float[np.ndarray, " m"]
    total: Int[np.ndarray, ""]
    turns: Int[np.ndarray, ""]


class _Walk(NamedTuple):
    """Where a walk is: its turn, the next mark, how many marks were reached, parameters and memory,
    what was read, whether it was halted at a mark.

    `again` where it goes a way that it went before, on which it neither reads nor halts.
    """

    turn: Int[Array, ""]
    mark: Int[Array, ""]
    reached: Int[Array, ""]
    params: trees.Params
    memory: PyTree
    buffers: dict[int, dict[str, Array]]
    halted: Bool[Array, ""]
    again: Bool[Array, ""]


def way_of(gaps: np.ndarray, flows: bool, first: int = 0, lead: int = 0) -> Way:
    """The way along `gaps` (m,) from each mark to the next: 0 at the last mark of a run,
    negative where padded; `lead` lies before the first mark."""
    real = gaps >= 0
    count, ahead = int(real.sum()), np.where(real, gaps, 0)
    passed = np.cumsum(ahead) - ahead
    if flows:
        position, total = np.where(real, np.arange(len(gaps)), -1), count
    else:
        position, total = np.where(real, lead + passed, -1), lead + int(ahead.sum())
    # the last mark of a run is read without a step after it
    turns = total + bool(not flows and gaps[count - 1] == 0)
    return Way(
        np.asarray(first, np.int64),
        position,
        ahead,
        passed,
        np.asarray(total, np.int64),
        np.asarray(turns, np.int64),
    )


def _here(system, rule, state, frozen):
    """The loss, gradient and update of this instant, and the rule's memory after it."""
    if frozen:
        narrow = Narrowed.of(system, state.params, frozen)
        free = State(
            frozen.free(state.params), frozen.free(state.memory), state.step, state.time, state.key
        )
        loss, gradient, update, memory = _here(narrow, rule, free, None)
        gradient, update = (frozen.still(tree, state.params) for tree in (gradient, update))
        return (
            loss,
            gradient,
            update,
            frozen.kept(frozen.combined(memory, state.memory), state.memory),
        )
    if rule.flows:
        loss, gradient = system.value_and_gradient(state.params)
        return loss, gradient, rule.velocity(system, state.params, state.memory), state.memory
    view = rule.view(system, state).at_step(state.key, state.step)
    loss, gradient = view.value_and_gradient(state.params)
    update, memory = rule.moved(view, gradient, state)
    return loss, gradient, view.architecture.observed(state.params, view.train.X, update), memory


def _after(system, rule, state, update, span, moving, frozen):
    """Parameters and memory one step or one span of time on, or the same where not moving;
    `update` and the memory after a step come with it."""
    if not rule.flows:
        update, memory = update
        after = jax.tree.map(lambda p, u: p + u, state.params, update)
        if moving is not True:
            after, memory = (
                jax.tree.map(lambda new, old: jnp.where(moving, new, old), *both)
                for both in ((after, state.params), (memory, state.memory))
            )
        return (
            frozen.kept(frozen.combined(after, state.params), state.params) if frozen else after
        ), memory
    if not frozen:
        return jax.lax.cond(
            moving & (span > 0),
            lambda: rule.advance(system, state, span)[:2],
            lambda: (state.params, state.memory),
        )
    narrow, free = Narrowed.of(system, state.params, frozen), frozen.free
    held = State(free(state.params), free(state.memory), state.step, state.time, state.key)
    after = jax.lax.cond(
        moving & (span > 0),
        lambda: rule.advance(narrow, held, span)[:2],
        lambda: (held.params, held.memory),
    )
    return tuple(
        frozen.kept(frozen.combined(new, old), old)
        for new, old in zip(after, (state.params, state.memory), strict=True)
    )


def _by_cadence(instruments, shapes):
    """{every: ((instrument, shapes of its readings), ...)}."""
    cadences = sorted({instrument.every for instrument in instruments})
    return {
        every: tuple(
            pair for pair in zip(instruments, shapes, strict=True) if pair[0].every == every
        )
        for every in cadences
    }


def _blank(groups, marks: int):
    """NaN buffers for what each cadence reads over so many marks, whatever the first one is."""
    buffers = {}
    for every, group in groups.items():
        capacity = marks if every == 1 else -(-marks // every) + 1
        buffers[every] = {
            name: jnp.full((capacity, *s.shape), jnp.nan, s.dtype)
            for _, read in group
            for name, s in read.items()
        }
    return buffers


def _in_legs(body, walk, total, turns):
    """A walk that steps at every turn, in legs. Where the last step led beyond a run's end, its leg
    is walked again without it.

    To choose at every step between the state after it and the one before, for the sake of the last,
    would copy the rule's memory each time.
    """

    def ending(turn):
        # the turn at a run's last mark, which only reads, is a leg of its own
        return jnp.minimum(turn + LEG, jnp.where(turn < total, total, turns))

    def at(walk):
        return walk.turn, walk.params, walk.memory

    def leg(carry):
        walk, began, ends, _ = carry
        walk = jax.lax.while_loop(
            lambda walk: (walk.turn < ends) & (walk.again | ~walk.halted), body, walk
        )
        beyond = ~walk.again & (walk.halted | (walk.turn > total))
        ends = jnp.where(beyond, walk.turn - 1, ending(walk.turn))
        done = walk.again | (~beyond & (walk.turn >= turns))
        began = jax.tree.map(lambda old, new: jnp.where(beyond, old, new), began, at(walk))
        turn, params, memory = began
        return (
            walk._replace(turn=turn, params=params, memory=memory, again=beyond),
            began,
            ends,
            done,
        )

    return jax.lax.while_loop(
        lambda carry: ~carry[-1], leg, (walk, at(walk), ending(walk.turn), walk.turn >= turns)
    )[0]


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

    `since` (step, time) is where the rule's rate began, from which time is counted. What is
    `frozen` stands still and is not seen by the rule.

    Every step runs the same compiled body, at a mark or between marks, so that where the marks are
    does not move the learner by a bit; readings are computations of their own, entered on a
    condition. `together` walks to the end although a run halts (for vmap).
    """
    groups = _by_cadence(instruments, shapes_of(system, rule, state, instruments))
    exact, rule = rule, trees.cast(rule, jax.tree.leaves(state.params)[0].dtype)
    first, position, ahead, passed, total, turns = map(jnp.asarray, way)
    marks = len(position)
    slots = {every: -(-first // every) for every in groups}

    def at(turn, params, memory):
        if rule.flows:
            return State(params, memory, state.step, state.time + passed[turn], state.key)
        step = state.step + turn
        time = exact.elapsed(step) if since is None else since[1] + exact.elapsed(step, since[0])
        return State(params, memory, step, time, state.key)

    legs = not (rule.flows or together)

    def going(walk):
        return walk.turn < turns if together else (walk.turn < turns) & ~walk.halted

    def body(walk):
        turn, mark, reached, params, memory, buffers, halted, again = walk
        here = at(turn, params, memory)
        # so that what is read does not decide what the compiler makes one of, and rounds once
        loss, gradient, update, next_memory = jax.lax.optimization_barrier(
            _here(system, rule, here, frozen)
        )
        moment = Moment(system, here, rule, origin, loss, gradient, update)
        at_mark = (position[jnp.minimum(mark, marks - 1)] == turn) & ~again
        # once for all that is read here, and for whether the run goes on
        sound = jax.lax.cond(
            at_mark, lambda: Sound.of(params, loss), lambda: Sound(jnp.array(True), jnp.array(True))
        )
        filled = {}
        for every, group in groups.items():
            due = at_mark if every == 1 else at_mark & ((first + mark) % every == 0)
            place = mark if every == 1 else (first + mark) // every - slots[every]

            filled[every] = {}
            for instrument, read in group:
                # a condition of its own for each, so that a reading is compiled the same whatever
                # else is read
                def write(buffer, i=instrument, s=read, p=place):
                    return jax.tree.map(
                        lambda b, x: jax.lax.dynamic_update_index_in_dim(b, x, p, 0),
                        buffer,
                        i.seen(moment, sound, s),
                    )

                filled[every] |= jax.lax.cond(
                    due, write, lambda buffer: buffer, {name: buffers[every][name] for name in read}
                )
        stop = ~(jnp.isfinite(loss) & sound.params)
        if until is not None:
            stop = stop | until.met(filled[1][until.quantity][mark])
        if together:
            reached = reached + (at_mark & ~halted)
        halted = halted | (stop & at_mark)
        moving = legs or (~halted & (turn < total))
        params, memory = _after(
            system,
            rule,
            here,
            (update, next_memory),
            ahead[turn] if rule.flows else None,
            moving,
            frozen,
        )
        return _Walk(turn + 1, mark + at_mark, reached, params, memory, filled, halted, again)

    zero, no = jnp.zeros((), jnp.int64), jnp.array(False)
    walk = _Walk(zero, zero, zero, state.params, state.memory, _blank(groups, marks), no, no)
    walk = _in_legs(body, walk, total, turns) if legs else jax.lax.while_loop(going, body, walk)
    turn, mark, reached, params, memory, buffers, halted, _ = walk
    moved = turn if legs else jnp.minimum(turn - halted, total)
    if rule.flows:
        after = State(
            params,
            memory,
            state.step,
            state.time + jnp.sum(jnp.where(jnp.arange(marks) < moved, ahead, 0)),
            state.key,
        )
    else:
        after = at(moved, params, memory)
    return Block(after, buffers, reached if together else mark, halted)


def shapes_of(
    system: System, rule: Rule, state: State, instruments: tuple[Instrument, ...]
) -> tuple[dict[str, jax.ShapeDtypeStruct], ...]:
    """For each instrument {name: shape and type of one reading}, without computing any."""
    return trees.shapes_of(_looked, system, rule, state, instruments)


def _looked(system, rule, state, instruments):
    rule = trees.cast(rule, jax.tree.leaves(state.params)[0].dtype)
    # the gradient and the update have the shapes of the parameters: neither need be traced
    moment = Moment(
        system, state, rule, state.params, system.loss(state.params), state.params, state.params
    )
    return tuple(instrument.shapes(moment) for instrument in instruments)
