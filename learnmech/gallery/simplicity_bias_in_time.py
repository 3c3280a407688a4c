"""Simplicity bias in time: a network learns what is linear in a target first, then what is
quadratic, each at the rate of its kernel."""

import numpy as np

from learnmech.architectures.dialed import Dialed
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.architectures.single_index import SingleIndex
from learnmech.comparison.checks import Check
from learnmech.data.teachers import NetworkTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.overlay import laid
from learnmech.figures.style import TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.harmonics import HermitePower
from learnmech.instruments.losses import ProbeLoss
from learnmech.rules.descent import SGD

D, DEGREES = 16, (1, 2)
# d^l K/d rho^l of the rectifier's kernel at rho = 0, one hidden layer, K = 4 on the diagonal
LEVELS = {1: 2.0, 2: 6 / np.pi}


def _experiment():
    target = SingleIndex((0.0, 1.0, 1.0))
    network = Mlp(hidden=(512,), activation="relu", scaling=NTK(weight=np.sqrt(2.0)))
    return Experiment(
        Dialed(network, alpha=1.0),
        NetworkTeacher(target, n=2000, d=D),
        SGD(rate=0.5, batch=512, sampling="fresh"),
        Clock(steps=400, marks=21, spacing="log"),
    )


def _half(steps, left):
    place = int(np.argmax(left < 0.5))
    if not place:
        return float("nan")
    ends = slice(place - 1, place + 1)
    return float(np.exp(np.interp(-0.5, -left[ends], np.log(steps[ends].clip(min=0.5)))))


def _verify(shown):
    power = shown.record["error_hermite_power"]
    steps, rate = power["step"].values, float(shown.experiment.rule.rate)
    start = shown.record.start
    kernel = start.system.tangent_kernel(start.params, start.system.train.X[:200])
    # the kernel's own size, in units of the table's: 4 on the diagonal
    size = float(np.mean(np.diag(kernel))) / 4
    seen, said = {}, {}
    for degree in DEGREES:
        left = power.sel(degree=degree).values
        seen[degree] = np.sqrt(np.maximum(left / left[0], 0))
        said[degree] = (1 - rate * size * LEVELS[degree] / D**degree) ** steps
    halves = {
        degree: (_half(steps, seen[degree]), _half(steps, said[degree])) for degree in DEGREES
    }
    checks = [
        Check(
            f"steps to half of degree {degree}",
            *halves[degree],
            0.25,
            "eigenvalues to leading order in 1/d: .06 to .19 in their logarithm at an"
            " effective dimension of 21; a power is read to 5%",
        )
        for degree in DEGREES
    ]
    checks.append(
        Check(
            "degree 2 is half learned so many times as late as degree 1",
            halves[2][0] / halves[1][0],
            5.0,
            0.0,
            f"in the limit of many inputs 2d pi/6, {2 * D * np.pi / 6:.3g}",
            "above",
        )
    )
    return tuple(checks), {"steps": steps, "seen": seen, "said": said}


def _draw(shown):
    figure, (axis,) = sheet(height=4.4)
    x, rate = shown.extra, float(shown.experiment.rule.rate)
    for place, degree in enumerate(DEGREES):
        times = rate * x["steps"][1:]
        laid(axis, times, x["seen"][degree][1:], x["said"][degree][1:], place, f"degree {degree},")
    axis.set(xscale="log", xlabel=TIME, ylabel="share of the degree that is left [1]")
    axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "A wide network on Gaussian inputs learns the linear part of its target first, and the"
        " quadratic one about d times later: half of each when its kernel says, to a quarter"
    ),
    source="Simon et al. 2023; Karkada et al. 2025",
    experiment=_experiment,
    watch=(ProbeLoss(), HermitePower(degree=2, of="error")),
    verify=_verify,
    draw=_draw,
)
