"""The data card as a figure: spectrum, power of the targets, and a sheet of samples."""

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.data.card import DataCard
from learnmech.figures.panels import SMALL, noted
from learnmech.figures.style import COLORS, DASHES, MARKERS, OUTSIDE, label, sheet, titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSES = len(COLORS)


def draw(card: DataCard) -> "Figure":
    """Left the eigenvalues of S_xx with their line and the power of the targets in each mode, right
    samples: as images where they are some, else in the plane of the two strongest components."""
    panels = [
        panel
        for panel, there in (
            (_spectrum, card.spectra is not None),
            (_power, card.spectra is not None),
            (_images, card.images is not None),
            (_plane, card.images is None and card.plane is not None),
        )
        if there
    ]
    if not panels:
        panels = [_counts]
    figure, axes = sheet(1, len(panels), height=3.9, width=max(4.4 * len(panels), 5.0))
    for panel, axis in zip(panels, axes, strict=True):
        panel(axis, card)
    return titled(figure, f"{card.name}: {card.n} samples" if len(card.name) < 80 else "")


def picture(card: DataCard) -> str:
    """The figure in HTML, on white, as a notebook shows it below the tables."""
    drawn: Any = draw(card)
    written = base64.b64encode(drawn._repr_png_()).decode()
    return f'<img alt="the data" width="860" src="data:image/png;base64,{written}">'


def _resolved(values):
    return values > values[0] * len(values) * np.finfo(float).eps if len(values) else values > 0


def _spectrum(axis, card):
    values = card.spectra.input_spectrum
    modes = np.arange(1, len(values) + 1)
    there = _resolved(values)
    axis.loglog(modes[there], values[there], ".", color=COLORS[0], markersize=4)
    if card.slope is not None:
        _lined(axis, card.slope, modes, values, "b")
    axis.set_xlabel("mode, $i$")
    axis.set_ylabel(label(r"lambda_i", "input^2", "eigenvalues of S_xx"))


def _power(axis, card):
    values, power = card.spectra.input_spectrum, card.spectra.target_power
    modes = np.arange(1, len(values) + 1)
    there = _resolved(values) & (power > 0)
    axis.loglog(modes[there], power[there], ".", color=COLORS[1], markersize=4)
    if card.target_slope is not None:
        _lined(axis, card.target_slope, modes, power, "a")
    axis.set_xlabel("mode, $i$")
    axis.set_ylabel(label("v_i^2", "target^2", "target power in each mode"))
    if card.noise_floor > 0:
        axis.axhline(card.noise_floor, color=OUTSIDE, linestyle=DASHES[1], linewidth=1)
    noted(axis, f"dashed: were the rest noise; linear share {card.linear_share:.3g}")


def _lined(axis, slope, modes, values, letter):
    part = slice(slope.first - 1, slope.last)
    held = values[part] > 0
    middle = np.exp(np.mean(np.log(values[part][held]) + slope.value * np.log(modes[part][held])))
    axis.plot(
        modes[part],
        middle * modes[part] ** -slope.value,
        color=COLORS[7],
        linewidth=1.4,
        label=f"${letter}$ = {slope.value:.2f} ± {slope.error:.2f}",
    )
    axis.legend(fontsize=SMALL)


def _images(axis, card):
    images, classes = card.images, card.image_classes
    n, rows, columns, channels = images.shape
    count = len(dict.fromkeys(classes))
    # in a square as far as it goes; a column to a class, where they are few
    across = max(1, min(n, round(np.sqrt(n * rows / columns))))
    across = count if 4 <= count <= 12 and rows < 3 * columns else across
    down = -(-n // across)
    low, high = images.min(), images.max()
    tiled = np.full((down * (rows + 1) - 1, across * (columns + 1) - 1, 3), 1.0)
    for place, image in enumerate(images):
        top, left = place // across * (rows + 1), place % across * (columns + 1)
        shown = (image - low) / (high - low if high > low else 1)
        shown = shown if channels >= 3 else np.repeat(1 - shown[:, :, :1], 3, axis=2)
        tiled[top : top + rows, left : left + columns] = shown[:, :, :3]
    axis.imshow(tiled, interpolation="nearest")
    axis.set_axis_off()
    if count == across and count:
        for place, name in enumerate(classes[:across]):
            axis.text(
                place * (columns + 1) + columns / 2,
                -0.02 * tiled.shape[0],
                name[:10],
                ha="left" if max(map(len, classes)) > 3 else "center",
                va="bottom",
                fontsize=7,
                rotation=40 if max(map(len, classes)) > 3 else 0,
            )


def _plane(axis, card):
    classes = list(dict.fromkeys(card.plane_classes))
    if not classes or len(classes) > CLASSES:
        axis.plot(*card.plane.T, ".", color=COLORS[0], markersize=4)
    else:
        own = np.array(card.plane_classes)
        for place, name in enumerate(sorted(classes)):
            axis.plot(
                *card.plane[own == name].T,
                MARKERS[place % len(MARKERS)],
                color=COLORS[place],
                markersize=3,
                label=name,
            )
        axis.legend(fontsize=SMALL)
    axis.set_xlabel("strongest component")
    axis.set_ylabel("second component")


def _counts(axis, card):
    names = list(card.classes)[:40]
    axis.bar(range(len(names)), [card.classes[name] for name in names], color=COLORS[0])
    axis.set_xticks(range(len(names)), names, fontsize=7, rotation=60 if len(names) > 10 else 0)
    axis.set_ylabel("training samples of each class")
