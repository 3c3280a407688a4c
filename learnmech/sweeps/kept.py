"""Kept points: the finished points of a sweep, one sealed file each under all that decides its numbers.

A file is whole, of this point and by these versions, or it is named and made again: it begins with the sha256 of what
follows, which says of which point it is.
"""

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from learnmech.errors import refused
from learnmech.experiment import Experiment
from learnmech.instruments.base import Instrument
from learnmech.late import late
from learnmech.logs import LOG
from learnmech.record import sealed
from learnmech.record.provenance import decisive

xr = late("xarray")

LAYOUT = 1
MAGIC = b"learnmech point\n"


def identity_of(point: Experiment, watch: tuple[Instrument, ...] | None, backend: str = "map") -> str:
    """sha256 of all that decides the numbers of a point: the experiment with the content of its files and the user's own code, what is
    watched, the versions, the device, how it is computed, and the layout of what is kept."""
    said = decisive(point, watch) | {"backend": "vmap" if backend == "vmap" else "map", "layout": LAYOUT}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


class Kept:
    """The folder of a sweep's points."""

    def __init__(self, folder: str | Path, watch: tuple[Instrument, ...] | None, backends: tuple[str, ...]):
        self.folder, self.watch, self.backends = Path(folder), watch, backends
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refused("sweep", f"a place to write {folder}", error.strerror, "Choose another --out") from None

    def _file(self, identity: str) -> Path:
        return sealed.inside(self.folder, f"{identity[:32]}.point")

    def find(self, point: Experiment) -> "xr.Dataset | None":
        """What is kept of a point, under any of the ways in which it may be computed here; None where nothing whole is."""
        for backend in self.backends:
            identity = identity_of(point, self.watch, backend)
            file = self._file(identity)
            if file.is_file():
                try:
                    return unpacked(file.read_bytes(), identity)
                except (OSError, ValueError, KeyError) as error:
                    LOG.warning("%s is made again: %s", file, error)
        return None

    def store(self, point: Experiment, dataset: "xr.Dataset", backend: str) -> None:
        """Keep a point; it is there whole or not at all."""
        identity = identity_of(point, self.watch, backend)
        with sealed.said_if_it_fails(str(self.folder), "Free some space; what is kept is not computed again"):
            sealed.put(self.folder, self._file(identity).name, packed(dataset, identity))

    @contextlib.contextmanager
    def claimed(self, point: Experiment) -> Iterator[bool]:
        """Whether this process is the one that computes a point now; a claim dies with the process that holds it."""
        name = f".{identity_of(point, self.watch)[:32]}.lock"
        with sealed.claim(sealed.inside(self.folder, name)) as held:
            yield held
        if held:
            sealed.inside(self.folder, name).unlink(missing_ok=True)


def packed(dataset: "xr.Dataset", identity: str) -> bytes:
    """A point as bytes: its sha256, which point it is, and its arrays."""
    arrays, said = {}, {"identity": identity, "attrs": dataset.attrs, "variables": {}}
    for number, (name, variable) in enumerate(dataset.variables.items()):
        values = variable.values
        arrays[f"v{number}"] = np.array(values.tolist(), str) if values.dtype.kind in "OUT" else values
        coordinate = name in dataset.coords
        said["variables"][f"v{number}"] = [str(name), list(map(str, variable.dims)), _plain(variable.attrs), coordinate]
    body = io.BytesIO()
    np.savez(body, said=np.frombuffer(json.dumps(said).encode(), np.uint8), **arrays)
    return MAGIC + hashlib.sha256(body.getvalue()).hexdigest().encode() + b"\n" + body.getvalue()


def _plain(attrs):
    return {name: value if isinstance(value, (str, int, float, bool)) else str(value) for name, value in attrs.items()}


def unpacked(stored: bytes, identity: str) -> "xr.Dataset":
    """The point in these bytes; a ValueError that says why where they are not what was written, or another point's."""
    sha, body = stored[len(MAGIC) : len(MAGIC) + 64], stored[len(MAGIC) + 65 :]
    if not stored.startswith(MAGIC) or hashlib.sha256(body).hexdigest().encode() != sha:
        raise ValueError("it is not what was written (its sha256 does not agree)")
    with np.load(io.BytesIO(body), allow_pickle=False) as held:
        said = json.loads(held["said"].tobytes())
        if said["identity"] != identity:
            raise ValueError("it is another point's")
        data, coords = {}, {}
        for key, (name, dims, attrs, coordinate) in said["variables"].items():
            (coords if coordinate else data)[name] = (tuple(dims), held[key], attrs)
    return xr.Dataset(data, coords, said["attrs"])


def cache_folder() -> str | None:
    """Where compiled programs are kept in this process, for those that are started from it."""
    return jax.config.jax_compilation_cache_dir
