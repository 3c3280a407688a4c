"""Flows of the gradient: the limits of descent as its rate vanishes. Those of other rules stand
beside the rules."""

import jax
import jax.numpy as jnp

from learnmech.language.parts import Knob, knob
from learnmech.rules.base import FlowRule


class GradientFlow(FlowRule):
    """d(params)/dt = -factor * gradient: the limit of descent, and in time t/(1 - momentum) of
    heavy ball, as the rate vanishes."""

    def velocity(self, system, params, memory=()):
        _, gradient = system.value_and_gradient(params)
        return self.scaled(system, jax.tree.map(lambda g: -g, gradient), params)


class MomentumFlow(FlowRule):
    """rate (1 + momentum)/2 w'' + (1 - momentum) w' = -gradient: what heavy ball at this rate and
    momentum follows, off by O(rate^2) at a fixed time.

    From w' = -gradient/(1 + momentum): velocity zero before the first step leaves the slow motion
    where this does. Swapped in on the way it begins at w' = 0, and is then off by O(rate). The
    memory is w'. As the rate vanishes it becomes gradient flow in time t/(1 - momentum).  Source:
    Qian 1999; Kovachki & Stuart 2021; the start is ours.
    """

    rate: Knob = knob(
        default=0.02,
        above=0,
        kw_only=True,
        meaning="rate of the heavy ball that it follows, in param²/loss",
    )
    momentum: Knob = knob(
        default=0.9,
        at_least=0,
        below=1,
        kw_only=True,
        meaning="momentum of the heavy ball that it follows",
    )

    def init(self, params):
        return jax.tree.map(jnp.zeros_like, params)

    def begin(self, system, params):
        _, gradient = system.value_and_gradient(params)
        return jax.tree.map(
            lambda g: -g / (1 + self.momentum), self.scaled(system, gradient, params)
        )

    def velocity(self, system, params, memory=()):
        return memory

    def velocities(self, system, params, memory):
        _, gradient = system.value_and_gradient(params)
        pull = self.scaled(system, gradient, params)
        mass, friction = self.rate * (1 + self.momentum) / 2, 1 - self.momentum
        return memory, jax.tree.map(lambda v, g: -(friction * v + g) / mass, memory, pull)
