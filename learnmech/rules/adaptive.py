"""Adaptive rules: each weight's step divided by the size of its own gradients."""

from typing import ClassVar

from learnmech.late import late
from learnmech.parts import Knob, knob
from learnmech.rules.base import OptaxRule

optax = late("optax")


class Adam(OptaxRule):
    """Adam with bias correction.  Source: Kingma & Ba 2015."""

    family: ClassVar[str] = "adam"
    rate: Knob = knob(1e-3, above=0)
    b1: Knob = knob(0.9, at_least=0, below=1)
    b2: Knob = knob(0.999, at_least=0, below=1)
    eps: Knob = knob(1e-8, at_least=0)

    def transformation(self):
        return optax.adam(self.rate, self.b1, self.b2, self.eps)

    @classmethod
    def example(cls):
        return cls(rate=0.01)


class AdamW(OptaxRule):
    """Adam with decoupled weight decay: each step also subtracts rate * decay * params.  Source: Loshchilov & Hutter 2019."""

    family: ClassVar[str] = "adam"
    rate: Knob = knob(1e-3, above=0)
    b1: Knob = knob(0.9, at_least=0, below=1)
    b2: Knob = knob(0.999, at_least=0, below=1)
    eps: Knob = knob(1e-8, at_least=0)
    decay: Knob = knob(1e-2, at_least=0)

    def transformation(self):
        return optax.adamw(self.rate, self.b1, self.b2, self.eps, weight_decay=self.decay)

    @classmethod
    def example(cls):
        return cls(rate=0.01)
