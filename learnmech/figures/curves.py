"""Curves: a record by itself, quantity by quantity."""

import numpy as np

from learnmech.comparison import Comparison
from learnmech.figures.overlay import CURVES, overlay
from learnmech.figures.style import COLORS, DASHES, TIME, drawable, label, sheet, titled
from learnmech.late import late
from learnmech.record.base import Record

xr = late("xarray")

MARKS = 200


def curves(record: "Record | xr.Dataset", title: str = "") -> "Figure":
    """Up to six quantities of a record or of what was read from one, scalars first, each with the six entries that move most."""
    known = record.names if isinstance(record, Record) else [str(name) for name in record.data_vars]
    names = sorted(known, key=lambda name: (record[name].ndim, name != "loss"))[:6]
    columns = 1 if len(names) < 2 else 2
    figure, axes = sheet(max(1, -(-len(names) // columns)), columns)
    for axis, name in zip(axes, names, strict=False):
        seen = record[name]
        flat = drawable(seen.values.reshape(len(seen), -1))
        moving = sorted(np.argsort(-np.nan_to_num(np.ptp(flat, axis=0)), kind="stable")[:CURVES])
        for place, entry in enumerate(moving):
            axis.plot(seen["time"], flat[:, entry], color=COLORS[place % len(COLORS)], linestyle=DASHES[place % len(DASHES)])
        finite = flat[np.isfinite(flat)]
        if name.endswith("loss") and finite.size and finite.min() > 0 and finite.max() > 100 * finite.min():
            axis.set_yscale("log")
        axis.set_xlabel(TIME)
        axis.set_ylabel(label(seen.attrs["symbol"], seen.attrs["units"], seen.attrs["long_name"]))
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    return titled(figure, title)


def show(what: "Record | Comparison | xr.Dataset", title: str = "", paths: str | tuple[str, ...] = ()) -> "Figure":
    """A record by itself, or a comparison with seen laid over said; `figure.savefig("name.png")` keeps it.

    `paths` are the addresses of arrays (or kinds of instruments) to be shown of a record; what was not watched is replayed at its marks, at most 200.
    """
    if isinstance(what, Comparison):
        return overlay(what, title)
    if isinstance(what, Record) and paths:
        marks = what.course.marks.times if what.course.flows else what.course.places
        chosen = np.unique(np.linspace(what.first, what.reached - 1, min(what.reached - what.first, MARKS)).round().astype(int))
        asked = [paths] if isinstance(paths, str) else paths
        what = xr.merge([what.read(path, marks[chosen]) for path in asked], compat="equals", join="exact")
    return curves(what, title)
