"""The timeline: a run laid out beforehand, its marks, its events, and the stages between them."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from learnmech.data.base import Drawn
from learnmech.errors import refused
from learnmech.experiment.clock import Marks
from learnmech.experiment.recipe import Experiment, Start, landscape_of, prepare
from learnmech.instruments.base import Instrument
from learnmech.interventions.base import Intervention, given_by
from learnmech.language import trees
from learnmech.march.loop import Until, Walked, march
from learnmech.march.segments import Segment, flowed, stepped
from learnmech.rules.base import Rule
from learnmech.system.freezing import Frozen
from learnmech.system.landscape import System
from learnmech.system.state import State


@dataclasses.dataclass(frozen=True)
class Stage:
    """What is in force: the experiment (without its events), the landscape, what is frozen, and
    (step, time) since when the rule has had its rate.

    `done` counts the events that lie behind; `anchors` are the parameters at those of them which
    hold on to where they happened.
    """

    experiment: Experiment
    system: System
    frozen: Frozen | None
    since: tuple[int, float]
    done: int = 0
    anchors: tuple[PyTree, ...] = ()

    @property
    def rule(self) -> Rule:
        """The rule in force."""
        return self.experiment.rule


class Checkpoint(NamedTuple):
    """Where a run can go on from: a position (the step; for flows the index of the mark), the
    events that lie behind, their anchors, and the state."""

    position: int
    done: int
    anchors: tuple[PyTree, ...]
    state: State


class Timeline:
    """A run as it is laid out beforehand: its marks, the positions of its events, and the stage
    that follows each.

    `systems` are the landscapes of the stages, those that hold on to an event's parameters around
    the start's instead. `programs` are what a run has compiled here, {events that lie behind: (what
    is watched, marks of a block)}: a replay goes by them, and compiles nothing.
    """

    def __init__(self, start: Start):
        self.start = start
        self.events = tuple(sorted(start.experiment.events, key=lambda event: float(event.at)))
        self.flows = start.rule.flows
        times, steps = start.marks.times, start.marks.steps
        self.positions = np.arange(len(times)) if self.flows else np.asarray(steps, np.int64)
        self.event_positions = tuple(self._position(event) for event in self.events)
        self._sinces = [(0, 0.0)]
        self._experiments = [dataclasses.replace(start.experiment, events=())]
        self.marks = start.marks
        self.programs: dict[int, tuple[tuple[Instrument, ...], int]] = {}
        self.systems = [start.system]
        if self.events:
            self._check()

    @property
    def last(self) -> int:
        """The position where the run ends."""
        return int(self.positions[-1])

    def _position(self, event):
        who, at = type(event).__name__, float(event.at)
        if self.flows:
            times = self.start.marks.times
            mark = int(np.argmin(np.abs(times - at)))
            if abs(times[mark] - at) > 1e-9 * max(times[-1], 1e-300):
                raise refused(
                    who,
                    "the time of a mark, where flows can be changed",
                    f"{at:g}",
                    f"Choose {times[mark]:g}, or set the clock's marks",
                )
            return mark
        if not np.isfinite(at) or at != int(at) or at > self.last:
            raise refused(
                who, f"a whole step from 0 to {self.last}", f"{at:g}", "Choose a step of the run"
            )
        return int(at)

    def _check(self):
        stage, state = self.begin(), self.start.state
        for event in self.events:
            event.check(stage.system, stage.rule, state)
            stage = self._next(stage, state)
            state = self._refitted(stage, state)
            self._sinces.append(stage.since)
            self.systems.append(stage.system)
        if not self.flows:
            times = np.array([self.time_at(position) for position in self.positions])
            self.marks = Marks(times, self.start.marks.steps, self.start.marks.note)

    def time_at(self, position: int) -> float:
        """The time at a position."""
        if self.flows:
            return float(self.marks.times[position])
        index = sum(at <= position for at in self.event_positions)
        step, time = self._sinces[index]
        return time + float(self.experiment_after(index).rule.elapsed(position, step))

    def begin(self) -> Stage:
        """The stage before the first event."""
        return Stage(self._experiments[0], self.start.system, None, (0, 0.0))

    def end_of(self, stage: Stage) -> int:
        """The position at which a stage ends: of the next event, or of the run's end."""
        return self.event_positions[stage.done] if stage.done < len(self.events) else self.last

    def enter(self, stage: Stage, state: State) -> tuple[Stage, State]:
        """The stage after the next event, and the state it goes on from."""
        event = self.events[stage.done]
        after = self._next(stage, state)
        changed = event.state(stage.system, stage.rule, stage.frozen, state)
        return after, self._refitted(after, given_by(event, "state", State, changed))

    def resumed(self, checkpoint: Checkpoint) -> Stage:
        """The stage in which a checkpoint was taken."""
        stage, anchors = self.begin(), iter(checkpoint.anchors)
        for event in self.events[: checkpoint.done]:
            params = next(anchors) if event.anchored else self.start.state.params
            stage = self._next(stage, dataclasses.replace(self.start.state, params=params))
        return stage

    def state_like(self, done: int) -> State:
        """A state of the shape it has after so many events."""
        rule, first = self.experiment_after(done).rule, self.start.state
        memory = trees.cast(rule, jax.tree.leaves(first.params)[0].dtype).init(first.params)
        return State(first.params, memory, first.step, first.time, first.key)

    def later(self) -> list[Start]:
        """For every event a start of the shape of what goes on behind it: its landscape, its
        rule and a state for both."""
        each = enumerate(self.systems[1:], 1)
        return [
            dataclasses.replace(
                self.start,
                experiment=self.experiment_after(done),
                system=system,
                state=self.state_like(done),
            )
            for done, system in each
        ]

    def experiment_after(self, done: int) -> Experiment:
        """The experiment in force after so many events."""
        while len(self._experiments) <= done:
            event, before = self.events[len(self._experiments) - 1], self._experiments[-1]
            after = given_by(event, "experiment", Experiment, event.experiment(before))
            self._experiments.append(after)
        return self._experiments[done]

    def _next(self, stage, state):
        event, done = self.events[stage.done], stage.done + 1
        experiment = self.experiment_after(done)
        anchors = (*stage.anchors, state.params) if event.anchored else stage.anchors
        touched = type(event).data is not Intervention.data or landscape_of(
            experiment
        ) != landscape_of(stage.experiment)
        system = (
            self._landscape(experiment, done, anchors)
            if touched
            else given_by(event, "system", System, event.system(stage.system, state.params))
        )
        if experiment.rule is not stage.experiment.rule:
            experiment.rule.check(system)
        still = event.frozen(stage.frozen or Frozen(), state)
        frozen = given_by(event, "frozen", Frozen, Frozen() if still is None else still)
        since, position = stage.since, self.event_positions[done - 1]
        if not self.flows and not _paced_alike(experiment.rule, stage.rule):
            since = (position, since[1] + float(stage.rule.elapsed(position, since[0])))
        return Stage(experiment, system, frozen if frozen else None, since, done, anchors)

    def _landscape(self, experiment, done, anchors):
        drawn = prepare(experiment).data
        for event in self.events[:done]:
            drawn = given_by(event, "data", Drawn, event.data(drawn))
        start, anchors = prepare(experiment, data=drawn), iter(anchors)
        if drawn.spaces != self.start.data.spaces:
            before, got = (one.said_of_spaces for one in (self.start.data, drawn))
            raise refused(
                "The event", f"data of {before}, as before", got, "Choose data of the same shape"
            )
        system = dataclasses.replace(
            start.system, architecture=self.start.system.architecture
        )  # anchored where the run began
        for event in self.events[:done]:
            anchor = next(anchors) if event.anchored else self.start.state.params
            system = given_by(event, "system", System, event.system(system, anchor))
        return system

    def _refitted(self, stage, state):
        fresh, before = (
            self.state_like(stage.done).memory,
            self.experiment_after(stage.done - 1).rule,
        )
        if type(stage.rule) is type(before) and trees.alike(fresh, state.memory):
            return state
        return State(state.params, fresh, state.step, state.time, state.key)

    def segment(self, stage: Stage, position: int, end: int, mark: int, size: int) -> Segment:
        """The next segment of the run from `position` towards `end`, cut where it holds more than
        `size` marks, of which `mark` is the first; the run's last mark belongs to its last
        stage."""
        over = end == self.last and stage.done == len(self.events)
        stop = len(self.positions) if over else int(np.searchsorted(self.positions, end))
        if stop - mark > size:
            stop = mark + size
            end = int(self.positions[stop])
        if not self.flows:
            return stepped(position, end, self.positions[mark:stop], size, mark)
        spans = np.diff(self.marks.times[mark : stop + 1])
        return flowed(np.append(spans, np.zeros(stop - mark - len(spans))), end, size, mark)

    def segment_to(self, position: int, end: int, read: bool, size: int) -> Segment:
        """The segment from a position to another that is only passed through, or `read` there.

        A flow has a mark at every position on the way and goes over at most `size` of them, so that
        its solver begins anew where it did in the run.
        """
        if not self.flows:
            return stepped(position, end, np.full(int(read), end), 1)
        stop = min(end, position + size)
        spans = np.diff(self.marks.times[position : stop + 1])
        return flowed(np.append(spans, np.zeros(int(read and stop == end))), stop, size + 1)

    def march(
        self,
        stage: Stage,
        state: State,
        watch: tuple[Instrument, ...],
        segment: Segment,
        until: Until | None = None,
        program: Callable[..., Walked] = march,
    ) -> Walked:
        """Walk over a segment of a stage, by a `program` of one's own where its compiling is to be
        measured."""
        since = np.asarray(stage.since[0], np.int64), np.asarray(stage.since[1], np.float64)
        return program(
            stage.system,
            stage.rule,
            state,
            self.start.state.params,
            watch,
            segment,
            until,
            since=since,
            frozen=stage.frozen,
        )


def _paced_alike(one, other):
    return float(one.rate) == float(other.rate) and bool(
        eqx.tree_equal(one.schedule, other.schedule)
    )
