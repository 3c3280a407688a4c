"""Folders: where runs and compiled programs are kept, and tables as files: NetCDF and CSV."""

import contextlib
import csv
import itertools
import os
import re
import secrets
import shutil
from pathlib import Path, PurePath

import numpy as np

from learnmech.errors import refused
from learnmech.record import bounds, forms, locks, sealed
from learnmech.record.folder import SWEEP, is_sweep

RUNS = Path("runs")
# What a run folder holds beside the files that its run.json lists.
OURS = re.compile(
    r"(\.(run|progress)\.json\.copy|(run|progress|predictions)\.json|\.?final\.npz|\.?(report\.html|figure\.svg)|experiment\.toml)(\.part)?"
    r"|\.lock|record|checkpoints|data|parts|[0-9a-f]{16}\.npy"
)
BELOW = ("record", "checkpoints", "data", "parts")
WRITTEN = re.compile(r"record/every-\d+\.zarr/|checkpoints/\d+-\d+-[0-9a-f]{8}\.npz(\.part)?$")
"""What a run writes into the folders below its own, beside what its run.json lists."""
UNSPLIT = re.compile('[,;"\\s#]+')
"""What would split a header, or be read as a quote or a comment."""


def kept_compilations() -> Path | None:
    """The folder of compiled programs: LEARNMECH_CACHE, or the user's cache folder; None for a
    user who has none (no HOME, as in a container)."""
    if named := os.environ.get("LEARNMECH_CACHE"):
        return Path(named) / "compiled"
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "learnmech" / "compiled"
    try:
        return Path.home() / ".cache" / "learnmech" / "compiled"
    except (RuntimeError, KeyError):
        return None


def free(path: Path, suffix: str = "") -> Path:
    """The path with this suffix, or with the first number before it that makes it new."""
    names = itertools.chain((path.name,), (f"{path.name}-{n}" for n in itertools.count(2)))
    return next(one for name in names if not (one := path.with_name(f"{name}{suffix}")).exists())


