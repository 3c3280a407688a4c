"""Axes of learning: which samples a step sees, how long it is, what it remembers, what it pays
for."""

import dataclasses
from typing import ClassVar

import jax
import numpy as np

from learnmech.experiment.clock import Clock
from learnmech.language import trees
from learnmech.losses import Squared
from learnmech.losses.classes import CrossEntropy
from learnmech.rules.base import SteppingRule
from learnmech.rules.descent import SGD, GradientDescent
from learnmech.rules.schedules import Constant
from learnmech.simplifications.base import Simplification, changed
from learnmech.simplifications.facts import facts_of

SHARED = tuple(field.name for field in dataclasses.fields(SteppingRule))


def _shared(rule) -> dict:
    """What every rule that steps has: its rate, schedule, decay and clipping."""
    return {name: getattr(rule, name) for name in SHARED}


class AllSamples(Simplification):
    """Every step sees all training samples: no noise of batches."""

    axis: ClassVar = "batches"
    turns: ClassVar = {"all-samples": "yes"}

    def off(self, start):
        return "of all samples" if facts_of(start)["all-samples"] == "yes" else ""

    def turned(self, start):
        rule = start.rule
        if isinstance(rule, SGD):
            return changed(start, rule=GradientDescent(**_shared(rule)))
        return changed(start, rule=dataclasses.replace(rule, batch=0, sampling="replacement"))


class ConstantRate(Simplification):
    """The rate stays what it is on average over the run, without schedule: as many steps take as
    much time."""

    axis: ClassVar = "schedule"

    def off(self, start):
        constant = start.rule.flows or isinstance(start.rule.schedule, Constant)
        return "constant" if constant else ""

    def turned(self, start):
        rule, steps = start.rule, int(start.marks.steps[-1])
        rate = float(rule.elapsed(steps)) / steps
        even = dataclasses.replace(rule, schedule=Constant(), rate=rate)
        return changed(start, {"rate": rate}, rule=even)


class PlainDescent(Simplification):
    """Momentum, Adam and others become gradient descent.

    Of a rule that adds up or averages gradients the rate is multiplied by how far a gradient that
    lasts moves the weights in the end, 1/(1 - momentum) of heavy ball. Of any other it is such that
    the first step decreases the loss equally to first order, -g.u/(g.F g), u its first step and F
    the scaling's factors: for Adam rate |g|_1/|g|^2. By the length of the step, descent would be
    2.5 times farther off.
    """

    axis: ClassVar = "rule"
    turns: ClassVar = {"rule-kind": "descent"}

    def off(self, start):
        kind = facts_of(start)["rule-kind"]
        return "descent" if kind == "descent" else "a flow" if kind == "flow" else ""

    def turned(self, start):
        rule = start.rule
        known = None if rule.divides else rule.recurrence
        if known is not None:
            rate = float(rule.rate) * known.push
        else:
            _, gradient = start.system.value_and_gradient(start.state.params)
            # the whole step, with decay and clipping off: those stay as they are
            step, _ = rule.update(start.system, gradient, start.state.memory, start.state.params)
            factors = start.system.architecture.rate_factors(start.state.params, "sgd")
            scaled = jax.tree.map(lambda f, g: f * g, factors, gradient)
            rate = float(-trees.dot(gradient, step) / trees.dot(gradient, scaled))
        knobs = _shared(rule) | {"rate": rate}
        batch = getattr(rule, "batch", 0)
        made = (
            SGD(**knobs, batch=batch, sampling=rule.sampling) if batch else GradientDescent(**knobs)
        )
        return changed(start, {"rate": rate}, rule=made)


SOON = 0.05
"""Of the run: a rule with averages that forgets in more of it is not near its flow, which forgets
at once; as the theory of flow has it."""


def _forgets(start) -> float:
    """Of the time of the run the part in which the longest average of a rule forgets, rate/(1 - b);
    0 of a rule without."""
    shares = [getattr(start.rule, name) for name in getattr(start.rule, "averages", ())]
    held, end = [float(one) for one in shares if one is not None], float(start.marks.times[-1])
    return float(start.rule.rate) / (1 - max(held)) / end if held and end > 0 else 0.0


class SmallSteps(Simplification):
    """Steps become so small that descent is its flow, over the same time and at the same marks."""

    axis: ClassVar = "step size"
    needs: ClassVar = {
        "rule-kind": ("descent", "adaptive", "other", "flow"),
        "all-samples": ("yes",),
        "deterministic": ("yes",),
        "plain-rate": ("yes",),
    }
    turns: ClassVar = {"rule-kind": "flow"}

    def off(self, start):
        return "a flow" if start.rule.flows else ""

    def lacks(self, start):
        limit = start.rule.limit()
        if limit is None:
            return f"{type(start.rule).__name__} becomes no flow"
        if start.system.architecture.running_momentum is not None:
            return "running statistics are moved by steps, not gradients"
        forgets = _forgets(start)
        if forgets > SOON:
            return f"the rule forgets in {forgets:.0%} of the run, and its flow at once"
        return "" if not start.experiment.events else "events stand at steps"

    def turned(self, start):
        flow, _ = start.rule.limit()
        times = tuple(float(t) for t in start.marks.times)
        clock = Clock(time=times[-1], at=times)
        return changed(start, rule=flow, clock=clock)


class SquaredLoss(Simplification):
    """Cross-entropy becomes the squared loss at the same rate: at f = 0 both give a target y as
    much to move the outputs with.

    The gradient by the outputs is softmax(f) - y there and f - y here; the Hessian is not kept, by
    which the rate would grow tenfold with ten classes and accuracies be 0.47 apart in place of
    0.03.
    """

    axis: ClassVar = "loss"
    needs: ClassVar = {"loss-kind": ("classes", "squared")}
    turns: ClassVar = {"loss-kind": "squared"}

    def off(self, start):
        return "squared" if isinstance(start.experiment.loss, Squared) else ""

    def lacks(self, start):
        ids = np.issubdtype(np.asarray(start.data.train.Y).dtype, np.integer)
        return "targets are ids, which have no squares" if ids else ""

    def turned(self, start):
        loss = start.experiment.loss
        assert isinstance(loss, CrossEntropy)
        reduction = {"mean": "half-mean", "sum": "half-sum"}[loss.scaling]
        squared = Squared(ridge=loss.ridge, scaling=reduction)
        return changed(start, loss=squared)


class DoublePrecision(Simplification):
    """Numbers of 53 bits in place of 24."""

    axis: ClassVar = "round-off"
    turns: ClassVar = {"precision": "float64"}

    def off(self, start):
        return "in float64" if start.experiment.precision == "float64" else ""

    def turned(self, start):
        return changed(start, precision="float64")
