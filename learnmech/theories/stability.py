"""Stability: the curvature above which a rule's steps grow, rule by rule, and what each linear
rule does on a quadratic, step by step."""

from typing import Any, ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.experiment.tables import table
from learnmech.initial.given import Given
from learnmech.instruments.losses import Outputs
from learnmech.instruments.sharpness import PreconditionedSharpness, Sharpness
from learnmech.language import trees
from learnmech.language.trees import leaves_by_path
from learnmech.rules.base import Rule
from learnmech.rules.descent import GradientDescent, Langevin, Nesterov
from learnmech.rules.schedules import Constant
from learnmech.theories.base import Condition, Theory, constant, need, ridge_of, squared_loss
from learnmech.theories.deep_linear import OF_MAPS, plain_layers, said_of_maps
from learnmech.theories.regression import directions

Curvatures = Float[np.ndarray, " n"]
Steps = Float[np.ndarray, "n 3 3"]

NEAR = 0.95


def decays(rule: Rule) -> tuple[float, float]:
    """(coupled, decoupled) weight decay."""
    decay = float(rule.decay) if rule.decay is not None else 0.0
    return (decay, 0.0) if rule.coupled else (0.0, decay)


def threshold(rule: Rule) -> float | None:
    """The curvature above which this rule's steps on a quadratic grow; None where the rule has
    none.

    gain (2/rate - decay), gain = 1 for plain descent and RMSProp, 1 + b for heavy ball,
    (1 + b)/(1 + 2b) for Nesterov, (1 + b)/(1 - b) for the moving average and Adam
    (38/rate at b1 = 0.9): where -1 is an eigenvalue of the step
    (z - 1 + rate decay = -rate h (p c z/(z - b) + q) at z = -1). The curvature is
    lambda_max(P^-1 H), P held fixed, of the H that the rule sees: with coupled decay that of the
    loss and of decay |w|^2/2. Decoupled decay is one for all weights; where it is scaled
    (`decay_scaled`), no scaling may give layers rates of their own beside it. Of batches it is the
    mean that grows there.  Source: Cohen et al. 2021, 2022; decay by us.
    """
    known = rule.recurrence
    if known is None:
        return None
    return (1 / float(rule.rate) - decays(rule)[1] / 2) * known.threshold


def affine_steps(rule: Rule, h: Curvatures) -> Steps:
    """(w, v, 1) one step on, in directions of curvature h pulled by a unit force:
    g = (h + coupled decay) w - 1."""
    known: Any = rule.recurrence
    b, c, p, q, _ = known
    (coupled, decoupled), rate, h = decays(rule), float(rule.rate), np.asarray(h, float)
    one = np.ones_like(h)
    zero = np.zeros_like(h)
    g = np.stack([h + coupled, 0 * h, -np.ones_like(h)], axis=-1)
    v = b * np.stack([zero, one, zero], axis=-1) + c * g
    w = np.stack([(1 - rate * decoupled) * one, zero, zero], axis=-1) - rate * (p * v + q * g)
    return np.stack([w, v, np.stack([zero, zero, one], axis=-1)], axis=-2)


def growth(rule: Rule, h: Curvatures) -> Curvatures:
    """By how much a deviation grows or falls per step in the long run, in directions of
    curvature h: the spectral radius of the step without its force."""
    return np.abs(np.linalg.eigvals(affine_steps(rule, h)[..., :2, :2])).max(axis=-1)


def _steady(rule):
    """Whether every step of it is alike: all samples, a constant rate, no clipping, no noise."""
    stirred = getattr(rule, "batch", 0) or isinstance(rule, Langevin)
    return (
        not rule.flows and isinstance(rule.schedule, Constant) and rule.clip is None and not stirred
    )


def _unsteady(rule) -> tuple[str, tuple[str, ...]]:
    """(the fact that keeps a rule from being steady, what it should be)."""
    if rule.flows or isinstance(rule, Langevin):
        return "rule-kind", ("descent", "momentum")
    return ("all-samples", ("yes",)) if getattr(rule, "batch", 0) else ("plain-rate", ("yes",))


