"""The design: what each axis and each pair of axes is worth over all combinations."""

from typing import TYPE_CHECKING

import numpy as np

from learnmech.figures.style import COLORS, MARKERS, OUTSIDE, label, sheet, titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHERE = ("alone", "in the mean", "after all others")
PAIRS = 15  # so many are drawn, the largest


def design_plot(said: dict, title: str = "") -> "Figure":
    """One row for each quantity: left what each axis costs alone, in the mean over all
    combinations and after all others, right what pairs cost beside that; with two standard errors,
    filled where they are more than the noise of seeds.

    `said` is a design as plain data.
    """
    names = list(said["quantities"])
    several = len(said["axes"])
    figure, axes = sheet(
        rows=len(names), columns=2, height=max(2.4, 1.3 + 0.42 * several), width=11.0
    )
    for row, name in enumerate(names):
        effects = said["quantities"][name]["effects"]
        single = [one for one in effects if len(one["axes"]) == 1]
        both = sorted(
            (one for one in effects if len(one["axes"]) == 2 and np.isfinite(one["size"][0])),
            key=lambda one: -abs(one["size"][0]),
        )[:PAIRS]
        words, units = name.replace("_", " "), said["quantities"][name]["units"]
        _mains(axes[2 * row], single, legend=not row)
        _pairs(axes[2 * row + 1], both)
        axes[2 * row].set_xlabel(label(f"change of the last {words}", units))
        axes[2 * row + 1].set_xlabel(label(f"interaction in the last {words}", units))
    for panel in axes:
        panel.locator_params(axis="x", nbins=5)
        panel.axvline(0, color=OUTSIDE, linewidth=1)
    claim = "What each axis, turned off, is worth, and what pairs add (± 2 se; hollow: p > 0.05)"
    return titled(figure, title or claim)


def _drawn(panel, at, found, look, name):
    """One contrast with two standard errors, filled where it is real."""
    size, error, filled = found
    color = COLORS[look]
    panel.errorbar(
        size,
        at,
        xerr=2 * np.nan_to_num(error),
        fmt=MARKERS[look],
        color=color,
        markerfacecolor=color if filled else "white",
        capsize=3,
        label=name,
    )


def _mains(panel, effects, legend):
    for place, one in enumerate(effects):
        height = len(effects) - 1 - place
        for look, (word, key) in enumerate(zip(WHERE, ("alone", "size", "last"), strict=True)):
            size, error, p = one[key]
            if np.isfinite(size):
                filled = p < 0.05 if key == "size" else True
                _drawn(
                    panel,
                    height + 0.22 * (1 - look),
                    (size, error, filled),
                    look,
                    None if place else word,
                )
    panel.set_yticks(range(len(effects)), [one["axes"][0] for one in effects][::-1])
    panel.set(ylim=(-0.6, len(effects) - 0.4))
    if legend:
        panel.legend()


def _pairs(panel, effects):
    for place, one in enumerate(effects):
        size, error, _ = one["size"]
        real = one["verdict"] == "an interaction"
        _drawn(panel, len(effects) - 1 - place, (size, error, real), 3, None)
    names = [" x ".join(one["axes"]) for one in effects][::-1]
    panel.set_yticks(range(len(effects)), names)
    panel.set(ylim=(-0.6, max(len(effects), 1) - 0.4))
