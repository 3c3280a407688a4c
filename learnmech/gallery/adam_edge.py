"""The edge of adaptive rules: it is the preconditioned sharpness that settles, at 38/rate for
Adam at its usual b1, and elsewhere at others."""

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss
from learnmech.instruments.sharpness import PreconditionedSharpness
from learnmech.losses import Squared
from learnmech.rules.adaptive import Adam, RMSProp
from learnmech.runs.running import run
from learnmech.theories.stability import EdgeOfStability, threshold

B2 = 0.99
RULES = (
    RMSProp(rate=3e-4, b2=B2),
    Adam(rate=4e-4, b1=0.5, b2=B2),
    Adam(rate=6e-4, b1=0.75, b2=B2),
    Adam(rate=1e-3, b1=0.9, b2=B2),
)
HOVERS = "at the last mark; it hovers about the edge by some percent"
WATCH = (Loss(), PreconditionedSharpness())


def _experiment():
    network = Mlp(hidden=(32, 32), activation="tanh", bias=True)
    return Experiment(
        network,
        Digits(train=400),
        RULES[-1],
        Clock(steps=3000, every=50),
        GaussianStart(scale=0.5),
        Squared(scaling="mean"),
    )


def _verify(shown):
    checks, courses, small = [], {}, shown.experiment.data.train < 400
    for rule in RULES[1:] if small else RULES:  # in small those that are one program
        record = (
            shown.record
            if rule is RULES[-1]
            else run(shown.experiment.with_value("rule", rule), WATCH)
        )
        top, edge, rate = (
            record["preconditioned_sharpness"].values[1:],
            threshold(rule),
            float(rule.rate),
        )
        b1, settled = float(getattr(rule, "b1", 0.0)), float(top[len(top) // 2 :].mean())
        name = f"Adam, b1 = {b1:g}" if b1 else "RMSProp"
        courses[name] = record["preconditioned_sharpness"]["step"].values[1:], top, settled, rule
        reason = (
            "it hovers some percent above: the averages of squared gradients, 1/(1 - b2) steps old,"
            " are not fixed but grow with what oscillates"
        )
        checks.append(
            Check(
                f"{name}: preconditioned sharpness over the second half, times the rate",
                settled * rate,
                edge * rate,
                0.1,
                reason,
            )
        )
    return tuple(checks), {"courses": courses}


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.4, width=11.5)
    fine = np.linspace(0, 0.93, 100)
    right.plot(
        fine,
        [threshold(Adam(rate=1.0, b1=b)) for b in fine],
        linestyle=DASHES[0],
        color="#333333",
        label="Adam, predicted: 2(1 + b1)/(1 - b1)",
    )
    for place, (name, (steps, top, settled, rule)) in enumerate(shown.extra["courses"].items()):
        look, rate, b1 = (
            {"color": COLORS[place], "marker": MARKERS[place]},
            float(rule.rate),
            float(getattr(rule, "b1", 0.0)),
        )
        left.plot(
            steps, top * rate, markersize=3.5, linewidth=0.8, label=f"{name}, measured", **look
        )
        said = threshold(rule) * rate
        left.axhline(
            said,
            color=COLORS[place],
            linestyle=DASHES[1],
            linewidth=1.3,
            label="predicted" if place == 0 else None,
        )
        left.annotate(
            f"{said:.3g}",
            (1.0, said),
            (4, -4),
            ("axes fraction", "data"),
            "offset points",
            fontsize=10,
        )
        right.plot(
            [b1],
            [settled * rate],
            markersize=8,
            linestyle="none",
            label=f"{name}, measured",
            **look,
        )
    for axis in (left, right):
        axis.set_yscale("log")
        axis.set_yticks([0.1, 1, 2, 5, 10, 20, 50], ["0.1", "1", "2", "5", "10", "20", "50"])
        axis.minorticks_off()
        axis.set_ylim(0.1 if axis is left else 1.5, 90)
    left.set(xlabel="step [1]", ylabel="preconditioned sharpness\ntimes rate, λ_1(P⁻¹H) η [1]")
    right.set(xlabel="momentum, b1 [1] (RMSProp has none)", ylabel="settled, λ_1(P⁻¹H) η [1]")
    left.legend(fontsize=8.5, loc="lower right")
    right.legend(fontsize=8.5, loc="upper left")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Digits: under Adam the preconditioned sharpness settles at 2(1+b1)/((1-b1) rate), which is"
        " 38/rate at b1 = 0.9; under RMSProp at 2/rate"
    ),
    source="Cohen et al. 2022",
    experiment=_experiment,
    watch=WATCH,
    theories=(EdgeOfStability(),),
    reason=HOVERS,
    verify=_verify,
    draw=_draw,
    twin={"architecture.hidden": (16, 16), "data.train": 200},
)
