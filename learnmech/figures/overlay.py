"""Overlay: measured and predicted on one axis, quantity by quantity."""

from typing import TYPE_CHECKING

import numpy as np

from learnmech.comparison.alignment import matched
from learnmech.comparison.verdicts import Comparison
from learnmech.figures.panels import entry_names, moving_most, noted
from learnmech.figures.style import (
    COLORS,
    DASHES,
    MARKERS,
    OUTSIDE,
    TIME,
    drawable,
    label,
    sheet,
    titled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = 6
DOTS = 36
PANELS = 12


def overlaid_names(comparison: Comparison) -> list[str]:
    """The quantities of a comparison that move with time, which can be drawn."""
    return [row.quantity for row in comparison.rows if np.ndim(comparison.seen[row.quantity]) >= 1]


def overlay(
    comparison: Comparison, title: str = "", names: tuple[str, ...] | None = None
) -> "Figure":
    """One panel per quantity: dots are measured, lines predicted, grey outside the theory's
    domain. At most six curves a panel, those that move most."""
    shown = overlaid_names(comparison)[:PANELS] if names is None else list(names)
    columns = 1 if len(shown) < 2 else 2
    figure, axes = sheet(max(1, -(-len(shown) // columns)), columns)
    for axis, name in zip(axes, shown, strict=False):
        panel(axis, comparison, name)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    return titled(figure, title)


def laid(axis, x, seen, said, place: int = 0, name: str = "", fine=None) -> None:
    """One curve of numbers: dots for what was measured at x, a line for what is predicted there,
    or on the finer grid `fine` = (x, predicted)."""
    line_x, line_y = (x, said) if fine is None else fine
    color = COLORS[place % len(COLORS)]
    axis.plot(
        line_x,
        line_y,
        linestyle=DASHES[place % len(DASHES)],
        color=color,
        zorder=2,
        label=f"{name} predicted".strip(),
    )
    axis.plot(
        x,
        seen,
        MARKERS[place % len(MARKERS)],
        color=color,
        markersize=5,
        zorder=3,
        label=f"{name} measured".strip(),
    )


def panel(
    axis, comparison: Comparison, quantity: str, log: bool | None = None, curves: int = CURVES
) -> None:
    """One quantity of a comparison on one axis."""
    seen, said = comparison.seen[quantity], comparison.said[quantity]
    times, measured, predicted = matched(seen, said)
    if (
        "time" in seen.dims and "time" not in said.dims
    ):  # what stands still is drawn beside the whole course
        times, measured = seen["time"].values, seen.values
        predicted = np.broadcast_to(predicted, (len(times), *predicted.shape[1:]))
    if not len(times):
        noted(axis, "no marks")
        return
    outside = comparison.verdict == "outside domain"
    flat_seen, flat_said = (
        drawable(values.reshape(len(times), -1)) for values in (measured, predicted)
    )
    moving = moving_most(flat_seen, curves)
    dots = np.unique(np.linspace(0, len(times) - 1, DOTS).astype(int))
    for place, entry in enumerate(moving):
        color, mark = COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)]
        line = {"linestyle": DASHES[place % len(DASHES)], "color": OUTSIDE if outside else color}
        axis.plot(times, flat_said[:, entry], zorder=2, **line)
        axis.plot(times[dots], flat_seen[dots, entry], mark, color=color, markersize=4.5, zorder=3)
    positive = flat_seen[flat_seen > 0]
    spans = positive.size and np.nanmin(flat_seen) > 0 and positive.max() > 100 * positive.min()
    if log or (log is None and quantity.endswith("loss") and spans):
        axis.set_yscale("log")
    if len(times) > 2 and np.ptp(np.diff(times)) > 20 * np.diff(times).min():
        axis.set_xscale("symlog", linthresh=times[1])
    axis.set_xlabel(TIME)
    axis.set_ylabel(
        label(
            seen.attrs.get("symbol", quantity),
            seen.attrs.get("units", ""),
            seen.attrs.get("long_name", ""),
        )
    )
    notes = [comparison.remark(quantity)]
    if flat_seen.shape[1] > len(moving):
        notes.append(f"{len(moving)} of {flat_seen.shape[1]} entries shown")
    noted(axis, "; ".join(notes))
    _told_apart(axis, seen, moving, outside)


def _told_apart(axis, seen, moving, outside) -> None:
    """The legend: what a dot and a line are, and which entry has which color."""
    from matplotlib.lines import Line2D

    many = seen.size > len(seen) if seen.ndim else False
    plain = "#333333" if many else COLORS[0]
    handles = [
        Line2D([], [], linestyle="none", marker=MARKERS[0], color=plain, markersize=4.5),
        Line2D([], [], color=OUTSIDE if outside else plain),
    ]
    names, title = ["measured", "predicted"], None
    if many:
        title, entries = entry_names(seen, moving)
        names += entries
        for place in range(len(moving)):
            at = place % len(COLORS)
            handles.append(
                Line2D(
                    [], [], color=COLORS[at], linestyle=DASHES[at], marker=MARKERS[at], markersize=4
                )
            )
    axis.legend(
        handles, names, title=title, title_fontsize=9, fontsize=9, ncols=1 + (len(names) > 5)
    )
