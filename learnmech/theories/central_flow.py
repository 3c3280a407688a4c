"""The central flow: what descent and RMSProp do on average over time, at the edge of stability
too, where they never settle."""

import threading
from typing import ClassVar

import jax
import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.data.teachers import NetworkTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.experiment.tables import table
from learnmech.instruments.losses import Loss
from learnmech.instruments.sharpness import PreconditionedSharpness, Sharpness
from learnmech.language.parts import structure
from learnmech.losses import Squared
from learnmech.rules.adaptive import RMSProp
from learnmech.rules.descent import GradientDescent
from learnmech.theories.base import Condition, Theory, need, rule_is
from learnmech.theories.central_course import PARTS, course
from learnmech.theories.central_omissions import hurried, lacked, mean_about, overshot, stepped
from learnmech.theories.response import ROUGH

# what is left out is of this order; at 0.06 means were once found off by more than 5%. Of 314 runs
# over rates and starts of four problems, beyond those of exhibit `central-flow-map`, 216 lie within
# this and all other bounds, at 0.03 there were 200; none of them is off by more, nor by this bound
# alone up to 0.09. It was chosen on these runs, not tried on others. Any other bound taken twice as
# wide lets in a run that is off, or fewer than seven that are not
SKEWED = 0.045
# of the tolerance; what is of higher order in the oscillation takes up to a fifth of it
MISSED = 0.8
# of the tolerance too: what steps leave of the loss to leading order was found to be up to 2.4
# times as much; two eigenvalues that oscillate in bursts are above the edge in turn, the larger of
# them by up to four times as much
COARSE, TURNS = 1 / 3, 1 / 4
HIGH = 0.2


class _Kept(threading.local):
    """The last course of a thread: (start, the way, how far it goes, what it told)."""

    last: tuple | None = None


_KEPT = _Kept()


