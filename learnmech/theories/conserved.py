"""Conservation: what gradient flow keeps on deep linear networks."""

from typing import ClassVar

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.experiment.tables import table
from learnmech.instruments.conserved import Balance
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import Condition, Theory, need, no_ridge, rule_is
from learnmech.theories.deep_linear import plain_layers


class Conservation(Theory):
    """W_{l+1}'W_{l+1} - W_l W_l' of adjacent linear layers stands still under flow, for any data
    and any loss of the outputs.

    What is judged is its drift, over the squared size of the layers. It follows from the symmetry
    W_{l+1} A^{-1}, A W_l. Descent breaks it by O(rate) at a fixed time.
    """

    source: ClassVar[str] = "Fukumizu 1998; Arora et al. 2018; Du et al. 2018"
    predicts: ClassVar[tuple[str, ...]] = ("balance_drift",)

    def domain(self, start):
        deep = Condition("two layers or more", len(start.params), 2, len(start.params) >= 2)
        return deep, plain_layers(start), no_ridge(start), rule_is(start, GradientFlow)

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start)[:2])
        marks = start.marked(clock)
        quantity = Balance().quantities(start.system, start.state.params)[-1]
        return table(
            (quantity,), {quantity.name: np.zeros((len(marks.times), len(start.params) - 1))}, marks
        )

    @classmethod
    def example(cls):
        rule = GradientFlow(rtol=1e-10, atol=1e-12, solver="dopri8")
        return Experiment(
            DeepLinear(hidden=(4, 3)), Gaussian(n=20, d=3, k=2), rule, Clock(time=5.0, marks=11)
        )
