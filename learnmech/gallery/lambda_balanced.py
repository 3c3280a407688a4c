"""Lambda-balanced networks: one dial from rich to lazy, solved exactly."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.comparison.verdicts import compare
from learnmech.data.teachers import LinearTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.overlay import laid
from learnmech.figures.style import TIME, sheet, titled
from learnmech.gallery.base import EXACT, Exhibit, fine_flow
from learnmech.gallery.premises import begins_small, exact
from learnmech.initial.balanced import LambdaBalanced as LambdaBalancedStart
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd, ModeStrengths
from learnmech.runs.running import run
from learnmech.theories.base import Condition
from learnmech.theories.lambda_balanced import LambdaBalanced

LAMBDAS = (0.0, 0.3, 2.0, 8.0, -2.0)


def _experiment():
    data = LinearTeacher(strengths=(3.0, 2.0, 1.0), n=60, d=4, k=4)
    return Experiment(
        DeepLinear(hidden=(4,)),
        data,
        fine_flow(),
        Clock(time=6.0, marks=121),
        LambdaBalancedStart(lam=2.0, scale=0.02),
    )


def _premises(start):
    yield from exact(start)
    initial = start.experiment.initial
    yield Condition(
        "the start has a lambda to turn",
        type(initial).__name__,
        "LambdaBalanced",
        isinstance(initial, LambdaBalancedStart),
    )
    d, (h, k) = (
        start.data.train.X.shape[1],
        (len(start.params["layer1"]["weight"]), start.data.train.Y.shape[1]),
    )
    yield Condition(
        "no more hidden units than inputs or outputs, for lambdas of both signs",
        h,
        min(d, k),
        h <= min(d, k),
    )


def _verify(shown):
    worst, losses = 0.0, {}
    for lam in LAMBDAS:
        record = run(shown.experiment.with_value("initial.lam", lam), (Loss(), EndToEnd()))
        laid_over = compare(record, LambdaBalanced())
        worst = max(worst, *(row.error for row in laid_over.rows))
        losses[lam] = (
            record["loss"]["time"].values,
            record["loss"].values,
            laid_over.said["loss"].values,
        )
    first = {
        lam: float(np.interp(-0.5 * loss[0], -loss, times))
        for lam, (times, loss, _) in losses.items()
    }
    reached = all(losses[lam][1].min() <= 0.5 * losses[lam][1][0] for lam in (0.0, 8.0))
    small = (begins_small(shown.record.start),)
    return (
        Check(
            "loss and end-to-end map at five values of lambda (largest relative error)",
            worst,
            0.0,
            1e-6,
            EXACT,
        ),
        Check(
            "time to half the loss, lambda = 8 against lambda = 0",
            first[8.0],
            first[0.0],
            0.0,
            "lazy networks need not leave a saddle",
            "below",
            small,
            reached,
        ),
    ), {"losses": losses}


def _draw(shown):
    figure, (axis,) = sheet(height=4.2)
    for place, (lam, (times, seen, said)) in enumerate(shown.extra["losses"].items()):
        laid(axis, times[place::5], seen[place::5], None, place, f"λ = {lam:g}", (times, said))
    axis.set_xlabel(TIME)
    axis.set_ylabel("training loss, L [loss]")
    axis.set_yscale("log")
    axis.set_ylim(bottom=1e-6)
    axis.set_xlim(right=4)
    axis.legend(ncols=2)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "The imbalance λ between two linear layers dials from sigmoids (rich) to exponentials"
        " (lazy), exactly solved"
    ),
    source="Domine et al. 2024; Braun et al. 2022",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths(count=3), EndToEnd()),
    theories=(LambdaBalanced(),),
    reason=EXACT,
    verify=_verify,
    premises=_premises,
    free=("architecture.hidden", "data", "initial", "clock", "loss"),
    draw=_draw,
)
