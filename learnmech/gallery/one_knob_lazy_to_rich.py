"""One knob from lazy to rich: what of a network's course is a function of alpha s^2 h^1/2 alone.

In f = h^-1/2 sum_i v_i s(w_i.x) with a homogeneous activation, weights begun s times as large are
alpha s^2 times as large outputs at a rate s^2 times as slow: exactly one knob. Over the width h,
alpha h^1/2 is the dial of the mean-field limit, which the rich end has come to at some hundred
units. At the lazy end what moves is of another order, 1/(alpha h) at random (`lazy-over-width`), of
relu's kinks alpha^-1/2 h^-3/4: either way the dial leaves a factor h^-1/2 over.
"""

from typing import NamedTuple

import numpy as np

from learnmech.architectures.dialed import Dialed
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.kernels import KernelDrift
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run

DIALS = (0.25, 1.0, 4.0, 16.0, 64.0)
RICH, LAZY = slice(0, 3), slice(3, 5)
SIZES, SEEDS = (0.7, 1.0, 1.4), 8
WATCH = (Loss(), TestLoss(), KernelDrift())


class Read(NamedTuple):
    """Of runs at every dial, value of a knob and seed: the last drift of the kernel (dials, values,
    seeds), and the course of the test loss (..., marks)."""

    drift: np.ndarray
    test: np.ndarray


def _experiment():
    network = Mlp(hidden=(512,), activation="relu", scaling=NTK(bias=0.0))
    return Experiment(
        Dialed(network, alpha=1.0),
        Gaussian(n=20, d=5, k=1, test=50),
        GradientDescent(rate=0.05),
        Clock(steps=400, marks=9),
        GaussianStart(scale=1.0),
    )


def _read(experiment, widths, sizes, dials=DIALS, seeds=SEEDS) -> Read:
    """Runs at these dials, over widths or sizes of the start, the other at one value."""
    found = []
    for dial in dials:
        for width in widths:
            for size in sizes:
                changes = {
                    "architecture.of.width": width,
                    "architecture.alpha": dial / (size**2 * np.sqrt(width)),
                    "initial.scale": size,
                    "rule.rate": float(experiment.rule.rate) / size**2,
                }
                made = experiment
                for path, value in changes.items():
                    made = made.with_value(path, value)
                for seed in range(seeds):
                    record = run(made.with_value("seed", seed), WATCH)
                    found.append((record["kernel_drift"][-1], record["test_loss"].values))
    shape = len(dials), len(widths) * len(sizes), seeds
    drift, test = zip(*found, strict=True)
    return Read(np.reshape(drift, shape), np.reshape(test, (*shape, -1)))


def left_over(values: np.ndarray) -> float:
    """Of (dials, values, seeds, ...): the mean square of ln q about its mean over the values, over
    the variance that a mean over seeds has by itself; 1 where nothing but that is left."""
    logs = np.log(values)
    means, count = logs.mean(2), values.shape[2]
    spare = values.shape[1] / (values.shape[1] - 1)
    left = spare * ((means - means.mean(1, keepdims=True)) ** 2).mean()
    return float(left / (logs.var(2, ddof=1) / count).mean())