class LinearRules(Theory):
    """One linear layer under plain descent, heavy ball, Nesterov or moving-average momentum, with
    weight decay or without: exact at every step.

    In each eigendirection of H = 2c X'X the rule is a matrix on (w, v, 1), `affine_steps`; its
    powers are what is left of the start and what has been learned. Below `threshold` it converges
    to the minimum with ridge; decoupled decay is a ridge of decay / (its whole push per gradient,
    1/(1 - b) for heavy ball). Above, the deviation grows by `growth` per step. (`Regression` tells
    plain descent, heavy ball and flow without decay by shares, to finer residuals.)
    """

    source: ClassVar[str] = "Polyak 1964; Cohen et al. 2021, appendix"
    predicts: ClassVar[tuple[str, ...]] = (*OF_MAPS, "outputs", "test_outputs")
    # round-off of some thousand steps, relative to the largest value along the run
    tolerance: ClassVar[float] = 1e-9

    def domain(self, start):
        depth, rule = len(start.params), start.rule
        one = Condition("one layer", depth, 1, depth == 1, fact="depth", wants=("1",))
        known = _steady(rule) and rule.recurrence is not None and not rule.divides
        words = "GradientDescent, HeavyBall, Nesterov or MovingAverage"
        fact, wants = _unsteady(rule)
        linear = Condition(
            "the rule is linear, of all samples, at a constant rate, without clipping",
            repr(rule),
            words,
            known,
            fact=fact,
            wants=wants,
        )
        return one, plain_layers(start), squared_loss(start), linear

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # above the threshold the prediction diverges, as the run does
            return self._said(start, clock)

    def _said(self, start, clock):
        marks, c, rho = start.marked(clock), constant(start), ridge_of(start)
        X, Y, W_0 = start.data.train.X, start.data.train.Y, start.params["layer1"]["weight"]
        _, _, Q, h = directions(X, c)
        left, learned = powers(affine_steps(start.rule, h + rho), marks.steps)
        force = 2 * c * Y.T @ X @ Q
        W = (left[:, None, :] * (W_0 @ Q) + learned[:, None, :] * force) @ Q.T
        told = {"outputs": X @ np.swapaxes(W, 1, 2)}
        loss = c * np.sum((told["outputs"] - Y) ** 2, axis=(1, 2)) + rho / 2 * np.sum(
            W**2, axis=(1, 2)
        )
        said = said_of_maps(start, marks, W, loss=loss)
        if start.data.test is not None:
            told["test_outputs"] = start.data.test.X @ np.swapaxes(W, 1, 2)
        for quantity in Outputs().quantities(start.system, start.state.params):
            said[quantity.name] = (
                ("time", *quantity.axes),
                told[quantity.name],
                quantity.attributes,
            )
        return said

    @classmethod
    def example(cls):
        data = Gaussian(n=20, d=4, k=2, noise=0.1, test=5)
        return Experiment(
            DeepLinear(),
            data,
            Nesterov(rate=0.2, momentum=0.8, decay=0.1),
            Clock(steps=60, every=3),
        )


def powers(
    steps: Steps, marks: np.ndarray
) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, "m n"]]:
    """(what is left of w, what a unit force has made of it) from rest, at every mark: the first
    row of the steps' powers."""
    so_far, before, rows = np.broadcast_to(np.eye(3), steps.shape), 0, []
    for mark in marks:
        so_far, before = np.linalg.matrix_power(steps, int(mark) - before) @ so_far, int(mark)
        rows.append(so_far[:, 0])
    found = np.array(rows)
    return found[..., 0], found[..., 2]


