"""The record: what was seen, as Datasets over step and time, with provenance, saved whole or not at all."""

import dataclasses
import datetime
import json
import os
import platform
import shutil
import tempfile
import zipfile
from pathlib import Path

import jax
import numpy as np

from learnmech import trees
from learnmech.errors import Refused, nearest, refused
from learnmech.experiment import Experiment
from learnmech.late import late
from learnmech.tables import joined

xr = late("xarray")

VERSION = "0.1.0"


@dataclasses.dataclass(frozen=True)
class Record:
    """What was seen. `tables` holds one Dataset per cadence of watching ({every: Dataset}); `notes` say what a reader must know.

    `final` are the parameters where the run ended, {path: array}; `result` is what was concluded when it was written, as plain data.
    """

    experiment: Experiment
    tables: "dict[int, xr.Dataset]"
    final: dict[str, np.ndarray]
    provenance: dict
    notes: tuple[str, ...] = ()
    result: dict = dataclasses.field(default_factory=dict)

    def __getitem__(self, name: str) -> "xr.DataArray":
        for table in self.tables.values():
            if name in table:
                return table[name]
        known = [str(n) for table in self.tables.values() for n in table.data_vars]
        raise refused("The record", "a quantity that was watched", repr(name), nearest(name, known))

    def __contains__(self, name: str) -> bool:
        return any(name in table for table in self.tables.values())

    @property
    def names(self) -> list[str]:
        """Every quantity seen."""
        return [str(name) for table in self.tables.values() for name in table.data_vars]

    @property
    def dataset(self) -> "xr.Dataset":
        """All tables on one time axis; marks at which a quantity was not read are NaN."""
        return joined(self.tables.values())

    @property
    def params(self) -> dict:
        """The final parameters as a tree."""
        tree: dict = {}
        for path, leaf in self.final.items():
            layer, name = path.split(".")
            tree.setdefault(layer, {})[name] = leaf
        return tree

    def save(self, folder: str | Path) -> Path:
        """Write the run folder: experiment.toml, record/every-K.zarr, final.npz, run.json. It appears whole or not at all."""
        with whole_folder(folder) as work:
            self.write(work)
        return Path(folder)

    def write(self, work: Path, result: dict | None = None) -> None:
        """Write the record's files, and what was concluded, into a folder that exists."""
        self.experiment.save(work)
        for every, table in self.tables.items():
            _relabelled(table, object).to_zarr(work / "record" / f"every-{every}.zarr", consolidated=False, zarr_format=3)
        np.savez(work / "final.npz", **self.final)
        (work / "run.json").write_text(
            json.dumps({"provenance": self.provenance, "notes": list(self.notes), "names": self.names, "result": result or self.result}, indent=1),
            encoding="utf-8",
        )


def _relabelled(table: "xr.Dataset", dtype: type) -> "xr.Dataset":
    """Text labels as objects on disk, whose Zarr type is specified, and as fixed-width text in memory."""
    texts = {name: np.array(c.values.tolist(), dtype) for name, c in table.coords.items() if c.dtype.kind in "UOT"}
    return table.assign_coords(texts)


class whole_folder:
    """A folder that appears under its name only when everything in it was written: `with whole_folder(path) as work:`."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __enter__(self) -> Path:
        try:
            if self.folder.exists():
                raise refused("The run folder", "a path that does not exist yet", str(self.folder), "Choose another --out, or delete that run first")
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.work = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}-", dir=self.folder.parent))
            os.chmod(self.work, 0o755)
        except OSError as error:
            raise refused("The run folder", f"a place to write {self.folder}", error.strerror, "Choose another --out with space and permission") from None
        return self.work

    def __exit__(self, kind, error, trace):
        if kind is None:
            os.replace(self.work, self.folder)
            return
        shutil.rmtree(self.work, ignore_errors=True)
        if isinstance(error, OSError):
            raise refused(
                "The run folder", f"to be written to {self.folder}", error.strerror or str(error), "Free some space or choose another --out"
            ) from error


def provenance(experiment: Experiment, wall: float) -> dict:
    """What made the record: identity, versions, device, precision, cores."""
    return {
        "fingerprint": experiment.fingerprint,
        "learnmech": VERSION,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].platform,
        "cores": os.cpu_count(),
        "precision": experiment.precision,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(wall, 3),
    }


def load(folder: str | Path) -> Record:
    """The record in a run folder."""
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise refused("load", "a run folder", str(folder), "Give a folder that a run has written")
    try:
        return _read(folder)
    except Refused:
        raise
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise refused("load", "a whole run folder", f"{folder}, damaged: {str(error).splitlines()[0]}", "Restore it, or run again") from None


def _read(folder):
    said = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    experiment = Experiment.parse((folder / "experiment.toml").read_text(encoding="utf-8"), folder)
    tables = {}
    for path in sorted((folder / "record").glob("every-*.zarr"), key=lambda p: trees.natural(p.name)):
        table = _relabelled(xr.open_zarr(path, consolidated=False).load(), str)
        tables[int(path.stem.split("-")[1])] = table[[name for name in said["names"] if name in table]]
    with (folder / "final.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        final = {path: stored[path] for path in stored.files}
    if not tables:
        raise refused("load", "a whole run folder", f"{folder} without its record", "Restore it, or run again")
    return Record(experiment, tables, final, said["provenance"], tuple(said["notes"]), said["result"])
