"""Replay: any state of a run, and anything that can be read from it, by marching again from the
nearest checkpoint."""

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.linearized import Linearized
from learnmech.curvature import samplewise
from learnmech.errors import refused
from learnmech.experiment.clock import Marks
from learnmech.experiment.recipe import Experiment
from learnmech.experiment.tables import table
from learnmech.initial.given import Given
from learnmech.instruments.base import Instrument
from learnmech.interventions.base import Intervention
from learnmech.language.trees import flat_of
from learnmech.march.segments import Segment, without_marks
from learnmech.march.timeline import Checkpoint, Stage, Timeline
from learnmech.march.watching import asked, quantities_in
from learnmech.record import identity
from learnmech.record.checkpoints import InMemory, OnDisk, nearest
from learnmech.record.provenance import equal_to_round_off_because
from learnmech.system.state import State

# Marks of a flow that are walked over in one call: of one size, so that one compiled program serves
# them all.
FLOW_MARKS = 32


def position_of(record, when: float) -> int:
    """The position (the step; for flows the index of the mark) of a step or a time, which the run
    must have reached."""
    timeline, who = record.timeline, "The record"
    reached, begun = record.position, (record.provenance.get("parent") or {}).get("place", 0)
    if timeline.flows:
        times = timeline.marks.times
        position = int(np.argmin(np.abs(times - when)))
        if (
            not abs(times[position] - when) <= 1e-9 * max(times[-1], 1e-300)
            or not begun <= position <= reached
        ):
            raise refused(
                who,
                f"the time of a mark from {times[begun]:g} to {times[reached]:g}",
                f"{when:g}",
                f"Choose {times[max(begun, min(position, reached))]:g}",
            )
        return position
    if not np.isfinite(when) or when != int(when) or not begun <= when <= reached:
        raise refused(
            who, f"a whole step from {begun} to {reached}", f"{when:g}", "Choose a step of the run"
        )
    return int(when)


def _begin(record: "Way", position: int, done: int) -> Checkpoint:
    found = nearest(record.kept, position, done, record.timeline)
    if found is not None:
        return found
    if "parent" in record.provenance:
        raise refused(
            "The record",
            "the checkpoint at which it was forked",
            "none that is whole",
            "Fork again from its parent",
        )
    return Checkpoint(0, 0, (), record.timeline.start.state)


def _checked(record, *parts):
    identity.check_code(record.provenance, record.experiment, *parts)
    why = equal_to_round_off_because(record.provenance, record.experiment)
    if why:
        warnings.warn(f"replay is {why}", stacklevel=4)


class Way(NamedTuple):
    """What of a record is walked over: all that is there while the run is being made."""

    timeline: Timeline
    kept: InMemory | OnDisk
    provenance: dict


def walk(
    record, positions, watch: tuple[Instrument, ...]
) -> Iterator[tuple[Stage, Checkpoint, dict]]:
    """(stage, checkpoint, readings) at each of these positions, in order; events at a position lie
    behind it."""
    timeline: Timeline = record.timeline
    here: Any = None
    stage: Any = None
    for position in positions:
        behind = sum(at <= position for at in timeline.event_positions)
        closer = _begin(record, position, behind)
        if here is None or (closer.position, closer.done) > (here.position, here.done):
            here, stage = closer, timeline.resumed(closer)
        while True:
            while stage.done < len(timeline.events) and timeline.end_of(stage) == here.position:
                stage, state = timeline.enter(stage, here.state)
                here = Checkpoint(here.position, stage.done, stage.anchors, state)
            arriving, read = stage.done == behind, {}
            if (
                arriving and here.position == position and not watch
            ):  # nothing to walk over nor to be read, for which no program need be compiled
                here = here._replace(state=_standing(timeline, stage, here))
                break
            end = position if arriving else timeline.end_of(stage)
            if not watch and not timeline.flows and stage.done in timeline.programs:
                # by the run's own program, without a mark at which it reads: none need be compiled,
                # which takes longer than most replays
                own, size = timeline.programs[stage.done]
                segment: Segment = without_marks(here.position, end, size)
            else:
                own = watch
                segment = timeline.segment_to(here.position, end, arriving, FLOW_MARKS)
            walked = timeline.march(stage, here.state, own, segment)
            here = Checkpoint(int(segment.end), stage.done, stage.anchors, walked.state)
            if arriving and here.position == position:
                last = int(walked.reached) - 1
                read = (
                    {
                        name: np.asarray(value)[last]
                        for values in walked.readings.values()
                        for name, value in values.items()
                    }
                    if watch
                    else {}
                )
                break
        yield stage, here, read


