"""The run folder: a record on disk, written chunk by chunk while the run goes on and whole after
every one of them.

experiment.toml (and its arrays)   what is run data/, parts/                      a copy of the data
files that it reads, and of the user's own code that it runs run.json                           what
made it: versions, what is watched, the parent of a fork; with the checksums of all that is written
once record/every-K.zarr                the tables (Zarr v3), a checksum in every chunk checkpoints/
where it can be gone on from progress.json                      the marks that are committed,
renamed into place after their chunks; how it ended; what was concluded final.npz
the parameters at the end
"""

import dataclasses
import io
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from learnmech.errors import Refused, refused
from learnmech.experiment.recipe import Experiment
from learnmech.instruments.base import Instrument
from learnmech.language import doors, guests, text
from learnmech.machine.late import late
from learnmech.march.stages import Checkpoint, Course
from learnmech.record import forms, identity, sealed
from learnmech.record.base import Record, due_marks, quantities_of
from learnmech.record.checkpoints import PATIENCE, OnDisk
from learnmech.record.tables import Damaged, Table, broken_chunks, read_table, reading

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")

FORMAT = 3
"""3: sums of what is committed, own code and data by content. 2 (that of 0.4) is read too, and
does not tell these."""
READ = (2, 3)
SWEEP = "sweep.json"
# Seconds until a run's commits are first brought to the disk, before it is known how long that
# takes.
FIRST_WAIT = 0.5


