"""Digits from a random start: when each mode is learned, from weights that nothing has arranged."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid, panel
from learnmech.figures.style import sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.gallery.premises import layers
from learnmech.initial.gaussian import SmallGaussian
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd, ModeStrengths
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run
from learnmech.theories.base import Condition, time_factor
from learnmech.theories.deep_linear import weights
from learnmech.theories.modes import modes_of
from learnmech.theories.small_start import SmallStart, first_strengths, half_times, stride

SIZES, ALLOWED = (1e-3, 1e-6), (0.02, 0.003)
MODES = 9
WHOLE = "what the start is unbalanced by over the time of the run, and steps to second order"
ALONE = "modes so close to one another meet as they grow; the less the smaller the start"


def _experiment():
    return Experiment(
        DeepLinear(hidden=(32,)),
        Digits(train=1437, components=30, whitened=True),
        GradientDescent(rate=0.02),
        Clock(time=120.0, marks=601),
        SmallGaussian(std=SIZES[0]),
    )


def _premises(start):
    yield layers(start, 2)
    small = isinstance(start.experiment.initial, SmallGaussian)
    yield Condition(
        "the start is SmallGaussian, of a size that can be shrunk",
        type(start.experiment.initial).__name__,
        "SmallGaussian",
        small,
    )


def half_seen(a, s, times):
    """When a strength passes s/2, read off between two marks where ln(a/(s - a)) is a line; NaN
    where it does not."""
    at = int(np.argmax(a > s / 2))
    if at == 0:
        return float("nan")
    a, times = a[at - 1 : at + 1], times[at - 1 : at + 1]
    return float(np.interp(0.0, np.log(a / (s - a)), times))


def _verify(shown):
    checks, seen, said = [], [], []
    for size, allowed in zip(SIZES, ALLOWED, strict=True):
        start = prepare(shown.experiment.with_value("initial.std", size))
        pace, modes = time_factor(start), modes_of(start)
        record = run(start, (ModeStrengths(count=MODES),))
        times = pace * record["mode_strength"]["time"].values
        measured, whole = (
            np.array([half_seen(a[:, m], modes.s[m], times) for m in range(MODES)])
            for a in (
                record["mode_strength"].values,
                SmallStart().predict(start)["mode_strength"].values,
            )
        )
        alone = half_times(first_strengths(*weights(start), modes), modes.s, stride(start))[:MODES]
        checks += [
            _furthest(f"time to half from {size:g}", measured, whole, 1e-3, WHOLE),
            _furthest(f"time to half from {size:g}, each mode alone", measured, alone, 0.02, ALONE),
            Check(
                f"times to half from {size:g}, each mode alone: median error of {MODES} modes",
                float(np.median(np.abs(measured / alone - 1))),
                allowed,
                0.0,
                ALONE,
                "below",
            ),
        ]
        seen.append(measured)
        said.append(alone)
    return tuple(checks), {"seen": np.array(seen), "said": np.array(said)}


def _furthest(claim, measured, said, allowed, reason):
    """The check of the mode that is furthest off."""
    worst = int(np.argmax(np.abs(measured / said - 1)))
    return Check(
        f"{claim}, of mode {worst + 1}, which is furthest off",
        float(measured[worst]),
        float(said[worst]),
        allowed,
        reason,
    )


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.4, width=11.0)
    panel(left, shown.comparisons[0], "mode_strength", curves=MODES)
    modes = np.arange(1, MODES + 1)
    for place, size in enumerate(SIZES):
        x = shown.extra
        laid(right, modes, x["seen"][place], x["said"][place], place, f"start {size:g}")
    right.set_xlabel("mode, the strongest first")
    right.set_ylabel("time to half strength [param²/loss]")
    right.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Handwritten digits from a small random start: when each mode is learned follows from the"
        " weights it begins with"
    ),
    source="Braun et al. 2022 and Karkada et al. 2025, on scikit-learn's digits; the constant ours",
    experiment=_experiment,
    twin={"data.train": 300, "clock.marks": 301},
    watch=(Loss(), ModeStrengths(count=MODES), EndToEnd()),
    theories=(SmallStart(),),
    tolerance={"loss": 1e-3, "mode_strength": 1e-3, "end_to_end": 2e-3},
    reason=(
        "what the start is unbalanced by over the time of the run, 3e-3, a tenth of which is seen;"
        " the map beside the modes follows steps to first order in rate times s, 0.006"
    ),
    verify=_verify,
    premises=_premises,
    draw=_draw,
)