def found(out: str | Path) -> list[Path]:
    """The folders of runs and sweeps in a folder, newest last."""
    folders = [
        f
        for f in Path(out).glob("*/")
        if ((f / "run.json").is_file() or is_sweep(f)) and not f.name.startswith(".")
    ]
    return sorted(folders, key=lambda f: _changed(f / (SWEEP if is_sweep(f) else "run.json")))


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # gone in the meantime
        return 0.0


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, links not followed."""
    size = 0
    for below, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(below, name)).st_size
    return size


def entry(folder: Path) -> dict:
    """A run folder in one line; one of another make says so, and never hides the others."""
    said = sealed.read(folder, "run.json")
    shown = {"kind": "run", "folder": str(folder), "made": "", "bytes": size_of(folder)}
    shown |= {"verdicts": ["damaged"], "fingerprint": "", "parent": None}
    if said is None:
        return shown
    if (
        not isinstance(said.get("format"), int)
        or forms.misfit(said.get("provenance"), forms.PROVENANCE) is not None
    ):
        return shown | {"verdicts": ["of another make"]}
    made, progress = said["provenance"], sealed.read(folder, "progress.json") or {}
    result = progress.get("result") or {}
    compared = result.get("comparisons", []) if forms.misfit(result, forms.RESULT) is None else []
    verdicts = sorted({c["verdict"] for c in compared})
    status = progress.get("status", "running")
    verdicts = verdicts if status == "finished" else [str(status), *verdicts]
    return shown | {
        "made": made["made"],
        "verdicts": verdicts,
        "fingerprint": made["fingerprint"],
        "parent": made.get("parent"),
    }


def branches(entries: list[dict]) -> list[tuple[int, dict]]:
    """(depth in the tree of forks, run) of every run once, forks below their parent where that
    is there."""
    below: dict = {}
    for one in entries:
        below.setdefault(_parent_of(one, entries), []).append(one)
    shown, seen = [], set()

    def walk(tops, depth):
        waiting = [(depth, top) for top in reversed(tops)]
        while waiting:
            at, one = waiting.pop()
            if one["folder"] not in seen:
                seen.add(one["folder"])
                shown.append((at, one))
                waiting += [(at + 1, fork) for fork in reversed(below.get(one["folder"], []))]

    walk(below.get(None, []), 0)
    walk(entries, 0)  # such as say that they were forked from one another
    return shown


def _parent_of(entry: dict, entries: list[dict]) -> str | None:
    """The folder of the run it was forked from, None where that is not there; of copies the one
    of the name it had."""
    said = entry["parent"] or {}
    there = [
        one["folder"]
        for one in entries
        if one is not entry
        and (one["fingerprint"], one["made"]) == (said.get("fingerprint"), said.get("made"))
    ]
    return min(
        there,
        key=lambda folder: Path(folder).name != Path(said.get("folder", "")).name,
        default=None,
    )


def delete(folder: Path) -> None:
    """Delete a run folder: one whose run.json agrees with its checksum, that holds nothing but
    what a run writes, and that no process is using."""
    if bounds.kind_of(folder) == "link":
        raise refused(
            "runs",
            "a run folder to delete",
            f"{folder}, a link",
            "Delete the folder that it names, or the link itself by hand",
        )
    folder = folder.resolve()
    said = sealed.read(folder, "run.json")
    if (
        said is None
        or not isinstance(said.get("format"), int)
        or forms.misfit(said.get("provenance"), forms.PROVENANCE) is not None
    ):
        raise refused(
            "runs",
            "a run folder of learnmech to delete",
            f"{folder}, whose run.json is of another make or damaged",
            "Delete it by hand",
        )
    bounds.check_own(folder)
    take_away(folder, next(_foreign(folder, said), None), "a run")


def take_away(folder: Path, foreign: Path | None, what: str) -> None:
    """Delete a folder that no process is using; refused where something foreign is in it."""
    if foreign is not None:
        raise refused(
            "runs",
            f"a folder that holds {what} alone",
            f"{foreign} in it",
            "Move it elsewhere first, or delete the folder by hand",
        )
    with sealed.said_if_it_fails(f"deleted: {folder}", "Give permission, or delete it by hand"):
        gone = folder.with_name(f".{folder.name[:40]}-{secrets.token_hex(4)}")
        with locks.lock(folder) as held:
            if os.name == "nt":
                held.__exit__()  # a folder with an open file in it cannot be renamed there
            os.replace(folder, gone)
        shutil.rmtree(gone)


def _foreign(folder: Path, said: dict):
    """What stands in a run folder and was not written by a run."""
    names = said["crc32"] if forms.misfit(said, {"crc32": {forms.Name: str}}) is None else {}
    listed = {PurePath(name).parts[0] for name in names}
    for path in sorted(folder.iterdir()):
        if path.name not in listed and not OURS.fullmatch(path.name):
            yield path
    for path in sorted(
        one
        for below in BELOW
        for one in (folder / below).rglob("*")
        if one.is_file() and "__pycache__" not in one.parts
    ):
        name = path.relative_to(folder).as_posix()
        if name not in names and not WRITTEN.match(name):
            yield path


def write_csv(dataset, path: Path) -> None:
    """A row per mark, a column per entry: `mode_strength[mode=2]`; axes without labels count from
    0.

    No name has a comma (`layer1.weight[0,:]` is layer1.weight[0 :]) or a quote, so that the header
    splits as simply as the rows.
    """
    columns = {name: dataset[name].values for name in ("step", "time") if name in dataset.coords}
    for name, variable in dataset.data_vars.items():
        if "time" not in variable.dims:
            continue
        axes = [d for d in variable.dims if d != "time"]
        values = variable.transpose("time", *axes).values
        labels = [
            variable[d].values if d in variable.coords else np.arange(variable.sizes[d])
            for d in axes
        ]
        for where in np.ndindex(*values.shape[1:]):
            at = " ".join(f"{d}={labels[i][where[i]]}" for i, d in enumerate(axes))
            column = f"{name}[{at}]" if at else str(name)
            columns[UNSPLIT.sub(" ", column)] = values[(slice(None), *where)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


def dataset_out(dataset, file: Path) -> None:
    """A Dataset as .nc or .csv, which must not exist yet."""
    sealed.check_absent("export", file)
    if file.suffix not in (".nc", ".csv"):
        raise refused("export", "a file ending in .nc or .csv", str(file), "Choose one of them")
    # netCDF says what fails below it as a RuntimeError
    with sealed.written("export", file, RuntimeError):
        sealed.appear(
            lambda part: (
                dataset.to_netcdf(part, engine="netcdf4")
                if file.suffix == ".nc"
                else write_csv(dataset, part)
            ),
            file,
        )
