"""Lazy training: the wider the network, the less its weights move, and the nearer it stays to
its tangent at the start."""

from typing import NamedTuple

import numpy as np

from learnmech.architectures.dialed import Dialed
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order
from learnmech.comparison.verdicts import Comparison, compare
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import COLORS, DASHES, MARKERS, TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.kernels import KernelDrift
from learnmech.instruments.losses import Loss, Outputs, TestLoss
from learnmech.instruments.weights import Distance
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run
from learnmech.theories.tangent import Lazy

NARROWEST, SEEDS = 32, 12


class Measure(NamedTuple):
    """What falls with width: its name in words, the power said, and whether that is only a
    bound."""

    words: str
    power: float
    bound: bool


MEASURES = {
    "gap": Measure("outputs off the tangent's, sup |f - f_lin|", -0.5, True),
    "drift": Measure("kernel, sup |T - T_0|/|T_0|", -0.5, True),
    "layer1": Measure("input weights, |W - W_0|/|W_0|", -0.5, False),
    "layer2": Measure("hidden weights, |W - W_0|/|W_0|", -1.0, False),
    "layer3": Measure("readout weights, |W - W_0|/|W_0|", -0.5, False),
}


def _experiment():
    network = Dialed(
        Mlp(hidden=(1024, 1024), activation="tanh", scaling=NTK())
    )  # centered: starts differ by their kernels, not by their outputs
    return Experiment(
        network,
        Gaussian(n=12, d=6, k=1, test=6),
        GradientDescent(rate=1.0),
        Clock(steps=100, every=5),
    )


def _measured(experiment, width):
    """({measure: (seeds)}, the first seed's comparison) at one width; the gap is relative to the
    largest output, as in every comparison."""
    at, first, seen, laid_over = (
        experiment.with_value("architecture.width", width),
        None,
        {name: [] for name in MEASURES},
        [],
    )
    for seed in range(SEEDS):
        start = prepare(at.with_value("seed", seed), like=first)
        first = start if first is None else first
        record = run(start, WATCH)
        laid_over.append(compare(record, Lazy()))
        seen["gap"].append(laid_over[-1].row("outputs").error)
        seen["drift"].append(record["kernel_drift"].values.max())
        for layer, moved in zip(
            ("layer1", "layer2", "layer3"), record["relative_distance"].values[-1], strict=True
        ):
            seen[layer].append(moved)
    return seen, laid_over[0]


def _check(name, order):
    words, power, bound = MEASURES[name]
    if bound:
        beaten = (power - order.slope) / order.standard_error
        reason = (
            f"a bound, beaten by {beaten:.1f} standard errors of {order.standard_error:.2g} over"
            f" {SEEDS} seeds"
        )
        return Check(
            f"{words}: falls at least as h^{power:g}, fitted power",
            order.slope,
            power,
            0.0,
            reason,
            "below",
        )
    reason = (
        f"four standard errors of {order.standard_error:.1g} over {SEEDS} seeds, at least 0.05: the"
        " next order bends the line at the narrowest"
    )
    return Check(
        f"{words}: goes as h^p, p",
        order.slope,
        power,
        max(0.05, 4 * order.standard_error) / abs(power),
        reason,
    )


def _verify(shown):
    widest = shown.experiment.architecture.of.hidden[0]
    widths = [NARROWEST * 2**k for k in range(16) if NARROWEST * 2**k <= widest]
    measured = [_measured(shown.experiment, width) for width in widths]
    orders = {name: fitted_order(widths, [seen[name] for seen, _ in measured]) for name in MEASURES}
    curves: dict[int, Comparison] = {widths[place]: measured[place][1] for place in (0, -1)}
    return tuple(_check(name, order) for name, order in orders.items()), {
        "orders": orders,
        "curves": curves,
    }


def _draw(shown):
    figure, (moves, losses) = sheet(columns=2, height=4.8, width=11.5)
    for place, (name, order) in enumerate(shown.extra["orders"].items()):
        words, power, bound = MEASURES[name]
        if bound:
            line = order.errors[0] * (order.values / order.values[0]) ** power
        else:
            line = np.exp(np.mean(np.log(order.errors / order.values**power))) * order.values**power
        moves.plot(order.values, line, linestyle=DASHES[place], color=COLORS[place], linewidth=1.2)
        named = f"{words}: h^({order.slope:.2f} ± {order.standard_error:.2f})"
        moves.errorbar(
            order.values,
            order.errors,
            order.bars,
            fmt=MARKERS[place],
            color=COLORS[place],
            markersize=5,
            capsize=2,
            label=named,
        )
    moves.set(
        xscale="log",
        yscale="log",
        xlabel="width, h [units]",
        ylabel="relative change over training [1]",
    )
    moves.set_xticks(order.values, [f"{int(h)}" for h in order.values])
    moves.xaxis.minorticks_off()
    low, high = moves.get_ylim()
    moves.set_ylim(low / 60, high)
    moves.legend(
        loc="lower left",
        fontsize=8,
        title="measured; lines predicted: h^-1/2 as a bound (first two), h^-1/2, h^-1, h^-1/2",
        title_fontsize=8,
    )
    for place, (width, comparison) in enumerate(shown.extra["curves"].items()):
        seen, said = comparison.seen["outputs"], comparison.said["outputs"]
        order = np.argsort(said.values[-1, :, 0])[[0, len(said.values[-1]) // 2, -1]]
        for entry in order:
            named = f"h = {width}" if entry == order[0] else ""
            laid(
                losses,
                seen["time"].values,
                seen.values[:, entry, 0],
                said.values[:, entry, 0],
                place,
                named,
            )
            if not named:
                for line in losses.lines[-2:]:
                    line.set_label("_")
    losses.set(xlabel=TIME, ylabel="outputs on three training inputs, f [output]")
    low, high = losses.get_ylim()
    losses.set_ylim(low, high + 0.25 * (high - low))
    losses.legend(loc="upper left", ncols=2)
    return titled(figure, shown.exhibit.claim)


WATCH = (Outputs(), Loss(), TestLoss(), KernelDrift(), Distance())

exhibit = Exhibit(
    claim=(
        "Wide networks train as their tangent at the start: hidden weights move as 1/h, outer ones"
        " as h^-1/2, and the drift of the kernel falls faster"
    ),
    source="Lee et al. 2019; Jacot et al. 2018",
    experiment=_experiment,
    watch=WATCH,
    theories=(Lazy(),),
    reason=(
        "a limit, at its widest here: what counts is the order, which is measured; at 5% one curve"
        " lies on the other by eye"
    ),
    twin={"architecture.of.hidden": (128, 128)},
    verify=_verify,
    draw=_draw,
)
