"""Ordinary least squares, reached by descent."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.gallery.base import STEPS, Exhibit
from learnmech.gallery.premises import below_critical, exact, full_column_rank
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.instruments.modes import EndToEnd
from learnmech.rules.descent import GradientDescent
from learnmech.theories.base import no_ridge
from learnmech.theories.regression import Regression


def _experiment():
    data = Gaussian(n=200, d=6, k=2, covariance="power-law", exponent=1.0, noise=0.3, test=200)
    return Experiment(
        DeepLinear(),
        data,
        GradientDescent(rate=0.5),
        Clock(steps=1000, marks=101, spacing="log"),
        GaussianStart(scale=1.0),
    )


def _verify(shown):
    train = prepare(shown.experiment).data.train
    solution, *_ = np.linalg.lstsq(train.X, train.Y, rcond=None)
    found = shown.record["end_to_end"].values[-1]
    gap = float(np.linalg.norm(found - solution.T) / np.linalg.norm(solution))
    claim, reason = (
        "the end of descent is the least-squares solution (relative distance)",
        "the slowest direction has decayed below it",
    )
    said = shown.comparisons[0].said["end_to_end"].values[-1]
    reached = bool(np.linalg.norm(said - solution.T) <= 1e-7 * np.linalg.norm(solution))
    return (Check(claim, gap, 0.0, 1e-6, reason, reached=reached),), {"gap": gap}


def _premises(start):
    yield no_ridge(start)
    yield exact(start)[0]
    yield full_column_rank(start)
    yield below_critical(start)


exhibit = Exhibit(
    claim=(
        "Descent on a linear layer walks to ordinary least squares, each direction at its own rate"
    ),
    source="textbook",
    experiment=_experiment,
    watch=(Loss(), TestLoss(), EndToEnd()),
    theories=(Regression(),),
    reason=STEPS,
    verify=_verify,
    premises=_premises,
    free=("data", "initial", "rule", "clock", "loss"),
)
