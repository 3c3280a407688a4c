"""The sweep command: axes as typed, the grid, its last values, and what other commands do with
the folder of a sweep."""

import hashlib
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np

from learnmech import report, sweeps
from learnmech.errors import refused
from learnmech.figures.swept import diverged, last_values
from learnmech.language import catalog, text
from learnmech.machine.logs import LOG
from learnmech.record import bounds, locks, sealed
from learnmech.record.folder import is_sweep
from learnmech.sweeps.asked import shard_of
from learnmech.sweeps.folder import alone, described
from learnmech.sweeps.kept import UNREADABLE, packed, unpacked
from learnmech.theories.base import Theory
from learnmech.verbs import folders
from learnmech.verbs.folders import dataset_out
from learnmech.verbs.phases import Phasing, silent
from learnmech.verbs.subjects import assignment, changed_experiment
from learnmech.verbs.works import ready

__all__ = ["axis_values", "compare", "export", "is_sweep", "page_again", "show", "sweep"]

LAID, SEALED = "compared", ".laid"
"""The folder of what theories said of a sweep, one sealed file each."""
GATHERED, OWN = "gathered.json", re.compile(r"sweep(-\d+)?\.nc")
"""Which file holds the grid of which sweep."""


def axis_values(written: str) -> list:
    """The values of `a,b,c`, `lin(0,1,5)` or `geom(0.01,1,5)`; commas inside brackets do not
    separate."""
    for name, spread in (("lin", np.linspace), ("geom", np.geomspace)):
        if written.startswith(f"{name}(") and written.endswith(")"):
            try:
                low, high, count = (float(v) for v in written[len(name) + 1 : -1].split(","))
                if not (
                    1 <= count <= 1e6
                    and count == int(count)
                    and np.isfinite([low, high]).all()
                    and (name == "lin" or low * high > 0)
                ):
                    raise ValueError
                return [
                    int(round(v)) if abs(v - round(v)) <= 1e-12 * abs(v) else float(v)
                    for v in spread(low, high, int(count))
                ]
            except ValueError:
                example = "lin(0,1,5)" if name == "lin" else "geom(0.01,1,5)"
                raise refused(
                    "sweep",
                    f"{name}(first, last, count)",
                    repr(written),
                    f"Write for example {example}",
                ) from None
    parts, depth = [""], 0
    for letter in written:
        depth += (letter in "[{(") - (letter in ")}]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [text.value_of(part) for part in parts]


def sweep(
    subject, assignments, seeds, backend, out, small, shard=None, on=None, phases: Phasing = silent
) -> dict:
    """A grid, or the i-th of n parts of it, kept under `out` and gone on with from there;
    whoever finds all points kept gathers them."""
    ready()
    shard = shard_of(shard)
    axes: dict = {}
    fixed: dict = {}
    for path, value in map(assignment, assignments):
        values = axis_values(value)
        if path in axes or path in fixed or len(set(map(repr, values))) < len(values):
            raise refused(
                "sweep",
                "every knob, and every value of it, once",
                f"{path}={value} again",
                "Drop the repetition",
            )
        (axes if len(values) > 1 else fixed)[path] = values if len(values) > 1 else values[0]
    name, exhibit, experiment = changed_experiment(subject, fixed, small)
    # one folder for each sweep: what is swept, over which values, seeds and readings
    asked = "".join(
        [*map(text.identity, (experiment, *exhibit.watch)), repr(sorted(axes.items())), str(seeds)]
    )
    mine = hashlib.sha256(asked.encode()).hexdigest()[:8]
    target = Path(out) if out is not None else folders.RUNS / f"{name}-sweep-{mine}"
    with phases(f"{name} sweep", points=True) as told:
        told.enter("running")
        grid = sweeps.sweep(
            experiment,
            axes,
            seeds,
            exhibit.watch,
            backend,
            target,
            on,
            progress=told.possible,
            shard=shard,
        )
        kept, of = int((grid["reached"] > 0).sum()), int(grid["reached"].size)
        file = None
        if kept == of:
            told.enter("writing the page")
            file = _gathered_into(target, grid, f"{name} over {', '.join(axes) or 'seeds'}")
    facts: dict[str, Any] = {
        "name": name,
        "folder": str(target),
        "file": None if file is None else str(file),
        "points": {"kept": kept, "of": of},
    }
    facts |= {"shard": None if shard is None else list(shard), "diverged": _count(grid)}
    return facts | {
        "backend": grid.attrs["backend"],
        "left_out": grid.attrs["left_out"],
        "rows": _rows(grid, axes),
    }


def _gathered_into(target, grid, title) -> Path:
    """sweep.nc, the figure and the page: of this sweep in place of its own earlier ones, and
    beside those of another that was here before."""
    identity, moved = (
        described(target, "sweep").said["identity"],
        folders.free(target / "sweep", ".nc"),
    )
    numbers = [
        str(name)
        for name, one in grid.variables.items()
        if one.ndim and one.size and one.dtype.kind in "fiub"
    ]
    checked = {"encoding": {name: {"fletcher32": True} for name in numbers}}
    with (
        sealed.said_if_it_fails(
            str(target), "Free some space, and give the same sweep again: its points are kept"
        ),
        alone(target),
    ):
        before = sealed.read(target, GATHERED) or {}
        mine = before.get("identity") == identity and OWN.fullmatch(str(before.get("file")))
        file = bounds.inside(target, before["file"]) if mine else moved
        # the name first: who is killed in between finds it again, and leaves no second file
        sealed.write(target, GATHERED, {"identity": identity, "file": file.name})
        sealed.appear(
            lambda part: _storable(grid).to_netcdf(part, engine="netcdf4", **checked), file
        )
        report.write_grid(grid, target, title, _laid_before(target))
    return file


def _storable(grid):
    """The grid as a file that may be moved: without the name of its folder."""
    copy = grid.copy()
    copy.attrs.pop("folder", None)
    return copy


def _rows(grid, axes) -> list[dict]:
    """Of each point its knobs, and what every scalar quantity ended at: the mean over seeds, its
    standard error, and how many diverged."""
    scalars = [
        str(q) for q in grid.data_vars if set(grid[q].dims) <= {*axes, "seed", "time", "mark"}
    ]
    ends, ended, rows = {q: last_values(grid, q) for q in scalars}, diverged(grid), []
    for places in itertools.product(*(range(len(values)) for values in axes.values())):
        at = dict(zip(axes, places, strict=True))
        row = {"at": {path: axes[path][place] for path, place in at.items()}}
        for q in scalars:
            values = np.atleast_1d(ends[q].isel(at).values.astype(float))
            with np.errstate(all="ignore"):
                sem = (
                    float(values.std(ddof=1) / np.sqrt(len(values)))
                    if len(values) > 1
                    else float("nan")
                )
                row[q] = {"mean": float(values.mean()), "sem": sem}
        found = np.atleast_1d(
            (grid["reached"] * np.nan if ended is None else ended).isel(at).values
        )
        there = np.atleast_1d(grid["reached"].isel(at).values) > 0
        row["runs"] = {"kept": int(there.sum()), "of": int(there.size)}
        row["diverged"] = {
            "runs": int(np.isfinite(found).sum()),
            "of": int(found.size),
            "at": sorted(found[np.isfinite(found)].tolist()),
        }
        rows.append(row)
    return rows


def _count(grid) -> int:
    ended = diverged(grid)
    return 0 if ended is None else int(np.isfinite(ended.values).sum())


def show(folder: Path) -> dict:
    """A sweep as rows: its knobs, and what was read at the end of each point, over its seeds; of
    one under way what is there."""
    found = described(folder, "learnmech")
    counts = {"kept": found.counted(), "of": found.size}
    facts: dict[str, Any] = {"folder": str(folder), "points": counts}
    if not counts["kept"]:
        return facts | {
            "backend": "",
            "columns": [],
            "rows": [],
            "below": [f"0 of {counts['of']} points"],
            "note": f"0 of {counts['of']} points",
        }
    grid = sweeps.load(folder)
    table = report.table_of(grid)
    rows = [list(row) for row in table.rows]
    facts |= {
        "backend": grid.attrs["backend"],
        "columns": list(table.columns),
        "rows": rows,
        "below": list(table.below),
    }
    return facts | {
        "note": grid.attrs.get("note", ""),
        "compared": [one.theory for one in _laid_before(Path(folder))],
    }


def export(folder: Path, file: Path) -> dict:
    """A sweep as NetCDF, or as CSV with a row for each point and mark."""
    grid, file = sweeps.load(folder), Path(file)
    note = {"note": grid.attrs["note"]} if "note" in grid.attrs else {}
    if file.suffix != ".csv":
        dataset_out(_storable(grid), file)
        return {"file": str(file), "bytes": file.stat().st_size} | note
    sealed.check_absent("export", file)
    axes = {*report.knobs_of(grid), "seed", "time", "mark"}
    scalars = grid.drop_dims(
        [dim for dim in grid.dims if dim not in axes]
    )  # where there is none, the points and marks alone
    with sealed.written("export", file):
        sealed.appear(lambda part: scalars.to_dataframe().to_csv(part), file)
    return {"file": str(file), "bytes": file.stat().st_size} | note


def compare(folder: Path, other: str, tolerance: float | None, phases: Phasing = silent) -> dict:
    """A theory over every point of a sweep; what it says is kept in the folder, and drawn on its
    page."""
    ready()
    if tolerance is not None and not tolerance > 0:
        raise refused("compare", "tolerance > 0", tolerance, "Give for example 1e-6")
    if Path(other).is_dir():
        raise refused(
            "compare",
            "a theory to lay over the points of a sweep",
            f"the folder {other}",
            "Name a theory; learnmech list theories tells them",
        )
    folder, theory = Path(folder), text.part_of(Theory, other)
    with phases(f"{other} over {folder.name}", points=True) as told:
        told.enter("comparing")
        laid = sweeps.compare_grid(folder, theory, tolerance, told.possible)
    found = described(folder, "compare")
    stored = packed(laid.dataset, found.said["identity"])
    with (
        sealed.said_if_it_fails(str(folder), "Free some space, and give the same command again"),
        locks.shared(folder),
        alone(folder),
    ):
        bounds.inside(folder, LAID).mkdir(exist_ok=True)
        sealed.put(folder, f"{LAID}/{catalog.kebab(type(theory).__name__)}{SEALED}", stored)
        _page(folder)
    return laid.plain() | {"folder": str(folder), "file": str(folder / "report.html")}


def page_again(folder: Path, out: Path | None) -> dict:
    """The page of a sweep's folder made again, or in a file of its own."""
    folder = Path(folder)
    if out is not None:
        grid, out = sweeps.load(folder), report.check_page(out)
        written = report.grid_page(grid, out.stem, _laid_before(folder))
        with sealed.said_if_it_fails(str(out), "Choose another place"):
            sealed.appear(lambda part: part.write_text(written, encoding="utf-8"), out)
    else:
        with locks.shared(folder), alone(folder):
            out = _page(folder)
    return {"file": str(out), "bytes": out.stat().st_size}


def _page(folder) -> Path:
    grid = sweeps.load(folder)
    over = ", ".join(report.knobs_of(grid)) or "seeds"
    return report.write_grid(
        grid, folder, f"{folder.resolve().name} over {over}", _laid_before(folder)
    )


def _laid_before(folder) -> "list[sweeps.GridComparison]":
    """What theories said of this sweep before, each as it was kept; of another sweep, or
    damaged, it is left out."""
    found, identity = [], described(folder).said["identity"]
    for file in sorted((folder / LAID).glob(f"*{SEALED}")):
        try:
            dataset = unpacked(file.read_bytes(), identity)
            found.append(
                sweeps.GridComparison(
                    str(dataset.attrs["theory"]), str(dataset.attrs["source"]), dataset
                )
            )
        except UNREADABLE as error:
            LOG.warning("%s is left out: %s; learnmech compare makes it again", file, error)
    return found