class Writer:
    """A run folder being written, under its lock: `with Writer.create(...) as writer:` or
    `Writer.again(...)`."""

    def __init__(self, folder: Path, said: dict, course: Course, watch: tuple[Instrument, ...]):
        self.folder, self.said, self.course, self.watch = folder, said, course, watch
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
        course: Course,
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
        experiment = course.start.experiment
        code = identity.code_of(experiment, watch)  # refuses what could not be read back
        with sealed.whole_folder(folder) as work:
            experiment.save(work, keep_data)
            code.write(work / guests.FOLDER)
            (work / "record").mkdir()
            for every, readings in shapes.items():
                due = due_marks(every, first, len(course.places))
                Table.create(
                    work / "record" / f"every-{every}.zarr",
                    quantities_of(course, watch, every),
                    readings,
                    course.marks,
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
                    every: [q.name for q in quantities_of(course, watch, every)] for every in shapes
                },
                "until": until,
                "first": first,
                "block": block,
                "crc32": {file.relative_to(work).as_posix(): sealed.crc_of(file) for file in once},
            }
            sealed.write(work, "run.json", said)
            if after is not None:  # of a fork that is killed at once
                OnDisk(work / "checkpoints", run_of(said)).keep(after)
        return cls(Path(folder), json.loads(json.dumps(said)), course, watch)

    def __enter__(self) -> "Writer":
        sealed.check_own(self.folder)
        self._lock = sealed.lock(self.folder)
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
                self._tables[every].cut(
                    offset
                )  # a resumed run reads again what lies behind its checkpoint, and sums it once
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

    def mended(self, found: "Found", shapes: dict) -> int:
        """Write again what is written once and is damaged, and drop chunks that cannot be read;
        the first mark from which the tables must be written again."""
        marks = committed(self.progress)
        sound = marks
        tables: dict[int, list[tuple[int, Path]] | None] = {}
        for every, readings in shapes.items():
            path, due = (
                self.folder / "record" / f"every-{every}.zarr",
                due_marks(every, self.said["first"], len(self.course.places)),
            )
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
            path, due = (
                self.folder / "record" / f"every-{every}.zarr",
                due_marks(every, self.said["first"], len(self.course.places)),
            )
            for _, chunk in broken or ():
                chunk.unlink(missing_ok=True)
            if broken is None:
                shutil.rmtree(path, ignore_errors=True)
                Table.create(
                    path,
                    quantities_of(self.course, self.watch, every),
                    shapes[every],
                    self.course.marks,
                    due,
                    -(-self.said["block"] // every),
                )
        return sound

    def finish(
        self, final: dict[str, np.ndarray], notes: list[str], status: str, marks: int, **said
    ) -> None:
        """The end of the run, however it came, and what else is to be said of it."""
        if (
            status == "interrupted"
        ):  # perhaps within a block, of which some quantities were written and none is committed
            for every, table in self._tables.items():
                table.cut(len(due_marks(every, self.said["first"], marks)))
        notes = list(dict.fromkeys([*notes, *identity.in_hand_alone(self.course.start.experiment)]))
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


def run_of(said: dict) -> str:
    """What tells a run from every other, also from one of the same experiment."""
    return f"{said['provenance']['fingerprint'][:16]} {said['provenance']['made']}"


def progress_of(folder: Path, said: dict) -> dict:
    """How far a run is, from its folder."""
    begun = {
        "marks": said["first"],
        "status": "running",
        "notes": [],
        "wall_seconds": 0.0,
        "run": run_of(said),
    }
    found = sealed.read(folder, "progress.json")
    return found if found and forms.misfit(found, forms.PROGRESS) is None else begun


def committed(progress: dict) -> int:
    """The marks that can be read: all that are committed, or as far as they have been mended."""
    return min(progress["marks"], progress.get("mending", progress["marks"]))


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
    course = record.course
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
        kept for key in record.kept.places() if (kept := record.kept.read(key, course)) is not None
    )
    block = max(record.reached - first, 1)
    with Writer.create(
        folder,
        course,
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


@dataclasses.dataclass(frozen=True)
class Found:
    """What stands in a run folder: its facts, how far it is, and what of it is damaged."""

    folder: Path
    said: dict
    progress: dict
    damaged: tuple[str, ...]

    @property
    def experiment(self) -> Experiment:
        """The experiment, from its text or from the copy in run.json."""
        return Experiment.parse(self.said["experiment"], self.folder, self.known)

    @property
    def known(self) -> guests.Classes:
        """The user's own classes that it speaks of."""
        return identity.known_in(self.said["provenance"], self.folder)

    @property
    def watch(self) -> tuple[Instrument, ...]:
        """The instruments that read."""
        known = self.known
        return tuple(
            text.from_text(Instrument, one, self.folder, known) for one in self.said["watch"]
        )


def facts(folder: str | Path, who: str = "load") -> Found:
    """The facts of a run folder, each checked against its checksum."""
    if not isinstance(folder, (str, os.PathLike)):
        raise refused(
            who,
            "the path of a run folder",
            type(folder).__name__,
            "Give the folder that a run has written",
        )
    folder = Path(folder)
    if not (folder / "run.json").is_file() and not (folder / ".run.json.copy").is_file():
        if is_sweep(folder):
            raise refused(
                who,
                "a run folder",
                f"{folder}, that of a sweep",
                "Give the same sweep again to go on with it, or run one of its points (lm.point)",
            )
        raise refused(who, "a run folder", str(folder), "Give a folder that a run has written")
    said = sealed.read(folder, "run.json")
    if said is None:
        raise refused(
            who, "a whole run folder", f"{folder}, {_older(folder)}", "Restore it, or run again"
        )
    if said.get("format") not in READ:
        remedy = "Read it with the version of learnmech that wrote it, or run again"
        raise refused(who, f"a record of format {FORMAT}", f"format {said.get('format')}", remedy)
    odd = forms.misfit(said, forms.RUN)
    if odd is not None:
        raise refused(
            who,
            "a run folder of learnmech",
            f"{folder}, whose run.json has another {odd}",
            "Restore it, or run again",
        )
    progress = progress_of(folder, said)
    if said["format"] > 2 and progress.get("run") != run_of(said):
        raise refused(
            who,
            "a whole run folder",
            f"{folder}, whose run.json and progress.json are of two runs",
            "Restore it, or run again",
        )
    damaged = [name for name in ("run.json", "progress.json") if sealed.damaged(folder, name)]
    for name, crc in said["crc32"].items():
        if not (folder / name).is_file() or sealed.crc_of(folder / name) != crc:
            damaged.append(name)
    return Found(folder, said, progress, tuple(damaged))


def _older(folder):
    try:
        return (
            "a record of learnmech"
            f" {sealed.plain_json(folder / 'run.json')['provenance']['learnmech']}, another version"
        )
    except (KeyError, TypeError):
        return "damaged: run.json and its copy do not agree with their checksums"


def is_sweep(folder: str | Path) -> bool:
    """Whether a folder is that of a sweep, which holds many runs and is no run folder."""
    folder = Path(folder)
    named = any((folder / form.format(name=SWEEP)).is_file() for form in sealed.COPIES)
    return (named or (folder / "points").is_dir()) and not (folder / "run.json").exists()


def load(folder: str | Path, sound: bool = False) -> "Record | xr.Dataset":
    """The record in a run folder, as far as it is committed; the grid in the folder of a sweep, as
    `lm.sweep` gives it.

    What is damaged is left out (NaN) and named in the notes of the record, or in the attribute
    `note` of the grid; so are the points that a sweep has not come to. A run folder that was just
    written here is `sound`: its chunks need not be checked.
    """
    if not sound and is_sweep(folder):
        return doors.through("load_sweep", folder)
    try:
        return _loaded(facts(folder), sound)
    except Damaged as error:
        raise refused(
            "load", "a whole run folder", f"{folder}, damaged: {error}", "Restore it, or run again"
        ) from None
    except OSError as error:
        what = f"{error.filename or folder}: {error.strerror or error}"
        raise refused(
            "load",
            "a run folder that can be read",
            what,
            "Give permission, or copy it to a place that can be read",
        ) from None


def _of_other_content(found, experiment):
    """What of the code and the data of a record is not, or cannot be known to be, what it was
    made by."""
    if found.said["format"] == 2:
        blind = [*guests.own(text.classes_of(experiment)), *text.outside_of(experiment)]
        return (
            [
                "a record of 0.4, which does not tell the content of the data files and of the own"
                " code it was made by"
            ]
            if blind
            else []
        )
    other = identity.changes(found.said["provenance"], experiment)
    notes = (
        [f"changed: {'; '.join(other)}; what was recorded stands, and nothing is made of it again"]
        if other
        else []
    )
    return notes + identity.moved_on(found.said["provenance"], experiment)


def _loaded(found: Found, sound: bool) -> Record:
    folder, said, progress = found.folder, found.said, found.progress
    lost = [name for name in found.damaged if name.endswith(".npy")]
    if lost:
        raise refused(
            "load",
            "a whole run folder",
            f"{folder}, damaged: {', '.join(lost)}",
            "Restore it, or run again",
        )
    notes, tables = list(progress["notes"]), {}
    lost = [name for name in found.damaged if Path(name).parts[0] in ("data", guests.FOLDER)]
    if lost:
        notes.append(f"damaged: {', '.join(lost)}, without which nothing is replayed; restore it")
    for name in ("run.json", "progress.json", "experiment.toml"):
        if name in found.damaged:
            notes.append(
                f"damaged: {name}, read from its copy; learnmech resume {folder} writes it again"
            )
    for every, names in sorted((int(every), names) for every, names in said["names"].items()):
        path = folder / "record" / f"every-{every}.zarr"
        if any(Path(name).is_relative_to(path.relative_to(folder)) for name in found.damaged):
            notes.append(
                f"damaged: the description of table every-{every}, which is left out; learnmech"
                f" resume {folder} writes it again"
            )
            continue
        due = max(
            -(-committed(progress) // every) + -said["first"] // every, 0
        )  # multiples of `every` among the marks
        sums = progress.get("sums", {}).get(str(every), {}) if said["format"] > 2 else None
        tables[every], bad = read_table(path, names, due, sound, sums)
        if bad:
            notes.append(
                f"damaged: {', '.join(bad)}, left out (NaN); learnmech resume {folder} reads them"
                " again"
            )
    if "mending" in progress:
        notes.append(
            f"damaged: what comes from mark {progress['mending']} on, left out until it has been"
            f" read again; learnmech resume {folder} goes on"
        )
    final, kept = {}, OnDisk(folder / "checkpoints", run_of(said))
    experiment = found.experiment
    notes += _of_other_content(found, experiment)
    if progress["status"] == "running":
        notes.append(
            f"unfinished: {progress['marks']} marks are committed; learnmech resume {folder}"
            " goes on"
        )
    elif (folder / "final.npz").is_file() and sealed.crc_of(folder / "final.npz") == progress.get(
        "final"
    ):
        with reading("final.npz"), np.load(folder / "final.npz", allow_pickle=False) as stored:
            final = {path: stored[path] for path in stored.files}
    else:
        notes.append(f"damaged: final.npz, left out; learnmech resume {folder} writes it again")
    provenance = said["provenance"] | {"wall_seconds": progress["wall_seconds"]}
    try:
        watch = found.watch
    except Refused:
        watch = ()  # instruments of a user's own file that is not at hand; what they read is there
    result = progress.get("result", {})
    if forms.misfit(result, forms.RESULT) is not None:
        notes, result = (
            [
                *notes,
                (
                    f"what was concluded is of another make and left out; learnmech report {folder}"
                    " says it again"
                ),
            ],
            {},
        )
    return Record(
        experiment,
        tables,
        final,
        provenance,
        tuple(notes),
        result,
        watch,
        committed(progress),
        kept,
        folder,
    )
