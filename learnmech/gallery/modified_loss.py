"""The modified loss: descent and SGD follow the flow of a loss with a price on slopes, an order
of the rate more closely than their own."""

from typing import NamedTuple

import numpy as np

from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import prepare
from learnmech.figures.style import COLORS, DASHES, MARKERS, RATE, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss
from learnmech.rules.descent import SGD, GradientDescent
from learnmech.runs.running import run
from learnmech.sweeps import sweep
from learnmech.theories.epochs import ModifiedEpochs
from learnmech.theories.flow import Flow, ModifiedFlow

RATES = (0.05, 0.025, 0.0125)
SEEDS, FEW, BLOCKS = 1000, 160, 8
ORDERS = {
    "descent, flow of L": 1,
    "descent, flow with |∇L|²": 2,
    "SGD, flow of L": 1,
    "SGD, flow with |∇L|²": 1,
    "SGD, flow with |∇L|² and |∇L_i|²": 2,
}


class Measured(NamedTuple):
    """Differences at each rate, their standard errors over seeds, and the slope of the line
    through their logarithms with its own."""

    rates: np.ndarray
    differences: np.ndarray
    bars: np.ndarray
    slope: float
    standard_error: float


def _experiment():
    rule = SGD(rate=RATES[-1], batch=1, sampling="epoch")
    return (
        ModifiedEpochs.example()
        .with_value("rule", rule)
        .with_value("clock", Clock(time=4.8, marks=7))
    )


def _farthest(seen, said):
    """The largest difference of the loss at a mark, (...) of (..., time), relative to its start."""
    return np.abs(seen - said).max(-1) / said[0]


def _measured(rates, runs, said):
    """From losses (seeds, time) at each rate: the difference of their mean, and what leaving out
    each block of seeds in turn changes (jackknife)."""
    differences = np.array(
        [_farthest(seen.mean(0), there) for seen, there in zip(runs, said, strict=True)]
    )
    order = fitted_order(rates, differences)
    if len(runs[0]) == 1:
        return Measured(
            np.array(rates), differences, np.zeros(len(rates)), order.slope, order.standard_error
        )
    kept = [np.arange(len(runs[0])) % BLOCKS != block for block in range(BLOCKS)]
    left = np.array(
        [
            [_farthest(seen[keep].mean(0), there) for seen, there in zip(runs, said, strict=True)]
            for keep in kept
        ]
    )
    slopes = np.array([fitted_order(rates, row).slope for row in left])
    grown = np.sqrt(BLOCKS - 1)
    return Measured(
        np.array(rates),
        differences,
        grown * left.std(0),
        order.slope,
        max(order.standard_error, float(grown * slopes.std())),
    )


def _rates(base):
    return [rate for rate in RATES if rate >= float(base.rule.rate)]


def _orders(base):
    rates = _rates(base)
    seeds = SEEDS if len(rates) == len(RATES) else FEW
    noisy = [base.with_value("rule.rate", rate) for rate in rates]
    smooth = [base.with_value("rule", GradientDescent(rate=rate)) for rate in rates]
    one = [run(experiment, (Loss(),))["loss"].values[None] for experiment in smooth]
    many = [sweep(experiment, {}, seeds, (Loss(),), "vmap")["loss"].values for experiment in noisy]
    plain, bent, batches = (
        [theory.predict(prepare(experiment))["loss"].values for experiment in experiments]
        for theory, experiments in (
            (Flow(), smooth),
            (ModifiedFlow(), smooth),
            (ModifiedEpochs(), noisy),
        )
    )
    pairs = ((one, plain), (one, bent), (many, plain), (many, bent), (many, batches))
    return {
        name: _measured(rates, runs, said) for name, (runs, said) in zip(ORDERS, pairs, strict=True)
    }


def _verify(shown):
    found = _orders(shown.experiment)
    reason = "the next order, a fifth of the first at the largest rate, or three standard errors"
    checks = tuple(
        Check(
            f"{name}: the difference of the loss goes as rate^p, p (standard error"
            f" {order.standard_error:.1g})",
            order.slope,
            float(ORDERS[name]),
            max(0.2, 3 * order.standard_error) / ORDERS[name],
            reason,
        )
        for name, order in found.items()
    )
    return checks, found


def _draw(shown):
    figure, axes = sheet(1, 2, height=4.2, width=11.0)
    for place, (name, order) in enumerate(shown.extra.items()):
        axis, rates, power = axes[int(name.startswith("SGD"))], order.rates, ORDERS[name]
        style = {"color": COLORS[place], "linestyle": DASHES[place]}
        axis.loglog(rates, order.differences[-1] * (rates / rates[-1]) ** power, **style)
        bars = {"fmt": MARKERS[place], "color": COLORS[place], "capsize": 3, "markersize": 5.5}
        axis.errorbar(
            rates,
            order.differences,
            order.bars,
            **bars,
            label=f"{name.partition(', ')[2]}: {order.slope:.2f} ± {order.standard_error:.2f}",
        )
    for axis, name in zip(
        axes,
        (
            "descent",
            f"SGD, one sample a step, mean of {SEEDS if len(rates) == len(RATES) else FEW} runs",
        ),
        strict=True,
    ):
        axis.set_title(name, fontsize=11)
        axis.set_xlabel(RATE)
        axis.set_ylabel("difference of the loss from the flow's,\nover the loss at the start [1]")
        axis.set_ylim(top=axis.get_ylim()[1] * 6)
        axis.legend(
            loc="upper left",
            title="flow of L alone or with a price:\nslope measured (lines: 1 and 2)",
            fontsize=9,
            title_fontsize=9,
        )
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Descent follows the flow of L to O(rate), that of L + (rate/4)|∇L|² to O(rate²); SGD in"
        " epochs, on average, the one with its samples' slopes"
    ),
    source="Barrett & Dherin 2021; Smith et al. 2021",
    experiment=_experiment,
    watch=(Loss(),),
    verify=_verify,
    draw=_draw,
    twin={"rule.rate": RATES[1]},
)
