"""Writing a run folder: chunk by chunk while the run goes on, and whole after every one of them."""

import io
import json
import shutil
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from learnmech.instruments.base import Instrument
from learnmech.language import guests, text
from learnmech.march.timeline import Checkpoint, Timeline
from learnmech.record import identity, sealed
from learnmech.record.base import Record, due_marks, quantities_of
from learnmech.record.bounds import check_own
from learnmech.record.checkpoints import PATIENCE, OnDisk
from learnmech.record.folder import FORMAT, Found, committed, progress_of, run_of
from learnmech.record.locks import lock
from learnmech.record.tables import Table, broken_chunks, read_table

# Seconds until a run's commits are first brought to the disk, before it is known how long that
# takes.
FIRST_WAIT = 0.5


class Writer:
    """A run folder being written, under its lock: `with Writer.create(...) as writer:` or, to
    go on with one, `Writer(...)`."""

    def __init__(self, folder: Path, said: dict, timeline: Timeline, watch: tuple[Instrument, ...]):
        self.folder, self.said, self.timeline, self.watch = folder, said, timeline, watch
        self.kept = OnDisk(folder / "checkpoints", run_of(said))
        self.progress = progress_of(folder, said)
        self._began, self._before = time.perf_counter(), self.progress["wall_seconds"]
        self._tables: dict[int, Table] = {}
        self._fresh: list[Path] = []
        self._lasts, self._wait = self._began, FIRST_WAIT

    @classmethod
    def create(
        cls,
        folder: str | Path,
        timeline: Timeline,
        watch: tuple[Instrument, ...],
        shapes: dict,
        provenance: dict,
        until: str | None,
        first: int = 0,
        block: int = 1,
        keep_data: bool | None = None,
        after: Checkpoint | None = None,
    ):
        """A new run folder; `shapes` {every: {name: shape and type of one reading}}, `first` the
        first mark, `block` how many come at once, `keep_data` whether data files are copied into
        it (None: small ones), `after` where it begins, unless at the start."""
        experiment = timeline.start.experiment
        code = identity.code_of(experiment, *watch)  # refuses what could not be read back
        with sealed.whole_folder(folder) as work:
            experiment.save(work, keep_data)
            code.write(work / guests.FOLDER)
            (work / "record").mkdir()
            for every, readings in shapes.items():
                due = due_marks(every, first, len(timeline.positions))
                Table.create(
                    work / "record" / f"every-{every}.zarr",
                    quantities_of(timeline, watch, every),
                    readings,
                    timeline.marks,
                    due,
                    -(-block // every),
                )
            arrays: dict = {}
            written = [text.to_text(instrument) for instrument in watch]
            for _, found in written:
                arrays |= found
            for name, values in arrays.items():
                np.save(work / name, values)
            once = [file for file in work.rglob("*") if file.is_file()]
            said = {
                "format": FORMAT,
                "provenance": provenance | {"code": code.told},
                "experiment": (work / "experiment.toml").read_text(encoding="utf-8"),
                "watch": [one for one, _ in written],
                "names": {
                    every: [q.name for q in quantities_of(timeline, watch, every)]
                    for every in shapes
                },
                "until": until,
                "first": first,
                "block": block,
                "crc32": {file.relative_to(work).as_posix(): sealed.crc_of(file) for file in once},
            }
            sealed.write(work, "run.json", said)
            if after is not None:  # of a fork that is killed at once
                OnDisk(work / "checkpoints", run_of(said)).keep(after)
        return cls(Path(folder), json.loads(json.dumps(said)), timeline, watch)

    def __enter__(self) -> "Writer":
        check_own(self.folder)
        self._lock = lock(self.folder)
        self._lock.__enter__()
        self._fresh = [self.folder.parent, *self.folder.rglob("*")]
        self.progress = progress_of(self.folder, self.said)
        self._before = self.progress["wall_seconds"]
        return self

    def __exit__(self, *about):
        self._lock.__exit__(*about)
        with sealed.said_if_it_fails(
            str(self.folder),
            f"Free some space or give it back; learnmech resume {self.folder} goes on from what is"
            " committed",
        ):
            if isinstance(about[1], OSError):
                raise about[1]

    def append(self, first: int, readings: dict[int, dict[str, np.ndarray]], reached: int) -> None:
        """Write a block of readings that begins at mark `first`, then the mark up to which all
        is committed."""
        for every, values in readings.items():
            offset = len(due_marks(every, self.said["first"], first))
            if every not in self._tables:
                self._tables[every] = Table(
                    self.folder / "record" / f"every-{every}.zarr", self._sums(every)
                )
                # a resumed run reads again what lies behind its checkpoint, and sums it once
                self._tables[every].cut(offset)
            self._tables[every].write(offset, values)
        self.commit(lasting=time.perf_counter() - self._lasts >= self._wait, marks=reached)

    def _sums(self, every):
        if self.said["format"] == 2:
            return None
        return self.progress.setdefault("sums", {}).setdefault(str(every), {})

    def commit(self, lasting: bool = True, **changed) -> None:
        """Say how far it is; the file is renamed into place. What is written again below the mark
        that is committed moves `mending` up to it.

        What is committed survives a kill at once, and a power cut from the next `lasting` commit
        on, before which all that was written is brought to the disk: every twenty times as long as
        that takes, so at most 5% of a run.
        """
        if "status" not in changed and changed["marks"] < self.progress["marks"]:
            changed = {"mending": changed["marks"]} if "mending" in self.progress else {}
        else:
            self.progress.pop("mending", None)
        self.progress |= {
            "wall_seconds": round(self._before + time.perf_counter() - self._began, 3)
        } | changed
        began = time.perf_counter()
        if lasting:
            sealed.bring_all(
                [*self._fresh, *(path for table in self._tables.values() for path in table.written)]
            )
            self._fresh = []
            for table in self._tables.values():
                table.written = []
        sealed.write(self.folder, "progress.json", self.progress, lasting)
        if lasting:
            self._lasts = time.perf_counter()
            self._wait = PATIENCE * (self._lasts - began)

    def committed_values(self, name: str, mark: int) -> np.ndarray:
        """What was committed of a quantity with one number at each mark, before a mark; nothing
        where it is not watched."""
        every = next((every for every, names in self.said["names"].items() if name in names), None)
        rows = 0 if every is None else len(due_marks(int(every), self.said["first"], mark))
        if not rows:
            return np.zeros(0)
        values = read_table(
            self.folder / "record" / f"every-{every}.zarr", [name], rows, sound=True
        )[0][name].values
        return values.astype(float) if values.ndim == 1 else np.zeros(0)

    def mended(self, found: Found, shapes: dict) -> int:
        """Write again what is written once and is damaged, and drop chunks that cannot be read;
        the first mark from which the tables must be written again."""
        marks = committed(self.progress)
        sound = marks
        tables: dict[int, list[tuple[int, Path]] | None] = {}
        for every, readings in shapes.items():
            path = self.folder / "record" / f"every-{every}.zarr"
            due = due_marks(every, self.said["first"], len(self.timeline.positions))
            if any((self.folder / name).is_relative_to(path) for name in found.damaged):
                tables[every], sound = None, self.said["first"]
                continue
            sums = self._sums(every)
            bad = broken_chunks(
                path, list(readings), len(due_marks(every, self.said["first"], marks)), sums
            )
            tables[every] = bad
            sound = min([sound, *(int(due[row]) for row, _ in bad)])
        if sound < self.progress["marks"]:
            self.progress["mending"] = sound
        for every, broken in tables.items():
            if broken is None:
                (self._sums(every) or {}).clear()
            else:
                Table(self.folder / "record" / f"every-{every}.zarr", self._sums(every)).cut(
                    len(due_marks(every, self.said["first"], sound))
                )
        for name in ("run.json", "progress.json"):
            sealed.write(self.folder, name, self.said if name == "run.json" else self.progress)
        if "experiment.toml" in found.damaged:
            sealed.put(self.folder, "experiment.toml", self.said["experiment"].encode())
        for every, broken in tables.items():
            path = self.folder / "record" / f"every-{every}.zarr"
            due = due_marks(every, self.said["first"], len(self.timeline.positions))
            for _, chunk in broken or ():
                chunk.unlink(missing_ok=True)
            if broken is None:
                shutil.rmtree(path, ignore_errors=True)
                Table.create(
                    path,
                    quantities_of(self.timeline, self.watch, every),
                    shapes[every],
                    self.timeline.marks,
                    due,
                    -(-self.said["block"] // every),
                )
        return sound

    def finish(
        self, final: dict[str, np.ndarray], notes: list[str], status: str, marks: int, **said
    ) -> None:
        """The end of the run, however it came, and what else is to be said of it."""
        # perhaps within a block, of which some quantities were written and none is committed
        if status == "interrupted":
            for every, table in self._tables.items():
                table.cut(len(due_marks(every, self.said["first"], marks)))
        notes = list(
            dict.fromkeys([*notes, *identity.in_hand_alone(self.timeline.start.experiment)])
        )
        packed = io.BytesIO()
        arrays: dict[str, Any] = final
        np.savez(packed, **arrays)
        sealed.put(self.folder, "final.npz", packed.getbuffer())
        self.commit(
            marks=marks,
            status=status,
            notes=notes,
            final=sealed.crc_of(self.folder / "final.npz"),
            **said,
        )


def conclude(folder: Path, result: dict) -> None:
    """Add what was concluded from a run to its folder."""
    with sealed.said_if_it_fails(
        str(folder), f"Free some space; learnmech report {folder} says again what was concluded"
    ):
        sealed.write(
            folder,
            "progress.json",
            (sealed.read(folder, "progress.json") or {})
            | {"result": json.loads(json.dumps(result))},
        )


def save(record: Record, folder: str | Path, keep_data: bool | None = None) -> Path:
    """Write a whole record, as a run that streamed to this folder would have."""
    timeline = record.timeline
    readings = {
        every: {str(name): table[name].values for name in table.data_vars}
        for every, table in record.tables.items()
    }
    shapes = {
        every: {name: jax.ShapeDtypeStruct(v.shape[1:], v.dtype) for name, v in values.items()}
        for every, values in readings.items()
    }
    first = record.first
    whole = (
        kept
        for key in record.kept.positions()
        if (kept := record.kept.read(key, timeline)) is not None
    )
    block = max(record.reached - first, 1)
    with Writer.create(
        folder,
        timeline,
        record.watch,
        shapes,
        record.provenance,
        None,
        first,
        block,
        keep_data,
        next(whole, None),
    ) as writer:
        for checkpoint in whole:
            writer.kept.keep(checkpoint)
        writer.append(first, readings, record.reached)
        # what Ctrl-C stopped is no finished run in its copy either: `resume` goes on with it
        stopped = any(note.startswith("interrupted after") for note in record.notes)
        status = {
            "wall_seconds": record.provenance["wall_seconds"],
            "status": "interrupted" if stopped else "finished",
        }
        writer.finish(record.final, list(record.notes), marks=record.reached, **status)
    if record.result:
        conclude(Path(folder), record.result)
    return Path(folder)