def _verify(shown):
    plain, widest = shown.experiment, shown.experiment.architecture.of.hidden[0]
    widths = (widest // 16, widest // 4, widest)
    tanh = plain.with_value("architecture.of.activation", "tanh")
    bare = plain.with_value("architecture.centered", False)
    width, size = _read(plain, widths, (1.0,)), _read(plain, widths[1:2], SIZES, seeds=2)
    bent, loose = _read(tanh, widths[1:2], SIZES), _read(bare, widths, (1.0,), DIALS[LAZY])
    behind = width.test[..., 1:]  # at t = 0 it is one number
    rows = {
        "width: kernel drift, a ≤ 4": (left_over(width.drift[RICH]), "below"),
        "width: kernel drift, a ≥ 16": (left_over(width.drift[LAZY]), "above"),
        "width: test loss over t, a ≤ 4": (left_over(behind[RICH]), "below"),
        "width: test loss over t, a ≥ 16": (left_over(behind[LAZY]), "below"),
        "width, f itself: test loss, a ≥ 16": (left_over(loose.test), "above"),
        "size: kernel drift, tanh": (left_over(bent.drift), "above"),
    }
    checks = [
        Check(
            f"{name.replace('≤', '<=').replace('≥', '>=')}: what is left over the seeds' variance",
            measured,
            2.0,
            0.0,
            "collapses is twice the variance of the means at most, as `lm.collapse` says it",
            side,
        )
        for name, (measured, side) in rows.items()
    ]
    exact = float(np.abs(size.drift / size.drift[:, 1:2] - 1).max())
    checks.append(
        Check(
            "size of the start: kernel drift, every dial and seed, largest relative difference",
            exact,
            0.0,
            1e-9,
            "one function at every step: round-off over 400 of them",
        )
    )
    order = fitted_order(widths, width.drift[-1])
    checks.append(
        Check(
            f"kernel drift at a = {DIALS[-1]:g}: the power of the width that is left",
            order.slope,
            -0.5,
            max(0.1, 3 * order.standard_error) / 0.5,
            "1/(alpha h) at a = alpha h^1/2; three standard errors over seeds, 0.1 at least",
        )
    )
    rows["size: kernel drift, relu"] = (exact**2, "below")
    return tuple(checks), {"width": width, "bent": bent, "rows": rows, "widths": widths}


def _draw(shown):
    figure, (moves, rest) = sheet(columns=2, height=4.8, width=12.0)
    dials, extra = np.array(DIALS), shown.extra
    for look, (width, drift) in enumerate(
        zip(extra["widths"], extra["width"].drift.swapaxes(0, 1), strict=True)
    ):
        bars = drift.std(1, ddof=1) / np.sqrt(SEEDS)
        moves.errorbar(
            dials * 1.06 ** (look - 1),
            drift.mean(1),
            bars,
            fmt=MARKERS[look],
            color=COLORS[look],
            markersize=5,
            label=f"relu, h = {width}",
        )
    for size, drift, fill in zip(SIZES, extra["bent"].drift.swapaxes(0, 1), "^vD", strict=True):
        moves.plot(
            dials,
            drift.mean(1),
            fill,
            color="#555555",
            markerfacecolor="none",
            markersize=5,
            label=f"tanh, h = {extra['widths'][1]}, size {size:g}",
        )
    moves.set(
        xscale="log",
        yscale="log",
        xlabel="one dial: a = α s² √h [1]",
        ylabel="kernel drift by the end, |K - K₀|/|K₀| [1]",
    )
    moves.legend()
    names = list(extra["rows"])[::-1]
    for place, name in enumerate(names):
        value, side = extra["rows"][name]
        seen = max(value, 1e-2)
        rest.plot(
            seen,
            place,
            "o" if side == "below" else "X",
            color=COLORS[side == "above"],
            markersize=7,
        )
        if value < seen:
            rest.annotate(" exact, to round-off", (seen, place), va="center", fontsize=9)
    rest.axvline(2.0, color="#333333", linewidth=1.2, linestyle="--")
    rest.plot([], [], "o", color=COLORS[0], label="collapses")
    rest.plot([], [], "X", color=COLORS[1], label="does not")
    rest.set(xscale="log", xlabel="what is left over the variance of means over seeds [1]")
    rest.set_yticks(range(len(names)), names)
    rest.legend(loc="lower right")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "From lazy to rich a two-layer relu network has one dial, α s² √h: exact in the size s of"
        " its start, so in the width at the rich end; how lazy it is at the other has √h left over"
    ),
    source="Chizat et al. 2019; Mei et al. 2018; Woodworth et al. 2020",
    experiment=_experiment,
    watch=WATCH,
    twin={"clock": {"steps": 200, "marks": 3}},
    verify=_verify,
    draw=_draw,
)
