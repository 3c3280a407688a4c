"""Digits by the infinite kernel: the losses of a finite network, before it is trained."""

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order, judged
from learnmech.comparison.verdicts import compare
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import COLORS, DASHES, MARKERS, TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss, Outputs, TestLoss
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run
from learnmech.theories.infinite_width import InfiniteWidth

SHARES, SEEDS = (32, 8, 2, 1), 8
DRAWN = (32, 1)
QUANTITIES = {
    "outputs": "outputs on the training digits",
    "test_outputs": "outputs on the test digits",
}


def _experiment():
    data = Digits(train=100, classes=(3, 8), targets="sign")
    network = Mlp(hidden=(2048,), activation="erf", scaling=NTK(weight=1.5))
    return Experiment(
        network, data, GradientDescent(rate=4.0), Clock(steps=200, marks=25, spacing="log")
    )


def _laid(experiment, width):
    """The comparison with the theory at every seed, each from its own initial function."""
    at, first, found = experiment.with_value("architecture.width", width), None, []
    for seed in range(SEEDS):
        start = prepare(at.with_value("seed", seed), like=first)
        first = start if first is None else first
        found.append(compare(run(start, WATCH), InfiniteWidth()))
    return found


def _verify(shown):
    widest = shown.experiment.architecture.hidden[0]
    widths = [widest // share for share in SHARES]
    found = [_laid(shown.experiment, width) for width in widths]
    declared, checks, orders = InfiniteWidth.limits[0], [], {}
    for quantity, words in QUANTITIES.items():
        order = orders[quantity] = fitted_order(
            widths, [[one.row(quantity).error for one in own] for own in found]
        )
        allowed = judged(order, declared).allowed
        reason = (
            f"three standard errors of {order.standard_error:.2g} over {SEEDS} seeds, at least 0.1,"
            f" of a fit over a factor of {SHARES[0]}"
        )
        checks.append(
            Check(
                f"{words}: largest error as h^p, p",
                order.slope,
                declared.order,
                allowed / abs(declared.order),
                reason,
            )
        )
    curves = {widest // share: found[SHARES.index(share)][0] for share in DRAWN}
    return tuple(checks), {"orders": orders, "curves": curves}


def _draw(shown):
    figure, (train, test, off) = sheet(columns=3, height=4.6, width=13.0)
    for axis, quantity, words in (
        (train, "loss", "training loss"),
        (test, "test_loss", "test loss"),
    ):
        for place, (width, comparison) in enumerate(shown.extra["curves"].items()):
            seen, said = comparison.seen[quantity], comparison.said[quantity]
            laid(axis, seen["time"].values, seen.values, said.values, place, f"h = {width}")
        axis.set_xscale("symlog", linthresh=float(seen["time"].values[1]))
        axis.set(yscale="log", xlabel=TIME, ylabel=f"{words}, L [loss]")
        axis.legend(
            title="predicted from the infinite kernel\nand the network's own start",
            title_fontsize=8.5,
            fontsize=8.5,
        )
    for place, (quantity, order) in enumerate(shown.extra["orders"].items()):
        middle = np.exp(np.mean(np.log(order.errors * np.sqrt(order.values))))
        off.plot(
            order.values,
            middle / np.sqrt(order.values),
            linestyle=DASHES[place],
            color=COLORS[place],
            label="slope -1/2, predicted",
        )
        named = (
            f"{QUANTITIES[quantity]},\nseen, slope {order.slope:.2f} ± {order.standard_error:.2f}"
        )
        off.errorbar(
            order.values, order.errors, order.bars, fmt="none", color=COLORS[place], capsize=3
        )
        off.plot(
            order.values,
            order.errors,
            MARKERS[place],
            color=COLORS[place],
            markersize=5,
            label=named,
        )
    off.set(
        xscale="log",
        yscale="log",
        xlabel="width, h [units]",
        ylabel="largest error over training, relative [1]",
    )
    off.set_xticks(order.values, [f"{int(h)}" for h in order.values])
    off.xaxis.minorticks_off()
    low, high = off.get_ylim()
    off.set_ylim(low, high * 2.5)
    off.legend(fontsize=8.5, loc="upper right")
    return titled(figure, shown.exhibit.claim)


WATCH = (Outputs(), Loss(), TestLoss())

exhibit = Exhibit(
    claim=(
        "Handwritten digits: the infinite kernel says how a finite network trains and generalizes,"
        " to an error that falls as h^-1/2"
    ),
    source="Jacot et al. 2018; Lee et al. 2019, on scikit-learn's digits",
    experiment=_experiment,
    watch=WATCH,
    theories=(InfiniteWidth(),),
    tolerance={"outputs": 0.05, "test_outputs": 0.05, "loss": 0.05, "test_loss": 0.05},
    reason=(
        "a limit, at its widest here: what counts is the order, which is measured; at 5% one curve"
        " lies on the other by eye"
    ),
    twin={"architecture.hidden": (1024,), "data.train": 60, "clock.steps": 100},
    verify=_verify,
    draw=_draw,
)
