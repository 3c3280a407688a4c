"""The scalar sigmoid: two weights, one curve."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.clock import Clock
from learnmech.comparison import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment import Experiment, prepare
from learnmech.gallery.base import EXACT, Exhibit, fine_flow
from learnmech.initial.balanced import Aligned
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.instruments.weights import Weights
from learnmech.theories.scalar import ScalarChain, logistic_time, scalar_problem


def _experiment():
    data = Gaussian(n=50, d=1, k=1, map=np.array([[2.0]]), whitened=True)
    return Experiment(DeepLinear(hidden=(1,)), data, fine_flow(), Clock(time=5.0, marks=201), Aligned(strength=1e-3))


def _verify(shown):
    start = prepare(shown.experiment)
    s, a = scalar_problem(start)
    u = shown.record["end_to_end"]
    measured = float(np.interp(0.5 * s, u.values.ravel(), u["time"].values))
    said = logistic_time(float(u.values[0].item()), s, 2 * s * a, 0.5)
    return (Check("time to half of s", measured, said, 1e-3, "read off between marks 0.025 apart on a curve of rate 4"),), {}


exhibit = Exhibit(
    claim="Two balanced weights learn along a logistic curve: a long wait, then a jump",
    source="Saxe et al. 2014",
    experiment=_experiment,
    watch=(Loss(), EndToEnd(), Weights()),
    theories=(ScalarChain(),),
    reason=EXACT,
    verify=_verify,
)
