"""Where descent leaves its flow: after the flow's sharpness has crossed 2/rate, when round-off
has grown to a size one sees."""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order
from learnmech.curvature.eigenpairs import sharpness
from learnmech.data.curves import Chebyshev
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, DASHES, MARKERS, TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss
from learnmech.instruments.weights import Weights
from learnmech.losses import Squared
from learnmech.machine.late import late
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run
from learnmech.theories.flow import Flow, departure

if TYPE_CHECKING:
    from scipy import interpolate
else:
    interpolate = late("scipy.interpolate")

FACTORS, GRID, FAR = (1, 2, 4), 0.25, 0.1
WATCH = (Loss(), Weights())


class Left(NamedTuple):
    """Descent at a rate and precision: its distance from the flow at each time; when the flow
    crosses 2/rate, when it should leave, when it did."""

    rate: float
    precision: str
    times: np.ndarray
    distance: np.ndarray
    crossing: float
    said: float
    seen: float


def _experiment():
    network = Mlp(hidden=(8, 8), activation="tanh", bias=True)
    return Experiment(
        network,
        Chebyshev(degree=3),
        GradientDescent(rate=0.08),
        Clock(time=66.0, every=1),
        loss=Squared(scaling="mean"),
    )


def _arrays(table):
    """(time, p) every parameter of a table, a row for each time."""
    names = sorted(str(name) for name in table.data_vars if str(name).startswith("layer"))
    return np.concatenate(
        [table[name].values.reshape(table.sizes["time"], -1) for name in names], axis=1
    )


def _flow(shown):
    """(times, parameters (time, p), every fourth time, sharpness then) along the flow."""
    experiment = shown.experiment
    start = prepare(
        dataclasses.replace(
            experiment,
            clock=Clock(
                time=experiment.clock.time, marks=int(float(experiment.clock.time) / GRID) + 1
            ),
        )
    )
    said = Flow().predict(start)
    times = said["time"].values
    layers = {
        name: said[name].values for name in map(str, said.data_vars) if name.startswith("layer")
    }

    def params_at(place):
        return {
            layer: {leaf: layers[f"{layer}.{leaf}"][place] for leaf in start.params[layer]}
            for layer in start.params
        }

    some = slice(None, None, 4)
    return (
        times,
        _arrays(said),
        times[some],
        np.array([sharpness(start.system, params_at(place)) for place in range(len(times))[some]]),
    )


def _left(record, flow):
    times, path, marks, tops = flow
    experiment = record.experiment
    rate, when = float(experiment.rule.rate), record["loss"]["time"].values
    distance = np.linalg.norm(
        _arrays(record.dataset) - interpolate.CubicSpline(times, path)(when), axis=1
    )
    # a weight is stored to half the spacing of numbers about it, evenly spread
    unit = np.sqrt(
        np.mean(np.spacing(np.abs(path[-1]).astype(experiment.precision)).astype(float) ** 2) / 12
    )
    crossing, said = departure(marks, tops, rate, float(unit), FAR)
    far = np.flatnonzero((distance > FAR) & (when > crossing))
    return Left(
        rate,
        experiment.precision,
        when,
        distance,
        crossing,
        said,
        float(when[far[0]]) if len(far) else np.nan,
    )


