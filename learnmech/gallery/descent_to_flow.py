"""Descent and flow: Euler's method, and its first correction."""

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import measured_order
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, DASHES, MARKERS, RATE, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss
from learnmech.instruments.weights import Weights
from learnmech.rules.descent import GradientDescent
from learnmech.theories.flow import Flow, ModifiedFlow

RATES = (0.1, 0.05, 0.025, 0.0125)


def _experiment():
    return Experiment(
        Mlp(hidden=(10,), bias=True),
        Gaussian(n=30, d=4, k=2),
        GradientDescent(rate=0.05),
        Clock(time=10.0, marks=41),
    )


def _verify(shown):
    orders = {
        type(theory).__name__: measured_order(shown.experiment, theory, "rule.rate", RATES)
        for theory in (Flow(), ModifiedFlow())
    }
    checks = tuple(
        Check(
            f"{name}: the error of the loss goes as rate^p, p",
            order.slope,
            said,
            0.1,
            f"fitted over a range of 8, standard error {order.standard_error:.1g}",
        )
        for (name, order), said in zip(orders.items(), (1.0, 2.0), strict=True)
    )
    return checks, orders


def _draw(shown):
    figure, (axis,) = sheet(height=4.0)
    for place, ((name, order), slope) in enumerate(zip(shown.extra.items(), (1, 2), strict=True)):
        rates, errors = order.values, order.errors
        axis.loglog(
            rates,
            errors[-1] * (rates / rates[-1]) ** slope,
            linestyle=DASHES[place],
            color=COLORS[place],
            label=f"slope {slope} predicted",
        )
        axis.loglog(
            rates,
            errors,
            MARKERS[place],
            color=COLORS[place],
            label={"Flow": "from flow, measured", "ModifiedFlow": "from modified flow, measured"}[
                name
            ],
        )
    axis.set_xlabel(RATE)
    axis.set_ylabel("largest difference of the loss, relative [1]")
    axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim="Descent follows the flow of L to O(rate), and the flow of L + (rate/4)|∇L|² to O(rate²)",
    source="Barrett & Dherin 2021",
    experiment=_experiment,
    watch=(Loss(), Weights()),
    theories=(Flow(), ModifiedFlow()),
    reason="limits: at this rate within 5% and 1% of scale; what is tested is the order",
    verify=_verify,
    draw=_draw,
)
