"""Flow as the theory of descent: what steps become as the rate goes to zero, and the first
correction."""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util
from jaxtyping import Float

from learnmech.architectures.mlp import Mlp
from learnmech.curvature.eigenpairs import sharpness
from learnmech.data.gaussian import Gaussian
from learnmech.errors import refused
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.instruments.weights import Weights
from learnmech.language import trees
from learnmech.machine.bound import bound
from learnmech.machine.late import late
from learnmech.rules.base import FlowRule
from learnmech.rules.descent import GradientDescent
from learnmech.system.landscape import System
from learnmech.theories.base import Condition, Limit, Theory, need, rule_is

if TYPE_CHECKING:
    import xarray as xr
    from scipy import integrate
else:
    integrate = late("scipy.integrate")

# Of long runs of a deep linear network DOP853 took 1.0, 2.7 and 4.4 looks a step at rate *
# sharpness 0.45, 1.35 and 2.25.
MOST, PER_STEP = 30_000, 20


def _velocity(system: System, unflatten, rate, flat):
    """-D grad L - (rate/2) D H D grad L with D the factors of the scaling; rate 0 leaves the
    plain flow."""
    params = unflatten(flat)
    factors = system.architecture.rate_factors(params, "sgd")

    def descent(at):
        _, gradient = system.value_and_gradient(at)
        return jax.tree.map(lambda g, f: jnp.asarray(f, g.dtype) * g, gradient, factors)

    down, bend = jax.jvp(descent, (params,), (descent(params),))
    moved = jax.tree.map(lambda g, b: -g - rate / 2 * b, down, bend)
    return flatten_util.ravel_pytree(moved)[0]


def _flowing(system: System, unflatten, flow: FlowRule, speed, flat):
    return flatten_util.ravel_pytree(flow.velocity(system, unflatten(flat)))[0] * speed


def integrated(start: Start, times: np.ndarray, rate: float) -> list[trees.Params]:
    """Parameters at these times along the flow of L + (rate/4)|grad L|^2, by DOP853 at relative
    tolerance 1e-10."""
    return solved(start, times, _velocity, jnp.asarray(rate))


def solved(
    start: Start, times: np.ndarray, velocity: Callable, *arguments: Any
) -> list[trees.Params]:
    """Parameters at these times along d(flat)/dt = velocity(system, unflatten, *arguments, flat),
    in float64, by DOP853 at relative tolerance 1e-10.

    Refused where that looks at the velocity more often than `MOST` and `PER_STEP` times for each
    step of the run: sign flow at Adam's eps of 1e-8 is so stiff that it does not end.
    """
    steps = (
        0
        if start.marks.steps is None
        else int(start.marks.steps[-1] * times[-1] / max(start.marks.times[-1], 1e-300))
    )
    most, looks = MOST + PER_STEP * steps, itertools.count(1)

    def field(t, y):
        if next(looks) > most:
            got = f"as many by t = {t:.4g} of {times[-1]:.4g}"
            remedy = "Raise the rule's eps (what divides by less is stiff), or shorten the clock"
            raise refused("The flow", f"to be solved in {most} looks at its velocity", got, remedy)
        return moving(y)

    flat, unflatten = flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, start.params))
    system = trees.cast(start.system, jnp.float64)
    moving = bound(velocity, system, eqx.Partial(unflatten), *arguments)
    path = integrate.solve_ivp(
        field,
        (0.0, float(times[-1])),
        np.asarray(flat),
        method="DOP853",
        t_eval=times,
        rtol=1e-10,
        atol=1e-12,
    )
    return [unflatten(jnp.asarray(y)) for y in path.y.T]


SOON = 0.05


def has_flow(start: Start) -> Condition:
    """The condition that the rule becomes a flow as its rate vanishes, and sees all samples."""
    rule, name = start.rule, type(start.rule).__name__
    whole = not rule.flows and rule.plain and not getattr(rule, "batch", 0)
    words = (
        "a rule of all samples at a constant rate, without decay, whose limit is a flow (softened"
        " by eps > 0 where it divides)"
    )
    fact, wants = ("rule-kind", ("descent", "adaptive")) if whole else ("all-samples", ("yes",))
    holds = whole and rule.limit() is not None
    return Condition("the rule becomes a flow", name, words, holds, fact=fact, wants=wants)


def forgetting(start: Start) -> tuple[Condition, ...]:
    """The condition that a rule with averages forgets in a small part of the run: rate/(1 - b)
    of the longest of them, over the time of the run."""
    if start.rule.flows:
        return ()
    shares = [
        float(share)
        for share in (getattr(start.rule, name) for name in start.rule.averages)
        if share is not None
    ]
    if not shares or not start.marks.times[-1] > 0:
        return ()
    part = float(start.rule.rate) / (1 - max(shares)) / float(start.marks.times[-1])
    return (
        Condition(
            "the rule forgets in a small part of the run: rate/(1 - b) over its time",
            part,
            SOON,
            part <= SOON,
        ),
    )


def below_the_edge(start: Start) -> tuple[Condition, ...]:
    """The condition of a rate below the rule's own edge at t = 0, where one is known."""
    top = sharpness(start.system, start.state.params)
    if not np.isfinite(top):
        return (
            Condition("the sharpness at t = 0 is a number", top, "finite", False, decided=False),
        )
    known = start.rule.edge(top) if not start.rule.flows and top > 0 else None
    if known is None:
        return ()
    rate = float(start.rule.rate)
    return (Condition(f"rate below {known[0]} at t = 0", rate, known[1], rate < known[1]),)


