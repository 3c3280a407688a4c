"""The ladder: how far an experiment is from the full one with each axis off, alone and together."""

from typing import TYPE_CHECKING

import numpy as np

from learnmech.figures.style import COLORS, MARKERS, OUTSIDE, sheet, titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST = 1e-3  # of the range: what is nearer is drawn there


def ladder_plot(said: dict, title: str = "") -> "Figure":
    """One panel for each quantity: the largest distance from the full run, relative to its range,
    with two standard errors, for every axis off alone (dots) and with all above it (squares); the
    tolerance, and how much the full run scatters from seed to seed (crosses).

    `said` is what a ladder found as plain data; a rung that diverged has no place here.
    """
    rungs = said["together"] + said["alone"]
    names = list(dict.fromkeys(name for rung in rungs for name in rung["distances"]))
    rows = list(dict.fromkeys(rung["added"] for rung in rungs))
    figure, axes = sheet(columns=max(1, len(names)), height=1.6 + 0.42 * len(rows), width=11.0)
    for place, (panel, name) in enumerate(zip(axes, names, strict=False)):
        _panel(panel, name, rows, said)
        panel.set_yticks(range(len(rows)), rows[::-1] if not place else [""] * len(rows))
        if not place:
            panel.legend()
    return titled(figure, title or "How far each axis, turned off, is from the full experiment")


def _panel(panel, name, rows, said):
    heights = {axis: len(rows) - 1 - index for index, axis in enumerate(rows)}
    groups = (("alone", said["alone"], 0, 0.12), ("with all above it", said["together"], 1, -0.12))
    for words, rungs, look, shift in groups:
        found = [
            (heights[rung["added"]] + shift, rung["distances"][name])
            for rung in rungs
            if name in rung["distances"] and np.isfinite(rung["distances"][name]["farthest"])
        ]
        if not found:
            continue
        y = np.array([height for height, _ in found])
        x = np.array([max(one["farthest"], LEAST) for _, one in found])
        bars = np.nan_to_num(np.array([2 * one["resolution"] for _, one in found]))
        panel.errorbar(
            x,
            y,
            xerr=[np.minimum(bars, x - LEAST), bars],
            fmt=MARKERS[look],
            color=COLORS[look],
            capsize=3,
            label=f"{words} (± 2 se)",
        )
        if not look:
            spread = np.array([one["spread"] for _, one in found])
            panel.plot(
                np.maximum(spread, LEAST), y, "x", color=OUTSIDE, label="seed to seed, full run"
            )
    panel.axvline(said["tolerance"], color="#333333", linewidth=1, linestyle=":", label="tolerance")
    panel.set(
        xscale="log",
        ylim=(-0.6, len(rows) - 0.4),
        xlabel=f"largest distance of {name.replace('_', ' ')} / its range [1]",
    )
