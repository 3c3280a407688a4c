"""Estimates: what a run takes in time and space, before it is made, and whether there is room for it."""

import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from learnmech.errors import refused
from learnmech.experiment import Experiment, Start, prepare
from learnmech.instruments.base import Instrument
from learnmech.memory import free_memory, said
from learnmech.record.base import due_marks
from learnmech.record.checkpoints import BUDGET, interval, size_of
from learnmech.stages import Course
from learnmech.watching import mark_bytes, shapes_in, watched

# What a step costs, roughly, on two cores, and how often a flow looks at its field between two marks.
STEP_SECONDS, FLOPS, FLOW_EVALUATIONS = 5e-6, 2e10, 20


class Estimate(NamedTuple):
    """What a run takes: seconds (roughly, without compiling), bytes of its readings, of one mark's readings at most, and of its checkpoints at most."""

    seconds: float
    readings: int
    mark: int
    checkpoints: int

    def __str__(self):
        return f"about {self.seconds:.2g} s; {said(self.readings)} of readings and at most {said(self.checkpoints)} of checkpoints"


def seconds_of(start: Start) -> float:
    """Seconds for all steps, by what a step costs roughly."""
    seen = start.system.train.X.shape[0] if start.system.reduced is None else start.system.train.X.shape[1]
    per_step = STEP_SECONDS + 6 * seen * sum(leaf.size for leaf in jax.tree.leaves(start.state.params)) / FLOPS
    steps = len(start.marks.times) * FLOW_EVALUATIONS if start.marks.steps is None else start.marks.steps[-1]
    return float(steps * per_step)


def estimate(experiment: Experiment | Start | Course, watch: tuple[Instrument | str, ...] | None = None, budget: int = BUDGET, first: int = 0) -> Estimate:
    """What a run that watches this takes; `first` is the first mark it reads."""
    course = experiment if isinstance(experiment, Course) else Course(experiment if isinstance(experiment, Start) else prepare(experiment))
    watch = watched(watch, course.start)
    shapes = shapes_in(course.start, watch)
    weights = {every: sum(int(np.prod(s.shape)) * s.dtype.itemsize for s in group.values()) for every, group in shapes.items()}
    mark = mark_bytes(course.start, watch)
    readings = sum(weight * len(due_marks(every, first, len(course.places))) for every, weight in weights.items())
    kept = min((course.last // interval(course, budget) + len(course.events) + 1) * size_of(course), budget + (len(course.events) + 1) * size_of(course))
    left = 1 - first / len(course.places)
    return Estimate(seconds_of(course.start) * left, readings, mark, kept)


def check_room(who: str, needed: int, folder: Path | None) -> None:
    """Refuse what does not fit on the disk of a folder, or into memory where there is none."""
    if folder is None:
        free, where = free_memory(), "of free memory"
        remedy = "Watch seldomer (every), slices or reductions, take fewer marks, or write to a folder"
    else:
        there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
        free, where = shutil.disk_usage(there).free, f"free on the disk of {folder}"
        remedy = "Watch seldomer (every), slices or reductions, or take fewer marks"
    if needed > 0.9 * free:
        raise refused(who, f"room for {said(needed)} of readings and checkpoints", f"{said(free)} {where}", remedy)
