"""Neural collapse: where features and readout end under a ridge, when features are free."""

from typing import ClassVar, NamedTuple

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.data.arrays import Arrays
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.losses.classes import CrossEntropy
from learnmech.rules.descent import GradientDescent
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import (
    Condition,
    Theory,
    constant,
    cross_entropy,
    need,
    ridge_of,
    rule_is,
)
from learnmech.theories.deep_linear import plain_layers

SETTLED = 1e-12


class Collapse(NamedTuple):
    """Logits a (Y - 1/K), the loss, and |W|^2 of the readout and |H|^2 of the features."""

    a: float
    loss: float
    readout: float
    features: float


def collapsed(classes: int, each: int, ridge: float, on_features: float) -> Collapse:
    """The least mean cross-entropy + (ridge/2)|W|^2 + (on_features/2)|H|^2 over W and H, for
    `classes` of `each` samples: logits a (Y - 1/K) with a = ln(1/s - K + 1), s = sqrt(each ridge
    on_features) below the threshold 1/K, and nothing at all from there on.

    The loss is ln(1 + (K - 1) e^-a) + s a (K - 1), |W|^2 = a (K - 1) sqrt(each on_features/ridge),
    and |H|^2 ridge over on_features times that. Features of a class are one, those of two classes
    at a cosine of -1/(K - 1).  Source: Zhu et al. 2021; Garrod & Keating 2025.
    """
    s = float(np.sqrt(each * ridge * on_features))
    a = float(np.log(1 / s - classes + 1)) if s < 1 / classes else 0.0
    loss = float(np.log1p((classes - 1) * np.exp(-a)) + s * a * (classes - 1))
    readout = a * (classes - 1) * float(np.sqrt(each * on_features / ridge))
    return Collapse(a, loss, readout, readout * ridge / on_features)


class NeuralCollapse(Theory):
    """Two linear layers on inputs alpha I, so that the first is free features H = alpha W_1, one to
    a sample, under cross-entropy with a ridge: where a run ends.

    Classes of one size. Logits are a (Y - 1/K) by `collapsed`, the features the corners of a
    simplex, up to the threshold in the ridge at which all collapses to 0. It speaks of the end of a
    run that has settled. At another c than 1/n the ridge is divided by cn, and the loss multiplied.
    """

    source: ClassVar[str] = "Zhu et al. 2021; Garrod & Keating 2025"
    predicts: ClassVar[tuple[str, ...]] = ("loss", "end_to_end")

    def domain(self, start):
        conditions = self._needed(start)
        if not all(one.holds for one in conditions):
            return conditions
        size = max(float(np.abs(leaf["weight"]).max()) for leaf in start.params.values())
        return (
            *conditions,
            Condition("the start is not 0, a saddle", size, "above 0", size > 0),
            Condition(
                "the run has settled: change of the loss over its last tenth, relative",
                "seen in the run",
                SETTLED,
                True,
                _settled,
            ),
        )

    def _needed(self, start):
        count, ridge = len(start.params), ridge_of(start)
        conditions = (
            Condition("two layers", count, 2, count == 2, fact="depth", wants=("2",)),
            plain_layers(start),
            cross_entropy(start),
            Condition("a ridge in the loss", ridge, "above 0", ridge > 0),
            rule_is(start, GradientFlow, GradientDescent),
        )
        if not all(one.holds for one in conditions):
            return conditions
        X, Y = (np.asarray(side) for side in (start.data.train.X, start.data.train.Y))
        free = len(X) == X.shape[1] and bool((X == X[0, 0] * np.eye(len(X))).all() and X[0, 0] > 0)
        hot = bool(((Y == 0) | (Y == 1)).all()) and np.ptp(Y.sum(axis=0)) == 0
        h, K = len(start.params["layer1"]["weight"]), Y.shape[1]
        return (
            *conditions,
            Condition(
                "every sample has features of its own, inputs alpha I",
                "alpha I" if free else "others",
                "alpha I",
                free,
            ),
            Condition("classes of one size", "so" if hot else "not so", "so", bool(hot)),
            Condition("hidden units, at least one fewer than classes", h, K - 1, h >= K - 1),
        )

    def predict(self, start, clock=None):
        need(self, start, *self._needed(start))
        end, Y = end_of(start), np.asarray(start.data.train.Y, np.float64)
        alpha, factor = float(start.data.train.X[0, 0]), constant(start) * len(Y)
        told = {
            "loss": np.asarray(factor * end.loss),
            "end_to_end": end.a / alpha * (Y - 1 / Y.shape[1]).T,
        }
        quantities = tuple(
            q for one in (Loss(), EndToEnd()) for q in one.quantities(start.system, start.params)
        )
        return table(quantities, told, start.marked(clock))

    @classmethod
    def example(cls):
        return free_features(classes=3, each=2, hidden=4, ridge=0.05, time=1200.0)


def end_of(start: Start) -> Collapse:
    """Where a run of such an experiment ends, in units of the mean cross-entropy."""
    X, Y = (np.asarray(side) for side in (start.data.train.X, start.data.train.Y))
    ridge = ridge_of(start) / (constant(start) * len(Y))
    return collapsed(Y.shape[1], len(Y) // Y.shape[1], ridge, ridge / float(X[0, 0]) ** 2)


def free_features(classes: int, each: int, hidden: int, ridge: float, time: float) -> Experiment:
    """An experiment of unconstrained features, by descent."""
    n = classes * each
    return Experiment(
        DeepLinear(hidden=(hidden,)),
        Arrays(X=np.eye(n), Y=np.repeat(np.eye(classes), each, axis=0)),
        GradientDescent(rate=0.5),
        Clock(time=time, marks=61),
        loss=CrossEntropy(ridge=ridge),
    )


def _settled(seen):
    if "loss" not in seen:
        return "the loss was not watched", None
    loss = seen["loss"].values
    late = loss[-max(len(loss) // 10, 2) :]
    moved = float(np.ptp(late) / np.abs(loss[-1]))
    return moved, moved <= SETTLED
