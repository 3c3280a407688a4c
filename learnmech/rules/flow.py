"""Flows: the limits of vanishing rate, integrated to a stated accuracy."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from learnmech.language.parts import Knob, knob, structure
from learnmech.rules.adaptive import softened_sign
from learnmech.rules.base import FlowRule
from learnmech.rules.spectral import Muon, only_matrices, polar_factor


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


class SignFlow(FlowRule):
    """d(params)/dt = -gradient/(|gradient| + eps), for each weight: the limit of sign descent,
    RMSProp and Adam at the same eps.

    Without eps the velocity jumps where a gradient changes sign, which no adaptive solver gets
    past.
    """

    family: ClassVar[str] = "adam"
    eps: Knob = knob(
        default=1e-2,
        above=0,
        kw_only=True,
        meaning="size of gradients below which a weight moves slower than 1, in loss/param",
    )

    def velocity(self, system, params, memory=()):
        _, gradient = system.value_and_gradient(params)
        return self.scaled(
            system, jax.tree.map(lambda g: -softened_sign(g, self.eps), gradient), params
        )


class SpectralFlow(FlowRule):
    """d(params)/dt = -U diag(s/(s + eps)) V' of each matrix's gradient U diag(s) V': the limit of
    spectral descent at the same eps.

    Without eps the velocity jumps where a mode of the gradient dies, which no adaptive solver gets
    past.
    """

    family: ClassVar[str] = "spectral"
    eps: Knob = knob(
        default=1e-2,
        above=0,
        kw_only=True,
        meaning="strength of a gradient's modes below which they move slower than 1, in loss/param",
    )

    def init(self, params):
        only_matrices(type(self).__name__, params)
        return ()

    def velocity(self, system, params, memory=()):
        _, gradient = system.value_and_gradient(params)
        return self.scaled(
            system, jax.tree.map(lambda g: -polar_factor(g, self.eps), gradient), params
        )


class MuonFlow(FlowRule):
    """d(params)/dt = what Muon without momentum subtracts from params at rate 1: the limit of Muon
    of these knobs as the rate vanishes, whatever its momentum.

    A matrix moves along the Newton-Schulz iterate of its gradient over (its norm + eps) times the
    shape factor, an entry of a vector along gradient/(|gradient| + eps). Without eps the velocity
    jumps where a gradient dies, which no adaptive solver gets past.
    """

    family: ClassVar[str] = "spectral"
    eps: Knob = knob(
        default=1e-2,
        above=0,
        kw_only=True,
        meaning="norm of gradients below which they move slower than 1, in loss/param",
    )
    iterations: int = structure(
        default=5, at_least=1, kw_only=True, meaning="Newton-Schulz iterations of Muon"
    )
    shape: str = structure(
        default="width",
        choices=("width", "rms"),
        kw_only=True,
        meaning=(
            "factor on a matrix's step: `width` sqrt(max(1, out/in)), `rms` 0.2 sqrt(max(out, in))"
        ),
    )

    def velocity(self, system, params, memory=()):
        _, gradient = system.value_and_gradient(params)
        rule = Muon(
            rate=1.0, momentum=0.0, eps=self.eps, iterations=self.iterations, shape=self.shape
        )
        return rule.update(system, gradient, rule.init(params), params)[0]
