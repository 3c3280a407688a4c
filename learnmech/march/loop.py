"""The march: the only room that steps. One compiled program walks over a segment, by steps or as a
flow, and reads at the marks on the way."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PyTree

from learnmech.instruments.base import Instrument, Moment
from learnmech.language import trees
from learnmech.language.trees import Array, Params
from learnmech.march.moving import Instant, Learner
from learnmech.march.reading import Buffers, Reader, shapes_of
from learnmech.march.segments import Segment, Spans, Steps
from learnmech.rules.base import Rule
from learnmech.system.freezing import Frozen
from learnmech.system.landscape import System
from learnmech.system.state import State

LEG = 64
"""Steps that are walked before it is asked whether they led beyond the run's end."""


class Until(eqx.Module):
    """Stop at the first mark where a scalar quantity is below or above a bound."""

    quantity: str = eqx.field(static=True)
    below: bool = eqx.field(static=True)
    bound: Float[Array, ""] = eqx.field(converter=np.float64)

    def met(self, value: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether it is time to stop."""
        return value < self.bound if self.below else value > self.bound


class Walked(NamedTuple):
    """What comes of a segment: the state after it, what was read, how many marks were reached,
    and whether the run halted at the last of them."""

    state: State
    readings: Buffers
    reached: Int[Array, ""]
    halted: Bool[Array, ""]


@eqx.filter_jit
def march(
    system: System,
    rule: Rule,
    state: State,
    origin: Params,
    instruments: tuple[Instrument, ...],
    segment: Segment,
    until: Until | None = None,
    together: bool = False,
    since: tuple[Array, Array] | None = None,
    frozen: Frozen | None = None,
) -> Walked:
    """Walk over a segment, reading at each mark.

    `origin` are the parameters at t = 0; `since` (step, time) is where the rule's rate began, from
    which time is counted. What is `frozen` stands still and is not seen by the rule. `together`
    walks to the end although a run halts (for vmap).

    Every step runs the same compiled body, at a mark or between marks, so that where the marks are
    does not move the learner by a bit; readings are computations of their own, entered on a
    condition.
    """
    segment = jax.tree.map(jnp.asarray, segment)
    shapes = shapes_of(system, rule, state, instruments)
    learner = Learner(system, trees.cast(rule, jax.tree.leaves(state.params)[0].dtype), frozen)
    room = segment.spans if isinstance(segment, Spans) else segment.turns
    reader = Reader(instruments, shapes, segment.first, len(room))

    def look(here: State, instant: Instant, mark, at_mark, buffers: Buffers):
        """(buffers with what is read of this instant, whether the run stops here)."""
        loss, gradient, update, _ = instant
        moment = Moment(system, here, learner.rule, origin, loss, gradient, update)
        buffers, sound = reader.read(moment, mark, at_mark, buffers)
        stop = ~(jnp.isfinite(loss) & sound.params)
        if until is not None:
            stop = stop | until.met(buffers[1][until.quantity][mark])
        return buffers, stop & at_mark

    if isinstance(segment, Spans):
        return _flow(learner, state, segment, look, reader.blank(), together)

    def at(taken, params, memory) -> State:
        """The state after so many steps of this segment. Its time is a sum of rates in float64,
        never of the rates as the rule has them, cast to the precision of the parameters."""
        step = state.step + taken
        time = rule.elapsed(step) if since is None else since[1] + rule.elapsed(step, since[0])
        return State(params, memory, step, time, state.key)

    walk = _step_together if together else _step
    return walk(learner, state, segment, look, reader.blank(), at)


class _Flowing(NamedTuple):
    """Where a flow is: the next mark, parameters and memory, what was read, whether it halted, and
    how many marks were met before that."""

    mark: Int[Array, ""]
    params: Params
    memory: PyTree
    buffers: Buffers
    halted: Bool[Array, ""]
    reached: Int[Array, ""]


def _flow(learner, state, segment: Spans, look: Callable, blank: Buffers, together) -> Walked:
    """From mark to mark, each read before the span that follows it is solved."""

    def body(walk: _Flowing):
        mark, params, memory, buffers, halted, reached = walk
        here = State(params, memory, state.step, state.time + segment.before[mark], state.key)
        instant = learner.instant(here)
        buffers, stop = look(here, instant, mark, jnp.array(True), buffers)
        reached, halted = reached + ~halted, halted | stop
        params, memory = learner.flowed(here, segment.spans[mark], ~halted)
        return _Flowing(mark + 1, params, memory, buffers, halted, reached)

    def goes_on(walk: _Flowing):
        ahead = walk.mark < segment.marks
        return ahead if together else ahead & ~walk.halted

    zero = jnp.zeros((), jnp.int64)
    walk = _Flowing(zero, state.params, state.memory, blank, jnp.array(False), zero)
    walk = jax.lax.while_loop(goes_on, body, walk)
    behind = jnp.arange(len(segment.spans)) < walk.reached - walk.halted
    time = state.time + jnp.sum(jnp.where(behind, segment.spans, 0))
    after = State(walk.params, walk.memory, state.step, time, state.key)
    return Walked(after, walk.buffers, walk.reached, walk.halted)


class _Stepping(NamedTuple):
    """Where a walk is: how many steps it has taken, the next mark, parameters and memory, what was
    read, and whether it halted at a mark.

    `again` where it goes over a leg that it went over before: then it neither reads nor halts.
    """

    taken: Int[Array, ""]
    mark: Int[Array, ""]
    params: Params
    memory: PyTree
    buffers: Buffers
    halted: Bool[Array, ""]
    again: Bool[Array, ""]


def _body(learner, segment: Steps, look: Callable, at: Callable) -> Callable:
    """One turn of a walk: what is due is read where it stands, and a step is taken."""
    last = len(segment.turns) - 1

    def body(walk: _Stepping) -> _Stepping:
        taken, mark, params, memory, buffers, halted, again = walk
        here = at(taken, params, memory)
        instant = learner.instant(here)
        at_mark = (segment.turns[jnp.minimum(mark, last)] == taken) & ~again
        buffers, stop = look(here, instant, mark, at_mark, buffers)
        params, memory = learner.stepped(here, instant)
        return _Stepping(taken + 1, mark + at_mark, params, memory, buffers, halted | stop, again)

    return body


def _begun(state, blank) -> _Stepping:
    zero, no = jnp.zeros((), jnp.int64), jnp.array(False)
    return _Stepping(zero, zero, state.params, state.memory, blank, no, no)


def _step(learner, state, segment: Steps, look, blank, at) -> Walked:
    """Steps, in legs. Where the last step led beyond the end of a run, its leg is walked again
    without it.

    A mark is read of what the step there computes, so that a run whose last mark stands at its end
    takes one step too many. To choose at every step between the state after it and the one before,
    for the sake of that last, copied the rule's memory each time: Adam's step was 1.12 of Optax's
    in a scan, and is 1.06 to 1.08.
    """
    body, turns = _body(learner, segment, look, at), segment.steps + segment.reads_last

    def end_of_leg(taken):
        # the turn at a last mark, which only reads, is a leg of its own
        return jnp.minimum(taken + LEG, jnp.where(taken < segment.steps, segment.steps, turns))

    def position(walk: _Stepping):
        return walk.taken, walk.params, walk.memory

    def leg(carry):
        walk, begun, end, _ = carry
        walk = jax.lax.while_loop(
            lambda walk: (walk.taken < end) & (walk.again | ~walk.halted), body, walk
        )
        beyond = ~walk.again & (walk.halted | (walk.taken > segment.steps))
        done = walk.again | (~beyond & (walk.taken >= turns))
        end = jnp.where(beyond, walk.taken - 1, end_of_leg(walk.taken))
        begun = jax.tree.map(lambda old, new: jnp.where(beyond, old, new), begun, position(walk))
        taken, params, memory = begun
        walk = walk._replace(taken=taken, params=params, memory=memory, again=beyond)
        return walk, begun, end, done

    walk = _begun(state, blank)
    carry = walk, position(walk), end_of_leg(walk.taken), walk.taken >= turns
    walk, *_ = jax.lax.while_loop(lambda carry: ~carry[-1], leg, carry)
    after = at(walk.taken, walk.params, walk.memory)
    return Walked(after, walk.buffers, walk.mark, walk.halted)


def _step_together(learner, state, segment: Steps, look, blank, at) -> Walked:
    """Steps of many runs under vmap, which go on together although one of them halts: at every turn
    each takes its step or stays where it is."""
    body, turns = _body(learner, segment, look, at), segment.steps + segment.reads_last

    def turn(carry):
        walk, reached = carry
        after = body(walk)
        moving = ~after.halted & (walk.taken < segment.steps)
        stays = (
            jax.tree.map(lambda new, old: jnp.where(moving, new, old), *both)
            for both in ((after.params, walk.params), (after.memory, walk.memory))
        )
        params, memory = stays
        reached = jnp.where(walk.halted, reached, after.mark)
        return after._replace(params=params, memory=memory), reached

    carry = _begun(state, blank), jnp.zeros((), jnp.int64)
    walk, reached = jax.lax.while_loop(lambda carry: carry[0].taken < turns, turn, carry)
    after = at(jnp.minimum(walk.taken - walk.halted, segment.steps), walk.params, walk.memory)
    return Walked(after, walk.buffers, reached, walk.halted)
