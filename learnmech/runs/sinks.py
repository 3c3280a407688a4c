"""Sinks: where the blocks of a run go while it is made: memory, a run folder, checkpoints, a
progress bar, and whatever a user gives."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from learnmech.march.timeline import Checkpoint, Timeline
from learnmech.record.base import due_marks
from learnmech.record.checkpoints import InMemory, OnDisk, Schedule
from learnmech.record.writing import Writer
from learnmech.runs.blocks import Block, Pace, Progress, Wish
from learnmech.runs.later import Later


class Sink(Protocol):
    """What is given every block of a run as soon as it is whole, in their order.

    One that has `wish(position) -> Wish` is asked before each block how long it should be, and may
    make the run wait by not answering yet. One that has `begin(timeline, watch, made, flush)` is
    told what is run, and its provenance, before the first block; `flush()`, called by it while it
    makes the run wait, writes what waits to be written.
    """

    def take(self, block: Block) -> None:
        """Do with it what is to be done. What this raises ends the run; a run folder keeps what
        was committed, and can be resumed."""


def pace_of(sinks: Iterable[Sink]) -> Pace | None:
    """What the sinks wish of the next block: the shortest; None where none of them wishes."""
    wishes = [wish for sink in sinks if (wish := getattr(sink, "wish", None)) is not None]
    if not wishes:
        return None

    def pace(position: int) -> Wish:
        said = [wish(position) for wish in wishes]
        bounds = [one.most for one in said if one.most is not None]
        return Wish(min(one.seconds for one in said), min(bounds, default=None))

    return pace


class Stopped(BaseException):
    """Raised by a sink that ends its run, as Ctrl-C does: what is whole is kept."""


class Stop:
    """A sink that ends its run behind the next block once it was asked to, from any thread."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def ask(self) -> None:
        """End the run soon."""
        self.asked.set()

    def take(self, block: Block) -> None:
        """Stop, if that was asked for; behind a block of no marks, as of an event, at the next."""
        if self.asked.is_set() and block.progress.reached > block.first:
            raise Stopped


class Told:
    """A function that is told after each block how far the run is."""

    def __init__(self, progress: Callable[[Progress], None]):
        self.progress = progress

    def take(self, block: Block) -> None:
        """Tell it."""
        self.progress(block.progress)


class Memory:
    """Readings in arrays made once, from the count of marks, into which blocks are copied.

    To keep the blocks and join them at the end took a third of a run of 100,000 steps that recorded
    every weight.
    """

    def __init__(self, timeline: Timeline, shapes: dict, first: int):
        self.first = first
        rows = {every: len(due_marks(every, first, len(timeline.positions))) for every in shapes}
        # pages that no block reaches, of a run that stops early, are never asked of the system
        self.arrays = {
            every: {name: np.empty((rows[every], *s.shape), s.dtype) for name, s in group.items()}
            for every, group in shapes.items()
        }

    def take(self, block: Block) -> None:
        """Copy what a block has read."""
        for every, values in block.readings.items():
            at = len(due_marks(every, self.first, block.first))
            for name, value in values.items():
                self.arrays[every][name][at : at + len(value)] = value

    def flush(self) -> None:
        """Nothing waits."""

    def readings(self, reached: int) -> dict[int, dict[str, np.ndarray]]:
        """What was read up to a mark, that left out."""
        rows = {every: len(due_marks(every, self.first, reached)) for every in self.arrays}
        return {
            every: {name: array[: rows[every]] for name, array in group.items()}
            for every, group in self.arrays.items()
        }


class Folder:
    """A run folder: a block is committed when it is whole; short ones together, once `patience`
    seconds have passed.

    To commit one takes some milliseconds, a good part of a block that is made for a screen's next
    picture.
    """

    def __init__(self, writer: Writer | Later, patience: float = 0.0):
        self.writer, self.patience = writer, patience
        self.held: list[Block] = []
        self._since = time.perf_counter()

    def take(self, block: Block) -> None:
        """Write what a block has read, or hold it for a while."""
        self.held.append(block)
        if time.perf_counter() - self._since >= self.patience:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if not self.held:
            return
        parts: dict[int, dict[str, list[np.ndarray]]] = {}
        for block in self.held:
            for every, values in block.readings.items():
                for name, value in values.items():
                    parts.setdefault(every, {}).setdefault(name, []).append(value)
        readings = {
            every: {
                name: found[0] if len(found) == 1 else np.concatenate(found)
                for name, found in group.items()
            }
            for every, group in parts.items()
        }
        self.writer.append(self.held[0].first, readings, self.held[-1].progress.reached)
        self.held, self._since = [], time.perf_counter()


class Losses:
    """The training loss at every mark, where it is watched, from what was committed before on."""

    def __init__(self, before: np.ndarray):
        self.parts = [before]

    def take(self, block: Block) -> None:
        """Keep the losses of a block."""
        self.parts += [
            np.asarray(values["loss"], float)
            for values in block.readings.values()
            if "loss" in values and np.ndim(values["loss"]) == 1
        ]

    @property
    def values(self) -> np.ndarray:
        """All of them."""
        return np.concatenate(self.parts)


class Checkpoints:
    """Where the run can go on from, as often as its budget allows, and at its end."""

    def __init__(self, timeline: Timeline, schedule: Schedule, kept: InMemory | OnDisk):
        self.timeline, self.schedule, self.kept = timeline, schedule, kept

    def take(self, block: Block) -> None:
        """Keep the checkpoint of a block, if it is time."""
        over = block.halted or block.progress.reached == len(self.timeline.positions)
        self.schedule.keep(block.checkpoint, over, self.kept)

    def begin(self, checkpoint: Checkpoint) -> None:
        """Keep the one from which the run goes on."""
        self.kept.keep(checkpoint)
