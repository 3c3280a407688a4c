"""The bigram model under fresh data: SGD on one-hot inputs, token by token, exactly."""

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.bigrams import Bigrams
from learnmech.data.population import Tokens
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.experiment.tables import table
from learnmech.instruments.losses import PopulationLoss
from learnmech.rules.descent import SGD
from learnmech.theories.base import Theory, need
from learnmech.theories.online import online_conditions

PerToken = Float[np.ndarray, " v"]


def one_hot_moments(
    shares: PerToken,
    begin: PerToken,
    variances: PerToken,
    rate: float,
    batch: int,
    steps: Float[np.ndarray, " t"],
) -> Float[np.ndarray, "t v"]:
    """M_i = E |w_i - mu_i|^2 after so many steps, w_i the column of token i, which occurs with
    probability p_i and has targets of mean mu_i and total variance V_i.

    rho_i = 1 - 2 rate p_i + rate^2 (p_i^2 + p_i (1 - p_i)/B), M_i(k) = rho_i^k M_i(0) +
    (rate^2 p_i V_i/B)(1 - rho_i^k)/(1 - rho_i): exact, since a batch of B has a binomial number of
    each token. Small rates: flow, M_i = e^{-2 p_i t} M_i(0).  The recursion is ours.
    """
    rho = 1 - 2 * rate * shares + rate**2 * (shares**2 + shares * (1 - shares) / batch)
    steps = np.asarray(steps)[:, None]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        power = rho**steps
        sums = np.where(rho == 1, steps, (1 - power) / np.where(rho == 1, 1, 1 - rho))
        return power * begin + rate**2 / batch * shares * variances * sums


class OneHotSgd(Theory):
    """SGD on a linear layer of one-hot inputs where every batch is drawn anew: the mean of the
    population's loss over those draws, exact at any rate.

    E loss = (1/2) sum_i p_i (M_i + V_i) at half-mean, M_i of `one_hot_moments`: frequent tokens
    first, each at its own rate 2 p_i. An average: hold it against many seeds.
    """

    source: ClassVar[str] = "derived here"
    predicts: ClassVar[tuple[str, ...]] = ("population_loss",)
    over_seeds: ClassVar[bool] = True
    of_fresh: ClassVar[bool] = True
    tolerance: ClassVar[float] = (
        4.0  # in standard errors of the mean, the largest of a hundred or so marks
    )

    def domain(self, start):
        return online_conditions(start, Tokens, "one-hot inputs")

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        marks, loss, rule = start.marked(clock), start.experiment.loss, start.rule
        tokens = start.data.population
        shares, means = (np.asarray(x, np.float64) for x in (tokens.shares, tokens.following))
        variances = 1 - np.sum(means**2, axis=1)
        begin = np.sum((np.asarray(start.params["layer1"]["weight"]).T - means) ** 2, axis=1)
        rate = float(rule.rate) * 2 * loss.constant(1)
        moments = one_hot_moments(shares, begin, variances, rate, int(rule.batch), marks.steps)
        values = {"population_loss": loss.constant(1) * (moments + variances) @ shares}
        return table(PopulationLoss().quantities(start.system, start.params), values, marks)

    @classmethod
    def example(cls):
        return Experiment(
            DeepLinear(),
            Bigrams(vocabulary=6, n=12),
            SGD(rate=0.5, batch=3, sampling="fresh"),
            Clock(steps=60, every=6),
        )
