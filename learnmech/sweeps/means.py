"""Means: a sweep over seeds against a theory that speaks of the mean of many runs."""

import dataclasses
from typing import TYPE_CHECKING

import jax
import numpy as np

from learnmech.comparison.verdicts import Comparison, Row, verdict_of
from learnmech.errors import Refused, refused
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.machine.late import late
from learnmech.sweeps.gathered import moving_axis
from learnmech.sweeps.points import asked_of
from learnmech.theories.base import Condition, Theory

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")


def on_one_clock(grid: "xr.Dataset") -> "xr.Dataset":
    """A grid over seeds alone with its times as an axis, as a single run has them."""
    axis = moving_axis(grid)
    over = [
        str(dim)
        for one in grid.data_vars.values()
        if axis in one.dims
        for dim in one.dims[: one.dims.index(axis)]
        if dim != "seed"
    ]
    wide = [dim for dim in dict.fromkeys(over) if grid.sizes[dim] > 1]
    if wide:
        remedy = (
            "Lay the theory over every point by lm.compare(grid, theory), or choose one:"
            f" grid.sel({{'{wide[0]}': ...}})"
        )
        raise refused(
            "compare_means", "a grid over seeds alone", f"one over {', '.join(wide)} too", remedy
        )
    grid = grid.isel({dim: 0 for dim in over}, drop=True)
    if axis == "time" or axis not in grid.dims:
        return grid
    times = np.asarray(grid["time"].transpose(..., axis).values, float).reshape(
        -1, grid.sizes[axis]
    )
    longest = times[np.argmax(np.isfinite(times).sum(1))]
    if not (np.isnan(times) | (times == longest)).all():
        raise refused(
            "compare_means",
            "seeds on one clock",
            "other times at other seeds",
            "Sweep them with one clock and one rate",
        )
    grid = grid.drop_vars("time").assign_coords(time=(axis, longest)).swap_dims({axis: "time"})
    return grid.isel(time=np.flatnonzero(np.isfinite(longest)))


def _check_of(experiment, grid) -> None:
    """Refuse an experiment with other knobs than those of the grid, where the grid says which it
    was made by."""
    try:
        asked = asked_of(grid, "compare_means")
        labels = {dim: grid[dim].values for dim in asked.swept if dim in grid.coords}
        made = asked.at(
            {dim: (one if one.ndim == 0 else one.flat[0]).item() for dim, one in labels.items()}
        )
        same = dataclasses.replace(made, seed=experiment.seed).fingerprint == experiment.fingerprint
    except (Refused, KeyError):  # a Dataset that does not tell, or of which a mean was taken
        return
    if not same and all(one.size == 1 for dim, one in labels.items() if dim != "seed"):
        remedy = (
            "Give the experiment of that point, lm.point(grid, ...), or lm.compare(grid, theory)"
        )
        raise refused(
            "compare_means", "the experiment whose runs the grid holds", "another", remedy
        )


def compare_means(
    experiment: Experiment,
    grid: "xr.Dataset",
    theory: Theory,
    tolerance: float | dict[str, float] | None = None,
) -> Comparison:
    """A sweep over seeds against a theory of the mean. Errors and tolerance are in standard errors
    of the mean; `tolerance` overrides the theory's, for all quantities or by name.

    The prediction is averaged over the seeds' own starts where it depends on them. Where every seed
    agrees (no spread), seen and said must be equal to round-off. `experiment` is that of the grid's
    point: a grid over knobs is laid over point by point, by `lm.compare(grid, theory)`.
    """
    if not isinstance(grid, xr.Dataset) or grid.sizes.get("seed", 0) < 2:
        found = dict(grid.sizes) if isinstance(grid, xr.Dataset) else type(grid).__name__
        raise refused(
            "compare_means", "a Dataset over two or more seeds", found, "Sweep with seeds=100, say"
        )
    _check_of(experiment, grid)
    grid = on_one_clock(grid)
    seeds = [int(seed) for seed in grid["seed"].values]
    first = prepare(dataclasses.replace(experiment, seed=seeds[0]))
    starts = [
        first,
        *(
            prepare(dataclasses.replace(experiment, seed=seed), like=first)
            for seed in seeds[1:]
            if theory.from_start
        ),
    ]
    same = all(
        np.array_equal(a, b)
        for one in starts[1:]
        for a, b in zip(*(jax.tree.leaves(s.params) for s in (one, first)), strict=True)
    )
    said = [theory.predict(start) for start in (starts[:1] if same else starts)]
    conditions, rows, seen, means = theory.conditions(first), [], {}, {}
    if (
        "time" in grid.dims
        and grid.sizes["time"] < 2
        and any(one.sizes.get("time", 2) > 1 for one in said[0].data_vars.values())
    ):
        conditions += (
            Condition(
                "the runs went on beyond their first mark",
                grid.sizes["time"],
                "2 marks",
                False,
                decided=False,
            ),
        )
    for quantity in [str(q) for q in said[0].data_vars if q in grid]:
        seen[quantity] = grid[quantity].mean("seed", keep_attrs=True, skipna=False)
        means[quantity] = xr.concat([one[quantity] for one in said], "seed").mean(
            "seed", keep_attrs=True
        )
        spread = (
            grid[quantity].std("seed", ddof=1, skipna=False) / np.sqrt(grid.sizes["seed"])
        ).values
        gap, scale = (
            np.abs(seen[quantity].values - means[quantity].values),
            np.abs(means[quantity].values).max(),
        )
        still = spread <= 1e-9 * scale
        error = np.where(
            still, np.where(gap <= 1e-9 * scale, 0.0, np.inf), gap / np.where(still, 1.0, spread)
        )
        lost = (
            int(np.isnan(error).reshape(len(error), -1).any(axis=1).sum())
            if error.ndim
            else int(np.isnan(error))
        )
        if lost:
            conditions += (
                Condition(
                    f"the mean of {quantity} over the runs is a number at every mark",
                    lost,
                    "0 marks without",
                    False,
                    decided=False,
                ),
            )
        where = np.unravel_index(
            int(np.argmax(np.where(np.isnan(error), -1.0, error))), error.shape
        )
        time = float(seen[quantity]["time"][where[0]])
        row = (
            float(seen[quantity].values[where]),
            float(means[quantity].values[where]),
            time,
            float(error[where]),
        )
        bound = tolerance.get(quantity) if isinstance(tolerance, dict) else tolerance
        bound = theory.tolerance if bound is None else bound
        rows.append(Row(quantity, *row, bound, verdict_of(row[-1], bound)))
    return Comparison(
        type(theory).__name__,
        theory.source,
        tuple(rows),
        tuple(conditions),
        seen,
        xr.Dataset(means),
    )
