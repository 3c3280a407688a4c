"""Symmetries of the loss: what flow keeps for each, and how fast descent breaks it."""

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, DASHES, MARKERS, RATE, TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.conserved import Charges
from learnmech.losses.classes import CrossEntropy
from learnmech.rules.flow import GradientFlow
from learnmech.runs.running import run
from learnmech.theories.symmetry_charges import ChargeDrift, SymmetryCharges

RATES = (0.1, 0.05, 0.02, 0.01)
RELU = {"kind": "residual", "width": 8, "activation": "relu", "bias": True}
# (words for the figure, the charge that is shown, the network in knobs, the least power of the rate
# in the error of what is said: 3; with kinks about 2, scattered by crossings that are met in whole
# steps)
NETWORKS: tuple[tuple[str, str, dict, float], ...] = (
    ("z² units: rescaling", "rescaling1", {}, 2.9),
    (
        "linear: mixing units",
        "mixing1",
        {"architecture.activation": "linear", "architecture.hidden": (8, 6)},
        2.9,
    ),
    (
        "batch norm, tanh: scale",
        "scale1",
        {"architecture.norm": "batch", "architecture.activation": "tanh"},
        2.9,
    ),
    ("residual, ReLU: rescaling", "rescaling", {"architecture": RELU}, 1.5),
)


def _experiment():
    source = Digits(train=60, classes=(0, 1, 2, 3), components=8)
    architecture = Mlp(hidden=(8,), activation="square")
    return Experiment(
        architecture,
        source,
        GradientFlow(rtol=1e-9, atol=1e-11),
        Clock(time=10.0, marks=21),
        loss=CrossEntropy(),
    )


def _verify(shown):
    # the twin, whose run is shorter, looks at the first network alone
    kinds = NETWORKS if float(shown.experiment.clock.time) >= 10 else NETWORKS[:1]
    courses, checks, linear = {}, [], 0.0
    for words, charge, knobs, least in kinds:
        ends = []
        for rate in RATES:
            experiment = shown.experiment
            for path, value in {
                **knobs,
                "rule": {"kind": "gradient-descent", "rate": rate},
            }.items():
                experiment = experiment.with_value(path, value)
            start = prepare(experiment)
            seen, said = (
                run(start, (Charges(),))["charge_drift"],
                ChargeDrift().predict(start)["charge_drift"],
            )
            names = seen["symmetry"].values
            kept = float(seen.sel(symmetry=["shift" in name for name in names]).max())
            linear = max(linear, kept)
            seen, said = (one.sel(symmetry=charge) for one in (seen, said))
            ends.append((float(seen[-1]), float(said[-1]), float(np.abs(seen - said).max())))
            if rate == RATES[0]:
                courses[words] = seen["time"].values, seen.values, said.values
        drifts, _, gaps = np.array(ends).T
        broken, off = fitted_order(RATES, drifts), fitted_order(RATES, gaps)
        courses[words] += (np.array(ends),)
        checks.append(
            Check(
                f"{words}: descent's drift goes as rate^1",
                broken.slope,
                1.0,
                0.1,
                "what is of the next order in the rate over a range of 10",
            )
        )
        reason = "rate times the path's own error, rate^2; crossing a kink costs one power"
        checks.append(
            Check(
                f"{words}: the power of the rate in the error of what is predicted",
                off.slope,
                least,
                0.0,
                reason,
                "above",
            )
        )
    checks.append(
        Check(
            "descent keeps the sums over the outputs' weights",
            linear,
            0.0,
            1e-13,
            "round-off of up to 1000 steps",
        )
    )
    flow = shown.record["charge_drift"].max("symmetry")
    return tuple(checks), {"courses": courses, "flow": flow, "linear": linear}


def _draw(shown):
    figure, (along, against) = sheet(1, 2, height=4.6, width=12.0)
    for place, (words, (times, seen, said, ends)) in enumerate(shown.extra["courses"].items()):
        color, marker = COLORS[place], MARKERS[place]
        along.plot(times, 1e3 * said, color=color, linestyle=DASHES[place])
        along.plot(times, 1e3 * seen, marker, color=color, markersize=5, label=words)
        against.loglog(RATES, ends[:, 1], color=color, linestyle=DASHES[place])
        against.loglog(RATES, ends[:, 0], marker, color=color, markersize=5)
        against.loglog(RATES, ends[:, 2], marker, color=color, markersize=5, markerfacecolor="none")
    flow = shown.extra["flow"]
    along.plot(
        flow["time"],
        1e3 * flow,
        "x",
        color=COLORS[7],
        markersize=5,
        label="flow, all charges of the first (predicted: 0)",
    )
    along.set_xlabel(f"{TIME}; marks measured, lines predicted")
    along.set_ylabel(f"drift of charges at rate {RATES[0]:g},\n|Q − Q₀|/size [10⁻³]")
    along.set_ylim(
        -0.2, 1.6e3 * max(said.max() for _, _, said, _ in shown.extra["courses"].values())
    )
    along.legend(fontsize=9, loc="upper left")
    note = (
        f"flow: up to {float(flow.max()):.0e}\ndescent, sums over outputs: up to"
        f" {shown.extra['linear']:.0e}"
    )
    along.text(0.99, 0.38, note, transform=along.transAxes, ha="right", va="center", fontsize=9)
    rates = np.array(RATES)
    for column, slope in ((0, 1), (2, 3)):
        top = 3 * max(ends[0, column] for *_, ends in shown.extra["courses"].values())
        against.loglog(rates, top * (rates / rates[0]) ** slope, color=COLORS[7], linewidth=0.8)
        against.text(
            rates[1],
            1.6 * top * (rates[1] / rates[0]) ** slope,
            f"slope {slope}",
            ha="right",
            fontsize=9,
        )
    against.set_xlabel(RATE)
    against.set_ylabel(
        "drift at the end: full, measured; lines, predicted;\nopen, largest |measured −"
        " predicted| [1]"
    )
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Every symmetry of the loss has a charge: flow keeps it, descent breaks quadratic ones at"
        " the rate foretold and keeps linear ones"
    ),
    source="Kunin et al. 2021; Tanaka & Kunin 2021; Du et al. 2018",
    experiment=_experiment,
    watch=(Charges(),),
    theories=(SymmetryCharges(),),
    reason="the solver's tolerance, 1e-9 per step, over some hundred steps",
    verify=_verify,
    draw=_draw,
    twin={"clock.time": 4.0, "clock.marks": 9},
)
