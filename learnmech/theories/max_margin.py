"""Largest margin: where logistic regression on separable classes goes, and how slowly."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.digits import Digits
from learnmech.errors import Refused, refused
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.initial.gaussian import Gaussian
from learnmech.instruments.losses import Loss
from learnmech.losses.classes import Logistic
from learnmech.machine.late import late
from learnmech.rules.descent import GradientDescent
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import Condition, Theory, need, no_ridge, rule_is
from learnmech.theories.deep_linear import plain_layers
from learnmech.theories.one_hot_classes import word_margin

if TYPE_CHECKING:
    from scipy import optimize
else:
    optimize = late("scipy.optimize")

LATE = 1e-4


def max_margin(
    X: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " n"]]:
    """(w_svm, alpha): the shortest w with y_i w.x_i >= 1 for all samples, y = +1 or -1, and its
    multipliers, w = sum alpha_i y_i x_i; the margin is gamma = 1/|w|, and sum alpha = |w|^2.

    As a problem of least distance, by nonnegative least squares. Refused where no w separates the
    samples. No bias: give a column of ones for one, which is then priced too.  Source: Lawson &
    Hanson 1974, ch. 23.
    """
    signed = X * y[:, None]
    sides = np.vstack([signed.T, np.ones(len(X))])
    last = np.append(np.zeros(X.shape[1]), 1.0)
    dual, left = optimize.nnls(sides, last)
    rest = sides @ dual - last
    if left <= 1e-10 or not np.all(signed @ rest[:-1] > 0):
        raise refused(
            "max_margin",
            "classes that a plane through 0 separates",
            "classes that none does",
            "Give more inputs, or fewer samples",
        )
    return -rest[:-1] / rest[-1], -dual / rest[-1]


def lone_margin(time: Float[np.ndarray, "..."], size: float) -> Float[np.ndarray, "..."]:
    """u = y w.x of one sample of |x| = size, from 0, under flow at c = 1, exactly:
    e^u + u = 1 + size^2 t."""
    return word_margin(size**2 * np.asarray(time, np.float64) / 2, 2)


class MaxMargin(Theory):
    """Logistic regression of one output, without bias, on classes that can be separated: at the end
    of a long run the loss is 1/(gamma^2 t), gamma the largest margin.

    w/ln t goes to the shortest w with y_i w.x_i >= 1 (`max_margin`), its direction as 1/ln t, so
    that gamma^2 t L goes to 1 whatever c. Samples beyond the margin leave as a power of t: how late
    is late enough is theirs to say.
    """

    source: ClassVar[str] = "Soudry et al. 2018"
    predicts: ClassVar[tuple[str, ...]] = ("loss",)
    tolerance: ClassVar[float] = 0.1  # a limit that is approached as a small power of the time

    def known(self, start):
        return self._needed(start)

    def further(self, start):
        try:
            gamma = margin_of(start)
        except Refused as refusal:
            yield Condition("the classes can be separated", str(refusal), "so", False)
            return
        yield Condition("the classes can be separated: margin", gamma, "above 0", gamma > 0)
        begun = start.experiment.loss.constant(len(start.data.train.X)) * len(start.data.train.X)
        said = _end(start, gamma) / (begun * np.log(2))
        yield Condition(
            "the run is long: the loss at its end over that of no outputs", said, LATE, said <= LATE
        )

    def _needed(self, start):
        loss, view, count = start.experiment.loss, start.data.train, len(start.params)
        outputs = view.Y.shape[1]
        return (
            Condition("one layer", count, 1, count == 1, fact="depth", wants=("1",)),
            plain_layers(start),
            Condition(
                "the loss is logistic, every error counting the same",
                type(loss).__name__,
                "Logistic",
                isinstance(loss, Logistic) and view.weight is None,
            ),
            no_ridge(start),
            Condition("one output", outputs, 1, outputs == 1),
            rule_is(start, GradientFlow, GradientDescent),
        )

    def predict(self, start, clock=None):
        need(self, start, *self._needed(start))
        marks = start.marked(clock)
        end = 1 / (margin_of(start) ** 2 * float(marks.times[-1]))
        return table(
            Loss().quantities(start.system, start.params), {"loss": np.asarray(end)}, marks
        )

    @classmethod
    def example(cls):
        return Experiment(
            DeepLinear(),
            Digits(train=30, classes=(3, 8), components=10, targets="sign"),
            GradientFlow(rtol=1e-8, atol=1e-10, solver="dopri8"),
            Clock(time=1e7, marks=29, spacing="log"),
            Gaussian(scale=0.0),
            Logistic(),
        )


def margin_of(start: Start) -> float:
    """The largest margin of the training samples."""
    X, Y = (np.asarray(side, np.float64) for side in (start.data.train.X, start.data.train.Y))
    return float(1 / np.linalg.norm(max_margin(X, Y[:, 0])[0]))


def _end(start, gamma):
    return 1 / (gamma**2 * float(start.marks.times[-1]))
