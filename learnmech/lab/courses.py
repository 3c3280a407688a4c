"""Courses: what was read along a run, while it is being made and after, and from where any state of
it is replayed."""

import threading
from typing import NamedTuple

import jax
import numpy as np

from learnmech.instruments.base import Instrument
from learnmech.march.timeline import Checkpoint, Timeline
from learnmech.march.watching import shapes_in
from learnmech.record.base import Record, due_marks
from learnmech.record.checkpoints import InMemory
from learnmech.runs.blocks import Block
from learnmech.runs.sinks import Memory

KEPT_BYTES = 128 * 2**20
"""Bytes of checkpoints that a branch holds, before every second of them is dropped."""
KEPT_MOST = 2048


class Readings(NamedTuple):
    """What was read of one quantity: the row r stands at the mark first + r * every."""

    every: int
    first: int
    values: np.ndarray

    @property
    def marks(self) -> np.ndarray:
        """The mark of each row."""
        return self.first + self.every * np.arange(len(self.values))


class Course:
    """The readings of a run in arrays that fill as it goes."""

    def __init__(self, timeline: Timeline, watch: tuple[Instrument, ...], first: int = 0):
        self.first, self.reached = first, first
        self.shapes = shapes_in(timeline.start, watch)
        self.memory = Memory(timeline, self.shapes, first)
        self.names = {name: every for every, group in self.shapes.items() for name in group}

    @classmethod
    def of(cls, record: Record) -> "Course":
        """What a record holds."""
        made = cls.__new__(cls)
        made.first, made.reached, made.shapes = record.first, record.reached, {}
        made.memory = Memory.__new__(Memory)
        made.memory.first = record.first
        made.memory.arrays = {
            every: {str(name): table[name].values for name in table.data_vars}
            for every, table in record.tables.items()
        }
        made.names = {name: every for every, group in made.memory.arrays.items() for name in group}
        return made

    def take(self, block: Block) -> None:
        """Copy what a block has read."""
        self.memory.take(block)
        self.reached = block.progress.reached

    def fill(self, before: "Course") -> None:
        """Begin with what was read before."""
        self.reached = before.reached
        for every, group in before.all().items():
            for name, values in group.items():
                self.memory.arrays[every][name][: len(values)] = values

    def readings(self, name: str) -> Readings:
        """What was read of a quantity so far, (rows, *its shape)."""
        every = self.names[name]
        rows = len(due_marks(every, self.first, self.reached))
        begin = -(-self.first // every) * every
        return Readings(every, begin, self.memory.arrays[every][name][:rows])

    def all(self) -> dict[int, dict[str, np.ndarray]]:
        """{every: {quantity: what was read so far}}."""
        return self.memory.readings(self.reached)


class Kept(InMemory):
    """Checkpoints in memory, the closer together the fewer there are: at so many positions apart as
    keep them within a budget, all of them where something happened."""

    def __init__(self, budget: int = KEPT_BYTES):
        super().__init__()
        self.budget, self.apart, self._lock = budget, 1, threading.Lock()
        self._last: Checkpoint | None = None

    def positions(self) -> list[tuple[int, int]]:
        """(position, events behind) of every checkpoint, in order."""
        with self._lock:
            return super().positions()

    def see(self, checkpoint: Checkpoint) -> None:
        """Keep one where it is due."""
        last = self._last
        if (
            last is None
            or checkpoint.done != last.done
            or checkpoint.position - last.position >= self.apart
        ):
            self._last = checkpoint
            with self._lock:
                self.keep(checkpoint)
                self._thin(checkpoint)

    def _thin(self, checkpoint):
        size = max(sum(leaf.nbytes for leaf in jax.tree.leaves(checkpoint.state)), 1)
        most = min(max(self.budget // size, 8), KEPT_MOST)
        if len(self._kept) <= most:
            return
        found = sorted(self._kept)
        begins = {found[0], found[-1]}
        begins |= {two for one, two in zip(found, found[1:], strict=False) if one[1] != two[1]}
        for index, key in enumerate(found):
            if index % 2 and key not in begins:
                del self._kept[key]
        self.apart = max(2 * self.apart, (found[-1][0] - found[0][0]) // most)
