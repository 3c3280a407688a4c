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
from learnmech.march.loop import march, way_of
from learnmech.march.stages import Course
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

    def parts(self, course: Course, first: int = 0) -> dict[str, float]:
        """What the whole run takes from mark `first` on, part by part."""
        marks, left = len(course.places), 1 - first / len(course.places)
        turns = (marks - 1 if course.flows else course.last) * left
        read = sum(
            cost * len(due_marks(every, first, marks)) for every, cost in self.readings.items()
        )
        # a stage after an event has a landscape or a rule of its own, and is compiled for itself
        return {
            "compiling": self.compiling * (1 + len(course.events)),
            "steps": self.step * turns,
            "instruments": read,
        }


class _Program:
    """The compiled march of a run's first stage, for stretches of one size."""

    def __init__(self, course: Course, watch: tuple[Instrument, ...], until: str | None, own: bool):
        self.course, self.watch = course, watch
        self.size = block_size(course, watch)
        self.until = parse_until(until, watch, course.start) if until else None
        # a function of its own is compiled anew, as in a process that has not run it yet
        compiled: Any = march
        self.march = (
            eqx.filter_jit(lambda *how, **named: compiled.__wrapped__(*how, **named))
            if own
            else march
        )

    def seconds(self, gaps: np.ndarray, first: int = 0, lead: int = 0) -> float:
        """How long one stretch takes."""
        course, start = self.course, self.course.start
        stage = course.begin()
        way = way_of(
            np.concatenate([gaps, np.full(self.size - len(gaps), -1, gaps.dtype)]),
            course.flows,
            first,
            lead,
        )
        since = np.asarray(stage.since[0], np.int64), np.asarray(stage.since[1], np.float64)
        began = time.perf_counter()
        block = self.march(
            stage.system,
            stage.rule,
            start.state,
            start.state.params,
            self.watch,
            way,
            self.until,
            since=since,
            frozen=stage.frozen,
        )
        jax.block_until_ready(block.reached)
        return time.perf_counter() - began

    def best(self, *how, **named) -> float:
        """The quickest of a few: what else the machine does only adds to it. Once where it takes
        long."""
        quickest = self.seconds(*how, **named)
        for _ in range(REPEATS - 1):
            if quickest < 1:
                quickest = min(quickest, self.seconds(*how, **named))
        return quickest


def measured(
    course: Course, watch: tuple[Instrument, ...], until: str | None = None, own: bool = False
) -> Pace:
    """The pace of a run, from its start on: compile, take a few steps, read once. No state of the
    run is touched.

    `own`: by a program compiled for this alone, so that what compiling takes is seen although a run
    has paid for it before.
    """
    program = _Program(course, watch, until, own)
    kind = float if course.flows else np.int64
    nothing = np.zeros(0, kind)
    compiling = program.seconds(nothing)
    idle = program.best(nothing)
    step = _flown(program, idle) if course.flows else _stepped(program, nothing, idle)
    readings: dict[int, float] = {}
    last = np.zeros(1, kind)
    for every in sorted({one.every for one in watch}):
        # at mark `every` what reads there are the cadences that divide it
        spent = program.best(last, first=every) - idle - (0.0 if course.flows else step)
        known = sum(cost for other, cost in readings.items() if every % other == 0)
        readings[every] = max(spent - known, 0.0)
    if course.flows and readings:  # spans were measured with what reads at every mark
        step = max(step - readings.get(1, 0.0), 0.0)
    return Pace(max(compiling - idle, 0.0), step, readings)


def _stepped(program, nothing, idle) -> float:
    """Seconds of a step: as many as take a tenth of a second, at most all."""
    steps, last = min(8, program.course.last), program.course.last
    if not steps:
        return 0.0
    while True:
        spent = program.seconds(nothing, lead=steps) - idle
        if spent >= LEAST or steps == last:
            return max(spent, 0.0) / steps
        steps = int(min(last, max(2 * steps, steps * 1.5 * LEAST / max(spent, LEAST / 50))))


def _flown(program, idle) -> float:
    """Seconds of the spans between marks, over the first of them: the work is in where the flow
    is steep, which is seldom only there."""
    gaps = np.diff(program.course.marks.times)
    if not len(gaps):
        return 0.0
    count, most = 1, min(len(gaps), program.size)
    while True:
        spent = program.seconds(gaps[:count], first=1) - idle
        if spent >= LEAST or count == most:
            return max(spent, 0.0) / count
        count = int(min(most, max(2 * count, count * 1.5 * LEAST / max(spent, LEAST / 50))))


def estimate(
    experiment: Experiment | Start | Course | str | Path,
    watch: tuple[Instrument | str, ...] | None = None,
    budget: int = BUDGET,
    until: str | None = None,
) -> Estimate:
    """What a run that watches this takes in time and space.

    The time is measured: the run's own program is compiled, takes a few steps from the start and
    reads once, which costs about one compilation and one reading. It holds for this machine as busy
    as it is now, and for steps, readings and spans of a flow like the first ones.
    """
    if isinstance(experiment, Course):
        course = experiment
    else:
        meant, watch = given(experiment, watch)
        course = Course(prepare(meant))
    watch = watched(watch, course.start, course.later())
    parts = measured(course, watch, until, own=True).parts(course)
    return Estimate(sum(parts.values()), *room(course, watch, budget), tuple(parts.items()))
