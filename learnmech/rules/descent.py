"""Descent: steps along the gradient, of all samples or of a batch, with or without momentum or
noise."""

import zlib
from typing import TYPE_CHECKING, ClassVar

import jax
import jax.numpy as jnp

from learnmech.language.parts import Knob, knob, structure
from learnmech.machine.late import late
from learnmech.rules.base import BatchedRule, OptaxRule, SteppingRule
from learnmech.rules.flow import GradientFlow
from learnmech.rules.recurrence import PLAIN, averaging, heavy, looking_ahead

if TYPE_CHECKING:
    import optax
else:
    optax = late("optax")


class GradientDescent(SteppingRule):
    """params <- params - rate * gradient, on all training samples."""

    def update(self, system, gradient, memory, params):
        return self.scaled(system, jax.tree.map(lambda g: -self.rate * g, gradient), params), memory

    @property
    def recurrence(self):
        return PLAIN

    def limit(self):
        return GradientFlow(), 1.0

    def preconditioner(self, system, memory, params):
        return self.factors(system, params)

    @classmethod
    def example(cls):
        return cls(rate=0.05)


class SGD(BatchedRule):
    """params <- params - rate * gradient of a batch of `batch` samples."""

    batch: int = structure(
        default=32, at_least=1, kw_only=True, meaning="samples in a step's batch"
    )
    update: ClassVar = GradientDescent.update
    recurrence: ClassVar = GradientDescent.recurrence
    preconditioner: ClassVar = GradientDescent.preconditioner

    @classmethod
    def example(cls):
        return cls(rate=0.05, batch=4)


class HeavyBall(OptaxRule):
    """v <- momentum v + gradient, params <- params - rate v (Optax's trace).  Source: Polyak
    1964."""

    averages: ClassVar = ("momentum",)
    momentum: Knob = knob(
        default=0.9, at_least=0, below=1, meaning="share of the velocity that is kept at each step"
    )

    def transformation(self):
        return optax.sgd(self.rate, momentum=self.momentum)

    @property
    def recurrence(self):
        return heavy(float(self.momentum))

    def limit(self):
        return GradientFlow(), self.recurrence.push

    def preconditioner(self, system, memory, params):
        return self.factors(system, params)

    @classmethod
    def example(cls):
        return cls(rate=0.02)


class Nesterov(OptaxRule):
    """v <- momentum v + gradient, params <- params - rate (gradient + momentum v).  Source:
    Nesterov 1983; Sutskever et al. 2013."""

    momentum: Knob = knob(
        default=0.9, at_least=0, below=1, meaning="share of the velocity that is kept at each step"
    )
    averages: ClassVar = ("momentum",)
    limit: ClassVar = HeavyBall.limit
    preconditioner: ClassVar = HeavyBall.preconditioner

    def transformation(self):
        return optax.sgd(self.rate, momentum=self.momentum, nesterov=True)

    @property
    def recurrence(self):
        return looking_ahead(float(self.momentum))

    @classmethod
    def example(cls):
        return cls(rate=0.02)


class MovingAverage(OptaxRule):
    """m <- momentum m + (1 - momentum) gradient, params <- params - rate m: momentum as an
    exponential moving average, without bias correction."""

    momentum: Knob = knob(
        default=0.9,
        at_least=0,
        below=1,
        meaning="share of the average of gradients that is kept at each step",
    )
    averages: ClassVar = ("momentum",)
    limit: ClassVar = HeavyBall.limit
    preconditioner: ClassVar = HeavyBall.preconditioner

    def transformation(self):
        return optax.chain(
            optax.ema(self.momentum, debias=False), optax.scale_by_learning_rate(self.rate)
        )

    @property
    def recurrence(self):
        return averaging(float(self.momentum))

    @classmethod
    def example(cls):
        return cls(rate=0.05)


class Langevin(BatchedRule):
    """params <- params - rate * gradient + sqrt(2 rate temperature) xi, xi ~ N(0, 1) for each
    weight; settles at exp(-loss/temperature) as rate -> 0.

    The noise is a function of the run's key, the step and the weight's path alone. A layer whose
    rate has a factor f has f for the noise's variance too. Source: Welling & Teh 2011.
    """

    temperature: Knob = knob(
        default=1e-3,
        at_least=0,
        meaning="strength of the noise, in units of the loss: it settles at exp(-loss/temperature)",
    )
    update: ClassVar = GradientDescent.update
    recurrence: ClassVar = GradientDescent.recurrence
    preconditioner: ClassVar = GradientDescent.preconditioner

    def moved(self, system, gradient, state):
        update, memory = super().moved(system, gradient, state)
        key, rate = (
            jax.random.fold_in(state.key, state.step),
            self.rate * self.schedule.factor(state.step),
        )

        def shaken(path, moved, factor):
            own = jax.random.fold_in(
                key, zlib.crc32(f"langevin {jax.tree_util.keystr(path)}".encode()) & 0x7FFFFFFF
            )
            return moved + jnp.sqrt(2 * rate * self.temperature * factor).astype(
                moved.dtype
            ) * jax.random.normal(own, moved.shape, moved.dtype)

        return jax.tree_util.tree_map_with_path(
            shaken, update, self.factors(system, state.params)
        ), memory

    @classmethod
    def example(cls):
        return cls(rate=0.05, temperature=1e-3)
