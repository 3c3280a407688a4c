"""What every learning rule promises: a step from the gradient, or a velocity."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, PyTree

from learnmech.errors import refused
from learnmech.late import late
from learnmech.parts import Knob, Part, knob, structure
from learnmech.state import State
from learnmech.system import System
from learnmech.trees import Array, Params

optax = late("optax")


class Rule(Part):
    """How parameters move. A rule that flows gives `velocity`; one that steps gives `init` and `update`."""

    flows: ClassVar[bool] = False
    family: ClassVar[str] = "sgd"

    def init(self, params: Params) -> PyTree:
        """The memory at t = 0."""
        return ()

    def check(self, system: System) -> None:
        """Refuse a system this rule cannot move."""


class SteppingRule(Rule):
    """A rule with a base rate; t = step * rate. The scaling's factors multiply each layer's update."""

    rate: Knob = knob(0.1, above=0)

    def edge(self, top: float) -> tuple[str, float] | None:
        """(in words, in numbers) the rate above which this rule diverges on a quadratic of top curvature `top`; None where no such rate is known."""
        return None

    def view(self, system: System, state: State) -> System:
        """The landscape this step sees: all training samples unless the rule draws a batch."""
        return system

    def update(self, system: System, gradient: Params, memory: PyTree, params: Params) -> tuple[Params, PyTree]:
        """(what is added to params, the new memory)."""
        raise NotImplementedError

    def scaled(self, system: System, updates: Params, params: Params) -> Params:
        """Updates times the rate factors of the architecture's scaling."""
        factors = system.architecture.rate_factors(params, self.family)
        return jax.tree.map(lambda u, f: u if isinstance(f, (int, float)) and f == 1 else jnp.asarray(f, u.dtype) * u, updates, factors)


class BatchedRule(SteppingRule):
    """A stepping rule that may draw a batch each step.

    `batch` = 0 sees every sample. `sampling`: `replacement` draws independently, `subset` draws distinct samples anew each step, `epoch` goes through
    a fresh shuffle of all n once every n // batch steps (a remainder of n is left out of that epoch).
    """

    batch: int = structure(0, at_least=0, kw_only=True)
    sampling: str = structure("replacement", choices=("replacement", "subset", "epoch"), kw_only=True)

    def check(self, system):
        n = system.train.X.shape[0]
        if self.batch > n:
            raise refused(type(self).__name__, f"a batch of at most n = {n} samples", self.batch, "Lower the batch, or draw more samples")

    def view(self, system, state):
        return system.at(self.indices(system.train.X.shape[0], state)) if self.batch else system

    def indices(self, n: int, state: State) -> Int[Array, " b"]:
        """The samples of this step, a function of the run's key and the step count alone."""
        if self.sampling == "epoch":
            per_epoch = n // self.batch
            epoch, place = state.step // per_epoch, state.step % per_epoch
            order = jax.random.permutation(jax.random.fold_in(state.key, epoch), n)
            return jax.lax.dynamic_slice(order, (place * self.batch,), (self.batch,))
        key = jax.random.fold_in(state.key, state.step)
        if self.sampling == "subset":
            return jax.random.choice(key, n, (self.batch,), replace=False)
        return jax.random.randint(key, (self.batch,), 0, n)


class OptaxRule(BatchedRule):
    """A rule whose memory and update are an Optax transformation's; subclasses give `transformation`."""

    def transformation(self) -> "optax.GradientTransformation":
        """The transformation at this rule's knobs."""
        raise NotImplementedError

    def init(self, params):
        return self.transformation().init(params)

    def update(self, system, gradient, memory, params):
        updates, memory = self.transformation().update(gradient, memory, params)
        return self.scaled(system, updates, params), memory


class FlowRule(Rule):
    """A rule in continuous time: d(params)/dt = velocity, by an adaptive solver with error control between the clock's marks."""

    flows: ClassVar[bool] = True

    def velocity(self, system: System, params: Params) -> Params:
        """d(params)/dt."""
        raise NotImplementedError

    def advance(self, system: System, params: Params, time: Float[Array, ""], span: Float[Array, ""]) -> tuple[Params, Float[Array, ""]]:
        """(params after `span`, whether the solver met its tolerance)."""
        raise NotImplementedError
