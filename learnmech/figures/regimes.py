"""Regimes: the error of a theory over the knobs of a sweep, every point marked with its verdict."""

from typing import TYPE_CHECKING

import numpy as np

from learnmech.figures.grid import place_of, value_of
from learnmech.figures.panels import noted
from learnmech.figures.style import COLORS, OUTSIDE, sheet, titled
from learnmech.figures.symbols import plain

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

# A sign and a shape for each verdict, so that no color is needed to tell them apart; the worst
# last.
SIGNS = {"holds": "✓", "not run": "·", "outside domain": "○", "undecided": "?", "fails": "✗"}
SHAPES = {
    "holds": ("o", COLORS[2]),
    "not run": (".", OUTSIDE),
    "outside domain": ("D", OUTSIDE),
    "undecided": ("s", COLORS[4]),
    "fails": ("X", COLORS[1]),
}
PANELS, CELLS = 4, 225


def regimes(laid: "xr.Dataset", title: str = "", knobs: tuple[str, ...] | None = None) -> "Figure":
    """Of the Dataset of a `GridComparison` the error of each quantity (the first four) over two
    knobs as a map, over one as points.

    Over further knobs and seeds the largest error is shown, and how many of them have which
    verdict.
    """
    dims = [str(dim) for dim in laid["verdict"].dims]
    chosen = list(knobs) if knobs else [dim for dim in dims if dim != "seed"][:2] or dims[:1]
    others = [dim for dim in dims if dim not in chosen]
    names = sorted(map(str, laid["quantity"].values), key=lambda name: name != "loss")
    drawn: list[str | None] = [*names[:PANELS]] or [None]
    wide = len(chosen) == 2
    figure, axes = sheet(
        -(-len(drawn) // 2),
        min(len(drawn), 2),
        height=4.2 if wide else 3.6,
        width=11.0 if len(drawn) > 1 else 7.0,
    )
    verdicts = laid["verdict"].transpose(*chosen, *others)
    words = (
        [f"largest over {', '.join(others)}"]
        if others and any(laid.sizes[dim] > 1 for dim in others)
        else []
    )
    for axis, name in zip(axes, drawn, strict=False):
        errors = (
            None if name is None else laid["error"].sel(quantity=name).transpose(*chosen, *others)
        )
        one = _Panel(verdicts, errors, name, chosen, words, laid)
        (_map if wide else _along)(figure, axis, one)
    for axis in axes[len(drawn) :]:
        axis.set_axis_off()
    said = [title or f"{laid.attrs.get('theory', 'Theory')} over the sweep"]
    said += [f"not shown: {', '.join(names[PANELS:])}"] if len(names) > PANELS else []
    found = [word for word in SIGNS if (laid["verdict"] == word).any()]
    said += [", ".join(f"{SIGNS[word]} {word}" for word in found)] if wide else []
    return titled(figure, "; ".join(said))


class _Panel:
    """What one panel shows: the largest error at each place, the verdicts there, the words of
    its axes."""

    def __init__(self, verdicts, errors, name, chosen, words, laid):
        shape = tuple(verdicts.sizes[dim] for dim in chosen)
        self.knobs, self.values = chosen, [verdicts[dim].values for dim in chosen]
        self.verdicts = verdicts.values.reshape(*shape, -1)
        flat = np.full((*shape, 1), np.nan) if errors is None else errors.values.reshape(*shape, -1)
        lost = np.isnan(flat).all(-1)
        self.error = np.where(lost, np.nan, np.where(np.isnan(flat), -np.inf, flat).max(-1))
        scale = " (standard errors)" if "standard" in laid.attrs.get("error", "") else ""
        self.name, self.label = (
            name,
            f"error of {plain(name)}{scale}" if name else "no error: nothing was compared",
        )
        bound = np.nan if name is None else laid["tolerance"].sel(quantity=name).values
        self.bound = float(np.nanmax(bound)) if np.isfinite(bound).any() else np.nan
        self.words = words

    def worst(self, where) -> str:
        found = set(map(str, self.verdicts[where]))
        return next(
            (word for word in reversed(SIGNS) if word in found), str(self.verdicts[where][0])
        )

    def signs(self, where) -> str:
        """The sign of the verdict here, with counts where they are of several kinds."""
        here = [str(one) for one in self.verdicts[where]]
        counts = {
            word: here.count(word)
            for word in (*SIGNS, *sorted(set(here) - set(SIGNS)))
            if word in here
        }
        if len(counts) == 1:
            return SIGNS.get(here[0], here[0])
        return " ".join(f"{SIGNS.get(word, word)}{count}" for word, count in counts.items())


def _map(figure, axis, one) -> None:
    from matplotlib.colors import LogNorm

    shown = np.ma.masked_invalid(one.error.T)
    finite = shown.compressed()
    positive = finite[finite > 0]
    spans = positive.size and positive.max() > 20 * positive.min()
    norm = LogNorm(max(positive.min(), 1e-17), positive.max()) if spans else None
    shown = (
        np.ma.masked_array(np.maximum(shown.filled(0.0), positive.min()), shown.mask)
        if spans
        else shown
    )
    axis.set_facecolor("#DDDDDD")
    names = [[value_of(value) for value in values] for values in one.values]
    image = axis.pcolormesh(
        np.arange(len(names[0])),
        np.arange(len(names[1])),
        shown,
        norm=norm,
        cmap="cividis_r",
        shading="nearest",
        rasterized=True,
    )
    for ticks, written, most in ((axis.set_xticks, names[0], 5), (axis.set_yticks, names[1], 9)):
        every = max(1, -(-len(written) // most))
        ticks(range(0, len(written), every), written[::every])
    axis.grid(False)
    axis.set_xlabel(plain(one.knobs[0]))
    axis.set_ylabel(plain(one.knobs[1]))
    if finite.size:
        figure.colorbar(image, ax=axis, label=one.label)
    notes = [*one.words, *([f"tolerance {one.bound:.2g}"] if np.isfinite(one.bound) else [])]
    if finite.size < shown.size:
        notes.append(f"grey: no finite error, at {shown.size - finite.size} of {shown.size}")
    if shown.size > CELLS:
        notes.append("verdicts: too many to be written, see the table")
        _edges(axis, one)
    else:
        _signed(axis, one, shown, norm, finite)
    noted(axis, "; ".join(notes))


def _signed(axis, one, shown, norm, finite) -> None:
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    count = max(len(values) for values in one.values)
    for x, y in np.ndindex(*one.error.shape):
        value = shown[y, x]
        masked = value is np.ma.masked
        share = 0.0 if masked else float(norm(value)) if norm else (value - low) / (high - low or 1)
        color = "white" if share > 0.55 else "black"
        axis.text(
            x,
            y,
            one.signs((x, y)),
            ha="center",
            va="center",
            fontsize=9 if count > 10 else 12,
            color=color,
        )


def _edges(axis, one) -> None:
    """Where the signs would not fit, a line around the places at which the theory holds."""
    holds = np.array(
        [
            [one.worst((x, y)) == "holds" for x in range(one.error.shape[0])]
            for y in range(one.error.shape[1])
        ],
        float,
    )
    if 0 < holds.sum() < holds.size:
        axis.contour(
            np.arange(holds.shape[1]),
            np.arange(holds.shape[0]),
            holds,
            levels=[0.5],
            colors="black",
            linewidths=1.2,
        )


def _along(figure, axis, one) -> None:
    at = place_of(axis, one.values[0])
    found = np.array([one.worst((place,)) for place in range(len(at))])
    drawn = np.where(np.isfinite(one.error), one.error, np.nan)
    lowest = np.nanmin(drawn[drawn > 0]) if (drawn > 0).any() else np.nan
    # an error of 0 has no place on a logarithmic axis, and one that is none or infinite has none at
    # all
    shown = np.where(drawn > 0, drawn, np.where(drawn == 0, lowest / 10, np.nan))
    if np.isfinite(shown).any():
        axis.set_yscale("log")
    axis.plot(at, shown, color="#BBBBBB", linewidth=1, zorder=1)
    for word in dict.fromkeys(found):
        shape, color = SHAPES.get(word, ("o", OUTSIDE))
        here = found == word
        heights = np.where(np.isfinite(shown[here]), shown[here], np.nan)
        axis.plot(
            at[here],
            heights,
            shape,
            color=color,
            markersize=8,
            linestyle="none",
            zorder=3,
            label=f"{SIGNS.get(word, '')} {word}".strip(),
        )
        gone = here & ~np.isfinite(shown)
        if gone.any():
            axis.plot(
                at[gone],
                np.full(gone.sum(), 0.97),
                shape,
                color=color,
                markersize=8,
                fillstyle="none",
                transform=axis.get_xaxis_transform(),
            )
    if np.isfinite(one.bound):
        axis.axhline(
            one.bound,
            color="#333333",
            linestyle=":",
            linewidth=1,
            label=f"tolerance {one.bound:.2g}",
        )
    axis.set_xlabel(plain(one.knobs[0]))
    axis.set_ylabel(one.label)
    gone = int((~np.isfinite(shown)).sum())
    noted(
        axis,
        "; ".join(
            [
                *one.words,
                *([f"hollow, at the top: no finite error, at {gone} of {len(at)}"] if gone else []),
            ]
        ),
    )
    axis.legend(fontsize=8.5)