def _standing(timeline, stage, here):
    """The state at a position as marching over nothing would give it: where the rule has got
    another rate here, its time is where that one began."""
    state = jax.tree.map(jnp.asarray, here.state)
    begun = not timeline.flows and stage.since[0] == here.position
    return (
        dataclasses.replace(state, time=jnp.asarray(stage.since[1], jnp.float64))
        if begun
        else state
    )


def at(record, when: float) -> State:
    """The state at a step, or for flows at the time of a mark."""
    position = position_of(record, when)
    _checked(record)
    return next(walk(record, [position], ()))[1].state


def stages_at(record, positions: list[int]) -> Iterator[tuple[Stage, State]]:
    """What is in force, and the state, at each of these positions, in order."""
    _checked(record)
    for stage, here, _ in walk(record, positions, ()):
        yield stage, here.state


def checkpoint_at(record, position: int) -> Checkpoint:
    """Where the run can go on from at a position, the events there behind it."""
    return next(walk(record, [position], ()))[1]


def read(record, what: Instrument | str, when):
    """A Dataset of what an instrument, or the array at an address, shows at these steps or
    times."""
    instrument = asked(what)
    timeline = record.timeline
    instrument.check(timeline.start.system)
    positions = sorted({position_of(record, one) for one in np.atleast_1d(when)})
    if not positions:
        raise refused("read", "at least one step", "none", "Give the steps to read at")
    for index in {sum(at <= position for at in timeline.event_positions) for position in positions}:
        instrument.check(timeline.systems[index])
    _checked(record)
    once = dataclasses.replace(instrument, every=1)
    quantities = quantities_in(timeline.start, (once,))
    seen = [readings for *_, readings in walk(record, positions, (once,))]
    if any(one[q.name].shape != seen[0][q.name].shape for one in seen for q in quantities):
        raise refused(
            "read",
            "readings of one size at all these steps",
            "more or fewer samples after an event",
            "Read before and after it apart",
        )
    values = {q.name: np.stack([one[q.name] for one in seen]) for q in quantities}
    steps = None if timeline.flows else np.asarray(positions)
    return table(
        quantities,
        values,
        Marks(np.array([timeline.time_at(position) for position in positions]), steps),
    )


def sample_gradients(record, when: float, samples=None):
    """`samplewise.sample_gradients` of the landscape in force at a step or time, at the state
    there."""
    stage, state = next(stages_at(record, [position_of(record, when)]))
    return samplewise.sample_gradients(stage.system, state.params, samples)


def jacobian(record, when: float, X=None):
    """`samplewise.jacobian` of the landscape in force at a step or time, at the state there."""
    stage, state = next(stages_at(record, [position_of(record, when)]))
    return samplewise.jacobian(stage.system, state.params, X)


HOOKS = ("data", "system", "frozen")


def linearized(record, when: float) -> Experiment:
    """The experiment in force at a step or time without its events, on the tangent of the
    network there and from the parameters there."""
    timeline, position = record.timeline, position_of(record, when)
    behind = [
        event
        for event, there in zip(timeline.events, timeline.event_positions, strict=True)
        if there <= position
    ]
    changed = [
        event
        for event in behind
        if any(getattr(type(event), hook) is not getattr(Intervention, hook) for hook in HOOKS)
    ]
    if changed:
        remedy = "Choose a step before it, or fork with interventions.Linearize"
        raise refused(
            "The record",
            "a landscape that its knobs alone make, to linearize at",
            f"one after {changed[0].name}",
            remedy,
        )
    params = at(record, when).params
    tangent = Linearized(timeline.start.system.architecture, flat_of(params))
    return dataclasses.replace(
        timeline.experiment_after(len(behind)), architecture=tangent, initial=Given.of(params)
    )
