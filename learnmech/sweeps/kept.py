"""Kept points: the finished points of a sweep, one sealed file each under all that decides its
numbers.

A file is whole, of this point and by these versions, or it is named and made again: it begins with
the sha256 of what follows, which says of which point it is.
"""

import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.experiment.recipe import Experiment
from learnmech.instruments.base import Instrument
from learnmech.language import text
from learnmech.machine.late import late
from learnmech.machine.logs import LOG
from learnmech.record import bounds, locks, sealed
from learnmech.record.provenance import DECISIVE, surroundings
from learnmech.sweeps.gathered import LOSS, MARKS

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")

POINTS, LAYOUT = "points", 2
MAGIC = b"learnmech point\n"
# What bytes that were not written here may raise when they are read as a point.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    EOFError,
    MemoryError,
    RecursionError,
    zipfile.BadZipFile,
)


def identity_of(
    point: Experiment,
    watch: tuple[Instrument, ...] | None,
    backend: str = "map",
    here: dict | None = None,
) -> str:
    """sha256 of all that decides the numbers of a point: the experiment with the content of its
    files and the user's own code, what is watched, the versions and the device (`here`, None:
    those of this process), how it is computed, and the layout of what is kept."""
    here = surroundings(point) if here is None else here
    return _digests(point, None if watch is None else [text.identity(one) for one in watch], here)[
        "vmap" if backend == "vmap" else "map"
    ]


def _digests(point, watched, here) -> dict[str, str]:
    said = {
        "experiment": text.identity(point),
        "watch": watched,
        "surroundings": {name: here[name] for name in DECISIVE if name in here},
        "layout": LAYOUT,
    }
    return {
        way: hashlib.sha256(
            json.dumps(said | {"backend": way}, sort_keys=True).encode()
        ).hexdigest()
        for way in ("map", "vmap")
    }


def identities_of(
    points: Iterable[Experiment], watch: tuple[Instrument, ...] | None
) -> dict[str, list[str]]:
    """{way in which points are computed: the identity of each point}."""
    watched = None if watch is None else [text.identity(one) for one in watch]
    here: dict = {}
    found = []
    for point in points:
        here = here if here.get("precision") == point.precision else surroundings(point)
        found.append(_digests(point, watched, here))
    return {way: [one[way] for one in found] for way in ("map", "vmap")}


class Kept:
    """The points of a sweep in its folder, each by its place in the grid; `backends` are the
    ways in which they may have been computed, `moving` what the axis of time of the grid is
    called."""

    def __init__(
        self,
        folder: str | Path,
        identities: dict[str, list[str]],
        backends: tuple[str, ...],
        moving: str,
    ):
        self.folder, self.identities, self.backends, self.moving = (
            Path(folder),
            identities,
            backends,
            moving,
        )

    def _file(self, index: int, backend: str) -> Path:
        return bounds.inside(self.folder, self._name(index, backend))

    def _name(self, index: int, backend: str) -> str:
        return f"{self.identities[backend][index][:32]}.point"

    def way_in(self, index: int, names: Container[str]) -> str | None:
        """How this point was computed, by the names in the folder, which was looked at once."""
        return next((way for way in self.backends if self._name(index, way) in names), None)

    def named(self, index: int) -> bool:
        """Whether there is a file of this point, which is not opened."""
        return any(self._file(index, backend).is_file() for backend in self.backends)

    def find(
        self, index: int, lost: Callable[[Path, str], None] | None = None
    ) -> "tuple[str, xr.Dataset] | None":
        """(how it was computed, what is kept of it) of a point; None where nothing whole is, and
        `lost` is told of a file that is not."""
        for backend in self.backends:
            file = self._file(index, backend)
            if file.is_file():
                try:
                    found = unpacked(file.read_bytes(), self.identities[backend][index])
                    _check(found)
                    return backend, found
                except UNREADABLE as error:
                    (lost or _made_again)(file, str(error))
        return None

    def store(self, index: int, dataset: "xr.Dataset", backend: str) -> None:
        """Keep a point; it is there whole or not at all."""
        with sealed.said_if_it_fails(
            str(self.folder), "Free some space; what is kept is not computed again"
        ):
            sealed.put(
                self.folder,
                self._file(index, backend).name,
                packed(dataset, self.identities[backend][index]),
            )

    def take(self, index: int, tables: "dict[int, xr.Dataset]") -> bool:
        """Whether a point is kept; it is put among the tables."""
        found = None if index in tables else self.find(index)
        if found is not None:
            tables[index] = found[1]
        return found is not None

    @contextlib.contextmanager
    def claimed(self, index: int) -> Iterator[bool]:
        """Whether this process is the one that computes a point now; a claim dies with the
        process that holds it."""
        name = f".{self.identities['map'][index][:32]}.lock"
        with locks.claim(bounds.inside(self.folder, name)) as held:
            yield held
        if held:
            bounds.inside(self.folder, name).unlink(missing_ok=True)


def _check(found: "xr.Dataset") -> None:
    """A ValueError for what is no point of a sweep, though whole and of the right identity, as
    another program may write it: points are put side by side without being looked at again."""
    if "time" not in found.dims:
        raise ValueError("its time is missing")
    for name, variable in found.variables.items():
        moves = name in ("time", "step") or name not in found.coords
        if moves and (variable.dims[:1] != ("time",) or variable.dtype.kind not in "fiubc"):
            raise ValueError(f"its {name} is no number at each mark")
    for name in (MARKS, LOSS):
        if not isinstance(found.attrs.get(name, 0), int):
            raise ValueError(f"its {name} is no whole number")


def _made_again(file, why):
    LOG.warning("%s is made again: %s", file, why)


def packed(dataset: "xr.Dataset", identity: str) -> bytes:
    """A point as bytes: its sha256, which point it is, and its arrays."""
    arrays: dict[str, Any] = {}
    said: dict[str, Any] = {"identity": identity, "attrs": dataset.attrs, "variables": {}}
    for number, (name, variable) in enumerate(dataset.variables.items()):
        values = variable.values
        arrays[f"v{number}"] = (
            np.array(values.tolist(), str) if values.dtype.kind in "OUT" else values
        )
        coordinate = name in dataset.coords
        said["variables"][f"v{number}"] = [
            str(name),
            list(map(str, variable.dims)),
            _plain(variable.attrs),
            coordinate,
        ]
    body = io.BytesIO()
    np.savez(body, said=np.frombuffer(json.dumps(said).encode(), np.uint8), **arrays)
    return MAGIC + hashlib.sha256(body.getvalue()).hexdigest().encode() + b"\n" + body.getvalue()


def _plain(attrs):
    return {
        name: value if isinstance(value, (str, int, float, bool)) else str(value)
        for name, value in attrs.items()
    }


def unpacked(stored: bytes, identity: str) -> "xr.Dataset":
    """The point in these bytes; a ValueError that says why where they are not what was written,
    or another point's."""
    sha, body = stored[len(MAGIC) : len(MAGIC) + 64], stored[len(MAGIC) + 65 :]
    if not stored.startswith(MAGIC) or hashlib.sha256(body).hexdigest().encode() != sha:
        raise ValueError("it is not what was written (its sha256 does not agree)")
    with np.load(io.BytesIO(body), allow_pickle=False) as held:
        said = json.loads(held["said"].tobytes())
        if said["identity"] != identity:
            raise ValueError("it is another point's")
        data: dict = {}
        coords: dict = {}
        for key, (name, dims, attrs, coordinate) in said["variables"].items():
            (coords if coordinate else data)[name] = (tuple(dims), held[key], attrs)
    return xr.Dataset(data, coords, said["attrs"])
