"""Staircase: the fraction of each mode that is learned over time, and the loss with the plateaus it
rests on."""

from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.comparison.staircases import Staircase
from learnmech.figures.panels import SMALL, named_entries, noted
from learnmech.figures.style import COLORS, DASHES, MARKERS, TIME, drawable, label, sheet, titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = 8


def draw(stairs: Staircase) -> "Figure":
    """Left the fractions, at most eight of them, with a mark where each came to 10 %, half and 90
    %; right the loss, its plateaus shaded."""
    figure, (left, right) = sheet(1, 2, height=4.2, width=11.0)
    shown, handles = stairs.rises[:CURVES], []
    for place, one in enumerate(shown):
        look: dict[str, Any] = {
            "color": COLORS[place % len(COLORS)],
            "linestyle": DASHES[place % len(DASHES)],
        }
        handles += left.plot(stairs.times, drawable(stairs.fractions[:, place]), **look)
        passed = [
            (at, level)
            for at, level in zip((one.tenth, one.half, one.ninetieth), (0.1, 0.5, 0.9), strict=True)
            if at == at and one.start < level
        ]
        if passed:
            left.plot(
                *np.transpose(passed),
                MARKERS[place % len(MARKERS)],
                color=COLORS[place % len(COLORS)],
                markersize=4,
            )
    left.axhline(1, color="#555555", linewidth=0.8)
    left.set_ylabel(label("c", "1", "fraction of each mode that is learned"))
    named_entries(left, "mode", handles, [str(one.mode) for one in shown])
    if len(shown) < len(stairs.rises):
        noted(left, f"{len(shown)} of {len(stairs.rises)} modes shown")
    right.plot(stairs.loss_times, drawable(stairs.loss), color=COLORS[0], label="loss")
    for place, flat in enumerate(stairs.plateaus):
        right.axvspan(
            flat.start,
            flat.end,
            color="#B8B8B8",
            alpha=0.45,
            linewidth=0,
            label="plateaus" if not place else None,
        )
    right.set_ylabel(label("L", "loss", "training loss"))
    right.legend(fontsize=SMALL)
    late = max((one.half for one in stairs.rises if one.half == one.half), default=0.0)
    early = min((one.half for one in stairs.rises if one.half == one.half), default=0.0)
    for axis in (left, right):
        axis.set_xlabel(TIME)
        if 0 < 30 * early < late:  # on a linear axis the first would be one with the start
            axis.set_xscale("symlog", linthresh=early)
    return titled(figure, f"{stairs.title}: {stairs.verdict}" if stairs.title else stairs.verdict)
