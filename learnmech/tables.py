"""Tables: quantities laid out over step and time, as labelled Datasets."""

from collections.abc import Iterable

import numpy as np

from learnmech.clock import Marks
from learnmech.late import late
from learnmech.quantity import Quantity

xr = late("xarray")


def table(quantities: tuple[Quantity, ...], values: dict[str, np.ndarray], marks: Marks) -> "xr.Dataset":
    """One variable per quantity over (time, *its axes), with `step` beside `time` where the rule steps.

    A value whose first axis has the marks' length moves with time; one of the quantity's own shape stands still.
    """
    data, coords = {}, {"time": ("time", np.asarray(marks.times, np.float64), {"units": "param^2/loss", "long_name": "time, sum of base rates"})}
    if marks.steps is not None:
        coords["step"] = ("time", np.asarray(marks.steps, np.int64), {"units": "step", "long_name": "step"})
    for quantity in quantities:
        value = np.asarray(values[quantity.name])
        moving = value.ndim == len(quantity.axes) + 1
        data[quantity.name] = ((("time",) if moving else ()) + quantity.axes, value, quantity.attributes)
        coords |= {axis: (axis, np.asarray(labels)) for axis, labels in quantity.labels}
    return xr.Dataset(data, coords)


def joined(tables: "Iterable[xr.Dataset]") -> "xr.Dataset":
    """Tables of several cadences on one time axis; marks at which a quantity was not read are NaN."""
    tables = list(tables)
    if len(tables) == 1:
        return tables[0]
    if "step" not in tables[0].coords:
        return xr.merge(tables, join="outer", compat="no_conflicts")
    # by step, since time may stand still (a schedule that has ended at 0)
    merged = xr.merge([t.assign_coords(time=t["step"].values).drop_vars("step") for t in tables], join="outer", compat="no_conflicts")
    steps, where = np.unique(np.concatenate([t["step"].values for t in tables]), return_index=True)
    times = np.concatenate([t["time"].values for t in tables])[where]
    return merged.assign_coords(time=("time", times, tables[0]["time"].attrs), step=("time", steps, tables[0]["step"].attrs))
