"""Linear grokking: the training samples are fitted long before the others, by integrals over the
spectrum of Marchenko and Pastur."""

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.gaussian import Gaussian
from learnmech.data.population import LinearGaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss, PopulationLoss
from learnmech.rules.descent import GradientDescent
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import (
    Condition,
    Theory,
    mean_loss,
    need,
    no_ridge,
    rule_is,
    squared_loss,
)
from learnmech.theories.deep_linear import plain_layers

NODES = 2000


def marchenko_pastur(
    ratio: float, nodes: int = NODES
) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, " q"]]:
    """(x, weights): a rule of integration over the eigenvalues of X'X/n, entries of X normal of
    variance 1, ratio = d/n as both become many; weights add up to 1.

    Density sqrt((x - x-)(x+ - x))/(2 pi ratio x) between x+- = (1 +- sqrt ratio)^2, and 1 - 1/ratio
    at 0 where ratio > 1: by x = 1 + ratio + 2 sqrt(ratio) cos u at the midpoints of u, which
    converges exponentially.  Source: Marchenko & Pastur 1967.
    """
    u = (np.arange(nodes) + 0.5) * np.pi / nodes
    x = 1 + ratio + 2 * np.sqrt(ratio) * np.cos(u)
    weights = 2 * np.sin(u) ** 2 / x / nodes
    if ratio <= 1:
        return x, weights
    return np.append(x, 0.0), np.append(weights, 1 - 1 / ratio)


def grokking_losses(
    ratio: float, gap: float, noise: float, left: Float[np.ndarray, "t q"], nodes: int = NODES
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """(train, test) mean squared errors, `gap` = |w_0 - w*|^2 and `noise` the variance on targets,
    both summed over outputs; `left` is the share of a direction's distance that is left, e^{-xt} at
    the nodes x of `marchenko_pastur` for flow.

    train = gap int x left^2 + noise (1 - r + r int left^2), test = gap int left^2 + noise (1 + r
    int (1 - left)^2/x), r = d/n.
    """
    x, weights = marchenko_pastur(ratio, nodes)
    inverse = np.divide(1, x, out=np.zeros_like(x), where=x > 0)
    square = left**2 @ weights
    train = gap * (left**2 @ (weights * x)) + noise * (1 - ratio + ratio * square)
    fitted = (1 - left) ** 2 @ (weights * inverse)
    return train, gap * square + noise * (1 + ratio * fitted)


class LinearGrokking(Theory):
    """One linear layer on isotropic Gaussian samples, by flow or descent: loss of the training
    samples and of the population, as samples and inputs become many.

    `grokking_losses`. Near n = d many directions are seen almost not, and the training loss is gone
    long before the population's. A single draw scatters by sqrt(2/(k min(n, d))).
    """

    source: ClassVar[str] = "Levi et al. 2023"
    predicts: ClassVar[tuple[str, ...]] = ("loss", "population_loss")
    tolerance: ClassVar[float] = 0.04

    def domain(self, start):
        n, d = start.data.train.X.shape
        scatter = np.sqrt(2 / (start.data.train.Y.shape[1] * min(n, d)))
        depth = len(start.params)
        return (
            Condition("one layer", depth, 1, depth == 1, fact="depth", wants=("1",)),
            plain_layers(start),
            squared_loss(start),
            mean_loss(start),
            no_ridge(start),
            rule_is(start, GradientDescent, GradientFlow),
            _isotropic(start),
            Condition(
                "the draw is its mean: sqrt(2/(k min(n, d)))", scatter, 0.014, scatter <= 0.014
            ),
        )

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start)[:-1])
        marks, c, population = start.marked(clock), start.experiment.loss, start.data.population
        (n, d), k, pace = start.data.train.X.shape, start.data.train.Y.shape[1], 2 * c.constant(1)
        x = marchenko_pastur(d / n)[0]
        if start.rule.flows:
            left = np.exp(-pace * np.asarray(marks.times)[:, None] * x)
        else:
            left = (1 - pace * float(start.rule.rate) * x) ** np.asarray(marks.steps)[:, None]
        off = np.asarray(start.params["layer1"]["weight"]) - np.asarray(population.map)
        noise = k * float(population.noise) ** 2
        train, test = grokking_losses(d / n, float(np.sum(off**2)), noise, left)
        quantities = Loss().quantities(start.system, start.params)
        quantities += PopulationLoss().quantities(start.system, start.params)
        values = {"loss": c.constant(1) * train, "population_loss": c.constant(1) * test}
        return table(quantities, values, marks)

    @classmethod
    def example(cls):
        return Experiment(
            DeepLinear(),
            Gaussian(n=140, d=120, k=90, noise=0.1),
            GradientDescent(rate=0.2),
            Clock(steps=200, marks=21),
            GaussianStart(scale=0.0),
        )


def _isotropic(start: Start) -> Condition:
    population, found = start.data.population, "none"
    if isinstance(population, LinearGaussian):
        off = np.asarray(population.covariance) - np.eye(population.d)
        found = "isotropic" if np.abs(off).max() < 1e-6 else "another covariance"
    return Condition(
        "a population of isotropic Gaussian inputs", found, "isotropic", found == "isotropic"
    )
