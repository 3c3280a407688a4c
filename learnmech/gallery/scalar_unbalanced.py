"""Unbalanced starts of two weights: from the sigmoid to the exponential."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.alignment import relative_error
from learnmech.comparison.checks import Check
from learnmech.curvature.eigenpairs import sharpness
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import TIME, sheet, titled
from learnmech.gallery.base import EXACT, Exhibit, fine_flow
from learnmech.gallery.premises import exact, layers
from learnmech.initial.given import Given
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.instruments.weights import Weights
from learnmech.runs.running import run
from learnmech.theories.base import Condition
from learnmech.theories.scalar import ScalarChain, minimum_sharpness, scalar_problem, two_layers

STARTS = ((0.05, 0.05), (0.6, 0.0), (1.5, 0.0), (4.0, 0.0), (1.0, -0.9))


def _experiment():
    data = Gaussian(n=50, d=1, k=1, map=np.array([[1.0]]), whitened=True)
    return Experiment(
        DeepLinear(hidden=(1,)),
        data,
        fine_flow(),
        Clock(time=6.0, marks=121),
        Given(np.array([0.6, 0.0])),
    )


def _premises(start):
    yield layers(start, 2)
    yield from exact(start)
    s, _ = scalar_problem(start)
    yield Condition("a target that is not 0", s, "not 0", s != 0)


def _verify(shown):
    s, a = scalar_problem(prepare(shown.experiment))
    curves, worst = [], 0.0
    for w_1, w_2 in STARTS:
        record = run(
            shown.experiment.with_value("initial.flat", np.array([w_1, w_2])), (EndToEnd(),)
        )
        times, seen = record["end_to_end"]["time"].values, record["end_to_end"].values.ravel()
        said = np.prod(two_layers(w_1, w_2, s, a, times), axis=0)
        worst = max(worst, relative_error(seen, said)[0])
        curves.append((times, seen, said))
    system, final = prepare(shown.experiment).system, shown.record.params
    flat = [layer["weight"].item() for layer in final.values()]
    reached = bool(abs(np.prod(flat) - s) <= 1e-4 * abs(s))
    checks = (
        Check(
            "u(t) from five starts against the closed form (largest relative error)",
            worst,
            0.0,
            1e-6,
            EXACT,
        ),
        Check(
            "sharpness where it ends, a s^2 sum 1/w_i^2",
            sharpness(system, final),
            minimum_sharpness(flat, s, a),
            1e-3,
            "e^{-Rat} is left of the way at the end",
            reached=reached,
        ),
    )
    return checks, {"curves": curves}


def _draw(shown):
    figure, (axis,) = sheet(height=4.2)
    for place, ((w_1, w_2), (times, seen, said)) in enumerate(
        zip(STARTS, shown.extra["curves"], strict=True)
    ):
        dots = slice(place, None, 5)
        laid(axis, times[dots], seen[dots], None, place, f"({w_1:g}, {w_2:g})", (times, said))
    axis.set_xlabel(TIME)
    axis.set_ylabel("u = w_1 w_2 [output/input]")
    axis.legend(title="start (w_1, w_2)", ncols=2, loc="lower right")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "The conserved difference w_1² - w_2² turns the sigmoid of two weights into an exponential"
    ),
    source="Saxe et al. 2014; Domine et al. 2024",
    experiment=_experiment,
    watch=(Loss(), EndToEnd(), Weights()),
    theories=(ScalarChain(),),
    reason=EXACT,
    verify=_verify,
    premises=_premises,
    free=("data", "initial", "clock", "loss"),
    draw=_draw,
)
