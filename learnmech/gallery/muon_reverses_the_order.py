"""Muon reverses the order: the weak modes of a deep linear network are learned before the strong
ones."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.teachers import LinearTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import TIME, sheet, titled
from learnmech.gallery.base import STEPS, Exhibit
from learnmech.initial.balanced import Aligned
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd, ModeStrengths
from learnmech.rules.descent import GradientDescent
from learnmech.rules.spectral import Muon, SpectralDescent
from learnmech.runs.running import run
from learnmech.theories.modes import Decoupled, half_time, modes_of
from learnmech.theories.spectral_modes import SpectralModes, spectral_half_time

STRENGTHS = (4.0, 3.0, 2.0, 1.0)
RATE, MOMENTUM = 0.002, 0.9
LEAST, MOST = 0.68, 1.135


def _experiment():
    data = LinearTeacher(strengths=STRENGTHS, n=100, d=8, k=4)
    return Experiment(
        DeepLinear(hidden=(8,)),
        data,
        SpectralDescent(rate=RATE),
        Clock(time=2.4, every=10),
        Aligned(strength=0.0123),
    )


def _halves(record, modes):
    seen = record["mode_strength"]
    return np.array(
        [
            np.interp(0.5 * s, seen.values[:, place], seen["time"].values)
            for place, s in enumerate(modes.s[:4])
        ]
    )


def _verify(shown):
    modes, watch = modes_of(prepare(shown.experiment)), (ModeStrengths(count=4),)
    descent = run(
        shown.experiment.with_value("rule", GradientDescent(rate=0.005)).with_value(
            "clock", {"time": 3.6, "every": 10}
        ),
        watch,
    )
    muon = run(
        shown.experiment.with_value("rule", Muon(rate=RATE, momentum=MOMENTUM)).with_value(
            "clock", {"time": 3.6, "every": 10}
        ),
        watch,
    )
    spectral = np.array(
        [spectral_half_time(a0, s, 2) for s, a0 in zip(modes.s[:4], modes.a0[:4], strict=True)]
    )
    seen = {
        "gradient descent": _halves(descent, modes),
        "spectral descent": _halves(shown.record, modes),
        "muon": _halves(muon, modes),
    }
    slower = seen["muon"] / spectral
    lag = RATE * MOMENTUM / (1 - MOMENTUM) / spectral.min()
    checks = [
        Check(
            f"spectral descent, mode {place + 1} of strength {modes.s[place]:g}: time to half"
            " of it",
            float(seen["spectral descent"][place]),
            float(spectral[place]),
            0.01,
            "marks lie 10 steps of 0.002 apart, and between them a line is drawn",
        )
        for place in range(4)
    ]
    descending, rising = (
        bool(np.all(np.diff(seen[name]) * sign > 0))
        for name, sign in (("gradient descent", 1), ("spectral descent", -1))
    )
    checks.append(
        Check(
            "under descent stronger modes are sooner, under spectral descent weaker ones",
            float(descending and rising),
            1.0,
            0.0,
            "holds or does not",
        )
    )
    weak_first = max(seen["muon"][2:]) < min(seen["muon"][:2])
    why = "holds or does not; nearer strengths change places within the roughness of its iterations"
    checks.append(
        Check(
            "under Muon the two weak modes are sooner than the two strong ones",
            float(weak_first),
            1.0,
            0.0,
            why,
        )
    )
    reason = (
        "five Newton-Schulz steps leave singular values in [0.68, 1.135] where 1 is meant, and"
        " momentum lags by rate b/(1 - b)"
    )
    checks.append(
        Check(
            "Muon's times to half, over those of the exact polar factor: the least",
            float(slower.min()),
            1 / MOST,
            0.0,
            reason,
            "above",
        )
    )
    checks.append(
        Check(
            "Muon's times to half, over those of the exact polar factor: the most",
            float(slower.max()),
            1 / LEAST + lag,
            0.0,
            reason,
            "below",
        )
    )
    said = Decoupled().predict(prepare(descent.experiment))["mode_strength"]
    halves = [half_time(a0, s, 2) for s, a0 in zip(modes.s[:4], modes.a0[:4], strict=True)]
    return tuple(checks), {
        "descent": (descent["mode_strength"], said),
        "muon": muon["mode_strength"],
        "halves": (halves, spectral),
    }


def _draw(shown):
    figure, axes = sheet(1, 3, height=4.0, width=13.5)
    spectral = shown.record["mode_strength"], shown.comparisons[0].said["mode_strength"]
    panels = (
        ("gradient descent", *shown.extra["descent"]),
        ("spectral descent", *spectral),
        ("Muon; lines: exact polar factor", shown.extra["muon"], spectral[1]),
    )
    for axis, (name, seen, said) in zip(axes, panels, strict=True):
        some = slice(None, None, max(1, len(seen) // 30))
        for mode, s in enumerate(STRENGTHS):
            fine = said["time"].values, said.values[:, mode]
            laid(
                axis,
                seen["time"].values[some],
                seen.values[some, mode],
                None,
                mode,
                f"s = {s:g}",
                fine,
            )
        axis.set_title(name, fontsize=10)
        axis.set_xlabel(TIME)
        axis.set_ylabel("strength of each mode, a [output/input]")
    axes[1].legend(fontsize=8, loc="upper left")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Where gradient descent learns the strong modes of a deep linear network first, spectral"
        " descent and, roughly, Muon learn the weak ones first"
    ),
    source="textbook: the polar factor of aligned gradients; Jordan et al. 2024 (Muon)",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths(count=4), EndToEnd()),
    theories=(SpectralModes(),),
    reason=STEPS,
    verify=_verify,
    draw=_draw,
)
