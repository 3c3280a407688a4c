"""Grid: what a sweep gave, point by point over time, and its last values over the knobs."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from learnmech.errors import nearest, refused
from learnmech.figures.panels import entry_names, moving_most, noted
from learnmech.figures.style import COLORS, DASHES, TIME, drawable, label, sheet, titled
from learnmech.figures.swept import (
    SEM,
    diverged_words,
    knobs_of,
    last_values,
    moving_axis,
    over_seeds,
    scalars_of,
    words_of_note,
)
from learnmech.figures.swept import diverged as diverged
from learnmech.figures.swept import is_grid as is_grid
from learnmech.figures.symbols import plain

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

LINES, QUANTITIES, ENTRIES = 8, 4, 6


def draw(
    grid: "xr.Dataset",
    quantity: "str | tuple[str, ...] | None" = None,
    knobs: tuple[str, ...] | None = None,
    title: str = "",
) -> "Figure":
    """Of each quantity its curves over time, one per point, and its last values: over one knob with
    error bars over seeds, over two as a map.

    `quantity`: one or several by name (default: every scalar one, at most four, the loss first); of
    one with axes the six entries that move most. `knobs`: one or two of those swept (default: the
    first two); over others the mean is taken, and the title says so.
    """
    quantities, knobs, others = _asked(grid, quantity, knobs)
    rows = [(name, entry) for name in quantities for entry in _entries(grid, name)]
    figure, axes = sheet(len(rows), 2, height=3.7, width=11.0)
    for row, (name, entry) in enumerate(rows):
        one = grid if entry is None else entry
        _curves(axes[2 * row], one, name)
        _ends(figure, axes[2 * row + 1], one, name, knobs, others)
    left = [name for name in scalars_of(grid) if name not in quantities] if quantity is None else []
    said = [title] if title else []
    said += [f"mean over {', '.join(others)}"] if others else []
    said += [f"not shown: {', '.join(left)}"] if left else []
    said += [words_of_note(grid), *([] if title else [diverged_words(grid)])]
    said = [one for one in said if one]
    return titled(figure, "; ".join(said))


def _asked(grid, quantity, knobs):
    swept = knobs_of(grid)
    scalars = scalars_of(grid)
    known = [str(name) for name in grid.data_vars if moving_axis(grid[name]) is not None]
    if quantity is None:
        quantities = scalars[:QUANTITIES] or known[:1]
    else:
        quantities = [quantity] if isinstance(quantity, str) else list(quantity)
    if not quantities:
        raise refused(
            "show",
            "a grid in which something was watched",
            "one of nothing",
            "Sweep with watch=('loss',), say",
        )
    for name in quantities:
        if name not in known:
            raise refused("show", "a quantity of the sweep", repr(name), nearest(str(name), known))
    chosen = swept[:2] if knobs is None else [knobs] if isinstance(knobs, str) else list(knobs)
    for knob in chosen:
        if knob not in swept:
            raise refused("show", "a knob that was swept", repr(knob), nearest(str(knob), swept))
    if len(chosen) > 2 or len(set(chosen)) < len(chosen):
        raise refused(
            "show", "one knob or two", ", ".join(chosen), "Draw the others in figures of their own"
        )
    return quantities, chosen, [knob for knob in swept if knob not in chosen]


def _entries(grid, name) -> list:
    """None for a scalar; for a quantity with axes a Dataset for each of the entries that move
    most, named by its entry."""
    values, axis = grid[name], moving_axis(grid[name])
    own = values.dims[values.dims.index(axis) + 1 :]
    if not own:
        return [None]
    shape = [values.sizes[dim] for dim in own]
    flat = np.asarray(values.values, float).reshape(-1, int(np.prod(shape)))
    chosen = moving_most(drawable(flat), ENTRIES)
    titled_axes, names = entry_names(
        values.isel({dim: 0 for dim in values.dims if dim not in own}), chosen
    )
    found = []
    for entry, written in zip(chosen, names, strict=True):
        where = dict(zip(own, np.unravel_index(entry, shape), strict=True))
        picked = grid[[one for one in (name, f"{name}{SEM}") if one in grid]].isel(where, drop=True)
        count = (
            f" ({len(chosen)} of {flat.shape[1]} entries shown)"
            if len(chosen) < flat.shape[1]
            else ""
        )
        picked[name].attrs = values.attrs | {
            "long_name": f"{values.attrs.get('long_name', name)}, {titled_axes} {written}{count}"
        }
        found.append(picked)
    return found


def _words(values) -> str:
    return label(
        values.attrs.get("symbol", values.name),
        values.attrs.get("units", ""),
        values.attrs.get("long_name", ""),
    )


def short(knob: str) -> str:
    """A knob by its last word, as rate for rule.rate."""
    return knob.rpartition(".")[2].replace("_", " ")


def value_of(value) -> str:
    """A knob's value as it is written; a part by its kind and knobs, on short lines."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    words = str(value)
    if words.startswith("{"):
        words = words.strip("{}").replace("'kind': ", "").replace("'", "").replace(": ", " ")
    return plain(textwrap.fill(textwrap.shorten(words, 60, placeholder=" ..."), 20))


