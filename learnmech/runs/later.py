"""A run folder that is made when something is first written to it, so that what is looked at need
not wait for the disk."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from learnmech.march.timeline import Checkpoint, Timeline
from learnmech.record.checkpoints import InMemory
from learnmech.record.writing import Writer


class Later:
    """Stands for the writer of a new run folder. To make one takes a tenth of a second, as a
    twentieth of a second passes from a dial to the first numbers of a run in memory."""

    def __init__(self, folder: str | Path, make: Callable[[], Writer]):
        self.folder, self._make = Path(folder), make
        self._stack = contextlib.ExitStack()
        self._writer: Writer | None = None
        self.kept = _Held(self)

    def __enter__(self) -> "Later":
        self._stack.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        self._stack.__exit__(*about)

    @property
    def made(self) -> Writer | None:
        """The writer, where the folder is there already."""
        return self._writer

    @property
    def writer(self) -> Writer:
        """The writer; the folder is made, with the checkpoints that waited for it."""
        if self._writer is None:
            made = self._writer = self._stack.enter_context(self._make())
            for key in InMemory.positions(self.kept):
                checkpoint = self.kept.held(key)
                if key not in made.kept.positions() and checkpoint is not None:
                    made.kept.keep(checkpoint)
        return self._writer

    def append(self, first: int, readings: dict, reached: int) -> None:
        """As of a writer."""
        self.writer.append(first, readings, reached)

    def committed_values(self, name: str, mark: int) -> np.ndarray:
        """Nothing was committed before."""
        return np.zeros(0)

    def finish(self, *given: Any, **said: Any) -> None:
        """As of a writer."""
        self.writer.finish(*given, **said)


class _Held(InMemory):
    """Checkpoints in memory until the folder is there."""

    def __init__(self, later: Later):
        super().__init__()
        self._later = later

    def held(self, key: tuple[int, int]) -> Checkpoint | None:
        """One that is in memory."""
        return self._kept.get(key)

    def positions(self) -> list[tuple[int, int]]:
        """(position, events behind) of every checkpoint, in order."""
        made = self._later.made
        return super().positions() if made is None else made.kept.positions()

    def read(self, key: tuple[int, int], timeline: Timeline) -> Checkpoint | None:
        """The checkpoint there."""
        made = self._later.made
        return super().read(key, timeline) if made is None else made.kept.read(key, timeline)

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keep one."""
        made = self._later.made
        if made is None:
            super().keep(checkpoint)
        else:
            made.kept.keep(checkpoint)
