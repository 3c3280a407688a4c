"""The central flow: a smooth flow that says the loss and the curvatures of descent and RMSProp,
averaged over time, where they oscillate at the edge."""

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.comparison.verdicts import compare
from learnmech.data.curves import Chebyshev
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss
from learnmech.instruments.sharpness import PreconditionedSharpness, Sharpness
from learnmech.losses import Squared
from learnmech.rules.adaptive import RMSProp
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run
from learnmech.theories.central_course import course
from learnmech.theories.central_flow import CentralFlow

THEORY = CentralFlow()
CURVATURES = {"descent": "hessian_eigenvalue", "RMSProp": "preconditioned_sharpness"}


def _experiment():
    # the round-off of single precision sets the oscillation going soon after the edge is reached;
    # from that of double precision it takes twice as long; biases drawn, not 0, so that the network
    # is not odd as the cubic is, which would keep it from oscillating along even directions but for
    # round-off
    network, clock = (
        Mlp(hidden=(32, 32), activation="tanh", bias=True, scaling=NTK(bias=0.3)),
        Clock(steps=8000, every=5),
    )
    return Experiment(
        network,
        Chebyshev(degree=3),
        GradientDescent(rate=1.0),
        clock,
        loss=Squared(scaling="mean"),
        precision="float32",
        seed=1,
    )


def _adaptive(experiment):
    """The same network under RMSProp, at a rate at which its edge is reached as well."""
    return experiment.with_value("rule", RMSProp(rate=0.005, b2=0.95, eps=0.01))


def _verify(shown):
    record = run(_adaptive(shown.experiment), (Loss(), PreconditionedSharpness(every=4)))
    laid = {"descent": shown.comparisons[0], "RMSProp": compare(record, THEORY)}
    checks, courses = [], {}
    for row in laid["RMSProp"].rows:
        reason = (
            "what is left out is of higher order in the oscillation, and the time until it has"
            " set in"
        )
        checks.append(
            Check(
                f"RMSProp: largest error of {row.quantity}, means over {THEORY.window} steps",
                row.error,
                THEORY.tolerance,
                0.0,
                reason,
                "below",
            )
        )
    for name, ran in (("descent", shown.record), ("RMSProp", record)):
        comparison, what = laid[name], CURVATURES[name]
        edge, steps = 2 / float(ran.experiment.rule.rate), int(comparison.said["step"][-1])
        # steps of half the rule's are stable up to twice the edge
        free = course(prepare(ran.experiment), steps, THEORY.most, held=False, until=1.9 * edge)
        courses[name] = ran, comparison, free, edge
        seen, said = (
            _last(side[what].values.reshape(len(side[what]), -1))
            for side in (comparison.seen, comparison.said)
        )
        loss, told = (
            _last(side["loss"].values[:, None])[0] for side in (comparison.seen, comparison.said)
        )
        at_edge = int(np.sum(said > 0.95 * edge))
        reason = (
            "an eigenvalue that has come to the edge stays there, beside those that came before"
        )
        checks.append(
            Check(
                f"{name}: curvatures within 5% of 2/rate at the end",
                int(np.sum(np.abs(seen / edge - 1) < 0.05)),
                at_edge,
                0.0,
                reason,
            )
        )
        checks.append(
            Check(
                f"{name}: mean loss at the end",
                loss,
                told,
                0.05,
                "by then the oscillation is steady",
            )
        )
        reason = "without it the loss goes down the valley's floor, and curvature beyond the edge"
        bare, top = float(free.loss[-1]), float(free.eigenvalues[-1, 0])
        if name == "descent":
            there = float(
                comparison.seen["loss"].sel(
                    time=(len(free.loss) - 1) * float(ran.experiment.rule.rate), method="nearest"
                )
            )
            checks.append(
                Check(
                    "descent: loss without the oscillation where its sharpness is 1.9 times the"
                    " edge, over the mean measured",
                    bare / there,
                    0.9,
                    0.0,
                    reason,
                    "below",
                )
            )
        checks.append(
            Check(
                f"{name}: sharpness without the oscillation, over 2/rate",
                top / edge,
                1.1,
                0.0,
                reason,
                "above",
            )
        )
    return tuple(checks), {"courses": courses}


def _last(values):
    """The last values that are known."""
    return values[np.isfinite(values).all(axis=1)][-1]


def _draw(shown):
    figure, axes = sheet(2, 2, height=3.6, width=11.0)
    for row, (name, (record, comparison, free, edge)) in enumerate(shown.extra["courses"].items()):
        for axis, what, bare in (
            (axes[2 * row], "loss", free.loss[:, None]),
            (axes[2 * row + 1], CURVATURES[name], free.eigenvalues),
        ):
            raw, seen, said = (
                side[what].values.reshape(len(side[what]), -1)
                for side in (record, comparison.seen, comparison.said)
            )
            marks, looked = comparison.said["step"].values, record[what]["step"].values
            some = slice(None, None, max(1, len(seen) // 40))
            for mode in range(min(raw.shape[1], 2)):
                first = mode == 0
                axis.plot(
                    looked,
                    raw[:, mode],
                    color="#BBBBBB",
                    linewidth=0.7,
                    label="measured" if first else None,
                )
                axis.plot(
                    bare[:, mode],
                    color=COLORS[2],
                    linestyle=DASHES[2],
                    linewidth=1.4,
                    label="flow without oscillation" if first else None,
                )
                axis.plot(
                    marks,
                    said[:, mode],
                    color=COLORS[1],
                    linewidth=1.6,
                    label="central flow, predicted" if first else None,
                )
                style = {
                    "color": COLORS[0],
                    "linestyle": "",
                    "markersize": 4.5,
                    "markerfacecolor": "none",
                }
                axis.plot(
                    looked[some],
                    seen[some, mode],
                    marker=MARKERS[mode],
                    label=f"measured, mean over {THEORY.window} steps" if first else None,
                    **style,
                )
            axis.set_xlabel("step [1]")
        left, right = axes[2 * row : 2 * row + 2]
        lowest = min(free.loss.min(), np.nanmin(comparison.said["loss"].values))
        left.set(
            yscale="log", ylabel=f"{name}: loss, L [loss]", ylim=(0.6 * lowest, 1.5 * free.loss[0])
        )
        units = "loss/param²" if name == "descent" else "1/(rate's units)"
        symbols = "λ₁, λ₂ of H" if name == "descent" else "λ₁ of P⁻¹H"
        right.axhline(
            edge, color="black", linewidth=0.9, linestyle="--", label=f"2/rate = {edge:.4g}"
        )
        right.set(ylabel=f"{name}: {symbols} [{units}]", ylim=(0, 1.5 * edge))
        right.legend(fontsize=8.5, loc="lower right")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "At the edge of stability the loss and the curvatures, averaged over time, follow a smooth"
        " flow that carries the oscillation's covariance with it"
    ),
    source="Cohen et al. 2025",
    experiment=_experiment,
    watch=(Loss(), Sharpness(k=3, every=4)),
    theories=(THEORY,),
    reason=(
        "what is left out is of higher order in the oscillation, and the time until it has set in"
    ),
    verify=_verify,
    draw=_draw,
    twin={
        "architecture.hidden": (4, 4),
        "rule.rate": 0.2,
        "seed": 2,
        "clock": {"steps": 1200, "every": 5},
    },
)
