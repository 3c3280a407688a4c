"""Moments of SGD on linear regression: exact mean and second moment, averaged over the draws of batches."""

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.clock import Clock
from learnmech.data.gaussian import Gaussian
from learnmech.experiment import Experiment
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.late import late
from learnmech.rules.descent import SGD
from learnmech.tables import table
from learnmech.theories.base import Condition, Theory, constant, need, no_ridge, rule_is, squared_loss
from learnmech.theories.deep_linear import plain_layers
from learnmech.theories.regression import minimum_norm

linalg = late("scipy.linalg")

Square = Float[np.ndarray, "d d"]
GROWTH_STEPS = 20_000


def second_moment_step(M: Square, m: Float[np.ndarray, " d"], X: Float[np.ndarray, "n d"], r: Float[np.ndarray, " n"], factor: float, rate: float, batch: int):
    """(M, m) one step later, M = E ee', m = E e, e = w - w* for one output, r_i = y_i - x_i'w* at a least-squares solution w*.

    The step is -rate * factor * mean over the batch of x_i (x_i'w - y_i), drawn with replacement; S = factor X'X/n:
    m+ = (I - rate S) m,
    M+ = (I - rate S) M (I - rate S) + (rate^2/batch) [factor^2 (1/n) sum_i x_i x_i' (x_i'M x_i - 2 r_i x_i'm + r_i^2) - S M S].
    """
    n, d = X.shape
    S = factor * X.T @ X / n
    keep = np.eye(d) - rate * S
    weight = np.einsum("id,de,ie->i", X, M, X) - 2 * r * (X @ m) + r**2
    noise = factor**2 * (X * weight[:, None]).T @ X / n - S @ M @ S
    return keep @ M @ keep + rate**2 / batch * noise, keep @ m


def stationary_covariance(H: Square, noise: Square, rate: float) -> Square:
    """C = (I - rate H) C (I - rate H) + rate^2 noise: where descent with additive gradient noise of this covariance settles.

    Scalar: rate s^2/(h(2 - rate h)); for small rates HC + CH = rate * noise.
    """
    keep = np.eye(len(H)) - rate * H
    return linalg.solve_discrete_lyapunov(keep, rate**2 * noise)


class SgdMoments(Theory):
    """SGD with replacement on one linear layer: the mean of W and of the loss over the draws of batches, exact at any rate.

    E loss = loss_min + tr(H M)/2 summed over outputs, H = 2c X'X. An average: hold it against many seeds.
    """

    source: ClassVar[str] = "textbook"
    predicts: ClassVar[tuple[str, ...]] = ("loss", "end_to_end")
    over_seeds: ClassVar[bool] = True
    tolerance: ClassVar[float] = 4.0  # in standard errors of the mean, the largest of a hundred or so marks

    def domain(self, start):
        depth = len(start.params)
        one = Condition("one layer", depth, 1, depth == 1)
        drawn = getattr(start.rule, "sampling", "none")
        return (
            one,
            plain_layers(start),
            squared_loss(start),
            no_ridge(start),
            rule_is(start, SGD),
            Condition("batches are drawn with replacement", drawn, "replacement", drawn == "replacement"),
        )

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        marks, c = start.marked(clock), constant(start)
        X, Y, batch, rate = start.data.train.X, start.data.train.Y, int(start.rule.batch), float(start.rule.rate)
        factor = 2 * batch * start.experiment.loss.constant(batch)
        W_star = minimum_norm(X, Y)
        residual = Y - X @ W_star.T
        means = list(start.params["layer1"]["weight"] - W_star)
        seconds = [np.outer(m, m) for m in means]
        H, floor = 2 * c * X.T @ X, c * np.sum(residual**2)
        W, loss, step = [], [], 0
        for mark in marks.steps:
            while step < mark:
                moved = [second_moment_step(M, m, X, residual[:, j], factor, rate, batch) for j, (M, m) in enumerate(zip(seconds, means))]
                seconds, means, step = [M for M, _ in moved], [m for _, m in moved], step + 1
            W.append(W_star + np.stack(means))
            loss.append(floor + sum(np.sum(H * M) for M in seconds) / 2)
        quantities = Loss().quantities(start.system, start.state.params) + EndToEnd().quantities(start.system, start.state.params)
        return table(quantities, {"loss": np.array(loss), "end_to_end": np.array(W)}, marks)

    @classmethod
    def example(cls):
        return Experiment(DeepLinear(), Gaussian(n=12, d=3, k=2, noise=0.3), SGD(rate=0.2, batch=3), Clock(steps=40, every=4))


def mean_square_growth(X: Float[np.ndarray, "n d"], factor: float, rate: float, batch: int) -> float:
    """The largest factor per step by which second moments M = E ee' grow or fall near a solution that fits every sample (r_i = 0), batches with replacement.

    The spectral radius of M -> M+ of `second_moment_step` with m = 0, a map of symmetric matrices; positive, so by powers of it on M = I.
    """
    M, zero, r, size, growth = np.eye(X.shape[1]), np.zeros(X.shape[1]), np.zeros(len(X)), 1.0, 0.0
    for _ in range(GROWTH_STEPS):
        M, _ = second_moment_step(M, zero, X, r, factor, rate, batch)
        before, size = growth, float(np.trace(M)) if np.trace(M) > 0 else 0.0
        if size == 0:
            return 0.0
        M, growth = M / size * X.shape[1], size / X.shape[1]
        if abs(growth - before) <= 1e-13 * growth:
            break
    return growth


def mean_square_threshold(X: Float[np.ndarray, "n d"], factor: float, batch: int) -> float:
    """The rate at which SGD's second moment neither grows nor falls near a solution that fits every sample: exact, below 2/sharpness.

    It comes to 2/sharpness as the batch grows. factor = 2cn; the step is `second_moment_step`'s. Directions outside the span of the inputs do not move and
    are left out.  Source: Ma & Ying 2021; Mulayoff & Michaeli 2024.
    """
    _, s, V = np.linalg.svd(X, full_matrices=False)
    inside = X @ V[s > s[0] * 1e-12].T
    top = factor * float(s[0] ** 2) / len(X)
    low, high = 0.0, 2 / top
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if mean_square_growth(inside, factor, middle, batch) < 1 else (low, middle)
    return low
