"""Pool checks: a learning curve held against the theory of a finite pool where its certificate says
that it speaks, which exhibits of several data share."""

from collections.abc import Sequence

from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.comparison.learning_curves import LearningCurve, learning_curve
from learnmech.data.base import Data
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.rules.descent import GradientDescent

# Shares of the pool that are trained on, and how far the formula was off there where its
# certificate held, of nine pairs of real data and ridge.
SHARES, BOUNDS = (0.1, 0.45, 0.8), (0.03, 0.05, 0.12)
SPLITS = 16
REASON = (
    "where the certificate held, 3, 5 and 12 % on 11 real data sets at N/10, .45 N and .8 N, and"
    " three standard errors over splits"
)


def relu_network(data: Data, steps: int = 10) -> Experiment:
    """A ReLU network of one hidden layer in the ntk scaling, sw^2 = 2, on these data."""
    return Experiment(
        Mlp(hidden=(64,), activation="relu", scaling=NTK(weight=2**0.5)),
        data,
        GradientDescent(rate=0.05),
        Clock(steps=steps, marks=3),
        precision="float32",
    )


def pool_curve(subject, ridges: Sequence[float], splits: int = SPLITS) -> LearningCurve:
    """The learning curve of an experiment's own kernel at these shares of its training samples."""
    size = subject.data.train
    return learning_curve(
        subject, n=[int(one * size) for one in SHARES], ridge=ridges, splits=splits
    )


def claimed_checks(where: str, curve: LearningCurve, ridge: int = 0) -> tuple[Check, ...]:
    """That the certificate of one ridge holds, and that the formula is right there."""
    certificate = curve.certificates[ridge]
    found = [
        Check(
            f"{where}: leave-one-out over GCV of the pool, its certificate",
            certificate.ratio,
            1.0,
            0.105,
            "claimed where |ln| <= 0.1",
        )
    ]
    for at, n in enumerate(curve.n):
        said = curve.predicted[ridge][at].test
        error = 3 * float(curve.test_error[ridge, at]) / said
        found.append(
            Check(
                f"{where}: error on the samples held out, n = {n} of {curve.spectrum.size}",
                float(curve.test[ridge, at]),
                said,
                BOUNDS[at] + error,
                REASON,
            )
        )
    return tuple(found)
