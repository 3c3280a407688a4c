"""The folder of a sweep: what is swept, its points, and how many of them are kept; several
processes may work in one.

sweep.json (and its copy)          the experiment's text, knobs, values, seeds, what is watched, and
                                   the identity of every point
experiment.toml, *.npy, data/      the experiment as a file, for `learnmech run`, with what it reads
parts/                             a copy of the user's own code
points/                            the finished points, one sealed file each
.lock, .writing.lock               held while a process works here, and while one writes sweep.json
                                   or gathers
"""

import contextlib
import dataclasses
import datetime
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from learnmech.errors import Refused, refused
from learnmech.experiment.recipe import Experiment, marks_of
from learnmech.language import guests
from learnmech.machine.late import late
from learnmech.machine.logs import LOG
from learnmech.record import bounds, forms, identity, locks, sealed
from learnmech.record.folder import SWEEP, is_sweep
from learnmech.record.provenance import surroundings
from learnmech.sweeps.asked import Asked, digest_of, labels_of
from learnmech.sweeps.gathered import gathered
from learnmech.sweeps.kept import DECISIVE, POINTS, UNREADABLE, Kept, identities_of

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")

NAME, FORMAT = SWEEP, 1
SAID = {
    "format": int,
    "identity": str,
    "made": str,
    "experiment": str,
    "precision": str,
    "fingerprint": str,
    "axes": list,
    "labels": list,
    "seeds": [int],
}
SAID |= {
    "watch": ([str], None),
    "points": {"map": [str], "vmap": [str]},
    "surroundings": dict,
    "moving": {"time", "mark"},
    "code": forms.CODE,
    "files": {forms.Name: str},
}
# As many points as sweep.json has room to name (`sealed.LARGEST`).
MOST = 300_000
# Seconds to wait for another process that writes sweep.json or gathers.
PATIENCE = 120.0


