"""Symmetries as theories: what flow keeps and fades, and the rate at which descent breaks it,
for any network whose symmetries are known."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.architectures.mlp import Mlp
from learnmech.curvature.eigenpairs import sharpness
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.instruments.conserved import Charges, without_ridge
from learnmech.language import trees
from learnmech.rules.descent import GradientDescent
from learnmech.rules.flow import GradientFlow
from learnmech.rules.schedules import Constant
from learnmech.system.charges import Symmetry
from learnmech.system.landscape import System
from learnmech.system.symmetries import symmetries
from learnmech.theories.base import Condition, Limit, Theory, need, resolved, ridge_of, rule_is

# of the classical Runge-Kutta method: where the slope before is followed to, and the share of the
# new one
STAGES = np.array([[0, 1 / 6], [1 / 2, 1 / 3], [1 / 2, 1 / 3], [1, 1 / 6]])
BLOCK, SMALL = 250, 0.01

Charge = Float[np.ndarray, "m *shape"]


class SymmetryCharges(Theory):
    """Under flow the charge of every symmetry stands still: Q(t) = Q(0) e^{-2 rho f t} with ridge
    rho, e^{-rho f t} for those that are linear.

    f is the factor on the rates of the arrays the charge is made of (with a ridge one for all).
    `learnmech.system.symmetries` lists the charges; `charge_drift` is the change of each over the
    size of what it is made of. Charges themselves are said where they are not small beside that.
    """

    source: ClassVar[str] = "Kunin et al. 2021; Tanaka & Kunin 2021"
    predicts: ClassVar[tuple[str, ...]] = ("charge_*",)

    def known(self, start):
        return *symmetric(start, ridge_of(start)), rule_is(start, GradientFlow)

    def further(self, start):
        yield still_along(start)

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        marks, ridge, (found, factors) = start.marked(clock), ridge_of(start), charged(start)
        courses = []
        for one in found:
            shared: Any = one.factor(factors)
            rate = one.order * ridge * shared if ridge else 0.0
            courses.append(
                np.multiply.outer(np.exp(-rate * marks.times), one.charge(start.params, factors))
            )
        return _laid_out(start, courses, marks)

    @classmethod
    def example(cls):
        rule = GradientFlow(rtol=1e-9, atol=1e-11)
        return Experiment(
            Mlp(hidden=(4,), activation="leaky-relu", bias=True),
            Gaussian(n=10, d=3, k=2),
            rule,
            Clock(time=2.0, marks=5),
        )


class ChargeDrift(Theory):
    """Descent breaks quadratic charges by rate^2 <g, D A g> a step, in time at the rate rate <g, D
    A g>, and keeps linear ones.

    A step takes Q to (1 - rate r)^2 Q + rate^2 b(theta), b = <g, D A g>, r what ridge and decay
    take off (`fading`; a ridge, and decay where the factors multiply it, times f): exact, with b
    along the path of descent. Here b is taken at the times of the steps along the modified flow of
    second order (without decay that of L + (rate/4)|grad L|^2), from which descent is off by
    O(rate^2): so the drift, of O(rate), is said with a relative error of O(rate^2); with decay the
    drift is of O(1) and its relative error of O(rate^3). Linear ones go to (1 - rate r) Q, exactly.
    The flow is integrated at the step of the rule, by a method of fourth order; crossing the kink
    of an activation may cost an order.
    """

    source: ClassVar[str] = "Kunin et al. 2021; Barrett & Dherin 2021"
    predicts: ClassVar[tuple[str, ...]] = ("charge_*",)
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("rule.rate", 2.0, bound=True, quantity="charge_drift"),
    )
    tolerance: ClassVar[float] = 0.01  # a limit: what counts is the order

    def known(self, start):
        return *symmetric(start, pulled(start)), _descends(start)

    def further(self, start):
        yield still_along(start)
        top, rate = sharpness(start.system, start.state.params), float(start.rule.rate)
        edge = 2 / top if top > 0 else top if np.isnan(top) else np.inf
        yield Condition("rate below 2/sharpness at t = 0", rate, edge, rate < edge)

    def predict(self, start, clock=None):
        need(self, start, *symmetric(start, pulled(start)), _descends(start))
        need(self, start, still_along(start))
        marks, rate, (found, factors) = start.marked(clock), float(start.rule.rate), charged(start)
        breaking, courses = _along_modified_flow(start, rate, int(marks.steps[-1])), []
        for one in found:
            share = rate * fading(start, one.factor(factors))
            begun = one.charge(start.params, factors)
            if one.order == 1:
                courses.append(np.multiply.outer((1 - share) ** marks.steps, begun))
            else:
                courses.append(
                    _summed((1 - share) ** 2, begun, rate**2 * breaking[one.name], marks.steps)
                )
        return _laid_out(start, courses, marks)

    @classmethod
    def example(cls):
        architecture = Mlp(hidden=(4,), activation="linear", bias=True)
        return Experiment(
            architecture,
            Gaussian(n=10, d=3, k=2),
            GradientDescent(rate=0.05),
            Clock(time=2.0, marks=5),
        )


def _summed(keep: float, begun, added: Charge, steps) -> Charge:
    """Q at these steps by Q+ = keep Q + added."""
    course = [begun]
    for one in added[: steps[-1]]:
        course.append(keep * course[-1] + one)
    return np.stack(course)[steps]


def _along_modified_flow(start, rate, last):
    """{charge: b} at steps 0 to `last` along the modified flow of the field F that a step adds over
    its rate, F - (rate/2) F'F.

    What is pulled with the gradient is ridge in L, other decay a pull of its own.
    """
    system, ridge = trees.cast(start.system, jnp.float64), pulled(start)
    system = dataclasses.replace(
        system, loss_function=dataclasses.replace(system.loss_function, ridge=jnp.asarray(ridge))
    )
    params = jax.tree.map(jnp.asarray, start.params)
    blocks = []
    free = jnp.asarray(fading(start) - ridge)
    for _ in range(last // BLOCK + 1):
        params, found = _block(system, params, jnp.asarray(rate), free)
        blocks.append(jax.tree.map(np.asarray, found))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[: last + 1], *blocks)


@eqx.filter_jit
def _block(system: System, params, rate, free):
    """The parameters BLOCK steps of the rule later, and b of each quadratic charge at every step
    before, by the classical Runge-Kutta method at that step."""
    factors = system.architecture.rate_factors(params, "sgd")
    listed = symmetries(system.architecture, system.loss_function, params)

    def descent(at):
        return jax.tree.map(
            lambda g, f, w: g * f + free * w, system.value_and_gradient(at)[1], factors, at
        )

    def stage(carry, weights):
        at, moved, slope = carry
        here = jax.tree.map(lambda w, k: w + rate * weights[0] * k, at, slope)
        down = descent(here)
        slope = jax.tree.map(
            lambda g, b: -g - rate / 2 * b, down, jax.jvp(descent, (here,), (down,))[1]
        )
        return (at, jax.tree.map(lambda w, k: w + rate * weights[1] * k, moved, slope), slope), None

    def step(at, _):
        gradient = without_ridge(system, system.value_and_gradient(at)[1], at)
        broken = {one.name: one.breaking(gradient, factors) for one in listed if one.order == 2}
        (_, moved, _), _ = jax.lax.scan(stage, (at, at, trees.zeros_like(at)), STAGES)
        return moved, broken

    return jax.lax.scan(step, params, None, length=BLOCK)


def charged(start: Start) -> tuple[tuple[Symmetry, ...], dict]:
    """(the symmetries at a start, the factors on the rates as float64)."""
    factors = start.system.architecture.rate_factors(start.params, "sgd")
    return symmetries(
        start.system.architecture, start.system.loss_function, start.params
    ), jax.tree.map(float, factors)


def fading(start: Start, factor: float | None = 1.0) -> float:
    """What weights of this factor on their rate lose per unit of time, by decay and ridge together,
    as a share of themselves.

    NaN for arrays without one factor (None) where a factor would count.
    """
    decay, ridge = 0.0 if start.rule.flows else start.rule.fading(factor), ridge_of(start)
    return decay + (ridge * (np.nan if factor is None else factor) if ridge else 0.0)


def pulled(start: Start) -> float:
    """The part of it that the factors on the rates multiply: ridge, and decay that is coupled or
    scaled."""
    rule = start.rule
    free = rule.flows or not (rule.coupled or rule.decay_scaled)
    return ridge_of(start) + (0.0 if free else rule.fading())


def symmetric(start: Start, r: float) -> tuple[Condition, ...]:
    """The conditions that there are symmetries, and with decay that charges fade as wholes. What
    they take of the loss is `still_along`."""
    found, factors = charged(start)
    some = Condition(
        "a network and loss whose symmetries are known",
        ", ".join(one.name for one in found) or "none",
        "one or more",
        bool(found),
    )
    if not found:
        return (some,)
    apart = [one.name for one in found if one.factor(factors) is None]
    same = (
        ()
        if not r
        else (
            Condition(
                "with ridge or scaled decay, one factor on the rates in each charge",
                ", ".join(apart) or "one",
                "one",
                not apart,
            ),
        )
    )
    return some, *same


def still_along(start: Start) -> Condition:
    """The condition that the loss does not move along the symmetries at the start."""
    found = charged(start)[0]
    gradient = jax.tree.map(np.asarray, _gradient(start.system, start.state.params))
    bound = resolved(start, 1e-9)
    lengths = [
        np.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(tree)))
        for tree in (gradient, start.params)
    ]
    scale = lengths[0] * max(1.0, lengths[1]) or 1.0
    off = max(float(np.abs(one.along(gradient, start.params)).max()) for one in found) / scale
    return Condition(
        "the loss does not move along the symmetries, |<g, A theta>|/|g||theta|",
        off,
        bound,
        off <= bound,
    )


def _descends(start):
    rule, name = start.rule, type(start.rule).__name__
    plain = (
        isinstance(rule, GradientDescent)
        and isinstance(rule.schedule, Constant)
        and rule.clip is None
    )
    return Condition(
        "the rule is descent on all samples at a constant rate",
        name,
        "GradientDescent",
        plain,
        fact="all-samples" if getattr(start.rule, "batch", 0) else "rule-kind",
        wants=("yes",) if getattr(start.rule, "batch", 0) else ("descent",),
    )


@eqx.filter_jit
def _gradient(system: System, params):
    return without_ridge(system, system.value_and_gradient(params)[1], params)


def _laid_out(start, courses, marks):
    """The drift of each charge, and those that are not small beside what they are made of, which
    a relative error cannot judge."""
    told, drifts, (found, factors) = {}, [], charged(start)
    for one, Q in zip(found, courses, strict=True):
        size = float(one.size(start.params, factors))
        moved = np.sqrt(((Q - Q[0]).reshape(len(Q), -1) ** 2).sum(axis=1))
        drifts.append(moved / size if size > 0 else np.zeros_like(moved))
        if np.abs(Q[0]).max() > SMALL * size:
            told[f"charge_{one.name}"] = Q
    told["charge_drift"] = np.array(drifts).T
    quantities = Charges().quantities(start.system, start.state.params)
    return table(tuple(q for q in quantities if q.name in told), told, marks)
