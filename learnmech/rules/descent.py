"""Descent: steps along the gradient, of all samples or of a batch, with or without momentum."""

from typing import ClassVar

import jax

from learnmech.late import late
from learnmech.parts import Knob, knob, structure
from learnmech.rules.base import BatchedRule, OptaxRule, SteppingRule

optax = late("optax")


class GradientDescent(SteppingRule):
    """params <- params - rate * gradient, on all training samples."""

    def update(self, system, gradient, memory, params):
        return self.scaled(system, jax.tree.map(lambda g: -self.rate * g, gradient), params), memory

    def edge(self, top):
        return "2/sharpness", 2 / top

    @classmethod
    def example(cls):
        return cls(rate=0.05)


class SGD(BatchedRule):
    """params <- params - rate * gradient of a batch of `batch` samples."""

    batch: int = structure(32, at_least=1, kw_only=True)
    update: ClassVar = GradientDescent.update
    edge: ClassVar = GradientDescent.edge

    @classmethod
    def example(cls):
        return cls(rate=0.05, batch=4)


class HeavyBall(OptaxRule):
    """v <- momentum v + gradient, params <- params - rate v (Optax's trace).  Source: Polyak 1964."""

    momentum: Knob = knob(0.9, at_least=0, below=1)

    def transformation(self):
        return optax.sgd(self.rate, momentum=self.momentum)

    def edge(self, top):
        return "2(1 + momentum)/sharpness", 2 * (1 + float(self.momentum)) / top

    @classmethod
    def example(cls):
        return cls(rate=0.02)
