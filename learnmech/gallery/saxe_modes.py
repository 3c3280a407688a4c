"""Saxe's modes: a deep linear network learns singular mode by singular mode."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.clock import Clock
from learnmech.comparison import Check
from learnmech.data.teachers import LinearTeacher
from learnmech.experiment import Experiment, prepare
from learnmech.gallery.base import STEPS, Exhibit
from learnmech.initial.balanced import Aligned
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd, ModeStrengths
from learnmech.rules.descent import GradientDescent
from learnmech.theories.modes import Decoupled, half_time, modes_of


def _experiment():
    data = LinearTeacher(strengths=(4.0, 3.0, 2.0, 1.0), n=100, d=8, k=6)
    return Experiment(DeepLinear(hidden=(16,)), data, GradientDescent(rate=0.005), Clock(time=8.0, marks=201), Aligned(strength=1e-3))


def _verify(shown):
    modes = modes_of(prepare(shown.experiment))
    seen = shown.record["mode_strength"]
    checks = []
    for place, (s, a0) in enumerate(zip(modes.s[:4], modes.a0[:4], strict=True)):
        measured = float(np.interp(0.5 * s, seen.values[:, place], seen["time"].values))
        said = half_time(a0, s, len(shown.record.params))
        checks.append(Check(f"mode {place + 1}: time to half its strength, of flow", measured, said, 0.05, "descent lags flow by O(rate * s), 2% at s = 4"))
    return tuple(checks), {}


exhibit = Exhibit(
    claim="A deep linear network learns the singular modes of its data one by one, the strongest first",
    source="Saxe, McClelland & Ganguli 2014",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths(count=4), EndToEnd()),
    theories=(Decoupled(),),
    reason=STEPS,
    verify=_verify,
)
