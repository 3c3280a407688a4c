"""The scalar sigmoid: two weights, one curve."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.gallery.base import EXACT, Exhibit, fine_flow
from learnmech.gallery.premises import exact, layers, reading
from learnmech.initial.balanced import Aligned
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.instruments.weights import Weights
from learnmech.theories.base import Condition
from learnmech.theories.deep_linear import balanced, product, weights
from learnmech.theories.scalar import ScalarChain, logistic_time, scalar_problem


def _experiment():
    data = Gaussian(n=50, d=1, k=1, map=np.array([[2.0]]), whitened=True)
    return Experiment(
        DeepLinear(hidden=(1,)),
        data,
        fine_flow(),
        Clock(time=5.0, marks=201),
        Aligned(strength=1e-3),
    )


def _verify(shown):
    start = prepare(shown.experiment)
    s, a = scalar_problem(start)
    u = shown.record["end_to_end"]
    course, times, rate = u.values.ravel(), u["time"].values, 2 * s * a
    said, reached = logistic_time(float(course[0]), s, rate, 0.5), bool(course.max() >= 0.5 * s)
    measured = float(np.interp(0.5 * s, course, times)) if reached else float("nan")
    reason = "read off between marks 0.025 apart on a curve of rate 4"
    return (
        Check(
            "time to half of s",
            measured,
            said,
            1e-4 + reading(times, rate, said),
            reason,
            reached=reached,
        ),
    ), {"rate": rate}


def _premises(start):
    yield layers(start, 2)
    yield from exact(start)
    yield balanced(start)
    (s, _), u = scalar_problem(start), product(weights(start)).item()
    yield Condition(
        "it begins above 0 and below half of s: u/s",
        u / s if s else np.inf,
        "0 to 1/2",
        0 < u < s / 2,
    )


exhibit = Exhibit(
    claim="Two balanced weights learn along a logistic curve: a long wait, then a jump",
    source="Saxe et al. 2014",
    experiment=_experiment,
    watch=(Loss(), EndToEnd(), Weights()),
    theories=(ScalarChain(),),
    reason=EXACT,
    verify=_verify,
    premises=_premises,
    free=("data", "initial", "clock", "loss", "rule"),
)
