"""The bias of diagonal networks: from least l1 to least l2 by the size of the start."""

import numpy as np

from learnmech.architectures.diagonal import Diagonal
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.gallery.premises import exact
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.rules.flow import GradientFlow
from learnmech.runs.running import run
from learnmech.theories.base import Condition
from learnmech.theories.diagonal import (
    CONVERGED,
    DiagonalBias,
    l1_excess_bound,
    least_potential,
    minimum_l1,
)
from learnmech.theories.regression import minimum_norm

SCALES = (0.03, 0.1, 0.3, 1.0, 3.0)
SETTLED = "loss<1e-16"


def _experiment():
    sparse = np.zeros((1, 20))
    sparse[0, :2] = 1.0, -0.7
    data = Gaussian(n=10, d=20, map=sparse)
    return Experiment(
        Diagonal(),
        data,
        GradientFlow(rtol=1e-10, atol=1e-14, solver="dopri8"),
        Clock(time=10000.0, marks=101),
        GaussianStart(scale=0.1),
    )


def _premises(start):
    yield from exact(start)
    initial = start.experiment.initial
    yield Condition(
        "the start has a scale to turn",
        type(initial).__name__,
        "Gaussian",
        isinstance(initial, GaussianStart),
    )


def _verify(shown):
    train = prepare(shown.experiment).data.train
    X, y = train.X, train.Y[:, 0]
    seen, worst, reached = [], 0.0, True
    for a in SCALES:
        record = run(
            shown.experiment.with_value("initial.scale", a), (Loss(), EndToEnd()), until=SETTLED
        )
        w, loss = record["end_to_end"].values[-1, 0], record["loss"].values
        reached = reached and bool(loss[-1] <= CONVERGED * loss[0])
        said = least_potential(X, y, a)
        worst = max(worst, float(np.linalg.norm(w - said) / np.linalg.norm(said)))
        seen.append((np.abs(w).sum(), np.linalg.norm(w)))
    fine = np.geomspace(SCALES[0], SCALES[-1], 60)
    said = [(np.abs(w).sum(), np.linalg.norm(w)) for w in (least_potential(X, y, a) for a in fine)]
    sparsest, large = minimum_l1(X, y), float(np.linalg.norm(minimum_norm(X, train.Y)))
    small = float(np.abs(sparsest).sum())
    excess = l1_excess_bound(least_potential(X, y, SCALES[0]), sparsest, SCALES[0]) / small
    return (
        Check(
            "the interpolator found, at five sizes of the start (largest relative distance)",
            worst,
            0.0,
            1e-6,
            "the loss has decayed below 1e-14 of its start",
            reached=reached,
        ),
        Check(
            f"l1 norm from a = {SCALES[0]:g}, against the least l1 norm",
            float(seen[0][0]),
            small,
            excess,
            "what the potential allows above it, of order 1/ln(1/a)",
            reached=reached,
        ),
        Check(
            f"l2 norm from a = {SCALES[-1]:g}, against the least l2 norm",
            float(seen[-1][1]),
            large,
            0.01,
            "approached as 1/a^4",
            reached=reached,
        ),
    ), {"seen": np.array(seen), "fine": fine, "said": np.array(said), "limits": (small, large)}


def _draw(shown):
    figure, axes = sheet(1, 2, height=4.0, width=11.0)
    x = shown.extra
    for place, (axis, name) in enumerate(
        zip(axes, ("l1 norm, sum |w_i|", "l2 norm, |w|"), strict=True)
    ):
        laid(axis, SCALES, x["seen"][:, place], None, place, "", (x["fine"], x["said"][:, place]))
        axis.axhline(
            x["limits"][place], color="#555555", linewidth=0.8, label="least of all interpolators"
        )
        axis.set_xscale("log")
        axis.set_xlabel("size of the start, a [param]")
        axis.set_ylabel(f"{name} of the end [output/input]")
        axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "A diagonal network ends at the sparsest interpolator from a small start, at the shortest"
        " from a large one"
    ),
    source="Woodworth et al. 2020",
    experiment=_experiment,
    watch=(Loss(), EndToEnd()),
    theories=(DiagonalBias(),),
    reason="the loss has decayed below 1e-14 of its start",
    verify=_verify,
    premises=_premises,
    free=("initial", "clock"),
    draw=_draw,
)
