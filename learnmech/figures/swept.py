"""Swept: what a sweep's grid holds that can be drawn: knobs, quantities, what each run ended at."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

MOVING = ("time", "mark")
SEM = "_sem"


def is_grid(dataset: "xr.Dataset") -> bool:
    """Whether a Dataset is a sweep's: whether something stands before its axis of time."""
    return any(
        moving_axis(one) is not None and one.dims[0] not in MOVING
        for one in dataset.data_vars.values()
    )


def moving_axis(variable) -> str | None:
    return next((dim for dim in variable.dims if dim in MOVING), None)


def knobs_of(grid: "xr.Dataset") -> list[str]:
    """The knobs swept, in order: the dims before the axis of time, without `seed`."""
    found = []
    for variable in grid.data_vars.values():
        axis = moving_axis(variable)
        if axis is not None:
            found += [
                str(dim)
                for dim in variable.dims[: variable.dims.index(axis)]
                if dim != "seed" and dim not in found
            ]
    return found


def scalars_of(grid: "xr.Dataset") -> list[str]:
    """The quantities with one number at each mark, the loss first."""
    names = [
        str(name)
        for name in grid.data_vars
        if not str(name).endswith(SEM) and moving_axis(grid[name]) is not None
    ]
    found = [name for name in names if grid[name].dims[-1] in MOVING]
    return sorted(found, key=lambda name: name != "loss")


def last_values(grid: "xr.Dataset", name: str) -> "xr.DataArray":
    """What each run ended at: at its own last mark where clocks differ. NaN where it came to no
    number, as where it diverged before the end, and where a point of the sweep is not there."""
    values = grid[name]
    axis = moving_axis(values)
    if not values.sizes[axis]:
        return values.sum(axis) * np.nan
    if "reached" in grid.coords and set(grid["reached"].dims) <= set(values.dims):
        reached = grid["reached"]
        ends = values.isel({axis: np.maximum(reached, 1) - 1}).reset_coords(drop=True)
        ends = ends.where(reached.variable > 0)
        if "diverged_at" in grid.coords:
            ends = ends.where(np.isnan(grid["diverged_at"].variable))
        return ends
    times = grid.coords.get("time")
    if times is None or axis == "time" or axis not in times.dims or times.ndim == 1:
        return values.isel({axis: -1}, drop=True)
    # marks that a shorter clock does not have are filled up with NaN, in the times too
    last = np.maximum(np.isfinite(times).sum(axis) - 1, 0)
    return values.isel({axis: last}).reset_coords(drop=True)


def diverged(grid: "xr.Dataset") -> "xr.DataArray | None":
    """Where each run that diverged was first seen to, as a step (for flows a time), NaN for the
    others; None where none did."""
    ends = grid.coords.get("diverged_at")
    return ends if ends is not None and np.isfinite(ends.values).any() else None


def diverged_words(grid: "xr.Dataset") -> str:
    """How many of the points diverged, and where the first did; empty where none did."""
    ends = diverged(grid)
    if ends is None:
        return ""
    gone = ends.values[np.isfinite(ends.values)]
    unit = "step" if "step" in grid.coords else "time"
    return f"{gone.size} of {ends.size} points diverged, seen from {unit} {gone.min():g} on"


def words_of_note(grid: "xr.Dataset") -> str:
    """What is to be said of a grid that is not whole: which points are missing or damaged; empty
    of one that is."""
    return str(grid.attrs.get("note", ""))


def over_seeds(grid: "xr.Dataset", quantity: str) -> "tuple[xr.DataArray, xr.DataArray | None]":
    """(mean over seeds, standard error of the mean or None where there is one seed)."""
    values = grid[quantity]
    if "seed" in values.dims:
        count = values.sizes["seed"]
        with np.errstate(all="ignore"):  # runs that are about to diverge have squares that overflow
            mean = values.mean("seed", keep_attrs=True, skipna=False)
            if count > 1:
                return mean, values.std("seed", ddof=1, skipna=False) / np.sqrt(count)
            return mean, None
    bar = grid[f"{quantity}{SEM}"] if f"{quantity}{SEM}" in grid else None
    return values, None if bar is None or not np.isfinite(bar.values).any() else bar
