"""Odd harmonics: what a wide rectifier network without biases cannot learn on the circle."""

import numpy as np

from learnmech.architectures.dialed import Dialed
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.data.arrays import Arrays
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.overlay import laid
from learnmech.figures.style import COLORS, TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.harmonics import FourierPower
from learnmech.instruments.losses import Loss, Outputs
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run

POINTS, WIDTH, RATE, FREQUENCIES = 48, 4096, 0.4, (1, 2, 3, 4, 5)


def rates(frequencies: tuple[int, ...]) -> np.ndarray:
    """The eigenvalues of the kernel of one hidden rectifier layer without biases around a circle,
    over its value at angle 0, 2: (2k^2 + 6)/(pi (k^2 - 1))^2 at even k, 1/2 at k = 1, 0 at all
    other odd ones."""
    k = np.asarray(frequencies, float)
    even = (2 * k**2 + 6) / (np.pi * np.where(k == 1, np.inf, k**2 - 1)) ** 2
    return np.where(k == 1, 0.5, np.where(k % 2 == 0, even, 0.0)) / 2


def _experiment():
    angles = 2 * np.pi * np.arange(POINTS) / POINTS
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    waves = sum(np.cos(k * angles) for k in FREQUENCIES)
    network = Mlp(hidden=(WIDTH,), activation="relu", scaling=NTK(weight=np.sqrt(2.0)))
    return Experiment(
        Dialed(network, alpha=1.0),
        Arrays(circle, waves[:, None]),
        GradientDescent(rate=RATE),
        Clock(steps=1000, marks=33, spacing="log"),
    )


def _shares(record):
    """(marks, frequencies) how much of each wave of the target the outputs have."""
    angles = 2 * np.pi * np.arange(POINTS) / POINTS
    waves = np.cos(np.outer(angles, FREQUENCIES))
    return record["outputs"].values[:, :, 0] @ waves * 2 / POINTS


def _verify(shown):
    start, seen = shown.record.start, _shares(shown.record)
    size = float(np.mean(np.diag(start.system.tangent_kernel(start.params, start.system.train.X))))
    steps = shown.record["outputs"]["step"].values
    said = 1 - (1 - RATE * size * rates(FREQUENCIES)) ** steps[:, None]
    odd = [place for place, k in enumerate(FREQUENCIES) if k % 2 and k > 1]
    even = [place for place, k in enumerate(FREQUENCIES) if place not in odd]
    biased = shown.experiment.with_value("architecture.of.bias", True)
    beside = _shares(run(biased, (Loss(), Outputs())))
    checks = (
        Check(
            "what is learned of frequencies 1, 2 and 4, largest difference",
            float(np.abs(seen - said)[:, even].max()),
            0.0,
            0.05,
            f"at width {WIDTH} kernels are off by some percent, and so are rates",
        ),
        Check(
            "what is learned of frequencies 3 and 5 by the end, of 1",
            float(np.abs(seen[-1, odd]).max()),
            0.0,
            1e-9,
            "max(z, 0) = z/2 + |z|/2: what is odd of f is linear in x at any width; round-off of"
            " sums over so many units",
        ),
        Check(
            "what is learned of frequency 3 with biases",
            float(beside[-1, odd[0]]),
            0.5,
            0.0,
            "with biases no frequency is left out",
            "above",
        ),
    )
    return checks, {"steps": steps, "seen": seen, "said": said, "beside": beside}


def _draw(shown):
    figure, (without, with_bias) = sheet(columns=2, height=4.2, width=11.5)
    x = shown.extra
    times = RATE * x["steps"][1:]
    for place, k in enumerate(FREQUENCIES):
        laid(without, times, x["seen"][1:, place], x["said"][1:, place], place, f"frequency {k},")
        with_bias.plot(
            times,
            x["beside"][1:, place],
            marker="o",
            markersize=3,
            color=COLORS[place],
            label=f"frequency {k}",
        )
    for axis, words in ((without, "no biases"), (with_bias, "biases, measured")):
        axis.set(xscale="log", xlabel=TIME, ylabel="share of the wave that is learned [1]")
        axis.set_title(words)
        axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Around a circle a wide rectifier network without biases learns each even wave at its"
        " kernel's rate, and of the odd ones the first alone"
    ),
    source="Basri et al. 2019; Bietti & Mairal 2019",
    experiment=_experiment,
    watch=(Loss(), Outputs(), FourierPower()),
    verify=_verify,
    draw=_draw,
)
