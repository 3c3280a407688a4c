"""Online SGD on Gaussian inputs: the mean risk over the draws of fresh batches, exactly, its
threshold, and where it settles."""

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.gaussian import Gaussian
from learnmech.data.population import LinearGaussian
from learnmech.errors import refused
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.instruments.losses import PopulationLoss
from learnmech.instruments.modes import EndToEnd
from learnmech.machine.late import late
from learnmech.rules.descent import SGD
from learnmech.theories.base import (
    Condition,
    Theory,
    fresh_batches,
    mean_loss,
    need,
    no_ridge,
    rule_is,
    squared_loss,
)
from learnmech.theories.deep_linear import plain_layers

if TYPE_CHECKING:
    from scipy import optimize
else:
    optimize = late("scipy.optimize")

Spectrum = Float[np.ndarray, " d"]


def online_map(lam: Spectrum, rate: float, batch: int) -> Float[np.ndarray, "d d"]:
    """A of m+ = A m + (rate^2/B) s2 lam, m_i = E e_i^2 along the eigenvectors of the covariance,
    e = w - w*: exact for x ~ N(0, diag lam).

    A = diag(1 - 2 rate lam + rate^2 lam^2 (1 + 1/B)) + (rate^2/B) lam lam', symmetric and positive,
    so that one eigendecomposition gives every step.  Source: Paquette et al. 2021; here by Wick's
    E xx'Mxx' = 2 Lam M Lam + Lam tr(Lam M).
    """
    keep = (1 - rate * lam) ** 2 + (rate * lam) ** 2 / batch
    return np.diag(keep) + rate**2 / batch * np.outer(lam, lam)


def online_moments(
    lam: Spectrum,
    begin: Float[np.ndarray, "k d"],
    noise: float,
    rate: float,
    batch: int,
    steps: Float[np.ndarray, " t"],
) -> Float[np.ndarray, "t k d"]:
    """E e_i^2 of each output after so many steps, from `begin` there, by `online_map`; `noise` is
    the variance of the noise on each target."""
    growth, V = np.linalg.eigh(online_map(lam, rate, batch))
    growth = growth.clip(min=0)
    begun, kick = begin @ V, rate**2 / batch * noise * (lam @ V)
    found = []
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for k in steps:
            power = growth**k
            sums = np.where(growth == 1, k, (1 - power) / np.where(growth == 1, 1, 1 - growth))
            found.append((begun * power + kick * sums) @ V.T)
    return np.array(found)


def online_gain(lam: Spectrum, rate: float, batch: int) -> float:
    """Kbar = (1/B) sum_i rate lam_i/(2 - rate lam_i (1 + 1/B)): the share of the risk that the
    noise of batches gives back. Second moments settle where it is below 1; infinite where
    rate lam_max (1 + 1/B) >= 2."""
    left = 2 - rate * lam * (1 + 1 / batch)
    return float(np.sum(rate * lam / left) / batch) if left.min() > 0 else float("inf")


def online_threshold(lam: Spectrum, batch: int) -> float:
    """The rate below which online SGD settles in mean square, `online_gain` = 1; of many small
    modes near 2B/tr Lam, and 2/lam_max as the batch grows."""
    pole = 2 / (float(lam.max()) * (1 + 1 / batch))
    return float(
        optimize.brentq(
            # kept finite at the pole: of one sign with Kbar - 1
            lambda rate: -1 / (1 + online_gain(lam, rate, batch)) + 0.5,
            0.0,
            pole,
            xtol=1e-15 * pole,
            rtol=4 * np.finfo(float).eps,
        )
    )


def online_stationary(lam: Spectrum, noise: float, rate: float, batch: int) -> float:
    """R = s2/(1 - Kbar), the mean squared error at which online SGD settles, of an output with
    noise of variance s2. Refuses a rate at or above `online_threshold`."""
    gain = online_gain(lam, rate, batch)
    if not gain < 1:
        raise refused(
            "The stationary risk of online SGD",
            f"a rate below {online_threshold(lam, batch):.6g}",
            f"{rate:g}",
            "Lower the rate, or raise the batch",
        )
    return noise / (1 - gain)


class _Problem(NamedTuple):
    """Spectrum of the covariance and its eigenvectors (columns), the target map, the variance of
    the noise, the rate of a mean of gradients x(x'w - y), and the batch."""

    lam: Spectrum
    axes: Float[np.ndarray, "d d"]
    map: Float[np.ndarray, "k d"]
    noise: float
    rate: float
    batch: int

    @classmethod
    def of(cls, start):
        """Of a start for which the conditions of `OnlineSgd` hold."""
        population, loss, batch = start.data.population, start.experiment.loss, start.rule.batch
        lam, axes = np.linalg.eigh(np.asarray(population.covariance, np.float64))
        rate = float(start.rule.rate) * 2 * loss.constant(1)
        lam, noise = lam.clip(min=0), float(population.noise) ** 2
        return cls(lam, axes, np.asarray(population.map, np.float64), noise, rate, int(batch))


class OnlineSgd(Theory):
    """SGD on one linear layer where every batch is drawn anew from Gaussian inputs with linear
    targets: the mean of W and of the population's loss over those draws, exact at any rate.

    `online_map` of every output. An average: hold it against many seeds. `online_threshold` is the
    rate above which the mean grows, below that of its median run.
    """

    source: ClassVar[str] = "Paquette et al. 2021"
    predicts: ClassVar[tuple[str, ...]] = ("population_loss", "end_to_end")
    over_seeds: ClassVar[bool] = True
    of_fresh: ClassVar[bool] = True
    tolerance: ClassVar[float] = (
        4.0  # in standard errors of the mean, the largest of a hundred or so marks
    )

    def domain(self, start):
        return online_conditions(start, LinearGaussian, "Gaussian inputs and linear targets")

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        marks, p = start.marked(clock), _Problem.of(start)
        off = (np.asarray(start.params["layer1"]["weight"], np.float64) - p.map) @ p.axes
        moments = online_moments(p.lam, off**2, p.noise, p.rate, p.batch, marks.steps)
        risk = np.sum(moments @ p.lam, axis=1) + len(p.map) * p.noise
        left = (1 - p.rate * p.lam) ** np.asarray(marks.steps)[:, None]
        W = p.map + np.einsum("kd,td,ed->tke", off, left, p.axes)
        quantities = PopulationLoss().quantities(start.system, start.state.params)
        quantities += EndToEnd().quantities(start.system, start.state.params)
        loss = start.experiment.loss.constant(1) * risk
        return table(quantities, {"population_loss": loss, "end_to_end": W}, marks)

    @classmethod
    def example(cls):
        return Experiment(
            DeepLinear(),
            Gaussian(n=12, d=3, k=2, covariance="power-law", noise=0.3),
            SGD(rate=0.2, batch=3, sampling="fresh"),
            Clock(steps=40, every=4),
        )


def online_conditions(start: Start, kind: type, words: str) -> tuple[Condition, ...]:
    """What theories of SGD on one linear layer with fresh batches of a population share."""
    population, depth = start.data.population, len(start.params)
    return (
        Condition("one layer", depth, 1, depth == 1, fact="depth", wants=("1",)),
        plain_layers(start),
        squared_loss(start),
        mean_loss(start),
        no_ridge(start),
        rule_is(start, SGD),
        fresh_batches(start),
        Condition(
            f"a population of {words}",
            type(population).__name__,
            kind.__name__,
            isinstance(population, kind),
        ),
    )