class CentralFlow(Theory):
    """Descent and RMSProp on average over time, at the edge of stability too: the loss and the
    largest curvatures, means over `window` steps.

    dw/dt = -P^-1 [grad L + grad<H, S>/2], P = 1 for descent (over the scaling's factors). S,
    the covariance of the oscillation about w, is what keeps the curvature at its edge: 0 <= S,
    0 <= (2/rate) P - H, S ((2/rate) P - H) = 0. For RMSProp P = sqrt(nu) + eps (over the factors),
    from nu = (1 - b2) (grad L)^2 with d nu/dt = (1/b2 - 1)/rate [(grad L)^2 + diag(H S H) - nu].
    Mean loss L(w) + tr(PS)/rate, curvatures the eigenvalues of P^-1 H.

    In the sharpest eigenvectors U of P^-1 H, `most` of them with U'PU = 1, S = U X U'; over a small
    span X >= 0 and M >= 0 with XM = 0, M = U'((2/rate) P - H)U as it is at the span's end to first
    order in the span, affine in X: a semidefinite complementarity problem, whose end point keeps
    the flow at the edge. NaN within half a window of both ends, and from where as many eigenvalues
    as are followed have come to the edge, since there may be more. A record is averaged over the
    same window before it is laid beside this. It does not know how long an oscillation takes to
    grow from round-off, during which the sharpness rises above the edge; its conditions estimate
    that (`lacked`, `overshot`) and what is of higher order in the oscillation. They take round-off
    for noise: where a symmetry of network, data and start keeps the loss flat along the sharpest
    direction (an odd target, an odd activation, biases that begin at 0), arithmetic that happens to
    respect it does not begin to oscillate at all.
    """

    source: ClassVar[str] = "Cohen, Damian et al. 2025"
    predicts: ClassVar[tuple[str, ...]] = (
        "loss",
        "preconditioned_sharpness",
        "sharpness",
        "hessian_eigenvalue",
    )
    dear: ClassVar[bool] = True
    # what is left out is of higher order in the oscillation, some percent where it sets in
    tolerance: ClassVar[float] = 0.05
    window: int = structure(
        default=400,
        at_least=2,
        meaning="steps over which the loss and the largest curvatures are averaged",
    )
    most: int = structure(
        default=3, at_least=2, meaning="sharpest eigenvectors that it follows at the most"
    )
    parts: int = structure(
        default=PARTS,
        at_least=2,
        since="0.5",
        meaning="parts in which the flow takes each step; 4 where digits are asked for",
    )

    @property
    def _way(self):
        return self.most, self.parts

    def known(self, start):
        return *self._meant(start), *self._readable(start)

    def further(self, start):
        # to follow the flow takes about as long as a run does
        rate, unit = float(start.rule.rate), float(np.finfo(start.experiment.precision).eps)
        yield _begins(start, self._first(start))
        told = self._told(start, int(start.marks.steps[-1]))
        spoken = _spoken(told, 2 / rate)
        claim = (
            "steps until as many eigenvalues as are followed have come to the edge, or are not"
            " found: at least two windows"
        )
        yield Condition(claim, spoken, 2 * self.window, spoken >= 2 * self.window)
        # the course is walked: what it decides is said together
        yield tuple(self._of_course(start, told, rate, unit))

    def _of_course(self, start, told, rate, unit):
        tolerance = self.tolerance
        claim = (
            "what the steps themselves leave of the mean loss, to leading order, is at most a third"
            " of the tolerance"
        )
        marks = np.asarray(start.marks.steps)
        yield _at_most(claim, stepped(told.loss, self.window, marks), COARSE * tolerance)
        claim = "the sharpness that the first steps lead to is the flow's within half the tolerance"
        yield _at_most(claim, hurried(start, told, self.most), tolerance / 2)
        claim = (
            "the oscillation is small: along it the curvature changes by a small part of the edge"
        )
        yield _at_most(claim, float(np.nanmax(told.skew)), SKEWED)
        claim = (
            "until the oscillation has grown from round-off the mean loss lacks at most four fifths"
            " of the tolerance"
        )
        yield _at_most(claim, lacked(told, rate, self.window, unit), MISSED * tolerance)
        height, beyond, others = overshot(told, rate, self.window, unit)
        claim = (
            "until then the sharpness is beyond the edge by at most four fifths of the tolerance,"
            " on average"
        )
        yield _at_most(claim, beyond, MISSED * tolerance)
        claim = (
            "and at its height by at most a fifth of the edge, since from higher up it falls more"
            " slowly than it rose"
        )
        yield _at_most(claim, height, HIGH)
        claim = (
            "until an oscillation along a further eigenvector has grown its eigenvalue is beyond"
            " the edge by at most a quarter of the tolerance, on average"
        )
        yield _at_most(claim, others, TURNS * tolerance)

    def _first(self, start):
        """What it says of the first steps, or of all where those are known already."""
        kept = _KEPT.last
        if kept is not None and kept[0] is start and kept[1] == self._way:
            return kept[3]
        return course(start, 0, *self._way)

    def _told(self, start, last):
        """The course, kept for the next who asks for the same: its conditions and its
        predictions. From above the edge it does not go on."""
        kept = _KEPT.last
        if kept is None or kept[0] is not start or kept[1:3] != (self._way, last):
            begun = self._first(start)
            holds = _begins(start, begun).holds
            told = course(start, last, *self._way) if holds else begun
            kept = _KEPT.last = (start, self._way, last, told)
        return kept[3]

    def _meant(self, start):
        size = sum(np.size(leaf) for leaf in jax.tree.leaves(start.params))
        batch = getattr(start.rule, "batch", 0)
        activation = str(getattr(start.experiment.architecture, "activation", "linear"))
        return (
            rule_is(start, GradientDescent, RMSProp),
            Condition(
                "every step sees all samples",
                batch,
                0,
                not batch,
                fact="all-samples",
                wants=("yes",),
            ),
            Condition(
                "the loss bends smoothly: its Hessian has a gradient",
                activation,
                f"not {', '.join(ROUGH)}",
                activation.partition(":")[0] not in ROUGH,
            ),
            Condition(
                "more parameters than eigenvalues that are followed",
                size,
                self.most,
                size > self.most,
            ),
        )

    def _readable(self, start):
        steps = np.zeros(1, np.int64) if start.marks.steps is None else start.marks.steps
        gap, last = int(np.diff(steps, prepend=0).max()), int(steps[-1])
        return (
            Condition(
                "at least two windows of steps", last, 2 * self.window, last >= 2 * self.window
            ),
            Condition(
                "at least 80 marks in each window, for what comes in bursts: steps between marks",
                gap,
                self.window // 80,
                gap <= self.window // 80,
            ),
        )

    def beside(self, seen):
        if "step" not in seen.coords:
            return seen
        steps = seen["step"].values
        return seen.copy(data=mean_about(steps, seen.values, steps, self.window))

    def predict(self, start, clock=None):
        need(self, start, *self._meant(start))
        marks, edge = start.marked(clock), 2 / float(start.rule.rate)
        last = int(marks.steps[-1])
        told = self._told(start, last)
        need(self, start, _begins(start, told))
        until = _spoken(told, edge)
        # over the marks that a record has, so that both miss the same of what is between them
        known = marks.steps if clock is None else np.arange(last + 1)
        loss, values = (
            mean_about(known, one[known], marks.steps, self.window)
            for one in (told.loss, told.eigenvalues)
        )
        for means in (loss, values):
            means[marks.steps + self.window // 2 >= until] = np.nan
        system, params = start.system, start.state.params
        said = {"loss": loss, "preconditioned_sharpness": values[:, 0]}
        quantities = Loss().quantities(system, params)
        quantities += PreconditionedSharpness().quantities(system, params)[:1]
        if _unscaled(start):
            said |= {"sharpness": values[:, 0], "hessian_eigenvalue": values}
            quantities += tuple(
                q for q in Sharpness(k=self.most).quantities(system, params) if q.name in said
            )
        return table(quantities, said, marks)

    @classmethod
    def example(cls):
        return Experiment(
            Mlp(hidden=(8,), bias=True),
            NetworkTeacher(teacher=Mlp(hidden=(8,), activation="sin"), n=10, d=1),
            GradientDescent(rate=0.1),
            Clock(steps=1000, every=5),
            loss=Squared(scaling="mean"),
        )


def _spoken(told, edge):
    """The steps of which the flow speaks: until as many eigenvalues as are followed have come to
    the edge, or one or their complementarity is not found."""
    lost = (
        (told.eigenvalues[:, -1] > (1 - 1e-3) * edge)
        | ~np.isfinite(told.eigenvalues).all(axis=1)
        | ~(told.off < 1e-6)
    )
    return int(np.argmax(lost)) if lost.any() else len(lost)


def _at_most(claim, value, bound):
    return Condition(claim, value, bound, value <= bound)


def _begins(start, told):
    top, edge = float(told.eigenvalues[0, 0]), 2 / float(start.rule.rate)
    return Condition(
        "the sharpness under the first step's preconditioner is below the edge, 2/rate",
        top,
        edge,
        top < edge,
    )


def _unscaled(start):
    """Whether the preconditioner is 1, so that the eigenvalues are the Hessian's own."""
    factors = jax.tree.leaves(start.rule.factors(start.system, start.state.params))
    return isinstance(start.rule, GradientDescent) and all(
        bool(np.all(np.asarray(f) == 1)) for f in factors
    )
