"""The largest margin: logistic regression on separable digits turns towards it, as slowly as
theory says."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.gaussian import Gaussian
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.losses.classes import Logistic
from learnmech.rules.flow import GradientFlow
from learnmech.runs.running import run
from learnmech.theories.max_margin import MaxMargin, max_margin

SCALINGS = ("mean", "sum")
POWER = "samples beyond the margin leave as a small power of t"


def _experiment():
    return Experiment(
        DeepLinear(),
        Digits(train=100, classes=(3, 8), components=10, targets="sign"),
        GradientFlow(rtol=1e-9, atol=1e-11, solver="dopri8"),
        Clock(time=1e8, marks=97, spacing="log"),
        Gaussian(scale=0.0),
        Logistic(),
    )


def _verify(shown):
    train = prepare(shown.experiment).data.train
    w, alpha = max_margin(np.asarray(train.X), np.asarray(train.Y)[:, 0])
    gamma = float(1 / np.linalg.norm(w))
    courses, checks = {}, []
    for scaling in SCALINGS:
        record = (
            shown.record
            if scaling == "mean"
            else run(shown.experiment.with_value("loss.scaling", scaling), shown.exhibit.watch)
        )
        times = record["loss"]["time"].values
        W = record["end_to_end"].values[1:, 0]
        apart = np.linalg.norm(W / np.linalg.norm(W, axis=1)[:, None] - w * gamma, axis=1)
        rest = gamma**2 * times[1:] * record["loss"].values[1:]
        name = "c = 1/n" if scaling == "mean" else "c = 1"
        checks.append(
            Check(f"{name}: gamma^2 t L at the end", float(rest[-1]), 1.0, 0.05, POWER),
        )
        paces = times[1:] * record.experiment.loss.constant(len(train.X))
        slow = apart * np.log(paces)
        courses[scaling] = (times[1:], rest, apart, slow[-1] / np.log(paces))
        early = int(np.argmin(np.abs(np.log(times[1:] / times[-1]) + np.log(1e3))))
        checks.append(
            Check(
                f"{name}: gap of the direction times ln(c t), over three decades",
                float(slow[-1] / slow[early]),
                1.0,
                0.15,
                "the gap is O(1/ln t): what is left of the constant falls as 1/ln t too",
            )
        )
    checks.append(
        Check(
            "sum of the multipliers, |w|^2",
            float(alpha.sum()),
            float(w @ w),
            1e-9,
            "round-off of the least distance",
        )
    )
    return tuple(checks), {"courses": courses}


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.2, width=11.0)
    for place, (scaling, (times, rest, apart, slow)) in enumerate(shown.extra["courses"].items()):
        style = ("o", "s")[place]
        name = "measured, c = 1/n" if scaling == "mean" else "measured, c = 1"
        for axis, curve in ((left, rest), (right, apart)):
            axis.plot(times, curve, style, color=f"C{place}", markersize=3, label=name)
        right.plot(times, slow, "--", color=f"C{place}", label="as 1/ln(c t), through the last")
    left.axhline(1.0, color="#555555", linewidth=0.9, label="predicted limit")
    for axis in (left, right):
        axis.set_xscale("log")
        axis.set_xlabel(TIME)
        axis.legend()
    left.set_ylim(0, 1.3)
    left.set_ylabel("γ² t L [1]")
    right.set_yscale("log")
    right.set_ylabel("gap of the direction [1]")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Logistic regression on separable digits goes to the largest margin γ, its loss to 1/(γ² t)"
    ),
    source="Soudry et al. 2018, on scikit-learn's digits",
    experiment=_experiment,
    twin={"clock.marks": 49},
    watch=(Loss(), EndToEnd()),
    theories=(MaxMargin(),),
    tolerance={"loss": 0.05},
    reason=POWER,
    verify=_verify,
    draw=_draw,
)
