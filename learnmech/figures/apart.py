"""Apart: how far twins are from each other, layer by layer over time."""

from typing import TYPE_CHECKING

import numpy as np

from learnmech.figures.style import COLORS, DASHES, TIME, label, sheet, titled

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

MAPS = (("weight_distance", "layer"), ("gradient_distance", "layer"), ("signal_distance", "signal"))


def apart(distances: "xr.Dataset", title: str = "") -> "Figure":
    """Weights, gradients and signals as maps over time and layer, the whole and the function as
    curves."""
    figure, axes = sheet(2, 2, height=3.8, width=11.0)
    steps = "step" in distances.coords
    at = distances["step" if steps else "time"].values
    over = "step" if steps else TIME
    for axis, (name, along) in zip(axes, MAPS, strict=False):
        map_of(figure, axis, at, distances[name], along)
        axis.set_xlabel(over)
    lines = axes[-1]
    for place, name in enumerate(("distance", "function_distance")):
        values = distances[name]
        drawn = np.where(values.values > 0, values.values, np.nan)
        words = label(
            values.attrs["symbol"], values.attrs["units"], ("parameters", "outputs")[place]
        )
        lines.plot(at, drawn, color=COLORS[place], linestyle=DASHES[place], label=words)
    lines.set_yscale("log")
    lines.set_xlabel(over)
    lines.set_ylabel("distance")
    lines.legend()
    return titled(figure, title)


def map_of(figure, axis, at, values: "xr.DataArray", along: str) -> None:
    """One distance as a map over steps or times and what it is resolved along."""
    from matplotlib.colors import LogNorm

    shown = np.where(values.values > 0, values.values, np.nan).T
    names = [str(name) for name in values[along].values]
    if np.isfinite(shown).any() and len(at) > 1:
        low, high = np.nanmin(shown), np.nanmax(shown)
        norm = LogNorm(max(low, high * 1e-6), high if high > low else 2 * high)
        drawn = axis.pcolormesh(
            at,
            np.arange(len(names)),
            shown,
            norm=norm,
            cmap="viridis",
            shading="nearest",
            rasterized=True,
        )
        figure.colorbar(drawn, ax=axis, label=label(values.attrs["symbol"], values.attrs["units"]))
    every = max(1, -(-len(names) // 9))
    axis.set_yticks(range(0, len(names), every), names[::every], fontsize=9)
    axis.set_title(values.attrs["long_name"], fontsize=10.5)
    axis.grid(False)