@contextlib.contextmanager
def begun(
    folder: str | Path,
    asked: Asked,
    points: list[Experiment],
    ways: tuple[str, ...],
    shard: tuple[int, int] | None,
) -> Iterator[Kept]:
    """The folder made ready for a sweep, and its points; while it is open nobody deletes it."""
    folder = Path(folder)
    if len(points) > MOST:
        raise refused(
            "sweep",
            f"at most {MOST} points in one folder",
            len(points),
            "Sweep a part of the values at a time, each in a folder",
        )
    if (folder / "run.json").exists():
        raise refused(
            "sweep", "a folder of its own", f"{folder}, that of a run", "Choose another --out"
        )
    code = identity.code_of(asked.experiment, *asked.parts())  # refuses what could not be read back
    try:
        (folder / POINTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(
            "sweep", f"a place to write {folder}", error.strerror, "Choose another --out"
        ) from None
    said = _said(asked, points)
    with locks.shared(folder):
        with (
            sealed.said_if_it_fails(str(folder), "Free some space, and give the same sweep again"),
            alone(folder),
        ):
            _written(folder, asked, said, code, shard)
        yield Kept(folder / POINTS, said["points"], ways, said["moving"])


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The right to write sweep.json and what is gathered, which one process has at a time;
    others wait for it."""
    until = time.monotonic() + PATIENCE
    while True:
        with locks.claim(bounds.inside(folder, ".writing.lock")) as held:
            if held:
                yield
                return
        if time.monotonic() > until:
            raise refused(
                "The folder of a sweep",
                "to be written by one process at a time",
                f"{folder} in use",
                "Wait for the other, or stop it",
            )
        time.sleep(0.02)


def _said(asked: Asked, points: list[Experiment]) -> dict:
    """What sweep.json says. Its `identity` is all that decides which points there are, and in
    which order."""
    here = surroundings(asked.experiment)
    said = asked.plain() | {
        "points": identities_of(points, asked.watch),
        "surroundings": {name: here[name] for name in DECISIVE if name in here},
    }
    clocks = [marks_of(point).times for point in points]
    longest = max(clocks, key=len)
    moving = "time" if all(np.array_equal(one, longest[: len(one)]) for one in clocks) else "mark"
    told = {
        "format": FORMAT,
        "moving": moving,
        "fingerprint": asked.experiment.fingerprint,
        "precision": asked.experiment.precision,
    }
    made = {"made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
    return (
        said | told | made | {"identity": digest_of([said["axes"], said["seeds"], said["points"]])}
    )


def _written(folder, asked, said, code, shard):
    """sweep.json and what it names; left as it is where it says this sweep, and replaced where
    it says another."""
    there = sealed.read(folder, NAME)
    if (
        there is not None
        and there.get("identity") == said["identity"]
        and not sealed.damaged(folder, NAME)
        and not _lost(folder, there)
    ):
        return
    if there is not None and there.get("identity") != said["identity"]:
        if shard is not None:
            raise refused(
                "sweep",
                "a folder of the same sweep for all of its parts",
                f"{folder}, of another: {_other(there, said)}",
                "Choose another --out",
            )
        LOG.warning(
            "%s is from now on the folder of another sweep (%s); the points that it holds are kept",
            folder,
            _other(there, said),
        )
    with tempfile.TemporaryDirectory(prefix="learnmech-sweep-") as place:
        work = Path(place)
        asked.experiment.save(work)
        code.write(work / guests.FOLDER)
        files = sorted(file for file in work.rglob("*") if file.is_file())
        for file in files:
            name = file.relative_to(work).as_posix()
            bounds.inside(folder, name).parent.mkdir(parents=True, exist_ok=True)
            sealed.put(folder, name, file.read_bytes())
        said |= {
            "experiment": (work / "experiment.toml").read_text(encoding="utf-8"),
            "code": code.told,
        }
        said |= {
            "files": {file.relative_to(work).as_posix(): sealed.crc_of(file) for file in files}
        }
    sealed.write(folder, NAME, said)


def _lost(folder, said) -> bool:
    """Whether something beside sweep.json is not what was written."""
    files = said.get("files")
    if forms.misfit(files, SAID["files"]) is not None:
        return True
    return any(
        not (folder / name).is_file() or sealed.crc_of(folder / name) != crc
        for name, crc in files.items()
    )


def _other(there, said) -> str:
    """In what another sweep differs, in a word."""
    before, here = there.get("surroundings"), said["surroundings"]
    before = before if isinstance(before, dict) else {}
    moved = [
        f"{name} {before.get(name)} then, {here.get(name)} now"
        for name in DECISIVE
        if before.get(name) != here.get(name)
    ]
    for word in ("axes", "seeds", "watch", "fingerprint"):
        if there.get(word) != said[word]:
            return (
                "what is watched"
                if word == "watch"
                else "the experiment"
                if word == "fingerprint"
                else f"its {word}"
            )
    return "; ".join(moved) or "its points"


@dataclasses.dataclass(frozen=True)
class Swept:
    """A sweep as its folder tells it: read without running or importing anything of the user's
    own."""

    folder: Path
    said: dict

    @property
    def kept(self) -> Kept:
        """Its points."""
        return Kept(self.folder / POINTS, self.said["points"], ("map", "vmap"), self.said["moving"])

    @property
    def size(self) -> int:
        """How many points there are to be."""
        return len(self.said["points"]["map"])

    def counted(self) -> int:
        """How many points have a file; none is opened."""
        kept = self.kept
        return sum(kept.named(index) for index in range(self.size))

    def asked(self) -> Asked:
        """What was asked for, with the user's own classes that are at hand or may be run."""
        known = identity.known_in({"code": self.said["code"]}, self.folder)
        found = Asked.again(self.said["experiment"], self.said, self.folder, known)
        changed = identity.changes({"code": self.said["code"]}, found.experiment, *found.parts())
        if changed:
            remedy = (
                "Restore it, or use the folder's own copy in parts/ by --trust (in Python"
                " lm.catalog.trust(), then load)"
            )
            raise refused("The sweep", "the code that it was made by", "; ".join(changed), remedy)
        return found

    def tables(self) -> "tuple[list[xr.Dataset | None], set[str], list[str]]":
        """(the Dataset of every point that is kept and whole, how they were computed, the files
        that are damaged)."""
        kept, lost = self.kept, []
        found = [
            kept.find(index, lambda file, why: lost.append(file.name)) for index in range(self.size)
        ]
        return (
            [None if one is None else one[1] for one in found],
            {one[0] for one in found if one is not None},
            lost,
        )


def described(folder: str | Path, who: str = "load") -> Swept:
    """What a sweep's folder says of itself; refuses one that is of another make or damaged."""
    folder = Path(folder)
    if not is_sweep(folder):
        raise refused(
            who, "the folder of a sweep", str(folder), "Give a folder that a sweep has written"
        )
    said = sealed.read(folder, NAME)
    again = "Give the same sweep again: its points are kept, and are not computed again"
    if said is None:
        raise refused(
            who, "a whole folder of a sweep", f"{folder}, whose {NAME} is missing or damaged", again
        )
    if said.get("format") != FORMAT:
        raise refused(
            who,
            f"a sweep of format {FORMAT}",
            f"format {said.get('format')}",
            "Read it with the version of learnmech that wrote it",
        )
    odd = forms.misfit(said, SAID) or _misfit(said)
    if odd is not None:
        raise refused(
            who,
            "the folder of a sweep of learnmech",
            f"{folder}, whose {NAME} has another {odd}",
            again,
        )
    return Swept(folder, said)


def _misfit(said) -> str | None:
    axes, labels, points, count = said["axes"], said["labels"], said["points"], len(said["seeds"])
    pairs = all(
        isinstance(one, list)
        and len(one) == 2
        and isinstance(one[0], str)
        and isinstance(one[1], list)
        and one[1]
        for one in (*axes, *labels)
    )
    if (
        not pairs
        or [(one[0], len(one[1])) for one in axes] != [(one[0], len(one[1])) for one in labels]
        or len({one[0] for one in axes}) < len(axes)
    ):
        return "axes"
    if not all(
        isinstance(value, (bool, int, float, str)) for _, values in labels for value in values
    ):
        return "labels"
    for _, values in axes:
        count *= len(values)
    # a name is what its points are looked for under: hexadecimal, so that it leads nowhere else
    named = all(
        len(one) == 64 and set(one) <= set("0123456789abcdef")
        for way in points.values()
        for one in way
    )
    return (
        None if named and count and len(points["map"]) == len(points["vmap"]) == count else "points"
    )


def attributes_in(found: Swept, folder: str | Path, ways: set[str]) -> dict:
    """What a grid that is read from a folder says of the sweep it was made by."""
    said = found.said
    asked = json.dumps({name: said[name] for name in ("axes", "labels", "seeds", "watch")})
    return {
        "backend": "+".join(sorted(ways)),
        "experiment": said["experiment"],
        "asked": asked,
        "folder": str(folder),
        "made": said["made"],
        "learnmech": str(said["surroundings"].get("learnmech")),
    }


def load_grid(folder: str | Path) -> "xr.Dataset":
    """The grid in a sweep's folder, from its points, each held against its seal.

    Of a sweep under way it is what is there: the other points are NaN, `reached` is 0 there, and
    the attribute `note` counts them. A damaged point is left out and named in the note. Refused
    where no point is kept.
    """
    found = described(folder)
    tables, ways, lost = found.tables()
    if all(one is None for one in tables):
        got = (
            f"{folder}, with {len(lost)} damaged" if lost else f"none of {len(tables)} in {folder}"
        )
        raise refused(
            "load", "a point that is kept", got, "Wait for the first, or give the same sweep again"
        )
    said, attributes = found.said, attributes_in(found, folder, ways)
    try:
        grid = gathered(
            tables,
            labels_of(dict(map(tuple, said["labels"])), said["seeds"]),
            attributes,
            said["moving"],
        )
    except Refused:
        raise
    except UNREADABLE as error:
        raise refused(
            "load",
            "points of one sweep",
            f"{folder}, {type(error).__name__}: {error}",
            "Give the same sweep again",
        ) from None
    if lost:
        note = (
            f"damaged: {', '.join(lost[:4])}{' and more' if len(lost) > 4 else ''}, left out; the"
            " same sweep makes them again"
        )
        grid.attrs["note"] = "; ".join(filter(None, [grid.attrs.get("note"), note]))
    if "note" in grid.attrs:
        LOG.warning("%s: %s", folder, grid.attrs["note"])
    return grid
