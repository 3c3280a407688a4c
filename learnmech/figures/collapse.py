"""Collapse: curves as they are and as they fall on one another; curves in their own units."""

from typing import TYPE_CHECKING

import numpy as np

from learnmech.figures.style import COLORS, DASHES, MARKERS, TIME, label, sheet, titled
from learnmech.figures.symbols import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def collapse_plot(said: dict, title: str = "") -> "Figure":
    """Left the mean curves at each value x of the knob, right those of t x^a and q x^b, ln x
    centered; of a collapse as plain data."""
    figure, (left, right) = sheet(columns=2, height=4.2, width=11.0)
    a, b = said["time"][0], said["size"][0]
    centered = np.log(said["at"]) - np.log(said["at"]).mean()
    name = said["quantity"].replace("_", " ")
    positive = min(map(min, said["means"])) > 0
    for look, (x, log, times, values) in enumerate(
        zip(said["at"], centered, said["times"], said["means"], strict=True)
    ):
        t, q = np.asarray(times)[1:], np.asarray(values)[1:]
        style = {
            "color": COLORS[look % len(COLORS)],
            "linestyle": DASHES[look % len(DASHES)],
            "marker": MARKERS[look % len(MARKERS)],
            "markevery": max(1, len(t) // 8),
            "markersize": 5,
        }
        left.plot(t, q, label=f"{x:g}", **style)
        right.plot(t * np.exp(a * log), q * np.exp(b * log), **style)
    for panel in (left, right):
        panel.set(xscale="log", yscale="log" if positive else "linear")
    left.set(xlabel=TIME, ylabel=label(name, said["units"]))
    right.set(xlabel=f"$t\\,x^{{{a:.3g}}}$, x over its mean", ylabel=f"{name} $x^{{{b:.3g}}}$")
    left.legend(title=plain(said["knob"]) + " = x")
    return titled(figure, title or f"{name} over {said['knob']}: {said['verdict']}")


def universal_plot(said: dict, title: str = "") -> "Figure":
    """The curves, each in its own units; of a universality as plain data."""
    figure, (panel,) = sheet(height=4.4, width=7.5)
    for look, (name, scaled) in enumerate(zip(said["values"], said["scaled"], strict=True)):
        panel.plot(
            said["at"],
            scaled,
            color=COLORS[look % len(COLORS)],
            linestyle=DASHES[look % len(DASHES)],
            label=name,
        )
    name = said["quantity"].replace("_", " ")
    panel.set(xlabel="time over its half-time [1]", ylabel=f"{name}: part that is left [1]")
    panel.legend(title=plain(said["knob"]))
    return titled(figure, title or f"{name} over {said['knob']}: {said['verdict']}")
