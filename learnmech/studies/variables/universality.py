"""Universality: whether curves of unlike experiments are one, once each is measured in its own
time and its own size."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from learnmech.errors import refused
from learnmech.figures.collapse import universal_plot
from learnmech.language.display import collapses
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.studies.variables.curves import Curves, curves_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

POINTS = 64
RULE = (
    "each curve in units of its own: (q - q_end)/(q_0 - q_end) against t/t_half, t_half where half"
    " of the way is gone. One curve: all are within the tolerance of their mean by two standard"
    " errors over seeds; several: one is beyond it by as much; else undecided"
)


@dataclasses.dataclass(frozen=True)
class Universality:
    """Curves in their own units, (values, places), and how far each is from their mean: the
    largest distance with its standard error over seeds."""

    curves: Curves
    tolerance: float
    at: np.ndarray
    scaled: np.ndarray
    halves: np.ndarray
    distances: tuple[tuple[float, float], ...]

    @property
    def verdict(self) -> str:
        """one curve, several, or undecided."""
        far, errors = np.array(self.distances).T
        if np.isnan(errors).any():
            return "undecided"
        if (far + 2 * errors <= self.tolerance).all():
            return "one curve"
        return "several" if (far - 2 * errors > self.tolerance).any() else "undecided"

    def plain(self) -> dict:
        """As plain data."""
        return {
            "knob": self.curves.knob,
            "values": [str(one) for one in self.curves.at],
            "quantity": self.curves.quantity,
            "tolerance": self.tolerance,
            "at": self.at.tolist(),
            "scaled": self.scaled.tolist(),
            "halves": self.halves.tolist(),
            "distances": [list(one) for one in self.distances],
            "verdict": self.verdict,
            "rule": RULE,
        }

    def tables(self) -> tuple[Table, ...]:
        """How far each curve is from the mean of all."""
        return collapses.universality(self.plain())

    def show(self) -> "Figure":
        """The curves, each in its own units."""
        return universal_plot(self.plain())

    def __str__(self):
        return as_text(*self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables()))


def universal(
    grid: "xr.Dataset", over: str, quantity: str = "loss", tolerance: float = 0.05
) -> Universality:
    """Whether curves of a sweep over `over` (activations, data, widths) are one, after each is
    rescaled by constants measured on it alone: its first and last value, and the time at which half
    of the way between them is gone.

    Distances are those from the mean of all, at places of t/t_half that all reach, beside two
    standard errors over seeds, each seed rescaled by itself.
    """
    found = curves_of(grid, over, quantity, "universal")
    if len(found.at) < 2:
        raise refused("universal", "two curves or more", len(found.at), f"Sweep {over}")
    if not tolerance > 0:
        raise refused("universal", "a tolerance above 0", tolerance, "Give for example 0.05")
    count = found.values.shape[1]
    scaled, halves = [], []
    for times, seeds in zip(found.times, found.values, strict=True):
        each = [_own(times, one, found) for one in seeds]
        scaled.append(each)
        halves.append(np.mean([half for _, _, half in each]))
    end = min(places[-1] for value in scaled for places, _, _ in value)
    at = np.linspace(0.0, end, POINTS)
    laid = np.array([[np.interp(at, t, q) for t, q, _ in value] for value in scaled])
    apart = laid - laid.mean(0, keepdims=True)
    distances = []
    for one in apart:
        mean = np.abs(one.mean(0))
        place = int(np.argmax(mean))
        error = one[:, place].std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
        distances.append((float(mean[place]), float(error)))
    return Universality(
        found, float(tolerance), at, laid.mean(1), np.array(halves), tuple(distances)
    )


def _own(times, values, found: Curves):
    """(t/t_half, the part that is left, t_half) of one run."""
    way = values[0] - values[-1]
    if not way:
        raise refused("universal", f"a {found.quantity} that moves", "one that stands still", "")
    left = (values - values[-1]) / way
    below = np.nonzero(left <= 0.5)[0]
    first = int(below[0])
    before, after = left[first - 1], left[first]
    share = (before - 0.5) / (before - after)
    half = times[first - 1] + share * (times[first] - times[first - 1])
    return times / half, left, float(half)
