"""Gather: the points of a sweep as one Dataset, where each came to an end, and what is there of
a sweep that is not whole."""

import json
import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, Start
from learnmech.instruments.base import Instrument
from learnmech.machine.late import late
from learnmech.march.timeline import Timeline
from learnmech.march.watching import watched
from learnmech.sweeps.asked import Asked

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")

AT_HAND: "weakref.WeakValueDictionary[str, Experiment]" = weakref.WeakValueDictionary()
"""{text: experiment} of the sweeps of this process, as long as their experiments are held: a
text says the sha256 of its large arrays (as of data.Arrays), so the experiment of that text is
the same to the bit, and a grid in memory need not carry them."""

MARKS, LOSS = "marks", "loss_every"
"""Attributes of a point: how many marks its clock has, of which a run that diverged reached
fewer, and the cadence of its loss (0: not read)."""


def attributes_of(asked: Asked) -> dict:
    """What a grid says of the sweep it was made by: the experiment's text, and `asked`, the rest
    as JSON."""
    written = asked.experiment.text
    AT_HAND[written] = asked.experiment
    return {"experiment": written, "asked": json.dumps(asked.plain())}


def gathered(
    tables: "Sequence[xr.Dataset | None]",
    swept: dict[str, list],
    attributes: dict,
    moving: str | None = None,
) -> "xr.Dataset":
    """The points' Datasets as one, in the order of the grid with these labels; None for a point
    that is not there, which is NaN and counted in `note`.

    `moving` is what the axis of time will be called once all points are there (None: what it is for
    those that are).

    `reached` says how many marks each run reached, 0 where there is none, and `diverged_at`, where
    one did, the step (for flows the time) of the mark at which its loss was no longer finite.
    """
    shape = tuple(len(values) for values in swept.values())
    there = [t for t in tables if t is not None]
    if not there:
        raise refused(
            "sweep", "a point that is kept", f"none of {len(tables)}", "Give the same sweep again"
        )
    longest = max(there, key=lambda t: t.sizes["time"])
    length = longest.sizes["time"]

    def stacked(columns):
        columns = [
            np.full_like(next(c for c in columns if c is not None), np.nan, float)
            if c is None
            else c
            for c in columns
        ]
        padded = [
            np.concatenate([c, np.full((length - len(c), *c.shape[1:]), np.nan)])
            if len(c) < length
            else c
            for c in columns
        ]
        return np.stack(padded).reshape(*shape, *padded[0].shape)

    def agree(name):
        return all(np.array_equal(t[name], longest[name][: t.sizes["time"]]) for t in there)

    whole = len(there) == len(tables)
    axis = moving if moving and not whole else "time" if agree("time") else "mark"
    variables, left_out = {}, []
    for name, variable in longest.data_vars.items():
        if not all(name in t and _same_but_time(t[name], variable) for t in there):
            left_out.append(str(name))
            continue
        columns = [
            None if t is None else t[name].transpose("time", *variable.dims[1:]).values
            for t in tables
        ]
        variables[name] = ((*swept, axis, *variable.dims[1:]), stacked(columns), variable.attrs)
    coords: dict = {
        **swept,
        **{
            str(n): c
            for n, c in longest.coords.items()
            if n not in ("time", "step") and any(n in v[0] for v in variables.values())
        },
    }
    for name in ("time", "step"):
        if name in longest.coords:
            one = axis == "time" or (agree(name) and (whole or name == "step"))
            values = (
                longest[name].values
                if one
                else stacked([None if t is None else t[name].values for t in tables])
            )
            coords[name] = ((axis,) if one else (*swept, axis), values, longest[name].attrs)
    coords["reached"] = (
        tuple(swept),
        np.array([0 if t is None else t.sizes["time"] for t in tables]).reshape(shape),
        {"long_name": "marks reached"},
    )
    ends = np.array([np.nan if t is None else diverged_at(t) for t in tables]).reshape(shape)
    if not np.isnan(ends).all():
        coords["diverged_at"] = (
            tuple(swept),
            ends,
            {"long_name": "where the loss was first seen not to be finite"},
        )
    note = {} if whole else {"note": f"{len(there)} of {len(tables)} points; the others are NaN"}
    return by_last_word(
        xr.Dataset(variables, coords, {**attributes, "left_out": ", ".join(left_out), **note}),
        swept,
    )


def by_last_word(grid: "xr.Dataset", swept: Iterable[str]) -> "xr.Dataset":
    """The grid with each knob under its last word too, `rate` for `rule.rate`, where nothing
    else goes by that: `grid.sel(rate=0.1)`."""
    words = [path.rpartition(".")[2] for path in swept]
    for path, word in zip(swept, words, strict=True):
        if words.count(word) == 1 and word not in grid and word not in grid.dims:
            grid = grid.assign_coords({word: (path, grid[path].values)}).set_xindex(word)
    return grid


def _same_but_time(a: "xr.DataArray", b: "xr.DataArray") -> bool:
    return set(a.dims) == set(b.dims) and all(
        a.sizes[d] == b.sizes[d] for d in a.dims if d != "time"
    )


def told(table: "xr.Dataset", start: Start, watch: tuple[Instrument, ...] | None) -> "xr.Dataset":
    """The Dataset of a run as a point's: it says how many marks its clock has, and at which of
    them the loss was read."""
    every = next(
        (
            one.every
            for one in watched(watch, start)
            if any(q.name == "loss" for q in one.quantities(start.system, start.state.params))
        ),
        0,
    )
    return table.assign_attrs({MARKS: len(Timeline(start).positions), LOSS: int(every)})


def diverged_at(table: "xr.Dataset") -> float:
    """The step (for flows the time) of the last mark of a run that diverged, NaN for one that
    did not: it reached fewer marks than its clock has, or its loss, where it was read at its
    last mark, is not finite there."""
    count, every = table.sizes["time"], table.attrs.get(LOSS, 0)
    read = (
        bool(every)
        and "loss" in table
        and table["loss"].dims == ("time",)
        and count
        and (count - 1) % every == 0
    )
    if not count or not (
        count < table.attrs.get(MARKS, 0) or (read and not np.isfinite(float(table["loss"][-1])))
    ):
        return np.nan
    return float(table["step" if "step" in table.coords else "time"][-1])


def error_bars(dataset: "xr.Dataset") -> "xr.Dataset":
    """Over seeds: each quantity's mean, and beside it `<name>_sem`, the standard error of the mean
    (NaN with one seed).

    Where one seed has no number, as behind the mark at which it diverged, the mean has none.
    """
    with np.errstate(all="ignore"):  # runs that are about to diverge have squares that overflow
        mean = dataset.mean("seed", keep_attrs=True, skipna=False)
        count = dataset.sizes["seed"]
        spread = (
            dataset.std("seed", ddof=1, skipna=False) / np.sqrt(count)
            if count > 1
            else mean * np.nan
        )
    return mean.assign({f"{name}_sem": spread[name] for name in dataset.data_vars})


def by_mark(grid: "xr.Dataset") -> "xr.Dataset":
    """The grid with its axis of time called `mark` and `time` as a coordinate, whatever the
    clocks: what is written for it works for every sweep."""
    if "mark" in grid.dims or "time" not in grid.dims:
        return grid
    return (
        grid.rename_dims(time="mark").reset_index("time")
        if "time" in grid.xindexes
        else grid.rename_dims(time="mark")
    )


def moving_axis(grid: "xr.Dataset") -> str:
    """What the axis of time of a grid is called: `time`, or `mark` where clocks differ."""
    return "time" if "time" in grid.dims else "mark"
