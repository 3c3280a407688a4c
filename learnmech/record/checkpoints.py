"""Checkpoints: where a run can be taken up again, when one is kept, and how it is written."""

import io
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from learnmech.language import trees
from learnmech.march.timeline import Checkpoint, Timeline
from learnmech.record import bounds, sealed

BUDGET = 2**30
# One checkpoint is kept after twenty times the time it takes to keep one has passed: at most 5% of
# a run.
PATIENCE = 20


def size_of(timeline: Timeline) -> int:
    """Bytes of one checkpoint."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(timeline.start.state))


def interval(timeline: Timeline, budget: int = BUDGET) -> int:
    """Positions between checkpoints: about sqrt(all), or as many more as keep them within the
    budget."""
    return max(
        1, math.isqrt(timeline.last), -(-timeline.last * size_of(timeline) // max(budget, 1))
    )


def packed(checkpoint: Checkpoint, run: str = "") -> bytes:
    """The checkpoint as an npz file, which says of which run it is."""
    held = trees.leaves_by_path(
        {
            "state": _leaves(checkpoint.state),
            "anchors": {str(i): _leaves(a) for i, a in enumerate(checkpoint.anchors)},
        }
    )
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(leaf) for name, leaf in held.items()}
    np.savez(buffer, run=run, place=checkpoint.position, done=checkpoint.done, **arrays)
    return buffer.getvalue()


def _leaves(tree):
    return {str(index): leaf for index, leaf in enumerate(jax.tree.leaves(tree))}


def unpacked(stored: bytes, timeline: Timeline, run: str = "") -> Checkpoint | None:
    """The checkpoint in an npz file of this run; None where it is that of another run."""
    with np.load(io.BytesIO(stored), allow_pickle=False) as file:
        if "run" in file.files and str(file["run"]) != run:  # those of 0.4 do not say
            return None
        done = int(file["done"])
        like = timeline.state_like(done)
        state = _filled(like, "state", file)
        count = len({name.split(".")[1] for name in file.files if name.startswith("anchors.")})
        anchors = tuple(_filled(like.params, f"anchors.{i}", file) for i in range(count))
        return Checkpoint(int(file["place"]), done, anchors, state)


def _filled(like, prefix, file):
    leaves, structure = jax.tree.flatten(like)
    return jax.tree.unflatten(
        structure, [file[f"{prefix}.{index}"] for index in range(len(leaves))]
    )


class InMemory:
    """Checkpoints kept in memory."""

    def __init__(self):
        self._kept: dict[tuple[int, int], Checkpoint] = {}

    def positions(self) -> list[tuple[int, int]]:
        """(position, events behind) of every checkpoint, in order."""
        return sorted(self._kept)

    def read(self, key: tuple[int, int], timeline: Timeline) -> Checkpoint | None:
        """The checkpoint there."""
        return self._kept.get(key)

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keep one."""
        self._kept[checkpoint.position, checkpoint.done] = checkpoint


class OnDisk:
    """Checkpoints as files `position-done-crc32.npz` of a folder; one whose bytes are not those its
    name says, or which is that of another `run`, is as if it were not there."""

    def __init__(self, folder: Path, run: str = ""):
        self.folder, self.run = folder, run

    def _files(self):
        found = {}
        for file in self.folder.glob("*-*-*.npz"):
            position, done, crc = file.stem.split("-", 2)
            if position.isdecimal() and done.isdecimal() and len(position + done) < 30:
                found[int(position), int(done)] = file, crc
        return found

    def positions(self) -> list[tuple[int, int]]:
        """(position, events behind) of every checkpoint, in order."""
        return sorted(self._files())

    def read(self, key: tuple[int, int], timeline: Timeline) -> Checkpoint | None:
        """The checkpoint there, None where it is damaged."""
        file, crc = self._files().get(key, (None, ""))
        try:
            if file is None or not file.is_file():
                return None
            stored = file.read_bytes()
            if f"{zlib.crc32(stored):08x}" != crc:
                return None
            checkpoint = unpacked(stored, timeline, self.run)
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile):
            return None  # whole, and yet none of this run
        return (
            checkpoint
            if checkpoint is not None and (checkpoint.position, checkpoint.done) == key
            else None
        )

    def keep(self, checkpoint: Checkpoint) -> None:
        """Write one; it is there whole or not at all."""
        stored = packed(checkpoint, self.run)
        bounds.inside(self.folder.parent, self.folder.name).mkdir(exist_ok=True)
        sealed.put(
            self.folder,
            f"{checkpoint.position}-{checkpoint.done}-{zlib.crc32(stored):08x}.npz",
            stored,
        )
        sealed.bring_all([self.folder, self.folder.parent])


def nearest(
    kept: InMemory | OnDisk, position: int, done: int, timeline: Timeline
) -> Checkpoint | None:
    """The last whole checkpoint at or before a position, with at most so many events behind."""
    for key in reversed([key for key in kept.positions() if key[0] <= position and key[1] <= done]):
        checkpoint = kept.read(key, timeline)
        if checkpoint is not None:
            return checkpoint
    return None


class Schedule:
    """Which checkpoints of a run are kept: at its events and its end, and between them every
    `interval` positions or seldomer where keeping takes long."""

    def __init__(self, timeline: Timeline, budget: int, clock: Callable[[], float]):
        self.timeline, self.clock, self.interval = timeline, clock, interval(timeline, budget)
        self._position, self._done, self._wait, self._since = 0, 0, 0.0, clock()

    def keep(self, checkpoint: Checkpoint, ends: bool, kept: InMemory | OnDisk) -> bool:
        """Keep this one where it is due, and say whether it was."""
        due = (
            checkpoint.position - self._position >= self.interval
            and self.clock() - self._since >= self._wait
        )
        if not (due or ends or checkpoint.done != self._done):
            return False
        began = self.clock()
        kept.keep(checkpoint)
        now = self.clock()
        self._position, self._done, self._wait, self._since = (
            checkpoint.position,
            checkpoint.done,
            PATIENCE * (now - began),
            now,
        )
        return True
