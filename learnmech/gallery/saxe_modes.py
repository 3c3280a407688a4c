"""Saxe's modes: a deep linear network learns singular mode by singular mode."""

import math

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.teachers import LinearTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.gallery.base import STEPS, Exhibit
from learnmech.gallery.premises import reading, small_steps
from learnmech.initial.balanced import Aligned
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd, ModeStrengths
from learnmech.rules.descent import GradientDescent
from learnmech.theories.base import Condition, time_factor, whitened_inputs
from learnmech.theories.modes import Decoupled, half_time, modes_of


def _experiment():
    data = LinearTeacher(strengths=(4.0, 3.0, 2.0, 1.0), n=100, d=8, k=6)
    return Experiment(
        DeepLinear(hidden=(16,)),
        data,
        GradientDescent(rate=0.005),
        Clock(time=8.0, marks=201),
        Aligned(strength=1e-3),
    )


def _verify(shown):
    start = prepare(shown.experiment)
    modes, depth, pace = modes_of(start), len(start.params), time_factor(start)
    seen = shown.record["mode_strength"]
    times, checks = pace * seen["time"].values, []
    for place, (s, a0) in enumerate(zip(modes.s[:4], modes.a0[:4], strict=True)):
        course = seen.values[:, place]
        below = Condition(
            "the mode begins above 0 and below half its strength: share of it",
            a0 / s if s > 0 else math.inf,
            "0 to 1/2",
            0 < a0 < s / 2,
        )
        said, reached = (
            (half_time(a0, s, depth), bool(course.max() >= 0.5 * s))
            if below.holds
            else (math.nan, False)
        )
        measured = float(np.interp(0.5 * s, course, times)) if reached else math.nan
        rate = depth / 2 * s ** (2 - 2 / depth)
        lag = 0.0 if start.rule.flows else 2.5 * pace * float(start.rule.rate) * rate
        reason = "descent lags flow by O(rate * s), 2% at s = 4; and it is read between marks"
        allowed = 1e-3 + lag + reading(times, 4 * rate, said)
        checks.append(
            Check(
                f"mode {place + 1}: time to half its strength, of flow",
                measured,
                said,
                allowed,
                reason,
                premises=(below,),
                reached=reached,
            )
        )
    return tuple(checks), {"half_times": [check.measured for check in checks]}


def _premises(start):
    return whitened_inputs(start), small_steps(start)


exhibit = Exhibit(
    claim=(
        "A deep linear network learns the singular modes of its data one by one, the strongest"
        " first"
    ),
    source="Saxe, McClelland & Ganguli 2014",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths(count=4), EndToEnd()),
    theories=(Decoupled(),),
    reason=STEPS,
    verify=_verify,
    premises=_premises,
    free=("architecture.hidden", "data", "initial", "rule", "clock", "loss", "precision"),
)
