"""Adaptive rules: each weight's step divided by the size of its own gradients, or stripped of
it."""

from typing import TYPE_CHECKING, ClassVar

import jax
import jax.numpy as jnp

from learnmech.language.parts import Knob, knob
from learnmech.machine.late import late
from learnmech.rules.base import BatchedRule, FlowRule, OptaxRule
from learnmech.rules.recurrence import PLAIN, averaging

if TYPE_CHECKING:
    import optax
else:
    optax = late("optax")


class Adam(OptaxRule):
    """Adam with bias correction.  Source: Kingma & Ba 2015."""

    family: ClassVar[str] = "adam"
    divides: ClassVar[bool] = True
    averages: ClassVar = ("b1", "b2")
    rate: Knob = knob(
        default=1e-3,
        above=0,
        meaning="base rate: about how far each weight moves in a step, in units of the parameters",
    )
    b1: Knob = knob(
        default=0.9,
        at_least=0,
        below=1,
        meaning="share of the average of gradients that is kept at each step",
    )
    b2: Knob = knob(
        default=0.999,
        at_least=0,
        below=1,
        meaning="share of the average of squared gradients that is kept at each step",
    )
    eps: Knob = knob(
        default=1e-8,
        at_least=0,
        meaning="what is added to the size of the gradients that divides, in loss/param",
    )

    @property
    def recurrence(self):
        return averaging(float(self.b1), "b1")  # once its bias is corrected away

    def limit(self):
        return softened_limit(self)

    def transformation(self):
        return optax.adam(self.rate, self.b1, self.b2, self.eps)

    def preconditioner(self, system, memory, params):
        """1/(sqrt(nu/(1 - b2^count)) + eps) times the scaling's factors; NaN before the first
        step, where there is no nu yet."""
        nu, count = (optax.tree_utils.tree_get(memory, name) for name in ("nu", "count"))
        seen = 1 - self.b2 ** count.astype(jnp.asarray(self.b2).dtype)
        sizes = jax.tree.map(
            lambda v: jnp.sqrt(v / jnp.where(seen > 0, seen, jnp.nan)) + self.eps, nu
        )
        return jax.tree.map(lambda f, size: f / size, self.factors(system, params), sizes)

    @classmethod
    def example(cls):
        return cls(rate=0.01)


class AdamW(Adam):
    """Adam with decoupled weight decay: each step also subtracts rate * decay * params.  Source:
    Loshchilov & Hutter 2019.

    The same share of every weight under any scaling, unless `decay_scaled`.
    """

    decay: Knob | None = knob(
        default=1e-2,
        at_least=0,
        kw_only=True,
        meaning="weight decay: each step also subtracts rate * decay * params",
    )


class RMSProp(OptaxRule):
    """nu <- b2 nu + (1 - b2) gradient^2, params <- params - rate gradient/(sqrt(nu) + eps),
    without bias correction.  Source: Tieleman & Hinton 2012."""

    family: ClassVar[str] = "adam"
    divides: ClassVar[bool] = True
    averages: ClassVar = ("b2",)
    rate: Knob = knob(
        default=1e-3,
        above=0,
        meaning="base rate: about how far each weight moves in a step, in units of the parameters",
    )
    b2: Knob = knob(
        default=0.99,
        at_least=0,
        below=1,
        meaning="share of the average of squared gradients that is kept at each step",
    )
    eps: Knob = knob(
        default=1e-8,
        at_least=0,
        meaning="what is added to the size of the gradients that divides, in loss/param",
    )

    @property
    def recurrence(self):
        return PLAIN

    def limit(self):
        return softened_limit(self)

    def transformation(self):
        return optax.rmsprop(self.rate, decay=self.b2, eps=self.eps, eps_in_sqrt=False)

    def preconditioner(self, system, memory, params):
        """1/(sqrt(nu) + eps) times the scaling's factors; NaN before the first step, where nu is
        0."""
        nu = optax.tree_utils.tree_get(memory, "nu")
        begun = jnp.any(jnp.stack([jnp.any(v > 0) for v in jax.tree.leaves(nu)]))
        return jax.tree.map(
            lambda f, v: jnp.where(begun, f / (jnp.sqrt(v) + self.eps), jnp.nan),
            self.factors(system, params),
            nu,
        )

    @classmethod
    def example(cls):
        return cls(rate=0.01)


class Lion(OptaxRule):
    """params <- params - rate sign(b1 m + (1 - b1) gradient), then m <- b2 m + (1 - b2)
    gradient.  Source: Chen et al. 2023."""

    family: ClassVar[str] = "adam"
    rate: Knob = knob(
        default=1e-4,
        above=0,
        meaning="base rate: how far each weight moves in a step, in units of the parameters",
    )
    b1: Knob = knob(
        default=0.9,
        at_least=0,
        below=1,
        meaning="share of the average, beside this step's gradient, in what is stepped along",
    )
    b2: Knob = knob(
        default=0.99,
        at_least=0,
        below=1,
        meaning="share of the average of gradients that is kept at each step",
    )

    averages: ClassVar = ("b1", "b2")

    def transformation(self):
        return optax.lion(self.rate, self.b1, self.b2, weight_decay=0.0)

    @classmethod
    def example(cls):
        return cls(rate=0.003)


class SignDescent(BatchedRule):
    """params <- params - rate gradient/(|gradient| + eps), for each weight: its sign at eps = 0.
    Source: Bernstein et al. 2018."""

    family: ClassVar[str] = "adam"
    rate: Knob = knob(
        default=1e-3,
        above=0,
        meaning="base rate: about how far each weight moves in a step, in units of the parameters",
    )
    eps: Knob = knob(
        default=0.0,
        at_least=0,
        meaning="size of gradients below which a weight moves less than the rate, in loss/param",
    )

    def update(self, system, gradient, memory, params):
        return self.scaled(
            system,
            jax.tree.map(lambda g: -self.rate * softened_sign(g, self.eps), gradient),
            params,
        ), memory

    def limit(self):
        return softened_limit(self)

    @classmethod
    def example(cls):
        return cls(rate=0.01)


def softened_limit(rule: "Adam | RMSProp | SignDescent") -> "tuple[FlowRule, float] | None":
    """Sign flow at the rule's eps, whatever its averages remember; none where eps is 0."""
    return (SignFlow(eps=rule.eps), 1.0) if rule.eps > 0 else None


def softened_sign(g, eps):
    """g/(|g| + eps), which is sign(g) at eps = 0, and 0 at g = 0."""
    size = jnp.abs(g) + jnp.asarray(eps, g.dtype)
    return jnp.where(size > 0, g / jnp.where(size > 0, size, 1), 0)


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
