"""The error map: how far a theory is off over two knobs, the line where that is its tolerance, and
the line where its conditions end."""

from typing import TYPE_CHECKING

import numpy as np

from learnmech.figures.style import sheet, titled
from learnmech.figures.symbols import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPAN = 4.0  # of ln(error/tolerance): more is drawn as this


def map_plot(said: dict, title: str = "") -> "Figure":
    """ln(error/tolerance) as shades over the knobs, black line where it is 0, dashes where the
    conditions end, dots at the nodes that were run, small crosses at those outside the conditions.

    `said` is a map as plain data.
    """
    figure, (panel,) = sheet(height=5.2, width=8.0)
    x, y = (np.asarray(values, float) for values in said["values"])
    filled = np.ma.masked_invalid(np.clip(np.asarray(said["filled"], float), -SPAN, SPAN))
    panel.set_facecolor("#DDDDDD")
    shades = panel.pcolormesh(
        x, y, filled.T, cmap="PuOr_r", vmin=-SPAN, vmax=SPAN, shading="nearest", rasterized=True
    )
    g, inside = np.asarray(said["g"], float), np.asarray(said["inside"], float)
    if filled.count() and filled.min() < 0 < filled.max():
        panel.contour(x, y, filled.T, levels=[0.0], colors="black", linewidths=2.2)
        panel.plot([], [], color="black", linewidth=2.2, label="error = tolerance")
    known = _nearest(inside)
    if known.min() < known.max():
        panel.contour(x, y, known.T, levels=[0.5], colors="#0072B2", linestyles="--", linewidths=2)
        panel.plot([], [], color="#0072B2", linestyle="--", linewidth=2, label="conditions end")
    for marker, where, words in ((".", inside == 1, "run"), ("x", inside == 0, "outside, run")):
        rows, columns = np.nonzero(np.isfinite(g) & where)
        if len(rows):
            panel.plot(
                x[rows], y[columns], marker, color="#333333", markersize=3, label=words, alpha=0.7
            )
    for axis, values in (("x", x), ("y", y)):
        if (values > 0).all() and values.max() / values.min() > 3:
            getattr(panel, f"set_{axis}scale")("log")
    panel.grid(False)
    panel.set(xlabel=plain(said["knobs"][0]), ylabel=plain(said["knobs"][1]))
    figure.colorbar(shades, ax=panel, label="ln(error / tolerance)", extend="both")
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4)
    claim = f"{said['theory']}: error of {said['quantity'].replace('_', ' ')} against"
    return titled(figure, title or f"{claim} {said['tolerance']:.3g}")


def _nearest(inside):
    """The conditions at all nodes, those that were not asked as at the nearest that was."""
    from scipy.interpolate import griddata

    known = np.isfinite(inside)
    every = np.argwhere(np.ones(inside.shape, bool))
    found = griddata(np.argwhere(known), inside[known], every, method="nearest")
    return found.reshape(inside.shape)
