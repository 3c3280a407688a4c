"""Tables: quantities laid out over step and time, as labelled Datasets."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from learnmech.errors import refused
from learnmech.experiment.clock import Marks
from learnmech.language.quantity import TIME_UNITS, Quantity
from learnmech.machine.late import late

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")


RESERVED = ("time", "step", "seed", "mark")


def laid_out(
    quantities: Iterable[Quantity], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[Quantity, ...]:
    """Quantities that fit into one table, whatever they are called: checked, and with an axis of
    its own for each where two would share a name.

    An axis is one where name, size and labels agree. Of those that share a name and differ, the one
    that holds the first quantity by alphabet keeps it; the others, and one that is called as a
    quantity is, become `quantity.axis`. So the names do not hang on the order in which things are
    watched.
    """
    quantities = tuple(quantities)
    for quantity in quantities:
        _check(quantity, shapes.get(quantity.name))
    names, renamed = {q.name for q in quantities}, []
    keepers: dict = {}
    for quantity in sorted(quantities, key=lambda q: q.name):
        for axis, kind in _kinds(quantity, shapes[quantity.name]).items():
            if axis in keepers and _agree(keepers[axis], kind):
                keepers[axis] = kind if kind[1] is not None else keepers[axis]
            else:
                keepers.setdefault(axis, kind)
    for quantity in quantities:
        own = {}
        for axis, kind in _kinds(quantity, shapes[quantity.name]).items():
            clear = axis not in names and axis not in RESERVED and _agree(keepers[axis], kind)
            own[axis] = axis if clear else _fresh(f"{quantity.name}.{axis}", names | set(keepers))
        labels = tuple((own[axis], labels) for axis, labels in quantity.labels)
        renamed.append(
            dataclasses.replace(
                quantity, axes=tuple(own[axis] for axis in quantity.axes), labels=labels
            )
        )
    return tuple(renamed)


def _fresh(name, taken):
    return name if name not in taken else _fresh(name + "'", taken)


def _kinds(quantity, shape):
    """{axis: (its size, its labels or None)}."""
    labels = {axis: tuple(named) for axis, named in quantity.labels}
    return {axis: (size, labels.get(axis)) for axis, size in zip(quantity.axes, shape, strict=True)}


def _agree(one, other):
    return one[0] == other[0] and (one[1] is None or other[1] is None or one[1] == other[1])


def _check(quantity, shape):
    """Refuse a quantity that its own reading does not fit, or that no table can hold."""
    who, remedy = (
        f"The quantity {quantity.name!r}",
        "Mend quantities() and read() of its instrument",
    )
    if quantity.name in RESERVED:
        raise refused(
            who, "a name that is none of a table's own", ", ".join(RESERVED), "Choose another name"
        )
    if shape is None:
        raise refused(who, "a reading under its name", "none", remedy)
    if len(set(quantity.axes)) < len(quantity.axes):
        raise refused(
            who,
            "axes of different names",
            ", ".join(quantity.axes),
            "Call the second sample', for example",
        )
    if len(quantity.axes) != len(shape):
        raise refused(
            who,
            f"a reading with the axes ({', '.join(quantity.axes)})",
            f"one of shape {tuple(shape)}",
            remedy,
        )
    for axis, labels in quantity.labels:
        size = dict(zip(quantity.axes, shape, strict=True)).get(axis)
        if len(labels) != size or len(set(labels)) < len(labels):
            got = (
                f"no axis {axis}"
                if size is None
                else (
                    f"{len(labels)} labels, {len(set(labels))} of them different, for {size}"
                    f" entries of {axis}"
                )
            )
            raise refused(who, "a label for every entry of its axes", got, remedy)


def table(
    quantities: tuple[Quantity, ...], values: dict[str, np.ndarray], marks: Marks
) -> "xr.Dataset":
    """One variable per quantity over (time, *its axes), with `step` beside `time` where the rule
    steps.

    A value whose first axis has the marks' length moves with time; one of the quantity's own shape
    stands still.
    """
    data: dict = {}
    coords: dict = {
        "time": (
            "time",
            np.asarray(marks.times, np.float64),
            {"units": TIME_UNITS, "long_name": "time, sum of base rates"},
        )
    }
    if marks.steps is not None:
        coords["step"] = (
            "time",
            np.asarray(marks.steps, np.int64),
            {"units": "step", "long_name": "step"},
        )
    for quantity in quantities:
        value = np.asarray(values[quantity.name])
        moving = value.ndim == len(quantity.axes) + 1
        data[quantity.name] = (
            (("time",) if moving else ()) + quantity.axes,
            value,
            quantity.attributes,
        )
        coords |= {axis: (axis, np.asarray(labels)) for axis, labels in quantity.labels}
    return xr.Dataset(data, coords)


def joined(tables: "Iterable[xr.Dataset]") -> "xr.Dataset":
    """Tables of several cadences on one time axis; marks at which a quantity was not read are
    NaN."""
    tables = list(tables)
    if len(tables) == 1:
        return tables[0]
    if "step" not in tables[0].coords:
        return xr.merge(tables, join="outer", compat="no_conflicts")
    # by step, since time may stand still (a schedule that has ended at 0)
    merged = xr.merge(
        [t.assign_coords(time=t["step"].values).drop_vars("step") for t in tables],
        join="outer",
        compat="no_conflicts",
    )
    steps, where = np.unique(np.concatenate([t["step"].values for t in tables]), return_index=True)
    times = np.concatenate([t["time"].values for t in tables])[where]
    return merged.assign_coords(
        time=("time", times, tables[0]["time"].attrs), step=("time", steps, tables[0]["step"].attrs)
    )
