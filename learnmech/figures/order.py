"""Order: the error of a limit against the knob along which it is approached."""

from typing import TYPE_CHECKING

import numpy as np

from learnmech.figures.style import COLORS, DASHES, RATE, label, sheet, titled

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

MOST_SEEDS = 64


def order_plot(errors: "xr.Dataset", title: str = "") -> "Figure":
    """Mean errors with their standard errors, single seeds behind them, the fitted line, and the
    declared order through its middle.

    `errors` has `error`, `standard_error` over `value` and `error_by_seed` over (value, seed), and
    the attributes slope, slope_standard_error, declared_order, bound, along and quantity.
    """
    said, by_value = errors.attrs, errors.sortby("value")
    values, means, bars = (by_value[name].values for name in ("value", "error", "standard_error"))
    figure, (axis,) = sheet(height=4.4, width=6.6)
    single = by_value["error_by_seed"].values[:, :MOST_SEEDS]
    if single.shape[1] > 1:
        axis.loglog(
            values,
            single,
            ".",
            color="#B5B5B5",
            markersize=4,
            zorder=1,
            label=["one seed", *[None] * (single.shape[1] - 1)],
        )
    axis.errorbar(
        values,
        means,
        np.nan_to_num(bars),
        fmt="o",
        color=COLORS[0],
        capsize=3,
        markersize=6,
        zorder=4,
        label="measured, mean over seeds",
    )
    grid, middle = (
        np.geomspace(values[0], values[-1], 2),
        (np.exp(np.mean(np.log(values))), np.exp(np.mean(np.log(means)))),
    )
    order, slope, bar = said["declared_order"], said["slope"], said["slope_standard_error"]
    name = f"predicted, order {order:g}" + (" or faster" if said["bound"] else "")
    axis.plot(
        grid,
        middle[1] * (grid / middle[0]) ** order,
        linestyle=DASHES[1],
        color=COLORS[1],
        zorder=3,
        label=name,
    )
    name = f"fitted, {slope:.3f}" + (f" ± {bar:.1g}" if bar > 0 else "")
    axis.plot(
        grid,
        middle[1] * (grid / middle[0]) ** slope,
        color=COLORS[0],
        linewidth=1,
        zorder=2,
        label=name,
    )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(values, [f"{value:.4g}" for value in values])
    axis.xaxis.minorticks_off()
    axis.set_xlabel(RATE if said["along"] == "rule.rate" else label(said["along"], ""))
    axis.set_ylabel(f"largest error of {said['quantity']},\nrelative to its scale [1]")
    axis.legend()
    return titled(figure, title)
