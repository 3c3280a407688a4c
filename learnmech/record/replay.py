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
from learnmech.march.stages import Checkpoint, Course, Stage, Stretch, marched
from learnmech.march.watching import asked, quantities_in
from learnmech.record import identity
from learnmech.record.checkpoints import nearest
from learnmech.record.provenance import equal_to_round_off_because
from learnmech.system.state import State

# Marks of a flow that are walked over in one call: of one size, so that one compiled program serves
# them all.
FLOW_MARKS = 32


def place_of(record, when: float) -> int:
    """The place (the step; for flows the index of the mark) of a step or a time, which the run
    must have reached."""
    course, who = record.course, "The record"
    reached, begun = record.place, (record.provenance.get("parent") or {}).get("place", 0)
    if course.flows:
        times = course.marks.times
        place = int(np.argmin(np.abs(times - when)))
        if (
            not abs(times[place] - when) <= 1e-9 * max(times[-1], 1e-300)
            or not begun <= place <= reached
        ):
            raise refused(
                who,
                f"the time of a mark from {times[begun]:g} to {times[reached]:g}",
                f"{when:g}",
                f"Choose {times[max(begun, min(place, reached))]:g}",
            )
        return place
    if not np.isfinite(when) or when != int(when) or not begun <= when <= reached:
        raise refused(
            who, f"a whole step from {begun} to {reached}", f"{when:g}", "Choose a step of the run"
        )
    return int(when)


def _begin(record, place, done) -> Checkpoint:
    found = nearest(record.kept, place, done, record.course)
    if found is not None:
        return found
    if "parent" in record.provenance:
        raise refused(
            "The record",
            "the checkpoint at which it was forked",
            "none that is whole",
            "Fork again from its parent",
        )
    return Checkpoint(0, 0, (), record.course.start.state)


def _checked(record, *parts):
    identity.check_code(record.provenance, record.experiment, *parts)
    why = equal_to_round_off_because(record.provenance, record.experiment)
    if why:
        warnings.warn(f"replay is {why}", stacklevel=4)


class Way(NamedTuple):
    """What of a record is walked over: all that is there while the run is being made."""

    course: Course
    kept: object
    provenance: dict


def walk(record, places, watch: tuple[Instrument, ...]) -> Iterator[tuple[Stage, Checkpoint, dict]]:
    """(stage, checkpoint, readings) at each of these places, in order; events at a place lie
    behind it."""
    course: Course = record.course
    here: Any = None
    stage: Any = None
    for place in places:
        behind = sum(at <= place for at in course.event_places)
        closer = _begin(record, place, behind)
        if here is None or (closer.place, closer.done) > (here.place, here.done):
            here, stage = closer, course.resumed(closer)
        while True:
            while stage.done < len(course.events) and course.end_of(stage) == here.place:
                stage, state = course.enter(stage, here.state)
                here = Checkpoint(here.place, stage.done, stage.anchors, state)
            arriving, read = stage.done == behind, {}
            if (
                arriving and here.place == place and not watch
            ):  # nothing to walk over nor to be read, for which no program need be compiled
                here = here._replace(state=_standing(course, stage, here))
                break
            end = place if arriving else course.end_of(stage)
            if not watch and not course.flows and stage.done in course.programs:
                # by the run's own program, without a mark at which it reads: none need be compiled,
                # which takes longer than most replays
                own, size = course.programs[stage.done]
                stretch = Stretch(0, end - here.place, np.full(size, -1), end)
            else:
                own, stretch = watch, _onward(course, here.place, end, arriving)
            block = marched(course, stage, here.state, own, stretch)
            here = Checkpoint(stretch.end, stage.done, stage.anchors, block.state)
            if arriving and here.place == place:
                last = int(block.reached) - 1
                read = (
                    {
                        name: np.asarray(value)[last]
                        for values in block.readings.values()
                        for name, value in values.items()
                    }
                    if watch
                    else {}
                )
                break
        yield stage, here, read


