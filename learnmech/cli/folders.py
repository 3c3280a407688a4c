"""Folders: where runs and compiled programs are kept, and tables as CSV."""

import csv
import itertools
import os
import re
from pathlib import Path

import numpy as np

from learnmech.record import sealed

RUNS = Path("runs")
UNSPLIT = re.compile('[,;"\\s#]+')
"""What would split a header, or be read as a quote or a comment."""


def kept_compilations() -> Path:
    """The folder of compiled programs: LEARNMECH_CACHE, or the user's cache folder."""
    home = os.environ.get("LEARNMECH_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "learnmech"
    return Path(home) / "compiled"


def free(path: Path, suffix: str = "") -> Path:
    """The path with this suffix, or with the first number before it that makes it new."""
    names = itertools.chain((path.name,), (f"{path.name}-{n}" for n in itertools.count(2)))
    return next(one for name in names if not (one := path.with_name(f"{name}{suffix}")).exists())


def found(out: str | Path) -> list[Path]:
    """The run folders in a folder, newest last."""
    folders = [f for f in Path(out).glob("*/") if (f / "run.json").is_file() and not f.name.startswith(".")]
    return sorted(folders, key=lambda f: (f / "run.json").stat().st_mtime)


def entry(folder: Path) -> dict:
    """A run folder in one line."""
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    said, progress = sealed.read(folder, "run.json"), sealed.read(folder, "progress.json") or {}
    if said is None or "provenance" not in said:
        return {"folder": str(folder), "made": "", "bytes": size, "verdicts": ["damaged"], "fingerprint": "", "parent": None}
    verdicts = sorted({c["verdict"] for c in progress.get("result", {}).get("comparisons", [])})
    verdicts = verdicts if progress.get("status") == "finished" else [progress.get("status", "running"), *verdicts]
    made, fingerprint = said["provenance"]["made"], said["provenance"]["fingerprint"]
    return {"folder": str(folder), "made": made, "bytes": size, "verdicts": verdicts, "fingerprint": fingerprint, "parent": said["provenance"].get("parent")}


def write_csv(dataset, path: Path) -> None:
    """A row per mark, a column per entry: `mode_strength[mode=2]`; axes without labels count from 0.

    No name has a comma (`layer1.weight[0,:]` is layer1.weight[0 :]) or a quote, so that the header splits as simply as the rows.
    """
    columns = {name: dataset[name].values for name in ("step", "time") if name in dataset.coords}
    for name, variable in dataset.data_vars.items():
        if "time" not in variable.dims:
            continue
        axes = [d for d in variable.dims if d != "time"]
        values = variable.transpose("time", *axes).values
        labels = [variable[d].values if d in variable.coords else np.arange(variable.sizes[d]) for d in axes]
        for where in np.ndindex(*values.shape[1:]):
            at = " ".join(f"{d}={labels[i][where[i]]}" for i, d in enumerate(axes))
            column = f"{name}[{at}]" if at else str(name)
            columns[UNSPLIT.sub(" ", column)] = values[(slice(None), *where)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
