"""Pace: what a run takes, measured in place by a few steps and one reading of its own compiled
program."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from learnmech.experiment.recipe import Experiment, Start, given, prepare
from learnmech.instruments.base import Instrument
from learnmech.march.loop import march
from learnmech.march.segments import Segment, flowed, stepped, without_marks
from learnmech.march.timeline import Timeline
from learnmech.march.watching import watched
from learnmech.record.base import due_marks
from learnmech.record.checkpoints import BUDGET
from learnmech.runs.blocks import block_size, parse_until
from learnmech.runs.estimates import Estimate, room

# A measurement goes on for at least so long, so that a clock's grain and a busy machine do not
# decide it.
LEAST, REPEATS = 0.1, 3


class Pace(NamedTuple):
    """Seconds: of compiling the program, of one step (for flows of the span from a mark to the
    next), and {every: of one reading of that cadence}."""

    compiling: float
    step: float
    readings: dict[int, float]

    def parts(self, timeline: Timeline, first: int = 0) -> dict[str, float]:
        """What the whole run takes from mark `first` on, part by part."""
        marks, left = len(timeline.positions), 1 - first / len(timeline.positions)
        turns = (marks - 1 if timeline.flows else timeline.last) * left
        read = sum(
            cost * len(due_marks(every, first, marks)) for every, cost in self.readings.items()
        )
        # a stage after an event has a landscape or a rule of its own, and is compiled for itself
        return {
            "compiling": self.compiling * (1 + len(timeline.events)),
            "steps": self.step * turns,
            "instruments": read,
        }


class _Program:
    """The compiled march of a run's first stage, for segments of one size."""

    def __init__(
        self, timeline: Timeline, watch: tuple[Instrument, ...], until: str | None, own: bool
    ):
        self.timeline, self.watch = timeline, watch
        self.size = block_size(timeline, watch)
        self.until = parse_until(until, watch, timeline.start) if until else None
        # a function of its own is compiled anew, as in a process that has not run it yet
        compiled: Any = march
        self.march = (
            eqx.filter_jit(lambda *how, **named: compiled.__wrapped__(*how, **named))
            if own
            else march
        )

    def nothing(self) -> Segment:
        """A segment that goes nowhere and reads nothing."""
        return (
            flowed(np.zeros(0), 0, self.size)
            if self.timeline.flows
            else without_marks(0, 0, self.size)
        )

    def one_mark(self, index: int) -> Segment:
        """A segment that reads where it stands, as at the mark of that index, and goes nowhere."""
        if self.timeline.flows:
            return flowed(np.zeros(1), 0, self.size, index)
        return stepped(0, 0, np.zeros(1, np.int64), self.size, index)

    def seconds(self, segment: Segment) -> float:
        """How long one segment takes."""
        timeline = self.timeline
        stage, state = timeline.begin(), timeline.start.state
        began = time.perf_counter()
        walked = timeline.march(stage, state, self.watch, segment, self.until, self.march)
        jax.block_until_ready(walked.reached)
        return time.perf_counter() - began

    def best(self, segment: Segment) -> float:
        """The quickest of a few: what else the machine does only adds to it. Once where it takes
        long."""
        quickest = self.seconds(segment)
        for _ in range(REPEATS - 1):
            if quickest < 1:
                quickest = min(quickest, self.seconds(segment))
        return quickest


def measured(
    timeline: Timeline, watch: tuple[Instrument, ...], until: str | None = None, own: bool = False
) -> Pace:
    """The pace of a run, from its start on: compile, take a few steps, read once. No state of the
    run is touched.

    `own`: by a program compiled for this alone, so that what compiling takes is seen although a run
    has paid for it before.
    """
    program = _Program(timeline, watch, until, own)
    nothing, one_mark = program.nothing(), program.one_mark
    compiling = program.seconds(nothing)
    idle = program.best(nothing)
    step = _flown(program, idle) if timeline.flows else _stepped(program, idle)
    readings: dict[int, float] = {}
    for every in sorted({one.every for one in watch}):
        # at mark `every` what reads there are the cadences that divide it
        spent = program.best(one_mark(every)) - idle - (0.0 if timeline.flows else step)
        known = sum(cost for other, cost in readings.items() if every % other == 0)
        readings[every] = max(spent - known, 0.0)
    if timeline.flows and readings:  # spans were measured with what reads at every mark
        step = max(step - readings.get(1, 0.0), 0.0)
    return Pace(max(compiling - idle, 0.0), step, readings)


def _stepped(program, idle) -> float:
    """Seconds of a step: as many as take a tenth of a second, at most all."""
    steps, last = min(8, program.timeline.last), program.timeline.last
    if not steps:
        return 0.0
    while True:
        spent = program.seconds(without_marks(0, steps, program.size)) - idle
        if spent >= LEAST or steps == last:
            return max(spent, 0.0) / steps
        steps = int(min(last, max(2 * steps, steps * 1.5 * LEAST / max(spent, LEAST / 50))))


def _flown(program, idle) -> float:
    """Seconds of the spans between marks, over the first of them: the work is in where the flow
    is steep, which is seldom only there."""
    gaps = np.diff(program.timeline.marks.times)
    if not len(gaps):
        return 0.0
    count, most = 1, min(len(gaps), program.size)
    while True:
        spent = program.seconds(flowed(gaps[:count], count, program.size, first=1)) - idle
        if spent >= LEAST or count == most:
            return max(spent, 0.0) / count
        count = int(min(most, max(2 * count, count * 1.5 * LEAST / max(spent, LEAST / 50))))


def estimate(
    experiment: Experiment | Start | Timeline | str | Path,
    watch: tuple[Instrument | str, ...] | None = None,
    budget: int = BUDGET,
    until: str | None = None,
) -> Estimate:
    """What a run that watches this takes in time and space.

    The time is measured: the run's own program is compiled, takes a few steps from the start and
    reads once, which costs about one compilation and one reading. It holds for this machine as busy
    as it is now, and for steps, readings and spans of a flow like the first ones.
    """
    if isinstance(experiment, Timeline):
        timeline = experiment
    else:
        meant, watch = given(experiment, watch)
        timeline = Timeline(prepare(meant))
    watch = watched(watch, timeline.start, timeline.later())
    parts = measured(timeline, watch, until, own=True).parts(timeline)
    return Estimate(sum(parts.values()), *room(timeline, watch, budget), tuple(parts.items()))
