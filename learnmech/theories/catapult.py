"""The catapult: a two-layer linear network on one sample, whose output and tangent kernel follow
a closed recursion at any rate and width."""

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.architectures.scalings import NTK
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.instruments.kernels import TangentKernel
from learnmech.instruments.losses import Loss, Outputs
from learnmech.rules.descent import GradientDescent
from learnmech.theories.base import (
    Condition,
    Theory,
    constant,
    need,
    no_ridge,
    rule_is,
    squared_loss,
)

Course = Float[np.ndarray, " m"]


def recursion(
    f: float, kernel: float, y: float, share: float, rate: float, steps: int
) -> tuple[Course, Course]:
    """Output f_t and tangent kernel l_t, (steps + 1,) each, of f = p q x u.v by descent
    on (f - y)^2/2.

    With r = f - y and share = p^2 q^2 x^2: f+ = f - rate r l + rate^2 r^2 share f,   l+ = l + share
    (rate^2 r^2 l - 4 rate r f). At y = 0: lazy for rate l_0 < 2; between 2 and 4 the loss grows
    until l has fallen below 2/rate (the catapult); above 4 it diverges, in wide nets. Source:
    Lewkowycz et al. 2020.
    """
    f, kernel = np.float64(f), np.float64(kernel)  # which overflow to infinity
    path = [(f, kernel)]
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            r = f - y
            moved = f - rate * r * kernel + rate**2 * r**2 * share * f
            f, kernel = moved, kernel + share * (rate**2 * r**2 * kernel - 4 * rate * r * f)
            path.append((f, kernel))
    outputs, kernels = np.array(path).T
    return outputs, kernels


class Catapult(Theory):
    """A two-layer linear network of any width on one sample, x and y numbers: output, loss and
    tangent kernel at every step, exact at any rate.

    `recursion` gives the equations. Where 2c is not 1 it multiplies the rate.
    """

    source: ClassVar[str] = "Lewkowycz et al. 2020"
    predicts: ClassVar[tuple[str, ...]] = ("outputs", "loss", "tangent_kernel")

    def domain(self, start):
        return (
            _one_number_through_two_layers(start),
            squared_loss(start),
            no_ridge(start),
            rule_is(start, GradientDescent),
        )

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        marks, c = start.marked(clock), constant(start)
        f, begun, y, share, rate = problem(start)
        outputs, kernels = recursion(f, begun, y, share, rate, int(marks.steps[-1]))
        outputs, kernels = outputs[marks.steps], kernels[marks.steps]
        with np.errstate(over="ignore"):
            told = {
                "outputs": outputs[:, None, None],
                "loss": c * (outputs - y) ** 2,
                "tangent_kernel": kernels[:, None, None],
            }
        system, params = start.system, start.state.params
        quantities = (
            *Outputs().quantities(system, params),
            *Loss().quantities(system, params),
            TangentKernel().quantities(system, params)[0],
        )
        return table(tuple(q for q in quantities if q.name in told), told, marks)

    @classmethod
    def example(cls):
        architecture = DeepLinear(hidden=(16,), scaling=NTK())
        return Experiment(
            architecture,
            Gaussian(n=1, d=1, map=np.zeros((1, 1))),
            GradientDescent(rate=0.2),
            Clock(steps=30, every=5),
        )


def problem(start: Start) -> tuple[float, float, float, float, float]:
    """(f_0, l_0, y, share, 2c rate) of `recursion` at a start."""
    x, y = float(start.data.train.X[0, 0]), float(start.data.train.Y[0, 0])
    layers: Any = start.system.architecture.dense_layers(start.params)
    (first, u), (second, v) = (
        (layers[name], start.params[name]["weight"].ravel()) for name in start.params
    )
    scale = float(first.weight * second.weight) * x
    f = scale * float(u @ v)
    return (
        f,
        scale**2 * float(u @ u + v @ v),
        y,
        scale**2,
        2 * constant(start) * float(start.rule.rate),
    )


def _one_number_through_two_layers(start):
    shapes = (
        [layer["weight"].shape for layer in start.params.values()]
        if isinstance(start.experiment.architecture, DeepLinear)
        else []
    )
    one = (
        start.data.train.X.shape == (1, 1)
        and len(shapes) == 2
        and start.data.train.Y.shape == (1, 1)
    )
    plain = one and all(
        factor == 1
        for layer in start.system.architecture.rate_factors(start.params).values()
        for factor in layer.values()
    )
    return Condition(
        "two linear layers, one sample, one input, one output, one rate",
        str(shapes),
        "(h, 1) and (1, h)",
        bool(plain),
    )