def _curves(axis, grid, name) -> None:
    """One curve per point, its band the standard error over seeds: at most eight, evenly chosen,
    each with its knobs' values."""
    mean, bar = over_seeds(grid, name)
    moving = moving_axis(mean)
    swept = [dim for dim in mean.dims if dim != moving]
    points = list(np.ndindex(*(mean.sizes[dim] for dim in swept)))
    shown = [
        points[at]
        for at in np.unique(
            np.linspace(0, len(points) - 1, min(LINES, len(points))).round().astype(int)
        )
    ]
    for place, where in enumerate(shown):
        at = dict(zip(swept, where, strict=True))
        y = drawable(np.asarray(mean.isel(at).values, float))
        x = _times(grid, at, len(y))
        words = ", ".join(
            f"{short(str(dim))} = {value_of(mean[dim].values[index])}" for dim, index in at.items()
        )
        color = COLORS[place % len(COLORS)]
        axis.plot(
            x,
            y,
            color=color,
            linestyle=DASHES[place % len(DASHES)],
            label=words or None,
            marker="o" if len(y) < 3 else None,
        )
        if bar is not None:
            wide = np.asarray(bar.isel(at).values, float)
            axis.fill_between(x, y - wide, y + wide, color=color, alpha=0.2, linewidth=0)
    axis.set_xlabel(TIME)
    axis.set_ylabel(_words(grid[name]))
    _scaled(axis.set_yscale, mean.values, name.endswith("loss"))
    count = grid.sizes.get("seed", 1)
    notes = (
        [f"mean of {count} seeds, band ± standard error"] if bar is not None and count > 1 else []
    )
    notes += [f"{len(shown)} of {len(points)} points shown"] if len(shown) < len(points) else []
    noted(axis, "; ".join(notes))
    if swept:
        axis.legend(fontsize=8.5)


def _times(grid, at, count):
    if "time" not in grid.coords:
        return np.arange(count)
    times = grid["time"]
    times = times.isel({dim: index for dim, index in at.items() if dim in times.dims})
    return np.asarray((times.isel(seed=0) if "seed" in times.dims else times).values, float)


def _scaled(scale, values, wanted=True) -> bool:
    finite = values[np.isfinite(values)]
    far = wanted and finite.size and finite.min() > 0 and finite.max() > 100 * finite.min()
    if far:
        scale("log")
    return bool(far)


def _ends(figure, axis, grid, name, knobs, others) -> None:
    ends = last_values(grid, name)
    count = ends.sizes.get("seed", 1)
    over = [dim for dim in ("seed", *others) if dim in ends.dims]
    mean = ends.mean(over, skipna=False) if over else ends
    if not knobs:
        _spread(axis, ends, grid[name])
    elif len(knobs) == 1:
        bars = None
        if count > 1:
            bars = (ends.mean(others, skipna=False) if others else ends).std(
                "seed", ddof=1, skipna=False
            ) / np.sqrt(count)
        elif f"{name}{SEM}" in grid and not others:
            bars = last_values(grid, f"{name}{SEM}")
        _along(axis, mean, bars, knobs[0], grid[name], count)
    else:
        _map(figure, axis, mean.transpose(*knobs[::-1]), knobs, grid[name])


