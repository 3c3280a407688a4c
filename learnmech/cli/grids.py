"""The sweep command: axes as typed, the grid, and its last values."""

import hashlib
import itertools
import math
from pathlib import Path

import numpy as np

from learnmech import report, sweeps, text
from learnmech.cli import folders
from learnmech.cli.phases import phases
from learnmech.cli.works import assignment, changed_experiment, dataset_out, ready
from learnmech.errors import refused
from learnmech.late import late
from learnmech.record import sealed

xr = late("xarray")


def axis_values(written: str) -> list:
    """The values of `a,b,c`, `lin(0,1,5)` or `geom(0.01,1,5)`; commas inside brackets do not separate."""
    for name, spread in (("lin", np.linspace), ("geom", np.geomspace)):
        if written.startswith(f"{name}(") and written.endswith(")"):
            try:
                low, high, count = (float(v) for v in written[len(name) + 1 : -1].split(","))
                if not (1 <= count <= 1e6 and count == int(count) and np.isfinite([low, high]).all() and (name == "lin" or low * high > 0)):
                    raise ValueError
                return [int(round(v)) if abs(v - round(v)) <= 1e-12 * abs(v) else float(v) for v in spread(low, high, int(count))]
            except ValueError:
                example = "lin(0,1,5)" if name == "lin" else "geom(0.01,1,5)"
                raise refused("sweep", f"{name}(first, last, count)", repr(written), f"Write for example {example}") from None
    parts, depth = [""], 0
    for letter in written:
        depth += (letter in "[{(") - (letter in ")}]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [text.value_of(part) for part in parts]


def sweep(subject, assignments, seeds, backend, out, small, quiet) -> dict:
    """A grid, kept under `out` and resumed from there."""
    ready()
    axes, fixed = {}, {}
    for path, value in map(assignment, assignments):
        values = axis_values(value)
        if path in axes or path in fixed or len(set(map(repr, values))) < len(values):
            raise refused("sweep", "every knob, and every value of it, once", f"{path}={value} again", "Drop the repetition")
        (axes if len(values) > 1 else fixed)[path] = values if len(values) > 1 else values[0]
    name, exhibit, experiment = changed_experiment(subject, fixed, small)
    # one folder for each sweep: what is swept, over which values, seeds and readings
    told = "".join([*map(text.identity, (experiment, *exhibit.watch)), repr(sorted(axes.items())), str(seeds)])
    mine = hashlib.sha256(told.encode()).hexdigest()[:8]
    target = Path(out) if out is not None else folders.RUNS / f"{name}-sweep-{mine}"
    with phases(quiet, f"{name} sweep", points=True) as told:
        told.settle()
        told.enter("running")
        dataset = sweeps.sweep(experiment, axes, seeds, exhibit.watch, backend, target / "points", progress=told.counted)
        told.enter("writing the page")
        file = _written(dataset, target, f"{name} over {', '.join(axes) or 'seeds'}")
    bars = sweeps.error_bars(dataset) if "seed" not in axes else dataset
    moving = "time" if "time" in dataset.dims else "mark"
    scalars = [str(q) for q in dataset.data_vars if set(dataset[q].dims) <= {*axes, "seed", moving}]
    rows = []
    for values in itertools.product(*axes.values()):
        at = bars.sel({p: v if isinstance(v, (int, float, str)) else str(v) for p, v in zip(axes, values, strict=True)})
        rows.append({"at": dict(zip(axes, values, strict=True)), **{q: {"mean": _last(at[q]), "sem": _last(at.get(f"{q}_sem"))} for q in scalars}})
    return {"name": name, "file": str(file), "backend": dataset.attrs["backend"], "left_out": dataset.attrs["left_out"], "rows": rows}


def _written(dataset, target: Path, title: str) -> Path:
    """The Dataset of a sweep and its page in its folder; the file of the Dataset."""
    file = folders.free(target / "sweep", ".nc")
    with sealed.said_if_it_fails(str(target), "Free some space, and give the same sweep again: its points are kept"):
        sealed.appear(lambda part: dataset.to_netcdf(part, engine="netcdf4"), file)
    report.write_grid(dataset, target, title)
    return file


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (Path(folder) / "points").is_dir() and not (Path(folder) / "run.json").exists()


def gathered(folder: Path) -> "xr.Dataset":
    """The last Dataset of a sweep's folder."""
    files = sorted(Path(folder).glob("sweep*.nc"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise refused("learnmech", "a sweep that has ended", f"{folder}, still under way or stopped", "Give the same sweep again: its points are kept")
    try:
        return xr.load_dataset(files[-1], engine="netcdf4")
    except (OSError, ValueError) as error:
        raise refused("learnmech", "a whole sweep", f"{files[-1]}, {error}", "Delete that file, and give the same sweep again") from None


def show(folder: Path) -> dict:
    """A sweep as rows: its knobs, and what was read at the end of each point, over its seeds."""
    grid = gathered(folder)
    table = report.table_of(grid)
    return {"folder": str(folder), "backend": grid.attrs.get("backend", ""), "columns": list(table.columns), "rows": [list(row) for row in table.rows]}


def export(folder: Path, file: Path) -> dict:
    """A sweep as NetCDF, or as CSV with a row for each point and mark."""
    grid, file = gathered(folder), Path(file)
    if file.suffix != ".csv":
        dataset_out(grid, file)
        return {"file": str(file), "bytes": file.stat().st_size}
    if file.exists():
        raise refused("export", "a file that does not exist yet", str(file), "Choose another name, or delete it first")
    axes = {*report.knobs_of(grid), "seed", "time", "mark"}
    scalars = grid.drop_dims([dim for dim in grid.dims if dim not in axes])  # where there is none, the points and marks alone
    with sealed.said_if_it_fails(str(file), "Choose another place"):
        sealed.appear(lambda part: scalars.to_dataframe().to_csv(part), file)
    return {"file": str(file), "bytes": file.stat().st_size}


def _last(variable) -> float:
    """The last value that is there: shorter runs are padded with NaN."""
    values = np.full(1, np.nan) if variable is None else variable.values
    there = np.flatnonzero(~np.isnan(values))
    return float(values[there[-1]]) if len(there) else math.nan
