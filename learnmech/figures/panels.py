"""Panels: one quantity over time on one pair of axes, its entries named, its residual a band of
it, the rule's edge beside it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.experiment.recipe import Start
from learnmech.figures.style import COLORS, DASHES, TIME, drawable, label
from learnmech.figures.symbols import plain
from learnmech.language.trees import leaves_by_path
from learnmech.rules.schedules import Constant
from learnmech.theories.stability import decays, threshold

if TYPE_CHECKING:
    import xarray as xr

CURVES, SMALL = 6, 9
BANDS = ("_residual", "_error")
EDGED = ("sharpness", "preconditioned_sharpness")


def band_of(name: str, known) -> str | None:
    """The quantity whose residual or error this is, None where it stands for itself."""
    owner = next((name.removesuffix(end) for end in BANDS if name.endswith(end)), name)
    return owner if owner != name and owner in known else None


def in_order(names) -> list[str]:
    """Quantities that have a panel of their own, as they are to be read: what is a band of
    another is in that one's panel."""
    names = list(names)
    return [name for name in names if band_of(name, names) is None]


def moving_most(flat: np.ndarray, count: int = CURVES) -> list[int]:
    """The entries (columns of (marks, entries)) that move most, in their own order."""
    with np.errstate(invalid="ignore"):
        reach = np.nan_to_num(
            np.nanmax(flat, axis=0, initial=-np.inf) - np.nanmin(flat, axis=0, initial=np.inf),
            neginf=0,
        )
    return sorted(np.argsort(-reach, kind="stable")[:count])


def entry_names(values: "xr.DataArray", entries) -> tuple[str, list[str]]:
    """(what the axes are called, a name for each flat entry): labels where an axis has them,
    else places from 0 on."""
    axes = [dim for dim in values.dims if dim != "time"]
    shape = [values.sizes[axis] for axis in axes]
    labels = [
        values[axis].values if axis in values.coords else np.arange(values.sizes[axis])
        for axis in axes
    ]
    named = []
    for entry in entries:
        where = np.unravel_index(entry, shape)
        named.append(", ".join(plain(labels[axis][at]) for axis, at in enumerate(where)))
    return ", ".join(plain(str(axis).replace("_", " ")) for axis in axes), named


def named_entries(axis, title: str, handles: list, names: list[str]) -> None:
    """A legend of entries, by the names of their axes."""
    axis.legend(
        handles,
        names,
        title=title,
        title_fontsize=SMALL,
        fontsize=SMALL,
        ncols=1 + (len(names) > 4),
    )


def noted(axis, note: str) -> None:
    """What a reader must know of a panel, small above its right corner."""
    if note:
        axis.set_title(note, fontsize=SMALL, loc="right", color="#595959")


def rows_of(values: "xr.DataArray") -> np.ndarray:
    """(marks, entries) of a quantity, also of a run that has no marks yet."""
    return np.asarray(values.values, float).reshape(
        len(values), int(np.prod(values.shape[1:], dtype=np.int64))
    )


def curve_panel(
    axis, values: "xr.DataArray", band: "xr.DataArray | None" = None, start: Start | None = None
) -> None:
    """One quantity of a record: at most six entries, those that move most; of a scalar that
    oscillates its mean too, of a sharpness the rule's edge."""
    times, flat = values["time"].values, drawable(rows_of(values))
    chosen, notes, handles = moving_most(flat), [], []
    axis.set_xlabel(TIME)
    axis.set_ylabel(
        label(
            values.attrs.get("symbol", values.name),
            values.attrs.get("units", ""),
            values.attrs.get("long_name", ""),
        )
    )
    if not np.isfinite(flat).any():
        noted(axis, "no number at any mark" if len(times) else "no marks")
        return
    waves = flat.shape[1] == 1 and oscillates(flat[:, 0])
    for place, entry in enumerate(chosen):
        look: dict[str, Any] = {
            "color": COLORS[place % len(COLORS)],
            "linestyle": DASHES[place % len(DASHES)],
        }
        if len(times) < 3 or np.isfinite(flat[:, entry]).sum() < 3:
            look |= {"marker": "o", "markersize": 4}
        handles += axis.plot(
            times,
            flat[:, entry],
            **look,
            **({"alpha": 0.4, "linewidth": 0.8, "label": "at every mark"} if waves else {}),
        )
    if waves:
        mean, window = running_mean(flat[:, 0])
        axis.plot(times, mean, color=COLORS[1], linewidth=1.6, label=f"mean over {window} marks")
    if band is not None:
        notes.append(_banded(axis, times, flat, drawable(rows_of(band)), chosen, band))
    scaled(axis, str(values.name), flat)
    _edge(axis, str(values.name), values, flat, start, notes)
    if flat.shape[1] > len(chosen):
        notes.append(f"{len(chosen)} of {flat.shape[1]} entries shown")
    if flat.shape[1] > 1:
        named_entries(axis, *_named(values, chosen, handles))
    elif axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=SMALL)
    noted(axis, "; ".join(note for note in notes if note))


