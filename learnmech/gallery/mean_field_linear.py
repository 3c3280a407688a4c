"""The mean-field linear network: a feature-learning limit in closed form, from the exponential
to the sigmoid."""

import numpy as np

from learnmech.architectures.dialed import Dialed
from learnmech.architectures.linear import DeepLinear
from learnmech.architectures.scalings import MeanField
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order, judged
from learnmech.comparison.verdicts import compare
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import EXACT, STEPS, Exhibit, fine_flow
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd, ModeStrengths
from learnmech.runs.running import run
from learnmech.sweeps import sweep
from learnmech.theories.mean_field import MeanFieldLinear, MeanFieldMoments

ALPHAS = (0.02, 0.2, 1.0, 10.0)
ORDERS = ((0.02, "flow"), (1.0, "descent"))
SHARES = (64, 16, 4, 1)
SEEDS = 32
SPAN = 4.0


def _experiment():
    target = np.zeros((1, 4))
    target[0, 0] = 1.0
    network = Dialed(DeepLinear(hidden=(1024,), scaling=MeanField()), alpha=1.0)
    return Experiment(
        network,
        Gaussian(n=40, d=4, map=target, whitened=True),
        fine_flow(),
        Clock(time=1.2, marks=41),
    )


def _half_time(experiment):
    """When the limit has learned half of the target."""
    clock = Clock(time=4.0, marks=20001)
    strength = MeanFieldLinear().predict(prepare(experiment), clock)["mode_strength"][:, 0]
    return float(np.interp(0.5 * float(strength[-1]), strength, strength["time"]))


def _descending(experiment, half):
    """Descent over the same time, at a rate that is not small: an eighth of the time to half."""
    steps = int(SPAN * 8)
    return experiment.with_value("rule", {"kind": "gradient-descent", "rate": half / 8}).with_value(
        "clock", {"steps": steps, "every": 2}
    )


def _order(experiment, widths):
    """The power of the width as which the map is off the limit, at most over time and relative
    to the limit's largest entry."""
    said = MeanFieldLinear().predict(prepare(experiment))["end_to_end"].values
    grid = sweep(experiment, {"architecture.of.width": widths}, SEEDS, (EndToEnd(),))
    return fitted_order(
        widths, np.abs(grid["end_to_end"].values - said).max(axis=(2, 3, 4)) / np.abs(said).max()
    )


def _verify(shown):
    curves, worst, orders = {}, {"flow": 0.0, "descent": 0.0}, {}
    width = shown.experiment.architecture.of.hidden[0]
    for alpha in ALPHAS:
        dialed = shown.experiment.with_value("architecture.alpha", alpha)
        half = _half_time(dialed)
        flow = dialed.with_value("clock.time", SPAN * half)
        for name, experiment in (("flow", flow), ("descent", _descending(dialed, half))):
            record = run(experiment, (Loss(), ModeStrengths(), EndToEnd()))
            worst[name] = max(
                worst[name], *(row.error for row in compare(record, MeanFieldMoments()).rows)
            )
            if name == "flow":
                said = MeanFieldLinear().predict(record.start)
                curves[alpha] = [
                    (one["time"].values / half, one["mode_strength"].values[:, 0])
                    for one in (record, said)
                ]
            if (alpha, name) in ORDERS:
                orders[name, alpha] = _order(experiment, [width // share for share in SHARES])
    checks = [
        Check(
            "flow at four alphas from the network's own moments, largest error",
            worst["flow"],
            0.0,
            1e-6,
            EXACT,
        ),
        Check(
            "descent at four alphas from the network's own moments, largest error",
            worst["descent"],
            0.0,
            1e-9,
            STEPS,
        ),
    ]
    for (name, alpha), order in orders.items():
        allowed = judged(order, MeanFieldLinear.limits[0]).allowed
        reason = (
            f"three standard errors over {SEEDS} seeds, at least 0.1, of a fit over a factor of 64"
        )
        checks.append(
            Check(
                f"{name} at alpha = {alpha:g}: the map is off the limit as width^p, p",
                order.slope,
                -0.5,
                allowed / 0.5,
                reason,
            )
        )
    return tuple(checks), {"curves": curves, "orders": orders}


def _draw(shown):
    figure, (moving, off) = sheet(columns=2, height=4.4, width=11.5)
    width = shown.experiment.architecture.of.hidden[0]
    for place, (alpha, (seen, said)) in enumerate(shown.extra["curves"].items()):
        laid(moving, seen[0][place::4], seen[1][place::4], None, place, f"α = {alpha:g}", said)
    moving.set(
        xlabel="time over the time to half, t/t_half [1]",
        ylabel="strength on the target's mode, β [output/input]",
    )
    moving.legend(
        ncols=2, title=f"width {width} measured, infinite width predicted", loc="lower right"
    )
    for place, ((name, alpha), order) in enumerate(shown.extra["orders"].items()):
        middle = np.exp(np.mean(np.log(order.errors * np.sqrt(order.values))))
        off.plot(
            order.values,
            middle / np.sqrt(order.values),
            linestyle=DASHES[place],
            color=COLORS[place],
        )
        off.errorbar(
            order.values,
            order.errors,
            order.bars,
            fmt=MARKERS[place],
            color=COLORS[place],
            markersize=5,
            label=f"{name}, α = {alpha:g}, measured",
        )
    off.set(
        xscale="log",
        yscale="log",
        xlabel="width, N [1]",
        ylabel="largest error of the map, relative [1]",
    )
    off.legend(title="lines: slope -1/2, predicted")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "At infinite width the mean-field linear network learns features in closed form,"
        " exponential when lazy and sigmoid when rich"
    ),
    source="Mei et al. 2018; Chizat et al. 2019",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths(), EndToEnd()),
    theories=(MeanFieldMoments(),),
    reason=EXACT,
    twin={"data.n": 12, "clock.marks": 21},
    verify=_verify,
    draw=_draw,
)
