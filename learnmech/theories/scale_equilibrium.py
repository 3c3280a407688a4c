"""Equilibrium of weights whose scale does not matter: decay shrinks them, steps across lengthen
them, and they settle at one angle per step."""

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.mlp import Mlp
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.instruments.conserved import Turning, scale_groups
from learnmech.rules.descent import SGD, GradientDescent
from learnmech.rules.schedules import Constant
from learnmech.theories.base import Condition, Theory, need
from learnmech.theories.symmetry_charges import charged, fading, pulled, still_along, symmetric

STEADY, RELAXATIONS = 1e-6, 5.0


def angular_step(rate: float, decay: float) -> float:
    """arccos(1 - rate decay), in radians: the angle of a step that leaves |w| as it was; sqrt(2
    rate decay) (1 + rate decay/12 + ...) for small rate decay.

    w+ = a w - rate g with a = 1 - rate decay and <w, g> = 0: |w+| cos = a |w|, and |w+| = |w|. In
    any stationary state the mean of -ln cos over steps is -ln a, since its sum telescopes to ln|w|
    at the ends.
    """
    return float(np.arccos(1 - rate * decay))


def equilibrium_norm(unit_gradient: float, rate: float, decay: float) -> float:
    """|w| = [rate^2 G^2/(1 - a^2)]^(1/4), G = |w||g| the gradient's norm at unit size: (rate
    G^2/(2 decay))^(1/4) for small rate decay."""
    return float((rate**2 * unit_gradient**2 / (1 - (1 - rate * decay) ** 2)) ** 0.25)


def norm_course(
    norm: float, unit_gradient: float, rate: float, decay: float, steps: int
) -> Float[np.ndarray, " m"]:
    """|w| at steps 0 to `steps` at a steady G, by |w+|^2 = a^2 |w|^2 + rate^2 G^2/|w|^2."""
    squares = [float(norm) ** 2]
    for _ in range(steps):
        squares.append(
            (1 - rate * decay) ** 2 * squares[-1] + rate**2 * unit_gradient**2 / squares[-1]
        )
    return np.sqrt(squares)


def relaxation_steps(rate: float, decay: float) -> float:
    """Steps in which |w| comes e times nearer its equilibrium: -1/ln(2 a^2 - 1), the slope of the
    recursion there; 1/(4 rate decay) for small rate decay.

    In time t = rate step, for small rate: d|w|^4/dt = -4 decay |w|^4 + 2 rate G^2, so that |w|^4
    relaxes at the rate 4 decay from however far. Where 2 a^2 < 1 the steps overshoot, and -1/ln|2
    a^2 - 1| is meant.
    """
    left = abs(2 * (1 - rate * decay) ** 2 - 1)
    return float(-1 / np.log(left)) if left > 0 else 0.0


class ScaleEquilibrium(Theory):
    """Under decay r, weights written into a norm end up turning by arccos(1 - rate r) a step, all
    of them, whatever the data: sqrt(2 rate r) for small rate r.

    Exact at any rate where the state is steady. r is what a step takes off the weights over the
    rate (`fading`): decay, and with a factor f on their rates f times a ridge, and f times decay
    that is coupled or scaled. Descent on all samples settles so, to and fro between two places, or
    wanders. On batches angles scatter from step to step; what is exact then is the mean of -ln cos
    over steps, -ln(1 - rate r). How large the weights are there needs the gradients
    (`equilibrium_norm`).
    """

    source: ClassVar[str] = (
        "van Laarhoven 2017; Li et al. 2020; Kosson et al. 2024; the exact angle derived here"
    )
    predicts: ClassVar[tuple[str, ...]] = ("angular_step", "turning")

    def known(self, start):
        return *self._needed(start), _long_enough(start), _steady()

    def further(self, start):
        yield still_along(start)

    def _needed(self, start):
        groups, r = scale_groups(start.system, start.state.params), fading(start)
        normed = Condition(
            "weights whose scale does not matter, before a norm",
            ", ".join(one.name for one in groups) or "none",
            "one or more",
            bool(groups),
        )
        fades = Condition("weights decay (rule.decay or loss.ridge)", r, "above 0", r > 0)
        return (
            normed,
            fades,
            *(symmetric(start, pulled(start))[1:] if groups else ()),
            _plain_but_decay(start),
        )

    def predict(self, start, clock=None):
        need(self, start, *self._needed(start))
        cosines = np.concatenate(
            [np.full(one.shape or (1,), 1 - shrinking) for one, shrinking in _shrinkings(start)]
        )
        told = {"angular_step": np.arccos(cosines), "turning": -np.log(cosines)}
        quantities = Turning().quantities(start.system, start.state.params)
        return table(tuple(q for q in quantities if q.name in told), told, start.marked(clock))

    @classmethod
    def example(cls):
        architecture = Mlp(hidden=(3,), norm="layer")
        return Experiment(
            architecture,
            Gaussian(n=32, d=4, k=2, noise=1.0),
            GradientDescent(rate=0.2, decay=0.02),
            Clock(steps=3000, every=50),
        )


def _shrinkings(start: Start):
    """(each group, the share that a step takes off it)."""
    factors, rate = charged(start)[1], float(start.rule.rate)
    return [
        (one, rate * fading(start, one.factor(factors)))
        for one in scale_groups(start.system, start.state.params)
    ]


def _plain_but_decay(start):
    rule, name = start.rule, type(start.rule).__name__
    plain = (
        isinstance(rule, (GradientDescent, SGD))
        and isinstance(rule.schedule, Constant)
        and rule.clip is None
    )
    return Condition(
        "the rule is GradientDescent or SGD at a constant rate, without clipping",
        name,
        "GradientDescent or SGD",
        plain,
    )


def _long_enough(start):
    """That the clock ends beyond some relaxation times, if the rest of the state is steady by
    then."""
    shrinkings = [share for _, share in _shrinkings(start)] if not start.rule.flows else []
    shares = [share for share in shrinkings if 0 < share < 1]
    steps = 0 if start.marks.steps is None else int(start.marks.steps[-1])
    # a share of 1 - 1/sqrt 2 is relaxed from in one step: no time at all by this slope
    spans = [relaxation_steps(1.0, share) for share in shares]
    passed = min((steps / span if span > 0 else np.inf for span in spans), default=0.0)
    return Condition(
        "relaxation times of the norm until the end", passed, RELAXATIONS, passed >= RELAXATIONS
    )


def _steady():
    claim = "angles no longer change over the last tenth of the marks"

    def seen(record):
        if "angular_step" not in record:
            return "not watched", False
        angles = record["angular_step"].values
        late = angles[-max(2, len(angles) // 10) :]
        change = float(
            (
                np.ptp(late, axis=0) / np.maximum(np.abs(late).max(axis=0), np.finfo(float).tiny)
            ).max()
        )
        return change, change <= STEADY

    return Condition(claim, "along the run", STEADY, True, seen)
