"""Curves: what a sweep read of one quantity, along one knob, seed by seed."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from learnmech.errors import nearest, refused

if TYPE_CHECKING:
    import xarray as xr


class Curves(NamedTuple):
    """One quantity over one knob: its values, (values, seeds, marks), with the times (values,
    marks), the knob's values, and the name and units of the quantity."""

    knob: str
    at: list
    quantity: str
    units: str
    times: np.ndarray
    values: np.ndarray


def curves_of(grid: "xr.Dataset", over: str, quantity: str, who: str) -> Curves:
    """The curves of a quantity along the knob `over` of a sweep's grid; refuses a grid that has
    another knob left, a quantity of more than one number, and runs that diverged."""
    dims = [str(dim) for dim in grid["reached"].dims] if "reached" in grid.coords else []
    knobs = [dim for dim in dims if dim != "seed"]
    found = next((dim for dim in knobs if over in (dim, dim.rpartition(".")[2])), None)
    if found is None:
        remedy = nearest(over, knobs) if knobs else "Give what lm.sweep gave"
        raise refused(who, "a knob of the sweep", repr(over), remedy)
    others = [dim for dim in knobs if dim != found and grid.sizes[dim] > 1]
    if others:
        remedy = f"Choose one value of it: grid.sel({others[0].rpartition('.')[2]}=...)"
        raise refused(who, f"a grid over {found} alone", f"one over {others[0]} too", remedy)
    if quantity not in grid:
        known = [str(name) for name in grid.data_vars]
        raise refused(who, "a quantity of the sweep", repr(quantity), nearest(quantity, known))
    read = grid[quantity]
    axis = "time" if "time" in read.dims else "mark"
    if set(read.dims) - set(dims) - {axis}:
        shape = ", ".join(str(dim) for dim in read.dims)
        raise refused(who, "a quantity of one number at a time", f"{quantity} over {shape}", "")
    read = read.squeeze([dim for dim in knobs if dim != found], drop=True)
    if "seed" not in read.dims:
        read = read.expand_dims("seed")
    values = read.transpose(found, "seed", axis).values.astype(float)
    if not np.isfinite(values).all():
        bad = grid[found].values[np.nonzero(~np.isfinite(values).all((1, 2)))[0][0]]
        remedy = "Leave that value out with grid.sel"
        raise refused(who, "runs that end", f"one that diverged at {found} = {bad}", remedy)
    times = grid["time"]
    if times.ndim == 1:
        clock = np.broadcast_to(times.values, (len(values), values.shape[-1]))
    else:
        times = times.squeeze([dim for dim in knobs if dim != found and dim in times.dims])
        mean = times.mean("seed") if "seed" in times.dims else times
        clock = mean.transpose(found, axis).values
    return Curves(
        found,
        [one.item() if hasattr(one, "item") else one for one in grid[found].values],
        quantity,
        str(read.attrs.get("units", "1")),
        np.asarray(clock, float),
        values,
    )
