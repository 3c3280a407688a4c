"""Moments of SGD on linear regression: exact mean and second moment, averaged over the draws of
batches."""

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.gaussian import Gaussian
from learnmech.errors import refused
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.machine.late import late
from learnmech.rules.descent import SGD
from learnmech.theories.base import (
    Condition,
    Theory,
    constant,
    need,
    no_ridge,
    rule_is,
    squared_loss,
)
from learnmech.theories.deep_linear import plain_layers
from learnmech.theories.regression import minimum_norm

if TYPE_CHECKING:
    from scipy import linalg
else:
    linalg = late("scipy.linalg")

Square = Float[np.ndarray, "d d"]
GROWTH_STEPS = 20_000


def second_moment_step(
    M: Square,
    m: Float[np.ndarray, " d"],
    X: Float[np.ndarray, "n d"],
    r: Float[np.ndarray, " n"],
    factor: float,
    rate: float,
    batch: int,
):
    """(M, m) one step later, M = E ee', m = E e, e = w - w* for one output, r_i = y_i - x_i'w* at a
    least-squares solution w*.

    The step is -rate * factor * mean over the batch of x_i (x_i'w - y_i), drawn with replacement;
    S = factor X'X/n: m+ = (I - rate S) m, M+ = (I - rate S) M (I - rate S)
    + (rate^2/batch) [factor^2 (1/n) sum_i x_i x_i' (x_i'M x_i - 2 r_i x_i'm + r_i^2) - S M S].
    """
    n, d = X.shape
    S = factor * X.T @ X / n
    keep = np.eye(d) - rate * S
    weight = np.einsum("id,de,ie->i", X, M, X) - 2 * r * (X @ m) + r**2
    noise = factor**2 * (X * weight[:, None]).T @ X / n - S @ M @ S
    return keep @ M @ keep + rate**2 / batch * noise, keep @ m


def stationary_covariance(H: Square, noise: Square, rate: float) -> Square:
    """C = (I - rate H) C (I - rate H) + rate^2 noise: where descent with additive gradient noise of
    this covariance settles.

    Scalar: rate s^2/(h(2 - rate h)); for small rates HC + CH = rate * noise.
    """
    keep = np.eye(len(H)) - rate * H
    return linalg.solve_discrete_lyapunov(keep, rate**2 * noise)


class SgdMoments(Theory):
    """SGD with replacement on one linear layer: the mean of W and of the loss over the draws of
    batches, exact at any rate.

    E loss = loss_min + tr(H M)/2 summed over outputs, H = 2c X'X. An average: hold it against many
    seeds.
    """

    source: ClassVar[str] = "textbook"
    predicts: ClassVar[tuple[str, ...]] = ("loss", "end_to_end")
    over_seeds: ClassVar[bool] = True
    tolerance: ClassVar[float] = (
        4.0  # in standard errors of the mean, the largest of a hundred or so marks
    )

    def domain(self, start):
        depth = len(start.params)
        one = Condition("one layer", depth, 1, depth == 1, fact="depth", wants=("1",))
        drawn = getattr(start.rule, "sampling", "none")
        return (
            one,
            plain_layers(start),
            squared_loss(start),
            no_ridge(start),
            rule_is(start, SGD),
            Condition(
                "batches are drawn with replacement", drawn, "replacement", drawn == "replacement"
            ),
        )

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        marks, problem = start.marked(clock), _Problem.of(start)
        means, seconds = problem.along(start.params["layer1"]["weight"], marks.steps)
        W, loss = problem.solution + means, np.array([problem.loss(M) for M in seconds])
        quantities = Loss().quantities(start.system, start.state.params) + EndToEnd().quantities(
            start.system, start.state.params
        )
        return table(quantities, {"loss": loss, "end_to_end": W}, marks)

    @classmethod
    def example(cls):
        return Experiment(
            DeepLinear(),
            Gaussian(n=12, d=3, k=2, noise=0.3),
            SGD(rate=0.2, batch=3),
            Clock(steps=40, every=4),
        )


class _Problem(NamedTuple):
    """Least squares as SGD meets it: a solution W* (k, d), residuals (n, k), 2cn of a batch as
    `factor`, c of the whole loss, rate and batch."""

    X: Float[np.ndarray, "n d"]
    solution: Float[np.ndarray, "k d"]
    residual: Float[np.ndarray, "n k"]
    c: float
    factor: float
    rate: float
    batch: int

    @classmethod
    def of(cls, start):
        """Of a start for which the conditions of `SgdMoments` hold."""
        X, Y, batch = start.data.train.X, start.data.train.Y, int(start.rule.batch)
        solution = minimum_norm(X, Y)
        factor = 2 * batch * start.experiment.loss.constant(batch)
        return cls(
            X, solution, Y - X @ solution.T, constant(start), factor, float(start.rule.rate), batch
        )

    def step(self, M, m, j):
        """`second_moment_step` of output j."""
        return second_moment_step(
            M, m, self.X, self.residual[:, j], self.factor, self.rate, self.batch
        )

    def along(self, W, steps):
        """(E e, E ee') of every output at these steps, (t, k, d) and (t, k, d, d), from W (k,
        d)."""
        means = list(W - self.solution)
        seconds, at, found = [np.outer(m, m) for m in means], 0, []
        for mark in steps:
            while at < mark:
                moved = [
                    self.step(M, m, j) for j, (M, m) in enumerate(zip(seconds, means, strict=True))
                ]
                seconds, means, at = [M for M, _ in moved], [m for _, m in moved], at + 1
            found.append((np.stack(means), np.stack(seconds)))
        return tuple(np.stack(part) for part in zip(*found, strict=True))

    def loss(self, seconds):
        """loss_min + sum over outputs of tr(H M)/2, H = 2c X'X."""
        H = 2 * self.c * self.X.T @ self.X
        return self.c * np.sum(self.residual**2) + np.sum(H * np.sum(seconds, axis=0)) / 2


