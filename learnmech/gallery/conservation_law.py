"""The conservation law of linear layers, and how descent breaks it."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, RATE, sheet, titled
from learnmech.gallery.base import Exhibit, fine_flow
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.conserved import Balance
from learnmech.instruments.losses import Loss
from learnmech.runs.running import run
from learnmech.theories.conserved import Conservation

RATES = (0.04, 0.02, 0.01, 0.005, 0.0025)


def _experiment():
    data = Gaussian(n=50, d=5, k=3, covariance="power-law", noise=0.1)
    return Experiment(
        DeepLinear(hidden=(6, 4)),
        data,
        fine_flow(),
        Clock(time=10.0, marks=51),
        GaussianStart(scale=0.7),
    )


def _verify(shown):
    drifts = []
    for rate in RATES:
        moving = shown.experiment.with_value("rule", {"kind": "gradient-descent", "rate": rate})
        drifts.append(float(run(moving, (Loss(), Balance()))["balance_drift"].values[-1].max()))
    order = fitted_order(RATES, drifts)
    flow = float(shown.record["balance_drift"].values.max())
    check = Check(
        "under descent the drift at t = 10 goes as rate^1",
        order.slope,
        1.0,
        0.1,
        f"fitted, standard error {order.standard_error:.1g}",
    )
    return (check,), {"drifts": drifts, "order": order, "flow": flow}


def _draw(shown):
    figure, (axis,) = sheet(height=4.0)
    drifts, rates = np.array(shown.extra["drifts"]), np.array(RATES)
    axis.loglog(rates, drifts[-1] * rates / rates[-1], color=COLORS[0], label="slope 1 predicted")
    axis.loglog(rates, drifts, "o", color=COLORS[0], label="descent measured")
    axis.axhline(
        shown.extra["flow"],
        color=COLORS[1],
        linestyle=(0, (5, 2)),
        label="flow measured (predicted: 0)",
    )
    axis.set_xlabel(RATE)
    axis.set_ylabel("largest drift of W'W - WW'\nover the layers' size [1]")
    axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Flow conserves the balance of adjacent linear layers; descent breaks it in proportion to"
        " its rate"
    ),
    source="Fukumizu 1998; Arora et al. 2018; Du et al. 2018",
    experiment=_experiment,
    watch=(Loss(), Balance()),
    theories=(Conservation(),),
    reason="the solver's tolerance, 1e-10 per step, over some hundred steps",
    verify=_verify,
    draw=_draw,
)