class EdgeOfStability(Theory):
    """On all samples training sharpens the landscape until the rule's steps are at their
    `threshold`, and hovers there: the sharpness at the end.

    Under adaptive rules, and in scalings with rates of their own, it is that under the
    preconditioner, as it then is, that comes to rest. Whether a run comes so far is seen, not said:
    its first half must.
    """

    source: ClassVar[str] = "Cohen et al. 2021, 2022"
    of_ids: ClassVar[bool] = True
    predicts: ClassVar[tuple[str, ...]] = ("sharpness", "preconditioned_sharpness")
    # it hovers: some percent above while the loss still oscillates, some below after a burst
    tolerance: ClassVar[float] = 0.1

    def known(self, start):
        rule = start.rule
        claim = (
            "a rule of all samples at a constant rate, without clipping or coupled decay, that has"
            " a threshold"
        )
        known = _steady(rule) and decays(rule)[0] == 0 and threshold(rule) is not None
        own = (
            not known
            or not decays(rule)[1]
            or not rule.decay_scaled
            or self._factors(start) == {1.0}
        )
        fact, wants = _unsteady(rule)
        return (
            Condition(claim, repr(rule), "such a rule", known, fact=fact, wants=wants),
            Condition(
                "decay, if any, is the same for all weights",
                repr(start.experiment.architecture),
                "no rates of their own",
                own,
            ),
            Condition(
                "training moves it: the loss changes along the run",
                "not known before the run",
                "so",
                True,
                _moves,
            ),
            *(
                (
                    Condition(
                        "the sharpness comes to the threshold from below",
                        "not known before the run",
                        "so",
                        True,
                        self._below(start),
                    ),
                )
                if known
                else ()
            ),
            Condition(
                "the sharpness has come to the threshold in the first half",
                "not known before the run",
                "so",
                known,
                self._come(start, known),
            ),
        )

    def predict(self, start, clock=None):
        need(self, start, *self.known(start)[:2])
        quantities = [
            one.quantities(start.system, start.params)[0]
            for one in (Sharpness(), PreconditionedSharpness())
        ]
        if not self._bare(start):
            quantities = quantities[1:]
        return table(
            tuple(quantities),
            {one.name: np.asarray(threshold(start.rule)) for one in quantities},
            start.marked(clock),
        )

    def _factors(self, start):
        found = start.system.architecture.rate_factors(start.params, start.rule.family)
        return {float(factor) for factor in leaves_by_path(found).values()}

    def _bare(self, start):
        """Whether the preconditioned sharpness is the sharpness."""
        return not start.rule.divides and self._factors(start) == {1.0}

    def further(self, start):
        size = float(trees.norm(_gradient(start.system, start.state.params)))
        # from a stationary point nothing sharpens, and every sharpness is at rest
        yield Condition(
            "the start is no stationary point: |gradient| at t = 0", size, "above 0", size > 0
        )

    def _come(self, start, known):
        def come(record):
            seen = _sharpnesses(record, known and self._bare(start))
            early = seen[: len(seen) // 2 + 1] if known else seen[:0]
            if not np.isfinite(early).any():
                return "not read there", None
            most = float(np.nanmax(early))
            edge: Any = threshold(start.rule)
            return most, most >= NEAR * edge

        return come

    def _below(self, start):
        def below(record):
            seen = _sharpnesses(record, self._bare(start))
            # a rule with averages has no preconditioner before its first step, and with few
            # gradients in it one that is not yet its own
            if start.rule.divides:
                return "of a preconditioner that has to form", True
            early = seen[: len(seen) // 2 + 1]
            edge: Any = threshold(start.rule)
            if not len(seen) or not np.isfinite(seen[0]):
                return "not read there", None
            # from random weights it may begin above, fall within some steps, and only then rise
            (under,) = np.nonzero(early < edge)
            if not len(under):
                return float(np.nanmin(early)), False
            came = np.nanmax(early) >= NEAR * edge  # of one that never does another condition tells
            risen = np.nanmax(early[under[0] :]) >= NEAR * edge
            return float(early[under[0]]), bool(risen or not came)

        return below

    @classmethod
    def example(cls):
        data = Gaussian(n=10, d=1, k=1, map=np.array([[2.0]]))
        start = Given(np.array([4.0, 4.0, 0.2, 0.2]))
        return Experiment(
            DeepLinear(hidden=(1, 1, 1)),
            data,
            GradientDescent(rate=0.09),
            Clock(steps=2000, every=100),
            start,
        )


@eqx.filter_jit
def _gradient(system, params):
    return system.value_and_gradient(params)[1]


def _sharpnesses(record, bare: bool) -> Float[np.ndarray, " m"]:
    """The readings of the sharpness that comes to rest; none where it was not watched."""
    watched = [
        name
        for name in (*(("sharpness",) if bare else ()), "preconditioned_sharpness")
        if name in record
    ]
    return record[watched[0]].values if watched else np.zeros(0)


def _moves(record):
    """Whether the loss, or where that was not watched a sharpness, changes by more than
    round-off."""
    names = [name for name in ("loss", "preconditioned_sharpness", "sharpness") if name in record]
    seen = record[names[0]].values if names else np.zeros(0)
    seen = seen[np.isfinite(seen)]
    if len(seen) < 2:
        return "not read there", None
    change = float(np.ptp(seen) / max(np.abs(seen).max(), np.finfo(float).tiny))
    return change, change > 100 * np.finfo(float).eps