def _spread(axis, ends, values) -> None:
    """Seeds alone: what each ended at."""
    seeds = ends["seed"].values if "seed" in ends.dims else np.zeros(1)
    axis.plot(np.arange(len(seeds)), np.atleast_1d(ends.values), "o", color=COLORS[0])
    axis.set_xticks(
        np.arange(len(seeds))[:: max(1, len(seeds) // 8)],
        [str(seed) for seed in seeds][:: max(1, len(seeds) // 8)],
    )
    axis.set_xlabel("seed")
    axis.set_ylabel(f"at the end: {_words(values)}")


def _positions(axis, set_ticks, set_scale, values):
    """Where the values of a knob stand on an axis: numbers as they are, on a logarithmic axis
    where they span ratios; names one by one."""
    numeric = np.issubdtype(np.asarray(values).dtype, np.number)
    if not numeric:
        set_ticks(range(len(values)), [plain(one) for one in values])
        return np.arange(len(values), dtype=float)
    at = np.asarray(values, float)
    if len(at) > 1 and at.min() > 0 and at.max() >= 8 * at.min():
        set_scale("log")
        if len(at) <= 8:
            set_ticks(at, [f"{one:.3g}" for one in at])
            set_ticks([], minor=True)
    return at


def place_of(axis, values) -> np.ndarray:
    """Where the values of a knob stand on the horizontal axis, whose ticks are set for them."""
    return _positions(axis, axis.set_xticks, axis.set_xscale, values)


def _along(axis, mean, bars, knob, values, count) -> None:
    at = _positions(axis, axis.set_xticks, axis.set_xscale, mean[knob].values)
    ends = drawable(np.asarray(mean.values, float))
    wide = None if bars is None else np.nan_to_num(np.asarray(bars.values, float))
    axis.errorbar(at, ends, wide, fmt="o-", color=COLORS[0], capsize=3, markersize=5, linewidth=1)
    axis.set_xlabel(plain(knob))
    axis.set_ylabel(f"at the end: {_words(values)}")
    _scaled(axis.set_yscale, ends)
    gone = int((~np.isfinite(ends)).sum())
    notes = (
        [f"bars: standard error over {count} seeds" if count > 1 else "bars: standard error"]
        if bars is not None
        else []
    )
    noted(axis, "; ".join([*notes, *([f"no number at {gone} of {len(ends)}"] if gone else [])]))


def _map(figure, axis, ends, knobs, values) -> None:
    from matplotlib.colors import LogNorm

    shown = np.ma.masked_invalid(drawable(np.asarray(ends.values, float)))
    finite = shown.compressed()
    norm = (
        LogNorm(finite.min(), finite.max())
        if finite.size and finite.min() > 0 and finite.max() > 20 * finite.min()
        else None
    )
    axis.set_facecolor("#DDDDDD")  # where there is no number
    names = [[value_of(one) for one in ends[knob].values] for knob in knobs]
    image = axis.pcolormesh(
        np.arange(len(names[0])),
        np.arange(len(names[1])),
        shown,
        norm=norm,
        cmap="viridis",
        shading="nearest",
        rasterized=True,
    )
    for ticks, written in ((axis.set_xticks, names[0]), (axis.set_yticks, names[1])):
        every = max(1, -(-len(written) // 9))
        ticks(range(0, len(written), every), written[::every])
    axis.grid(False)
    axis.set_xlabel(plain(knobs[0]))
    axis.set_ylabel(plain(knobs[1]))
    if finite.size:
        figure.colorbar(image, ax=axis, label=f"at the end: {_words(values)}")
    if finite.size < shown.size:
        noted(axis, f"grey: no number, at {shown.size - finite.size} of {shown.size}")
    if shown.size <= 36 and len(names[0]) <= 7:
        low, high = (finite.min(), finite.max()) if finite.size else (0, 1)
        for (y, x), value in np.ndenumerate(shown.filled(np.nan)):
            if np.isfinite(value):
                share = norm(value) if norm else (value - low) / (high - low or 1)
                axis.text(
                    x,
                    y,
                    f"{value:.2g}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if share < 0.6 else "black",
                )
