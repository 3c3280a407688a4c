"""The budget: a run, a theory, and what the difference between them is made of."""

from typing import TYPE_CHECKING

import numpy as np

from learnmech.figures.style import COLORS, DASHES, OUTSIDE, TIME, label, sheet, titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def budget_plot(said: dict, title: str = "") -> "Figure":
    """Left the run (a line), the last rung (dashes) and the theory there (dots); right what each
    axis adds to theory - run, and their sum, which is all of it; bands are two standard errors.

    `said` is a budget as plain data.
    """
    times = np.asarray(said["times"])
    figure, (left, right) = sheet(columns=2, height=4.4, width=11.0)
    curves = (("the run", "full"), ("last rung", "last"), (f"{said['theory']} there", "said"))
    for look, (name, key) in enumerate(curves):
        _line(left, times, np.asarray(said[key]), look, name)
    left.set(xlabel=TIME, ylabel=label(said["quantity"].replace("_", " "), said["units"]))
    left.legend()
    for look, part in enumerate(said["parts"]):
        own = look == len(said["parts"]) - 1
        name = f"{part['name']}'s own" if own else f"{part['name']} off"
        _line(right, times, np.asarray(part["values"]), look, name)
    whole = np.asarray(said["said"]) - np.asarray(said["full"])
    right.plot(times, whole.mean(0), color="#333333", linewidth=2.4, alpha=0.5, label="all of it")
    right.axhline(0, color=OUTSIDE, linewidth=1)
    right.set(
        xlabel=TIME, ylabel=label(f"added to {said['quantity'].replace('_', ' ')}", said["units"])
    )
    right.legend()
    claim = f"Why {said['theory']} is off: what each axis adds to theory - run"
    return titled(figure, title or claim)


def _line(panel, times, values, look, name):
    mean, look = values.mean(0), look % len(COLORS)
    panel.plot(times, mean, color=COLORS[look], linestyle=DASHES[look], label=name)
    if len(values) > 1:
        band = 2 * values.std(0, ddof=1) / np.sqrt(len(values))
        panel.fill_between(times, mean - band, mean + band, color=COLORS[look], alpha=0.18, lw=0)
