"""Learning curves: errors over the number of samples, measured as dots and predicted as lines; gray
where the theory is not claimed."""

from typing import TYPE_CHECKING

import numpy as np

from learnmech.comparison.learning_curves import LearningCurve
from learnmech.figures.panels import SMALL, noted
from learnmech.figures.style import (
    COLORS,
    DASHES,
    MARKERS,
    OUTSIDE,
    counts,
    drawable,
    sheet,
    titled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = 6


def draw(curve: LearningCurve, title: str = "") -> "Figure":
    """Left the error on held-out samples, right on trained ones, of at most six ridges."""
    trained = (curve.predicted_train > 1e-12).any()
    figure, axes = sheet(1, 2 if trained else 1, height=4.2, width=10.5 if trained else 7.0)
    shown = np.unique(np.linspace(0, len(curve.ridge) - 1, CURVES).round().astype(int))
    for axis, name in zip(axes, ("test", "train"), strict=False):
        seen, error = getattr(curve, name), getattr(curve, f"{name}_error")
        for place, i in enumerate(shown):
            held = curve.certificates[i].holds
            color = COLORS[place % len(COLORS)]
            words = f"ridge {curve.ridge[i]:g}"
            said = getattr(curve, f"predicted_{name}")[i]
            if not (said > 1e-12).any():
                continue
            axis.plot(
                curve.n,
                drawable(said),
                color=color if held else OUTSIDE,
                linestyle=DASHES[place % len(DASHES)],
                label=f"{words}, {'predicted' if held else 'not claimed'}",
            )
            if curve.splits:
                axis.errorbar(
                    curve.n,
                    seen[i],
                    None if curve.splits < 2 else 2 * error[i],
                    fmt=MARKERS[place % len(MARKERS)],
                    color=color,
                    markersize=5,
                    label=f"{words}, measured",
                )
        counts(axis, curve.n)
        axis.set_yscale("log")
        axis.set_xlabel("training samples, n")
        axis.set_ylabel(
            "error on held-out samples, |f - y|²" if name == "test" else "error on trained ones"
        )
        axis.legend(fontsize=SMALL)
    if len(shown) < len(curve.ridge):
        noted(axes[0], f"{len(shown)} of {len(curve.ridge)} ridges shown")
    return titled(figure, title or f"{curve.title}: {curve.verdict}")
