"""Lazy: the grid of a sweep's folder as one Dataset whose points are read when they are asked
for."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.errors import refused
from learnmech.machine.late import late
from learnmech.sweeps.asked import labels_of
from learnmech.sweeps.folder import attributes_in, described
from learnmech.sweeps.gathered import MARKS, by_last_word
from learnmech.sweeps.kept import POINTS

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")

# Of so many points the longest says what all look like.
LOOKED_AT = 32


def gather(folder: str | Path) -> "xr.Dataset":
    """The grid in a sweep's folder, as `lm.load` gives it, without reading it: of 10,000
    points a grid is there in a second, and the files of those alone are read that a computation
    asks for.

    `gather(folder)["loss"].sel(rate=0.1).values` reads the points of one rate. `reached` (0 where
    there is no point yet) and `diverged_at` are read in the same way. Points that are not there are
    NaN, and how many are is in the attribute `note`; quantities whose shape differs between points
    are refused when they are read, where `lm.load` leaves them out. At most 256 points are in
    memory, beside what was asked for.
    """
    from learnmech.sweeps.rows import Rows, lazy  # with them comes xarray

    found = described(folder, "gather")
    files = {entry.name for entry in os.scandir(found.folder / POINTS)}
    kept = found.kept
    ways = {index: way for index in range(found.size) if (way := kept.way_in(index, files))}
    there = list(ways)
    rows = Rows(kept, set(there))
    seen = [table for index in _spread(there) if (table := rows.table(index)) is not None]
    if not seen:
        raise refused(
            "gather",
            "a point that is kept",
            f"none of {found.size} in {folder}",
            "Wait for the first, or give the same sweep again",
        )
    template = max(seen, key=lambda table: (table.sizes["time"], table.attrs.get(MARKS, 0)))
    swept = labels_of(dict(map(tuple, found.said["labels"])), found.said["seeds"])
    shape, axis = tuple(len(values) for values in swept.values()), found.said["moving"]

    def lazily(name, variable) -> tuple:
        array = lazy(rows, name, (*shape, *variable.shape), len(shape), variable.dtype)

        return (*swept, axis, *variable.dims[1:]), array, variable.attrs

    variables = {name: lazily(name, one) for name, one in template.data_vars.items()}
    coords: dict[Any, Any] = dict(swept)
    for name, one in template.coords.items():
        if name in ("time", "step"):
            shared = axis == "time" or name == "step"
            coords[name] = ((axis,), one.values, one.attrs) if shared else lazily(name, one)
        elif any(name in dims for dims, _, _ in variables.values()):
            coords[name] = one
    for name, words in (("reached", "marks reached"), ("diverged_at", "where it diverged")):
        kind = np.dtype(int if name == "reached" else float)
        array = lazy(rows, name, shape, len(shape), kind)
        coords[name] = (tuple(swept), array, {"long_name": words})
    note = f"{len(there)} of {found.size} points; the others are NaN"
    attributes = attributes_in(found, folder, set(ways.values()))
    attributes |= {} if len(there) == found.size else {"note": note}
    return by_last_word(xr.Dataset(variables, coords, attributes), swept)


def _spread(there: Sequence[int]) -> list[int]:
    """Some of the points, from the first to the last."""
    if len(there) <= LOOKED_AT:
        return list(there)
    return [there[int(at)] for at in np.linspace(0, len(there) - 1, LOOKED_AT)]
