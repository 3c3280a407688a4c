"""Flow as the theory of descent: what steps become as the rate goes to zero, and the first correction."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util

from learnmech import trees
from learnmech.architectures.mlp import Mlp
from learnmech.clock import Clock
from learnmech.data.gaussian import Gaussian
from learnmech.experiment import Experiment, Start
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.instruments.weights import Weights
from learnmech.late import late
from learnmech.rules.descent import GradientDescent
from learnmech.system import System, sharpness
from learnmech.tables import table
from learnmech.theories.base import Condition, Limit, Theory, need, rule_is

integrate = late("scipy.integrate")


@eqx.filter_jit
def _velocity(system: System, unflatten, flat, rate):
    """-D grad L - (rate/2) D H D grad L with D the factors of the scaling; rate 0 leaves the plain flow."""
    params = unflatten(flat)
    factors = system.architecture.rate_factors(params, "sgd")

    def descent(at):
        _, gradient = system.value_and_gradient(at)
        return jax.tree.map(lambda g, f: jnp.asarray(f, g.dtype) * g, gradient, factors)

    down, bend = jax.jvp(descent, (params,), (descent(params),))
    moved = jax.tree.map(lambda g, b: -g - rate / 2 * b, down, bend)
    return flatten_util.ravel_pytree(moved)[0]


def integrated(start: Start, times: np.ndarray, rate: float) -> list[trees.Params]:
    """Parameters at these times along the flow of L + (rate/4)|grad L|^2, by DOP853 at relative tolerance 1e-10."""
    flat, unflatten = flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, start.params))
    system = trees.cast(start.system, jnp.float64)
    solved = integrate.solve_ivp(
        lambda t, y: np.asarray(_velocity(system, eqx.Partial(unflatten), jnp.asarray(y), jnp.asarray(rate))),
        (0.0, float(times[-1])),
        np.asarray(flat),
        method="DOP853",
        t_eval=times,
        rtol=1e-10,
        atol=1e-12,
    )
    return [unflatten(jnp.asarray(y)) for y in solved.y.T]


def _below_the_edge(start: Start) -> tuple[Condition, ...]:
    rate, top = float(getattr(start.rule, "rate", np.nan)), sharpness(start.system, start.state.params)
    edge = 2 / top if top > 0 else np.inf
    return rule_is(start, GradientDescent), Condition("rate below 2/sharpness at t = 0", rate, edge, rate < edge)


def _along(theory, start, clock, rate):
    need(theory, start, rule_is(start, GradientDescent))
    marks, system, shapes = start.marked(clock), start.system, start.state.params
    path = integrated(start, marks.times, rate)
    loss, test = eqx.filter_jit(lambda s, p: s.loss(p)), eqx.filter_jit(lambda s, p: s.test_loss(p))
    told = {"loss": np.array([float(loss(system, p)) for p in path])}
    quantities = Loss().quantities(system, shapes) + Weights().quantities(system, shapes)
    if system.test is not None:
        told["test_loss"] = np.array([float(test(system, p)) for p in path])
        quantities += TestLoss().quantities(system, shapes)
    leaves = [trees.leaves_by_path(p) for p in path]
    told |= {name: np.stack([np.asarray(one[name]) for one in leaves]) for name in leaves[0]}
    return table(quantities, told, marks)


class Flow(Theory):
    """Descent follows the gradient flow d(params)/dt = -grad L: off by O(rate) at a fixed time, below the stability edge.

    Beside the losses it predicts every parameter array under its path.
    """

    source: ClassVar[str] = "Euler's method"
    predicts: ClassVar[tuple[str, ...]] = ("loss", "test_loss", "layer*")
    limits: ClassVar[tuple[Limit, ...]] = (Limit("rule.rate", 1.0),)
    tolerance: ClassVar[float] = 0.05  # a limit: what counts is the order; at 5% one curve still lies on the other by eye

    def domain(self, start):
        return _below_the_edge(start)

    def predict(self, start, clock=None):
        return _along(self, start, clock, 0.0)

    @classmethod
    def example(cls):
        return Experiment(Mlp(hidden=(4,)), Gaussian(n=10, d=3, k=2), GradientDescent(rate=0.05), Clock(time=2.0, marks=5))


class ModifiedFlow(Theory):
    """Descent follows the flow of L + (rate/4)|grad L|^2 more closely: off by O(rate^2) at a fixed time, O(rate^3) per step.

    Beside the losses it predicts every parameter array under its path.
    """

    source: ClassVar[str] = "Barrett & Dherin 2021"
    predicts: ClassVar[tuple[str, ...]] = ("loss", "test_loss", "layer*")
    limits: ClassVar[tuple[Limit, ...]] = (Limit("rule.rate", 2.0),)
    tolerance: ClassVar[float] = 0.01  # a limit: what counts is the order

    def domain(self, start):
        return _below_the_edge(start)

    def predict(self, start, clock=None):
        return _along(self, start, clock, float(start.rule.rate))

    @classmethod
    def example(cls):
        return Flow.example()


def epoch_modified_loss(losses, gradients, rate: float):
    """L + (rate/(4m)) sum_k |grad L_k|^2 for m fixed batches in shuffled orders, L the mean of their losses: what an epoch of SGD follows on average.

    `losses` (m,) and `gradients` (m, p) are those of each batch; the flow runs for time m * rate per epoch.  Source: Smith et al. 2021.
    """
    m = len(losses)
    return jnp.mean(losses) + rate / (4 * m) * jnp.sum(gradients**2)
