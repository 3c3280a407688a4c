"""Minimum norm: what descent chooses among all interpolators."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import sheet, titled
from learnmech.gallery.base import STEPS, Exhibit
from learnmech.gallery.premises import below_critical, exact
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run
from learnmech.theories.base import Condition, no_ridge
from learnmech.theories.regression import Regression, minimum_norm

SCALES = (0.0, 0.5, 1.0, 2.0, 4.0)


def _experiment():
    return Experiment(
        DeepLinear(),
        Gaussian(n=10, d=30, k=1),
        GradientDescent(rate=0.2),
        Clock(steps=1000, marks=101, spacing="log"),
        GaussianStart(scale=0.0),
    )


def _premises(start):
    yield no_ridge(start)
    yield exact(start)[0]
    size = float(np.abs(start.params["layer1"]["weight"]).max())
    yield Condition(
        "it begins at 0, in a start whose scale can be turned",
        size,
        0.0,
        size == 0 and isinstance(start.experiment.initial, GaussianStart),
    )
    yield below_critical(start)
    n, d = start.data.train.X.shape
    yield Condition("fewer samples than inputs", n, d, n < d)


def _verify(shown):
    train = prepare(shown.experiment).data.train
    least = minimum_norm(train.X, train.Y)
    outside = np.eye(train.X.shape[1]) - np.linalg.pinv(train.X) @ train.X
    seen, said = [], []
    for scale in SCALES:
        start = prepare(shown.experiment.with_value("initial.scale", scale))
        seen.append(float(np.linalg.norm(run(start, (EndToEnd(),))["end_to_end"].values[-1])))
        said.append(float(np.linalg.norm(least + start.params["layer1"]["weight"] @ outside)))
    gap = float(
        np.linalg.norm(shown.record["end_to_end"].values[-1] - least) / np.linalg.norm(least)
    )
    worst = int(np.argmax(np.abs(np.array(seen) - said)))
    converged = "the slowest direction has decayed below it"
    left = shown.comparisons[0].said["end_to_end"].values[-1]
    reached = bool(np.linalg.norm(left - least) <= 1e-7 * np.linalg.norm(least))
    return (
        Check(
            "from zero, the end of descent is the interpolator of least norm (relative distance)",
            gap,
            0.0,
            1e-6,
            converged,
            reached=reached,
        ),
        Check(
            "from elsewhere, the part of the start which no sample sees stays (norm of the end)",
            seen[worst],
            said[worst],
            1e-6,
            converged,
            reached=reached,
        ),
    ), {"seen": seen, "said": said}


def _draw(shown):
    figure, (axis,) = sheet()
    laid(axis, SCALES, shown.extra["seen"], shown.extra["said"])
    axis.set_xlabel("scale of the start [1]")
    axis.set_ylabel("norm of the interpolator found,\n|w| [output/input]")
    axis.set_ylim(bottom=0)
    axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim="With fewer samples than inputs, descent from zero finds the interpolator of least norm",
    source="textbook",
    experiment=_experiment,
    watch=(Loss(), EndToEnd()),
    theories=(Regression(),),
    reason=STEPS,
    verify=_verify,
    premises=_premises,
    free=("data", "clock", "loss"),
    draw=_draw,
)
