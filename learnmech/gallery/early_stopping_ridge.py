"""Early stopping beside ridge: two ways to learn the strong directions only."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import COLORS, DASHES, sheet, titled
from learnmech.gallery.base import STEPS, Exhibit
from learnmech.gallery.premises import exact, full_column_rank
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.instruments.modes import EndToEnd
from learnmech.rules.descent import GradientDescent
from learnmech.theories.base import Condition, constant, no_ridge, rule_is
from learnmech.theories.regression import (
    Regression,
    directions,
    early_stopping_filter,
    hessian_top,
    minimum_norm,
    ridge_filter,
    ridge_solution,
)


def _experiment():
    data = Gaussian(n=60, d=40, covariance="power-law", exponent=1.0, noise=0.4, test=2000)
    return Experiment(
        DeepLinear(),
        data,
        GradientDescent(rate=0.5),
        Clock(steps=3000, marks=81, spacing="log"),
        GaussianStart(scale=0.0),
    )


def _premises(start):
    yield no_ridge(start)
    yield exact(start)[0]
    yield rule_is(start, GradientDescent)
    yield full_column_rank(start)
    size, top = float(np.abs(start.params["layer1"]["weight"]).max()), hessian_top(start)
    yield Condition("it begins at 0", size, 0.0, size == 0)
    yield Condition(
        "no direction overshoots: rate times sharpness",
        float(start.rule.rate) * top,
        1.0,
        float(start.rule.rate) * top <= 1,
    )
    found = "none" if start.data.test is None else "one"
    enough = found == "one" and len(start.marks.times) > 2
    yield Condition(
        "a test view, and marks to stop at",
        f"{found}, {len(start.marks.times)} marks",
        "one, 3 marks",
        enough,
    )


def _verify(shown):
    start = prepare(shown.experiment)
    train, test, c, rate = (
        start.data.train,
        start.data.test,
        constant(start),
        float(start.rule.rate),
    )
    found = directions(train.X, c)
    times, steps = (
        shown.record["end_to_end"]["time"].values[1:],
        shown.record["end_to_end"]["step"].values,
    )
    middle = len(steps) // 2
    seen = (shown.record["end_to_end"].values[middle] @ found.Q) / (
        minimum_norm(train.X, train.Y) @ found.Q
    )
    said = early_stopping_filter(found.h, rate, int(steps[middle]))
    ridge = [ridge_solution(train.X, train.Y, c, 1 / t) for t in times]
    ridge_loss = [
        shown.experiment.loss.constant(len(test.X)) * float(np.sum((test.X @ w.T - test.Y) ** 2))
        for w in ridge
    ]
    stopped = shown.record["test_loss"].values[1:]
    k, x = int(steps[middle]), np.linspace(0.0, 50.0, 100_001)
    bound = float(np.abs(early_stopping_filter(x / k, 1.0, k) - ridge_filter(x, 1.0)).max())
    apart = float(np.abs(seen[0] - ridge_filter(found.h, 1 / (rate * k))).max())
    checks = (
        Check(
            f"the share learned of each direction after {int(steps[middle])} steps (largest"
            " difference)",
            float(np.abs(seen - said).max()),
            0.0,
            1e-8,
            STEPS,
        ),
        Check(
            "largest difference of the two filters over all directions",
            apart,
            bound,
            0.0,
            f"the largest over every h: 1 - (1 - x/k)^k - x/(1 + x), k = {k}",
            "below",
        ),
    )
    extra = {
        "h": found.h,
        "seen": seen[0],
        "said": said,
        "ridge": ridge_filter(found.h, 1 / (rate * int(steps[middle]))),
        "times": times,
    }
    return checks, extra | {
        "ridge_loss": ridge_loss,
        "stopped": stopped,
        "step": int(steps[middle]),
    }


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.0)
    x = shown.extra
    laid(left, x["h"], x["seen"], x["said"], 0, f"stopped at step {x['step']},")
    left.plot(x["h"], x["ridge"], linestyle=DASHES[1], color=COLORS[1], label="ridge 1/t predicted")
    left.set_xscale("log")
    left.set_xlabel("curvature of the direction, h [loss/param²]")
    left.set_ylabel("share of the direction learned [1]")
    left.legend()
    right.plot(
        x["times"], x["stopped"], "o", color=COLORS[0], markersize=4, label="stopped at t, measured"
    )
    right.plot(
        x["times"],
        x["ridge_loss"],
        linestyle=DASHES[1],
        color=COLORS[1],
        label="ridge 1/t, computed",
    )
    right.set_xscale("log")
    right.set_xlabel("time t, or 1/ridge [param²/loss]")
    right.set_ylabel("test loss [loss]")
    right.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Stopping descent at time t filters the directions as a ridge of 1/t does, to within 0.21"
    ),
    source="Ali, Kolter & Tibshirani 2019",
    experiment=_experiment,
    watch=(Loss(), TestLoss(), EndToEnd()),
    theories=(Regression(),),
    reason=STEPS,
    verify=_verify,
    premises=_premises,
    free=("rule.rate", "clock"),
    draw=_draw,
)
