"""Overlay: seen and said on one axis, quantity by quantity."""

import numpy as np

from learnmech.comparison import Comparison, matched
from learnmech.figures.style import COLORS, DASHES, MARKERS, OUTSIDE, TIME, drawable, label, sheet, titled

CURVES = 6
DOTS = 36


def overlay(comparison: Comparison, title: str = "") -> "Figure":
    """One panel per quantity: dots are seen, lines are said, grey outside the theory's domain. At most six curves a panel, those that move most."""
    rows = [row for row in comparison.rows if np.ndim(comparison.seen[row.quantity]) >= 1][:6]
    columns = 1 if len(rows) < 2 else 2
    figure, axes = sheet(max(1, -(-len(rows) // columns)), columns)
    for axis, row in zip(axes, rows, strict=False):
        panel(axis, comparison, row.quantity)
    for axis in axes[len(rows) :]:
        axis.set_axis_off()
    return titled(figure, title)


def laid(axis, x, seen, said, place: int = 0, name: str = "", fine=None) -> None:
    """One curve of numbers: dots for what was seen at x, a line for what was said there, or on the finer grid `fine` = (x, said)."""
    line_x, line_y = (x, said) if fine is None else fine
    color = COLORS[place % len(COLORS)]
    axis.plot(line_x, line_y, linestyle=DASHES[place % len(DASHES)], color=color, zorder=2, label=f"{name} said".strip())
    axis.plot(x, seen, MARKERS[place % len(MARKERS)], color=color, markersize=5, zorder=3, label=f"{name} seen".strip())


def panel(axis, comparison: Comparison, quantity: str, log: bool | None = None, curves: int = CURVES) -> None:
    """One quantity of a comparison on one axis."""
    seen, said = comparison.seen[quantity], comparison.said[quantity]
    times, measured, predicted = matched(seen, said)
    outside = comparison.verdict == "outside domain"
    flat_seen, flat_said = (drawable(values.reshape(len(times), -1)) for values in (measured, predicted))
    moving = np.argsort(-np.nan_to_num(np.ptp(flat_seen, axis=0)), kind="stable")[:curves]
    dots = np.unique(np.linspace(0, len(times) - 1, DOTS).astype(int))
    for place, entry in enumerate(sorted(moving)):
        color = COLORS[place % len(COLORS)]
        axis.plot(
            times,
            flat_said[:, entry],
            linestyle=DASHES[place % len(DASHES)],
            color=OUTSIDE if outside else color,
            zorder=2,
            label="said" if place == 0 else None,
        )
        axis.plot(
            times[dots], flat_seen[dots, entry], MARKERS[place % len(MARKERS)], color=color, markersize=4.5, zorder=3, label="seen" if place == 0 else None
        )
    positive = flat_seen[flat_seen > 0]
    spans = positive.size and flat_seen.min() > 0 and positive.max() > 100 * positive.min()
    if log or (log is None and quantity.endswith("loss") and spans):
        axis.set_yscale("log")
    if len(times) > 2 and np.ptp(np.diff(times)) > 20 * np.diff(times).min():
        axis.set_xscale("symlog", linthresh=times[1])
    axis.set_xlabel(TIME)
    axis.set_ylabel(label(seen.attrs.get("symbol", quantity), seen.attrs.get("units", ""), seen.attrs.get("long_name", "")))
    axis.set_title(comparison.remark(quantity), fontsize=10, loc="right", color="#555555")
    axis.legend(loc="best")
