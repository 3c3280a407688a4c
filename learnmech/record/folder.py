"""The run folder: what stands in it, and the record that is read from it.

A record on disk, written (`writing`) chunk by chunk while the run goes on and whole after every
one of them:

experiment.toml (and its arrays)   what is run
data/, parts/                      a copy of the data files that it reads, and of the user's own
                                   code that it runs
run.json                           what made it: versions, what is watched, the parent of a fork;
                                   with the checksums of all that is written once
record/every-K.zarr                the tables (Zarr v3), a checksum in every chunk
checkpoints/                       where it can be gone on from
progress.json                      the marks that are committed, renamed into place after their
                                   chunks; how it ended; what was concluded
final.npz                          the parameters at the end
"""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from learnmech.errors import Refused, refused
from learnmech.experiment.recipe import Experiment
from learnmech.instruments.base import Instrument
from learnmech.language import doors, guests, text
from learnmech.machine.late import late
from learnmech.record import forms, identity, sealed
from learnmech.record.base import Record
from learnmech.record.checkpoints import OnDisk
from learnmech.record.tables import Damaged, read_table, reading

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")

FORMAT = 3
"""3: sums of what is committed, own code and data by content. 2 (that of 0.4) is read too, and
does not tell these."""
READ = (2, 3)
SWEEP = "sweep.json"


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


def of_other_content(found, experiment):
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
        # multiples of `every` among the marks
        due = max(-(-committed(progress) // every) + -said["first"] // every, 0)
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
    notes += of_other_content(found, experiment)
    if progress["status"] == "running":
        notes.append(
            f"unfinished: {progress['marks']} marks are committed; learnmech resume {folder}"
            " goes on"
        )
    elif (end := folder / "final.npz").is_file() and sealed.crc_of(end) == progress.get("final"):
        with reading("final.npz"), np.load(end, allow_pickle=False) as stored:
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
        result = {}
        notes.append(
            f"what was concluded is of another make and left out; learnmech report {folder} says it"
            " again"
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
