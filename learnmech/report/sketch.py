"""Sketches: an exhibit as a small picture without words, for a card; dots are what was measured,
lines what theory says.

`python -m learnmech.report.sketch FOLDER [NAME ...]` draws those of the gallery from their twins.
"""

import sys
from pathlib import Path

import numpy as np

from learnmech.comparison.alignment import matched
from learnmech.figures.curves import drawn_names
from learnmech.figures.panels import moving_most
from learnmech.figures.style import COLORS
from learnmech.gallery.base import Shown, foremost, perform
from learnmech.language import catalog

WIDTH, HEIGHT, AIR, CURVES, POINTS, DOTS = 240, 132, 12, 5, 72, 18
# Marks of a run without theory that is drawn: with fewer the exhibit is not about that run.
FEWEST = 5


def sketch(shown: Shown) -> str:
    """One quantity of an exhibit as SVG: of those that a theory speaks of the one with most to
    see, else what was watched first; empty where nothing moves."""
    name, times, measured, predicted = _chosen(shown)
    if not len(times):
        return ""
    seen = measured[np.isfinite(measured)]
    spans = bool(seen.size and seen.min() > 0 and seen.max() > 300 * seen.min())
    log = spans and name.endswith("loss")
    curves = [one for one in (measured, predicted) if one is not None]
    with np.errstate(all="ignore"):
        curves = [np.log(one) if log else one for one in curves]
        clean = [np.where(np.abs(one) < 1e30, one, np.nan) for one in curves]
    known = np.concatenate([one[np.isfinite(one)] for one in clean])
    if not known.size:
        return ""
    low, high = float(known.min()), float(known.max())
    span, length = high - low or 1.0, float(times[-1] - times[0]) or 1.0
    x = AIR + (times - times[0]) / length * (WIDTH - 2 * AIR)

    def y(values):
        return HEIGHT - AIR - (values - low) / span * (HEIGHT - 2 * AIR)

    drawn = []
    for place, entry in enumerate(moving_most(clean[0], CURVES)):
        color = COLORS[place % len(COLORS)]
        line = clean[-1][:, entry]
        dash = "" if place == 0 else ' stroke-dasharray="6 3"' if place % 2 else ""
        drawn.append(
            f'<path d="{_path(x, y(line))}" fill="none" stroke="{color}" stroke-width="2"{dash}/>'
        )
        if predicted is None:
            continue
        dots = _spread(len(x), DOTS)
        drawn.append(
            f'<path d="{_dots(x[dots], y(clean[0][dots, entry]))}" stroke="{color}"'
            ' stroke-width="5.5" stroke-linecap="round"/>'
        )
    return _svg(drawn)


def _chosen(shown: Shown):
    """(name, times, measured, predicted or None), the last two (marks, entries)."""
    laid = foremost(shown.comparisons)
    best: tuple = (-1, None)
    for row in () if laid is None else laid.rows:
        assert laid is not None
        seen, said = laid.seen[row.quantity], laid.said[row.quantity]
        if "time" not in seen.dims or "time" not in said.dims:
            continue
        times, measured, predicted = matched(seen, said)
        rows = [np.asarray(one, float).reshape(len(times), -1) for one in (measured, predicted)]
        width = rows[0].shape[1]
        # several curves say more than one, hundreds less; what stands still says nothing
        moves = float(np.nan_to_num(np.ptp(rows[0], axis=0)).max(initial=0.0)) > 1e-9
        score = moves * (2 + (1 < width <= 12) + (len(times) > 5))
        if score > best[0]:
            best = score, (row.quantity, times, *rows)
    if best[1] is not None and best[0] > 0:
        return best[1]
    # of a run without theory its sharpness says more than the loss, which only falls
    names = sorted(drawn_names(shown.record), key=lambda one: "sharpness" not in one)
    for name in names:
        values = shown.record[name]
        own = np.asarray(values.values, float).reshape(len(values), -1)
        if len(values) >= FEWEST and np.isfinite(own).sum() >= FEWEST:
            return name, np.asarray(values["time"].values, float), own, None
    return "", np.zeros(0), np.zeros((0, 0)), None


def _spread(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _path(x, y) -> str:
    parts, pen = [], "M"
    for at in _spread(len(x), POINTS):
        if not np.isfinite(y[at]):
            pen = "M"
            continue
        parts.append(f"{pen}{x[at]:.0f} {y[at]:.1f}")
        pen = "L"
    return "".join(parts)


def _dots(x, y) -> str:
    """Each dot a line of no length with a round cap: half the letters of a circle."""
    return "".join(f"M{a:.0f} {b:.1f}h0" for a, b in zip(x, y, strict=True) if np.isfinite(b))


def _svg(drawn: list[str]) -> str:
    axes = (
        f'<path d="M{AIR - 6} {AIR - 6}V{HEIGHT - AIR + 6}H{WIDTH - AIR + 6}" fill="none"'
        ' stroke="#b9bec5"/>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">{axes}'
        f"{''.join(drawn)}</svg>\n"
    )


def draw(folder: Path, names: list[str]) -> None:
    """The sketches of exhibits by name, of all where none is named, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or list(catalog.exhibits()):
        shown = perform(catalog.exhibit(name), small=True)
        drawn = sketch(shown)
        if drawn:  # of several runs together, as a sweep's, there is no curve of one
            (folder / f"{name}.svg").write_text(drawn, encoding="utf-8")
        print(name, "" if drawn else "has no sketch", flush=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), sys.argv[2:])