# compiled once, not for each prediction: of a map there are hundreds
@eqx.filter_jit
def _loss(system: System, params):
    return system.loss(params)


@eqx.filter_jit
def _test_loss(system: System, params):
    return system.test_loss(params)


def predicted_along(start: Start, clock: Clock | None, path_to: Callable) -> "xr.Dataset":
    """The losses and every parameter array at the clock's marks, `path_to(times)` the parameters
    there."""
    marks, system, shapes = start.marked(clock), start.system, start.state.params
    path = path_to(marks.times)
    told = {"loss": np.array([float(_loss(system, p)) for p in path])}
    quantities = Loss().quantities(system, shapes) + Weights().quantities(system, shapes)
    if system.test is not None:
        told["test_loss"] = np.array([float(_test_loss(system, p)) for p in path])
        quantities += TestLoss().quantities(system, shapes)
    leaves = [trees.leaves_by_path(p) for p in path]
    told |= {name: np.stack([np.asarray(one[name]) for one in leaves]) for name in leaves[0]}
    return table(quantities, told, marks)


class Flow(Theory):
    """Steps follow the flow they become as the rate vanishes: off by O(rate) at a fixed time, below
    the stability edge.

    d(params)/dt = -grad L for descent, (1 - momentum)^{-1} times that for heavy ball and Nesterov,
    sign flow for sign descent, RMSProp and Adam, spectral flow for spectral descent (`Rule.limit`).
    Beside the losses it predicts every parameter array under its path.
    """

    source: ClassVar[str] = "Euler's method"
    of_ids: ClassVar[bool] = True
    predicts: ClassVar[tuple[str, ...]] = ("loss", "test_loss", "layer*")
    limits: ClassVar[tuple[Limit, ...]] = (Limit("rule.rate", 1.0),)
    tolerance: ClassVar[float] = (
        0.05  # a limit: what counts is the order; at 5% one curve still lies on the other by eye
    )

    def known(self, start):
        return has_flow(start), *forgetting(start)

    def further(self, start):
        return below_the_edge(start)

    def predict(self, start, clock=None):
        need(self, start, has_flow(start))
        flow, speed = start.rule.limit()
        return predicted_along(
            start, clock, lambda times: solved(start, times, _flowing, flow, speed)
        )

    @classmethod
    def example(cls):
        return Experiment(
            Mlp(hidden=(4,)),
            Gaussian(n=10, d=3, k=2),
            GradientDescent(rate=0.05),
            Clock(time=2.0, marks=5),
        )


def departure(
    times: Float[np.ndarray, " m"],
    sharpness: Float[np.ndarray, " m"],
    rate: float,
    unit: float,
    size: float,
) -> tuple[float, float]:
    """(when the flow's sharpness first crosses 2/rate, when descent has left the flow by `size`),
    from the flow alone; NaN where not within these times.

    Along the sharpest direction what is off the flow is multiplied at each step by 1 - rate
    lambda(t), which shrinks it below 2/rate and makes it grow, with alternating sign, above.
    Descent's own path is smooth: what grows is the round-off, of `unit` at each step (the
    precision's eps), so that a_k+1^2 = (1 - rate lambda_k)^2 a_k^2 + unit^2. The crossing is when
    it can leave, the departure when that growth has made up for the smallness.
    """
    steps = np.arange(int(times[-1] / rate) + 1)
    tops = np.interp(steps * rate, times, sharpness)
    crossed = np.flatnonzero(tops > 2 / rate)
    off, departed = 0.0, float("nan")
    for step, top in zip(steps, tops, strict=True):
        off = np.hypot((1 - rate * top) * off, unit)
        if off > size:
            departed = float(step * rate)
            break
    return float(crossed[0] * rate) if len(crossed) else float("nan"), departed


class ModifiedFlow(Theory):
    """Descent follows the flow of L + (rate/4)|grad L|^2 more closely: off by O(rate^2) at a fixed
    time, O(rate^3) per step.

    Beside the losses it predicts every parameter array under its path.
    """

    source: ClassVar[str] = "Barrett & Dherin 2021"
    of_ids: ClassVar[bool] = True
    predicts: ClassVar[tuple[str, ...]] = ("loss", "test_loss", "layer*")
    limits: ClassVar[tuple[Limit, ...]] = (Limit("rule.rate", 2.0),)
    tolerance: ClassVar[float] = 0.01  # a limit: what counts is the order

    def known(self, start):
        return (rule_is(start, GradientDescent),)

    def further(self, start):
        return below_the_edge(start)

    def predict(self, start, clock=None):
        need(self, start, rule_is(start, GradientDescent))
        return predicted_along(
            start, clock, lambda times: integrated(start, times, float(start.rule.rate))
        )

    @classmethod
    def example(cls):
        return Flow.example()


def epoch_modified_loss(losses, gradients, rate: float):
    """L + (rate/(4m)) sum_k |grad L_k|^2 for m fixed batches in shuffled orders, L the mean of
    their losses: what an epoch of SGD follows on average.

    `losses` (m,) and `gradients` (m, p) are those of each batch; the flow runs for time m * rate
    per epoch.  Source: Smith et al. 2021.
    """
    m = len(losses)
    return jnp.mean(losses) + rate / (4 * m) * jnp.sum(gradients**2)