def _standing(course, stage, here):
    """The state at a place as marching over nothing would give it: where the rule has got
    another rate here, its time is where that one began."""
    state = jax.tree.map(jnp.asarray, here.state)
    begun = not course.flows and stage.since[0] == here.place
    return (
        dataclasses.replace(state, time=jnp.asarray(stage.since[1], jnp.float64))
        if begun
        else state
    )


def _onward(course: Course, place: int, end: int, last: bool) -> Stretch:
    """From a place to another with one mark at the end (for flows a mark at every place on the
    way)."""
    if not course.flows:
        return Stretch(0, end - place, np.asarray([0] if last else [-1]), end)
    stop = min(end, place + FLOW_MARKS)
    gaps = np.append(np.diff(course.marks.times[place : stop + 1]), 0.0)
    if stop < end or not last:
        gaps = gaps[:-1] if stop > place else gaps
    return Stretch(0, 0, np.concatenate([gaps, np.full(FLOW_MARKS + 1 - len(gaps), -1.0)]), stop)


def at(record, when: float) -> State:
    """The state at a step, or for flows at the time of a mark."""
    place = place_of(record, when)
    _checked(record)
    return next(walk(record, [place], ()))[1].state


def stages_at(record, places: list[int]) -> Iterator[tuple[Stage, State]]:
    """What is in force, and the state, at each of these places, in order."""
    _checked(record)
    for stage, here, _ in walk(record, places, ()):
        yield stage, here.state


def checkpoint_at(record, place: int) -> Checkpoint:
    """Where the run can go on from at a place, the events there behind it."""
    return next(walk(record, [place], ()))[1]


def read(record, what: Instrument | str, when):
    """A Dataset of what an instrument, or the array at an address, shows at these steps or
    times."""
    instrument = asked(what)
    course = record.course
    instrument.check(course.start.system)
    places = sorted({place_of(record, one) for one in np.atleast_1d(when)})
    if not places:
        raise refused("read", "at least one step", "none", "Give the steps to read at")
    for index in {sum(at <= place for at in course.event_places) for place in places}:
        instrument.check(course.systems[index])
    _checked(record)
    once = dataclasses.replace(instrument, every=1)
    quantities = quantities_in(course.start, (once,))
    seen = [readings for *_, readings in walk(record, places, (once,))]
    if any(one[q.name].shape != seen[0][q.name].shape for one in seen for q in quantities):
        raise refused(
            "read",
            "readings of one size at all these steps",
            "more or fewer samples after an event",
            "Read before and after it apart",
        )
    values = {q.name: np.stack([one[q.name] for one in seen]) for q in quantities}
    steps = None if course.flows else np.asarray(places)
    return table(
        quantities, values, Marks(np.array([course.time_at(place) for place in places]), steps)
    )


def sample_gradients(record, when: float, samples=None):
    """`samplewise.sample_gradients` of the landscape in force at a step or time, at the state
    there."""
    stage, state = next(stages_at(record, [place_of(record, when)]))
    return samplewise.sample_gradients(stage.system, state.params, samples)


def jacobian(record, when: float, X=None):
    """`samplewise.jacobian` of the landscape in force at a step or time, at the state there."""
    stage, state = next(stages_at(record, [place_of(record, when)]))
    return samplewise.jacobian(stage.system, state.params, X)


HOOKS = ("data", "system", "frozen")


def linearized(record, when: float) -> Experiment:
    """The experiment in force at a step or time without its events, on the tangent of the
    network there and from the parameters there."""
    course, place = record.course, place_of(record, when)
    behind = [
        event
        for event, there in zip(course.events, course.event_places, strict=True)
        if there <= place
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
    tangent = Linearized(course.start.system.architecture, flat_of(params))
    return dataclasses.replace(
        course.experiment_after(len(behind)), architecture=tangent, initial=Given.of(params)
    )
