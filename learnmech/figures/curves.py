"""Curves: a record by itself, quantity by quantity."""

import base64
import html
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.comparison.verdicts import Comparison
from learnmech.errors import refused
from learnmech.figures.apart import apart
from learnmech.figures.grid import draw
from learnmech.figures.overlay import overlay
from learnmech.figures.panels import band_of, curve_panel, in_order
from learnmech.figures.style import sheet, titled
from learnmech.figures.swept import is_grid
from learnmech.machine.late import late
from learnmech.record.base import Record

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
else:
    xr = late("xarray")

MARKS, PANELS = 200, 12


def drawn_names(record: "Record | xr.Dataset") -> list[str]:
    """Every quantity that has a panel of its own, the loss and other scalars first; residuals
    and errors are bands of what they belong to."""
    known = (
        record.names
        if isinstance(record, Record)
        else [str(name) for name in record.data_vars if "time" in record[name].dims]
    )
    return sorted(in_order(known), key=lambda name: (record[name].ndim, name != "loss"))


def curves(
    record: "Record | xr.Dataset", title: str = "", names: tuple[str, ...] | None = None
) -> "Figure":
    """Quantities of a record or of what was read from one, scalars first, each with the six entries
    that move most.

    All of them, up to twelve; or those that are named. What is left out is said in the title.
    """
    all_names = drawn_names(record)
    shown = all_names[:PANELS] if names is None else list(names)
    known = record.names if isinstance(record, Record) else list(map(str, record.data_vars))
    start = record.start if isinstance(record, Record) else None
    columns = 1 if len(shown) < 2 else 2
    figure, axes = sheet(max(1, -(-len(shown) // columns)), columns)
    for axis, name in zip(axes, shown, strict=False):
        band = next((one for one in known if band_of(one, known) == name), None)
        curve_panel(axis, record[name], None if band is None else record[band], start)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    if not all_names:  # a report is made of such a run too
        axes[0].text(0.5, 0.5, "nothing was watched", ha="center", transform=axes[0].transAxes)
    count = (
        f"{len(shown)} of {len(all_names)} quantities"
        if names is None and len(shown) < len(all_names)
        else ""
    )
    return titled(figure, f"{title} ({count})" if title and count else title or count)


def show(
    what: "Record | Comparison | xr.Dataset", title: str = "", paths: str | tuple[str, ...] = ()
) -> "Figure":
    """A record, a comparison (measured laid over predicted), a sweep's grid, or how far twins are
    apart, as a figure.

    In a notebook it shows itself where it is the last word of a cell; `figure.savefig("name.png")`
    keeps it. `paths` are the addresses of arrays (or kinds of instruments) to be shown of a record;
    what was not watched is replayed at its marks, at most 200. Of a grid they are the quantities to
    be drawn.
    """
    if isinstance(what, Comparison):
        return overlay(what, title)
    if isinstance(what, xr.Dataset) and {"weight_distance", "signal_distance"} <= set(
        what.data_vars
    ):
        return apart(what, title)
    if isinstance(what, xr.Dataset) and is_grid(what):
        return draw(what, paths or None, title=title)
    if isinstance(what, Record) and paths:
        marks = what.timeline.marks.times if what.timeline.flows else what.timeline.positions
        chosen = np.unique(
            np.linspace(what.first, what.reached - 1, min(what.reached - what.first, MARKS))
            .round()
            .astype(int)
        )
        asked = [paths] if isinstance(paths, str) else paths
        what = xr.merge(
            [what.read(path, marks[chosen]) for path in asked], compat="equals", join="exact"
        )
    if hasattr(what, "figure") and not isinstance(what, (Record, xr.Dataset)):
        return what.figure()
    if not isinstance(what, (Record, xr.Dataset)):
        raise refused(
            "show",
            "a record, a comparison or a Dataset",
            type(what).__name__,
            "Give what lm.run, lm.compare, lm.sweep or lm.twins give",
        )
    if not drawn_names(what):
        raise refused(
            "show",
            "a record in which something was watched",
            "one of nothing",
            "Give watch for example ('loss',)",
        )
    return curves(what, title)


def picture(record: Record) -> str:
    """A small figure of a record in HTML, on white, as a notebook shows it below the table: the
    loss, or what was watched first."""
    names = drawn_names(record)[:2]
    if not names or not record.reached:
        return ""
    drawn: Any = curves(record, names=tuple(names))  # a Sheet, which shows itself
    written = base64.b64encode(drawn._repr_png_()).decode()
    left = len(drawn_names(record)) - len(names)
    more = f"<p class='source'>{left} more: lm.show(record)</p>" if left else ""
    return (
        f'<img alt="{html.escape(", ".join(names))} over time" width="640"'
        f' src="data:image/png;base64,{written}">{more}'
    )
