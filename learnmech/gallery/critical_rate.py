"""The critical rate: where descent on a quadratic begins to diverge."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import sheet, titled
from learnmech.gallery.base import STEPS, Exhibit
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.rules.descent import GradientDescent
from learnmech.sweeps import sweep
from learnmech.theories.base import constant
from learnmech.theories.regression import (
    Regression,
    critical_rate,
    directions,
    hessian_top,
    minimum_norm,
)

SHARES = tuple(float(s) for s in np.linspace(0.55, 1.15, 13))
MOMENTUM = 0.6
FIRST, LAST = 20, 80


def _experiment():
    data = Gaussian(n=40, d=5, covariance="power-law", exponent=1.0)
    return Experiment(
        DeepLinear(),
        data,
        GradientDescent(rate=0.9),
        Clock(steps=200, every=4),
        GaussianStart(scale=1.0),
    )


def _growth(experiment, top, momentum):
    """(rates, growth per step): the slope of ln|W - W_inf| over steps 20 to 80, late enough to
    be the slowest direction's, early enough above round-off."""
    kind = (
        {"kind": "heavy-ball", "momentum": momentum} if momentum else {"kind": "gradient-descent"}
    )
    moving = experiment.with_value("rule", kind | {"rate": 0.1}).with_value(
        "clock", {"steps": LAST, "every": 1}
    )
    rates = [share * critical_rate(top, momentum) for share in SHARES]
    grid = sweep(moving, {"rule.rate": rates}, watch=(EndToEnd(),))
    train = prepare(moving).data.train
    away = np.linalg.norm(
        (grid["end_to_end"].values - minimum_norm(train.X, train.Y)).reshape(
            len(rates), LAST + 1, -1
        ),
        axis=-1,
    )
    return np.array(rates), np.exp(
        [np.polyfit(np.arange(FIRST, LAST + 1), np.log(one[FIRST:]), 1)[0] for one in away]
    )


def _said(h, rates, momentum):
    """The largest modulus of (e, v) <- (e - eta(b v + h e), b v + h e) over all directions."""
    found = []
    for rate in rates:
        steps = [np.array([[1 - rate * value, -rate * momentum], [value, momentum]]) for value in h]
        found.append(max(np.abs(np.linalg.eigvals(step)).max() for step in steps))
    return np.array(found)


def _verify(shown):
    start = prepare(shown.experiment)
    top, h = hessian_top(start), directions(start.data.train.X, constant(start)).h
    checks, extra = [], {}
    for momentum in (0.0, MOMENTUM):
        rates, growth = _growth(shown.experiment, top, momentum)
        measured = float(np.interp(0.0, np.log(growth[-4:]), rates[-4:]))
        name = f"heavy ball, b = {momentum:g}" if momentum else "descent"
        reason = "interpolated between rates 5% apart on either side, from growth over 60 steps"
        checks.append(
            Check(
                f"{name}: the rate at which deviations stop decaying",
                measured,
                critical_rate(top, momentum),
                0.01,
                reason,
            )
        )
        fine = np.linspace(rates[0], rates[-1], 200)
        extra[name] = (rates * top, growth, fine * top, _said(h, fine, momentum))
    return tuple(checks), extra


def _draw(shown):
    figure, (axis,) = sheet()
    for place, (name, (rates, growth, fine, said)) in enumerate(shown.extra.items()):
        laid(axis, rates, growth, None, place, name, (fine, said))
    axis.axhline(1.0, color="#555555", linewidth=0.8)
    axis.set_xlabel("rate times sharpness, η λ_max [1]")
    axis.set_ylabel("growth of the deviation per step [1]")
    axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Descent on a quadratic diverges above rate 2/sharpness, heavy ball above 2(1+b)/sharpness"
    ),
    source="Polyak 1964",
    experiment=_experiment,
    watch=(Loss(), EndToEnd()),
    theories=(Regression(),),
    reason=STEPS,
    verify=_verify,
    free=("rule", "clock"),
    draw=_draw,
)
