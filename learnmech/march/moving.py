"""Moving: the learner at one instant, and where it is a step or a span of time later."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, PyTree

from learnmech.language.trees import Array, Params, fitting
from learnmech.rules.base import Rule
from learnmech.system.freezing import Frozen, Narrowed
from learnmech.system.landscape import System
from learnmech.system.state import State


def apart(view: System, state: State) -> tuple[Float[Array, ""], Params]:
    """Loss and gradient; where the loss has a price on parameters, as a computation of its own: a
    branch that is always taken, which the compiler cannot know and so cannot make one with what is
    done with them.

    Its gradient is added to that of the outputs, and a gradient that nobody else asks for would be
    added up within the update, and rounded otherwise: under a ridge the states of Adam, moving
    averages and Muon differed in their last bits with and without `norms`. A branch costs about 2%
    of a run (two layers of 30), so that other losses, of which no such case is known, go without.
    """
    if isinstance(view.penalty(state.params), float):
        return view.value_and_gradient(state.params)
    dtype = jax.tree.leaves(state.params)[0].dtype
    return jax.lax.cond(
        state.step >= 0,
        lambda: view.value_and_gradient(state.params),
        lambda: (jnp.zeros((), dtype), jax.tree.map(jnp.zeros_like, state.params)),
    )


class Instant(NamedTuple):
    """What the learner computes where it stands: the loss it sees, its gradient, what is added to
    the parameters (for flows the velocity), and the rule's memory after that."""

    loss: Float[Array, ""]
    gradient: Params
    update: Params
    memory: PyTree


class Learner(eqx.Module):
    """What moves, and on what: a landscape, a rule, and what of the parameters stands still."""

    system: System
    rule: Rule
    frozen: Frozen | None = None

    def instant(self, state: State) -> Instant:
        """Loss, gradient, update and memory at a state, made before anything is read of them.

        Without the barrier, what is watched decided what XLA made one computation of, and so where
        it rounded: Adam's states differed in their last bit with and without `norms`. It costs
        nothing that could be measured.
        """
        return jax.lax.optimization_barrier(self._instant(state))

    def _instant(self, state):
        if self.frozen:
            return self._narrowed(state)
        if self.rule.flows:
            loss, gradient = self.system.value_and_gradient(state.params)
            velocity = fitting(
                self.rule,
                "velocity",
                "one of each parameter",
                self.rule.velocity(self.system, state.params, state.memory),
                state.params,
                spread=True,
            )
            return Instant(loss, gradient, velocity, state.memory)
        view = self.rule.view(self.system, state).at_step(state.key, state.step)
        loss, gradient = apart(view, state)
        update, memory = self.rule.moved(view, gradient, state)
        update = view.architecture.observed(state.params, view.train.X, update)
        return Instant(loss, gradient, update, memory)

    def _narrowed(self, state):
        """The instant of the learner that has no other parameters than the free ones; what is
        frozen has gradient and update zero."""
        frozen: Any = self.frozen
        free = Learner(Narrowed.of(self.system, state.params, frozen), self.rule)
        loss, gradient, update, memory = free._instant(self._free(state))
        gradient, update = (frozen.still(tree, state.params) for tree in (gradient, update))
        return Instant(loss, gradient, update, self._held(memory, state.memory))

    def stepped(self, state: State, instant: Instant) -> tuple[Params, PyTree]:
        """Parameters and memory after the step of this instant."""
        after = jax.tree.map(lambda p, u: p + u, state.params, instant.update)
        return self._held(after, state.params), instant.memory

    def flowed(
        self, state: State, span: Float[Array, ""], moving: Bool[Array, ""]
    ) -> tuple[Params, PyTree]:
        """Parameters and memory a span of time later; the same ones where it does not move."""
        system, held = self.system, state
        if self.frozen:
            system, held = Narrowed.of(system, state.params, self.frozen), self._free(state)
        after = jax.lax.cond(
            moving & (span > 0),
            lambda: self.rule.advance(system, held, span)[:2],
            lambda: (held.params, held.memory),
        )
        params, memory = after
        return self._held(params, state.params), self._held(memory, state.memory)

    def _free(self, state):
        frozen: Any = self.frozen
        free = frozen.free
        return State(free(state.params), free(state.memory), state.step, state.time, state.key)

    def _held(self, new, old):
        """What is new, with all that is frozen as it was, to the bit."""
        return self.frozen.kept(self.frozen.combined(new, old), old) if self.frozen else new
