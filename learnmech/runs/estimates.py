"""Estimates: what a run takes in time and space, before it is made, and whether there is room
for it."""

import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from learnmech.errors import refused
from learnmech.experiment.recipe import Start
from learnmech.instruments.base import Instrument
from learnmech.machine.memory import free_memory, said
from learnmech.march.timeline import Timeline
from learnmech.march.watching import mark_bytes, shapes_in
from learnmech.record.base import due_marks
from learnmech.record.checkpoints import BUDGET, interval, size_of

# What a step costs, roughly, on two cores, and how often a flow looks at its field between two
# marks.
STEP_SECONDS, FLOPS, FLOW_EVALUATIONS = 5e-6, 2e10, 20


class Estimate(NamedTuple):
    """What a run takes: seconds, bytes of its readings, of one mark's readings at most, and of
    its checkpoints at most; `parts` (name, seconds)."""

    seconds: float
    readings: int
    mark: int
    checkpoints: int
    parts: tuple[tuple[str, float], ...] = ()

    def __str__(self):
        named = in_parts(dict(self.parts))
        return (
            f"about {duration(self.seconds)}{named}; {said(self.readings)} of readings and at most"
            f" {said(self.checkpoints)} of checkpoints"
        )


def duration(seconds: float) -> str:
    """Seconds as a person says them: two digits, and minutes or hours where there are many."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 6000 else f"{seconds / 3600:.2g} h"


def in_parts(parts: dict[str, float]) -> str:
    """` (compiling 6 s, steps 4 s)`: what takes part in it, the rest left away where it is
    nothing."""
    whole = sum(parts.values())
    named = [
        f"{name} {duration(seconds)}"
        for name, seconds in parts.items()
        if seconds >= 0.01 * whole and seconds > 0
    ]
    return f" ({', '.join(named)})" if len(named) > 1 or (named and len(parts) > 1) else ""


def seconds_of(start: Start) -> float:
    """Seconds for all steps, by what a step costs roughly: from shapes alone, to cut a run into
    blocks (`pace` measures)."""
    seen = (
        start.system.train.X.shape[0]
        if start.system.reduced is None
        else start.system.train.X.shape[1]
    )
    per_step = (
        STEP_SECONDS
        + 6 * seen * sum(leaf.size for leaf in jax.tree.leaves(start.state.params)) / FLOPS
    )
    steps = (
        len(start.marks.times) * FLOW_EVALUATIONS
        if start.marks.steps is None
        else start.marks.steps[-1]
    )
    return float(steps * per_step)


def room(
    timeline: Timeline, watch: tuple[Instrument, ...], budget: int = BUDGET, first: int = 0
) -> tuple[int, int, int]:
    """Bytes (of all readings from mark `first` on, of one mark's at most, of checkpoints at
    most)."""
    shapes = shapes_in(timeline.start, watch)
    weights = {
        every: sum(int(np.prod(s.shape)) * s.dtype.itemsize for s in group.values())
        for every, group in shapes.items()
    }
    readings = sum(
        weight * len(due_marks(every, first, len(timeline.positions)))
        for every, weight in weights.items()
    )
    kept = min(
        (timeline.last // interval(timeline, budget) + len(timeline.events) + 1)
        * size_of(timeline),
        budget + (len(timeline.events) + 1) * size_of(timeline),
    )
    return readings, mark_bytes(timeline.start, watch), kept


def check_room(who: str, needed: int, folder: Path | None) -> None:
    """Refuse what does not fit on the disk of a folder, or into memory where there is none."""
    if folder is None:
        free, where = free_memory(), "of free memory"
        remedy = (
            "Watch seldomer (every), slices or reductions, take fewer marks, or write to a folder"
        )
    else:
        there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
        free, where = shutil.disk_usage(there).free, f"free on the disk of {folder}"
        remedy = "Watch seldomer (every), slices or reductions, or take fewer marks"
    if needed > 0.9 * free:
        raise refused(
            who,
            f"room for {said(needed)} of readings and checkpoints",
            f"{said(free)} {where}",
            remedy,
        )
