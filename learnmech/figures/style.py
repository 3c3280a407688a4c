"""Style: colors, markers and the way a figure becomes text."""

import io
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.figures.legends import any_letter, cleared, fixed
from learnmech.figures.symbols import math, plain
from learnmech.language.quantity import TIME_UNITS, powers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colors, told apart by readers of every color vision; markers and dashes say the same
# without color.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#333333")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.5)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (8, 2)),
    (0, (3, 1)),
    (0, (2, 2, 6, 2)),
    (0, (1, 3)),
)
OUTSIDE = "#9A9A9A"
RC: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "learnmech",
    "font.family": "DejaVu Sans",
}


def sheet(
    rows: int = 1, columns: int = 1, height: float = 3.6, width: float = 9.0
) -> "tuple[Figure, list[Axes]]":
    """A figure of rows x columns panels and its axes in reading order."""
    from matplotlib import rc_context  # it takes longer to import than a first step to run

    from learnmech.figures.sheets import Sheet

    with rc_context(RC):
        figure = Sheet(figsize=(width, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [axis for row in axes for axis in row]


TIME = f"time, $t$ [{TIME_UNITS}]"
RATE = f"rate, $\\eta$ [{TIME_UNITS}]"
LETTERS = 34  # of a line of a label


def label(symbol: str, units: str, meaning: str = "", letters: int = LETTERS) -> str:
    """An axis label: meaning, symbol and units, as far as they say something, on lines of so
    many letters."""
    named = not meaning or meaning in (symbol, symbol.replace("_", " "))
    unit = f" [{powers(units)}]" if units and units != "1" else ""
    if named:
        return math(symbol) + unit
    lines = textwrap.wrap(plain(meaning), letters) or [""]
    last = f"{math(symbol)}{unit}"
    # what is set counts by its letters in text
    fits = len(lines[-1]) + len(f", {symbol}{unit}") <= letters
    return "\n".join(
        [*lines[:-1], f"{lines[-1]}, {last}"] if fits else [*lines[:-1], f"{lines[-1]},", last]
    )


def titled(figure: "Figure", claim: str) -> "Figure":
    """The figure with its claim above it, and its legends where they cover nothing."""
    if claim:
        figure.suptitle(textwrap.fill(plain(claim), 100), fontsize=12)
    return cleared(figure)


def counts(axis: "Axes", values: np.ndarray, most: int = 6) -> None:
    """A logarithmic axis of numbers of samples, or of features: a tick at some of the values that
    were taken, as they are."""
    kept = np.unique(np.linspace(0, len(values) - 1, most).round().astype(int))
    shown = np.asarray(values)[kept]
    axis.set_xscale("log")
    axis.set_xticks(shown, [f"{value:g}" for value in shown])
    axis.set_xticks([], minor=True)


def drawable(values: np.ndarray) -> np.ndarray:
    """The values with what is too large for an axis to be drawn left out, as where a run
    diverges."""
    return np.where(np.abs(values) < 1e150, values, np.nan)


def svg(figure: "Figure") -> str:
    """The figure as SVG text, the same bytes every time."""
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context(RC), any_letter():
        fixed(figure)
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