def _named(values, chosen, handles):
    title, names = entry_names(values, chosen)
    return title, handles, names


def _banded(axis, times, flat, band, chosen, values) -> str:
    """A residual or an error as a band about what it belongs to; what is said of it."""
    if band.shape != flat.shape:
        return ""
    kind = "residual" if str(values.name).endswith("_residual") else "standard error"
    for place, entry in enumerate(chosen):
        axis.fill_between(
            times,
            flat[:, entry] - band[:, entry],
            flat[:, entry] + band[:, entry],
            color=COLORS[place % len(COLORS)],
            alpha=0.2,
            linewidth=0,
        )
    most = np.nanmax(band, initial=-np.inf)
    return f"band: ± {kind}, at most {most:.1g}" if np.isfinite(most) else ""


def oscillates(values: np.ndarray) -> bool:
    """Whether a curve turns back at more than half of its marks, so that a mean says more."""
    steps = np.diff(values[np.isfinite(values)])
    steps = steps[steps != 0]
    return len(steps) >= 40 and np.mean(np.sign(steps[1:]) != np.sign(steps[:-1])) > 0.6


def running_mean(values: np.ndarray) -> tuple[np.ndarray, int]:
    """(the mean over a window about each mark, how many marks it holds): a twentieth of the run,
    and at the ends what is left of it."""
    window = max(5, len(values) // 20) | 1
    there = np.isfinite(values)
    sums = np.convolve(np.where(there, values, 0), np.ones(window), "same")
    counts = np.convolve(there.astype(float), np.ones(window), "same")
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), window


def scaled(axis, name: str, flat: np.ndarray) -> None:
    """A logarithmic axis for a loss that falls by orders of magnitude."""
    finite = flat[np.isfinite(flat)]
    if (
        name.endswith("loss")
        and finite.size
        and finite.min() > 0
        and finite.max() > 100 * finite.min()
    ):
        axis.set_yscale("log")


def edge_of(start: Start | None, name: str) -> float | None:
    """The curvature at which the rule's steps begin to grow, where this sharpness is the one it
    is held against."""
    if start is None or start.rule.flows or start.experiment.events or name not in EDGED:
        return None
    found = start.system.architecture.rate_factors(start.params, start.rule.family)
    alike = {float(factor) for factor in leaves_by_path(found).values()} == {1.0}
    bare = alike and not start.rule.divides
    return (
        threshold(start.rule)
        if start.rule.clip is None and (bare or name == "preconditioned_sharpness")
        else None
    )


def _edge(axis, name, values, flat, start, notes) -> None:
    edge = edge_of(start, name)
    if edge is None or not np.isfinite(edge) or edge <= 0:
        return
    rule = start.rule
    rate, decay = float(rule.rate), decays(rule)[1]
    words = "2/rate" if np.isclose(edge * rate, 2) else f"{edge * rate:.3g}/rate"
    look = {"color": "#555555", "linestyle": DASHES[1], "linewidth": 1.1}
    if isinstance(rule.schedule, Constant):
        if edge > 4 * np.nanmax(flat):
            notes.append(f"the edge, {words} = {edge:.3g}, lies above")
        else:
            axis.axhline(edge, label=f"the edge, {words} = {edge:.3g}", **look)
    elif "step" in values.coords:
        rates = np.maximum(
            rate * np.asarray(rule.schedule.factor(values["step"].values), float), 1e-300
        )
        edges = edge / (2 / rate - decay) * (2 / rates - decay)
        most = 4 * np.nanmax(flat)
        axis.plot(
            values["time"].values,
            np.where(edges < most, edges, np.nan),
            label=f"the edge, {words}",
            **look,
        )
