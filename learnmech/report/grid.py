"""The page of a sweep: every quantity over its knobs, with error bars over seeds, and a map of
two knobs."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.figures.grid import draw
from learnmech.figures.style import svg
from learnmech.figures.swept import (
    diverged,
    diverged_words,
    knobs_of,
    last_values,
    scalars_of,
    words_of_note,
)
from learnmech.language.display.table import Table, as_html, number
from learnmech.record.sealed import put, said_if_it_fails
from learnmech.report.frame import figure_of, folded, page_of, provenance_of, safe, untitled
from learnmech.sweeps import GridComparison

if TYPE_CHECKING:
    import xarray as xr

ROWS = 400


def write_grid(
    grid: "xr.Dataset", folder: Path, title: str = "Sweep", laid: Sequence[GridComparison] = ()
) -> Path:
    """figure.svg and report.html of a sweep's Dataset, with theories laid over it, into a folder
    that exists; the path of the page."""
    with said_if_it_fails(
        str(folder), "Free some space, and give the same sweep again: its points are kept"
    ):
        if grid.data_vars:  # where nothing was watched there is nothing to draw
            put(folder, "figure.svg", svg(draw(grid, title=title)).encode())
        return put(folder, "report.html", grid_page(grid, title, laid).encode())


def grid_page(grid: "xr.Dataset", title: str, laid: Sequence[GridComparison] = ()) -> str:
    """The page as text: every quantity drawn, over each pair of knobs, and every theory's map;
    no script, nothing fetched."""
    scalars, knobs = scalars_of(grid), knobs_of(grid)
    others = [
        str(name)
        for name, one in grid.data_vars.items()
        if str(name) not in scalars and not str(name).endswith("_sem") and _moves(one)
    ]
    pairs: list[tuple[str, ...]] = [*itertools.combinations(knobs, 2)] or [tuple(knobs)]
    parts = [f"<h1>{safe(title)}</h1>", f"<p>{safe(_in_words(grid, knobs))}</p>"]
    parts += [
        f"<p><strong>{safe(one)}</strong></p>"
        for one in (words_of_note(grid), diverged_words(grid))
        if one
    ]
    for one in laid:
        parts.append(f"<h2>{safe(one.theory)}: where it holds</h2>")
        parts.append(figure_of(untitled(one.figure()), f"the error of {one.theory} over the sweep"))
        parts += [
            folded("every point", as_html(table), opened=one.dataset["verdict"].size <= 36)
            for table in one.tables()
        ]
    first = not laid
    for pair in pairs:
        for name in (*scalars, *others):
            drawn = figure_of(untitled(draw(grid, name, pair)), f"{name} over {', '.join(pair)}")
            parts.append(
                drawn
                if first
                else folded(
                    f"{name} over {', '.join(pair) or 'seeds'}",
                    drawn,
                    opened=pair == pairs[0] and name in scalars[:3],
                )
            )
            first = False
    parts += ["<h2>At the end</h2>", as_html(table_of(grid))]
    if not laid:
        parts.append(
            '<p class="dim">No theory is laid over this sweep: <code>learnmech compare FOLDER'
            " THEORY</code> does so, point by point.</p>"
        )
    if grid.attrs.get("left_out"):
        parts.append(
            '<p class="dim">Left out, since not every point has it in one shape:'
            f" {safe(grid.attrs['left_out'])}</p>"
        )
    if grid.attrs.get("experiment"):
        parts.append(
            "<h2>The experiment whose knobs are"
            f" turned</h2><pre>{safe(grid.attrs['experiment'])}</pre>"
        )
    parts.append(
        provenance_of(
            {
                name: value
                for name, value in grid.attrs.items()
                if name not in ("experiment", "left_out", "asked", "note")
            }
        )
    )
    return page_of(title, parts)


def _moves(variable) -> bool:
    return any(dim in ("time", "mark") for dim in variable.dims)


def _in_words(grid, knobs) -> str:
    over = ", ".join(f"{knob} ({grid.sizes[knob]} values)" for knob in knobs if knob in grid.sizes)
    seeds = grid.sizes.get("seed", 1)
    return f"{over or 'No knob'}; {seeds} seed{'s' if seeds > 1 else ''} at each point."


def table_of(grid: "xr.Dataset") -> Table:
    """The last value of every scalar quantity at each point, its mean over seeds and the
    standard error; of runs that diverged where they did, and how many of the seeds."""
    knobs, scalars, rows = [k for k in knobs_of(grid) if k in grid.dims], scalars_of(grid), []
    ends = {name: last_values(grid, name) for name in scalars}
    reached: Any = grid.coords.get("reached")
    partly = reached is not None and not (reached.values > 0).all()
    gone, unit = diverged(grid), "step" if "step" in grid.coords else "time"
    points = list(itertools.product(*(range(grid.sizes[knob]) for knob in knobs)))
    for where in points[:ROWS]:
        at = dict(zip(knobs, where, strict=True))
        cells = [
            number(
                grid[knob].values[index].item()
                if hasattr(grid[knob].values[index], "item")
                else grid[knob].values[index]
            )
            for knob, index in at.items()
        ]
        for name in scalars:
            values = np.atleast_1d(
                np.asarray(
                    ends[name].isel({k: v for k, v in at.items() if k in ends[name].dims}).values,
                    float,
                )
            )
            with np.errstate(all="ignore"):
                bar = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
                cells.append(
                    number(float(values.mean())) + (f" ± {bar:.2g}" if np.isfinite(bar) else "")
                )
        there = (
            [f"{int((reached.isel(at) > 0).sum())} of {int(reached.isel(at).size)}"]
            if partly
            else []
        )
        rows.append(
            (*cells, *([] if gone is None else [_diverged_in(gone.isel(at), unit)]), *there)
        )
    below: tuple[str, ...] = (
        (f"{ROWS} of {len(points)} points shown; all are in the Dataset.",)
        if len(points) > ROWS
        else ()
    )
    below += tuple(one for one in (diverged_words(grid), words_of_note(grid)) if one)
    return Table(
        (*knobs, *scalars, *([] if gone is None else ["diverged"]), *(["runs"] if partly else [])),
        tuple(rows),
        below=below,
    )


def _diverged_in(ends, unit) -> str:
    """`at step 40`, `1 of 3 seeds, at step 40`; empty where none did."""
    found = np.atleast_1d(ends.values)
    there = found[np.isfinite(found)]
    if not there.size:
        return ""
    where = f"at {unit} {there.min():g}" + (
        f" to {there.max():g}" if there.max() > there.min() else ""
    )
    return where if found.size == 1 else f"{there.size} of {found.size} seeds, {where}"