def second_moments(start: Start, clock: Clock | None = None) -> Float[np.ndarray, "t k d d"]:
    """E ee' of each output's weights at the clock's marks, e = w - w* their distance from least
    squares, over the draws of batches: exact at any rate.

    The covariance over the draws is this less E e E e', E e from the `end_to_end` that `SgdMoments`
    predicts.
    """
    need(SgdMoments(), start, *SgdMoments().domain(start))
    return _Problem.of(start).along(start.params["layer1"]["weight"], start.marked(clock).steps)[1]


class Stationary(NamedTuple):
    """Where SGD on least squares settles: the covariance (k, d, d) of each output's weights over
    the draws, and the mean loss."""

    covariance: Float[np.ndarray, "k d d"]
    loss: float


def stationary(start: Start) -> Stationary:
    """The covariance and the mean loss at which SGD with replacement settles on one linear layer,
    exact at any rate, the batches' own noise included.

    C = (I - rate H) C (I - rate H)
    + (rate^2/batch) [(2cn)^2 (1/n) sum_i x_i x_i' (x_i'C x_i + r_i^2) - H C H],
    solved as one linear system in the entries of C within the span of the inputs; outside it
    nothing moves. For small rates HC + CH = (rate/batch) (2cn)^2 (1/n) sum_i r_i^2 x_i x_i'.
    Refuses a rate at or above `mean_square_threshold`, where second moments do not settle.
    Source: textbook; Ziyin et al. 2022.
    """
    need(SgdMoments(), start, *SgdMoments().domain(start))
    problem = _Problem.of(start)
    _, s, V = np.linalg.svd(problem.X, full_matrices=False)
    V = V[s > s.max(initial=0.0) * max(problem.X.shape) * np.finfo(float).eps]
    q, k = len(V), problem.solution.shape[0]
    if not q:
        return Stationary(
            np.zeros((k, *problem.X.shape[1:], problem.X.shape[1])),
            float(problem.loss(np.zeros((k, 1, 1)))),
        )
    inside = problem._replace(X=problem.X @ V.T)
    growth = mean_square_growth(inside.X, problem.factor, problem.rate, problem.batch)
    if not growth < 1:
        got = f"rate {problem.rate:g}, at which they grow by {growth:.6g} a step"
        raise refused(
            "The stationary covariance",
            "second moments that settle",
            got,
            "Lower the rate below sgd_moments.mean_square_threshold",
        )
    rows, columns = np.triu_indices(q)
    silent, basis = inside._replace(residual=0 * problem.residual), []
    for i, j in zip(rows, columns, strict=True):
        one = np.zeros((q, q))
        one[i, j] = one[j, i] = 1.0
        basis.append(silent.step(one, np.zeros(q), 0)[0][rows, columns])
    system, found = np.eye(len(rows)) - np.array(basis).T, []
    for output in range(k):
        kick = inside.step(np.zeros((q, q)), np.zeros(q), output)[0]
        C = np.zeros((q, q))
        C[rows, columns] = C[columns, rows] = np.linalg.solve(system, kick[rows, columns])
        found.append(V.T @ C @ V)
    covariance = np.stack(found)
    return Stationary(covariance, float(problem.loss(covariance)))


def mean_square_growth(
    X: Float[np.ndarray, "n d"], factor: float, rate: float, batch: int
) -> float:
    """The largest factor per step by which second moments M = E ee' grow or fall near a solution
    that fits every sample (r_i = 0), batches with replacement.

    The spectral radius of M -> M+ of `second_moment_step` with m = 0, a map of symmetric matrices;
    positive, so by powers of it on M = I.
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
    """The rate at which SGD's second moment neither grows nor falls near a solution that fits every
    sample: exact, below 2/sharpness.

    It comes to 2/sharpness as the batch grows. factor = 2cn; the step is `second_moment_step`'s.
    Directions outside the span of the inputs do not move and are left out.  Source: Ma & Ying 2021;
    Mulayoff & Michaeli 2024.
    """
    _, s, V = np.linalg.svd(X, full_matrices=False)
    inside = X @ V[s > s[0] * 1e-12].T
    top = factor * float(s[0] ** 2) / len(X)
    low, high = 0.0, 2 / top
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if mean_square_growth(inside, factor, middle, batch) < 1
            else (low, middle)
        )
    return low