def _verify(shown):
    flow = _flow(shown)
    base = float(shown.experiment.rule.rate)
    whole = shown.experiment.architecture.hidden == (8, 8)
    experiments = [
        shown.experiment.with_value("rule.rate", base / factor)
        for factor in FACTORS[: 3 if whole else 2]
    ]
    experiments += [
        experiment.with_value("precision", "float32") for experiment in experiments if whole
    ]
    runs = [
        _left(shown.record if place == 0 else run(experiment, WATCH), flow)
        for place, experiment in enumerate(experiments)
    ]
    early = flow[0][np.searchsorted(flow[0], runs[0].crossing / 2)]
    double = [one for one in runs if one.precision == "float64"]
    order = fitted_order(
        [one.rate for one in double],
        [float(np.interp(early, one.times, one.distance)) for one in double],
    )
    checks = [
        Check(
            f"the distance from the flow before it (t = {early:g}) goes as rate^p, p",
            order.slope,
            1.0,
            0.15,
            "the next order at the largest rate",
        )
    ]
    reason = (
        "the sharpness along descent lags behind the flow's by O(rate); the crossing by itself is"
        " off by a tenth or more"
    )
    for one in runs:
        checks.append(
            Check(
                f"rate {one.rate:g}, {one.precision}: when descent has left the flow by {FAR}",
                one.seen,
                one.said,
                0.04,
                reason,
            )
        )
        checks.append(
            Check(
                "and later than the flow crosses 2/rate, at",
                one.seen,
                one.crossing,
                0.0,
                "below it what is off the flow shrinks",
                "above",
            )
        )
    return tuple(checks), {"flow": flow, "runs": runs}


def _draw(shown):
    figure, axes = sheet(1, 2, height=4.2, width=11.5)
    _, _, marks, tops = shown.extra["flow"]
    axes[0].plot(marks, tops, color="#333333", label="along the flow")
    for place, one in enumerate(one for one in shown.extra["runs"] if one.precision == "float64"):
        color = COLORS[place]
        axes[0].axhline(
            2 / one.rate,
            color=color,
            linestyle=DASHES[place + 1],
            linewidth=1.4,
            label=f"2/rate, rate {one.rate:g}",
        )
        axes[0].plot(one.crossing, 2 / one.rate, MARKERS[place], color=color, markersize=8)
        axes[1].axvline(one.crossing, color=color, linestyle=":", linewidth=1.4)
        axes[1].axvline(one.said, color=color, linestyle="--", linewidth=1.4)
        till = one.times <= one.said + 6
        axes[1].plot(one.times[till], one.distance[till], color=color, linewidth=1.2)
        some = slice(None, None, max(1, int(3.0 / one.rate)))
        axes[1].plot(
            one.times[till][some],
            one.distance[till][some],
            MARKERS[place],
            color=color,
            markersize=5,
            label=f"rate {one.rate:g}, measured",
        )
    axes[1].plot([], [], "k:", label="flow crosses 2/rate")
    axes[1].plot([], [], color="k", linestyle="--", label=f"leaves by {FAR}, predicted")
    for one in shown.extra["runs"]:
        if one.precision == "float32":
            axes[1].plot(one.said, FAR, "|", color="#333333", markersize=14, markeredgewidth=2)
            axes[1].plot(one.seen, FAR, "x", color="#333333", markersize=6)
    if any(one.precision == "float32" for one in shown.extra["runs"]):
        axes[1].plot(
            [],
            [],
            "|",
            color="#333333",
            markersize=10,
            markeredgewidth=2,
            label="single precision, predicted",
        )
        axes[1].plot([], [], "x", color="#333333", label="single precision, measured")
    axes[0].set_ylabel("sharpness, λ_1 [loss/param²]")
    axes[1].set_ylabel("distance of descent from the flow [param]")
    axes[1].set_yscale("log")
    axes[1].set_ylim(5e-4, 60)
    axes[0].set_ylim(0, 1.45 * tops[-1])
    for axis in axes:
        axis.set_xlabel(TIME)
        axis.legend(fontsize=8.5, ncols=1 if axis is axes[0] else 2, loc="upper left")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Descent follows its flow until the flow's sharpness crosses 2/rate, and leaves it when"
        " round-off, growing from there, has become large"
    ),
    source="Cohen et al. 2021, appendix",
    experiment=_experiment,
    watch=WATCH,
    verify=_verify,
    draw=_draw,
    twin={"architecture.hidden": (5, 5), "clock": {"time": 48.0, "every": 1}, "rule.rate": 0.1},
)
