"""Linear regression: one layer, solved mode by mode of X'X."""

from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.instruments.losses import Outputs
from learnmech.kernels.decay import momentum_decay
from learnmech.kernels.learner import KernelLearner
from learnmech.rules.descent import GradientDescent, HeavyBall
from learnmech.rules.flow import GradientFlow
from learnmech.rules.recurrence import averaging, heavy, looking_ahead
from learnmech.theories.base import (
    Condition,
    Theory,
    constant,
    need,
    ridge_of,
    rule_is,
    squared_loss,
)
from learnmech.theories.deep_linear import OF_MAPS, plain_layers, said_of_maps

Vector = Float[np.ndarray, " d"]
Matrix = Float[np.ndarray, "rows columns"]


class Directions(NamedTuple):
    """X = P diag(sigma) Q' (thin; Q completed to all of input space), and the Hessian's
    eigenvalues h = 2c sigma^2 (per output, ridge not included)."""

    P: Float[np.ndarray, "n r"]
    sigma: Float[np.ndarray, " r"]
    Q: Float[np.ndarray, "d d"]
    h: Vector


def directions(X: Matrix, c: float) -> Directions:
    """The eigendirections of H = 2c X'X for any rank of X; singular values below round-off count
    as 0."""
    P, sigma, Qt = np.linalg.svd(X, full_matrices=True)
    rank = (
        int((sigma > sigma[0] * max(X.shape) * np.finfo(float).eps).sum())
        if sigma.size and sigma[0] > 0
        else 0
    )
    h = np.zeros(X.shape[1])
    h[:rank] = 2 * c * sigma[:rank] ** 2
    return Directions(P[:, :rank], sigma[:rank], Qt.T, h)


def minimum_norm(X: Matrix, Y: Matrix) -> Matrix:
    """W = (X^+ Y)' (k, d): ordinary least squares where X has full column rank, the interpolator
    of least norm where n < d."""
    return (np.linalg.pinv(X) @ Y).T


def ridge_solution(X: Matrix, Y: Matrix, c: float, rho: float) -> Matrix:
    """W = ((H + rho I)^-1 2c X'Y)' (k, d), the minimum of c|XW' - Y|^2 + (rho/2)|W|^2; in kernel
    form X'(XX' + rho/(2c) I)^-1 Y.

    At rho = 0 that of least norm, at any rank of X.
    """
    if not rho:
        return minimum_norm(X, Y)
    if len(X) < X.shape[1]:
        return (X.T @ np.linalg.solve(X @ X.T + rho / (2 * c) * np.eye(len(X)), Y)).T
    return np.linalg.solve(2 * c * X.T @ X + rho * np.eye(X.shape[1]), 2 * c * X.T @ Y).T


def leverages(X: Matrix, c: float = 0.5, rho: float = 0.0) -> Float[np.ndarray, " n"]:
    """The diagonal of X (X'X + rho/(2c) I)^{-1} X' (n,): how much each fitted output follows its
    own target; at rho = 0 of the projection on X's columns."""
    return _as_kernel(X, np.zeros((len(X), 1)), c).leverages(rho / (2 * c))


def leave_one_out(X: Matrix, Y: Matrix, c: float = 0.5, rho: float = 0.0) -> Matrix:
    """What the fit to all samples but one says at that one (n, k), for each:
    y_i - r_i/(1 - leverage_i), r the residual; rho and c as in `ridge_solution`.

    The ridge per sample stays as it is when one is left out: rho/(2c) beside X'X. At rho = 0 the
    fit is that of least norm.
    """
    return _as_kernel(X, Y, c).leave_one_out(rho / (2 * c))


def _as_kernel(X, Y, c):
    X = np.asarray(X, np.float64)
    return KernelLearner.of(X @ X.T, np.asarray(Y, np.float64), c)


def critical_rate(top: float, momentum: float = 0.0, kind: str = "heavy-ball") -> float:
    """The rate above which descent on a quadratic of top curvature `top` diverges.

    `heavy-ball` (v <- b v + g, w <- w - eta v): 2(1+b)/top, with b = 0 plain descent, 2/top.
    `nesterov` (step along g + b v): (2+2b)/(top(1+2b)). `ema` (m <- b m + (1-b) g): 2(1+b)/((1-b)
    top).
    """
    made = {"heavy-ball": heavy, "nesterov": looking_ahead, "ema": averaging}[kind]
    return made(momentum).threshold / top


def early_stopping_filter(h: Vector, rate: float, steps: int) -> Vector:
    """1 - (1 - rate h)^steps: the share of each eigendirection's least-squares solution that
    descent from zero has learned."""
    below = rate * h < 1
    return np.where(
        below,
        -np.expm1(steps * np.log1p(-rate * np.where(below, h, 0.0))),
        1 - (1 - rate * h) ** steps,
    )


def ridge_filter(h: Vector, rho: float) -> Vector:
    """h/(h + rho): the share of each eigendirection's least-squares solution that ridge keeps."""
    return h / (h + rho)


class Regression(Theory):
    """One linear layer: w(t) = w_inf + (what is left) (w_0 - w_inf), in each eigendirection of
    H = 2c X'X.

    What is left is e^{-ht} under flow, (1 - eta h)^k under descent, a two-by-two matrix power under
    heavy ball; h + ridge in place of h with a ridge. w_inf = X^+ y + (I - X^+X) w_0: from zero the
    minimum-norm solution (n < d), OLS (n >= d); any rank of X. Exact up to the critical rate and
    beyond it.
    """

    source: ClassVar[str] = "textbook"
    predicts: ClassVar[tuple[str, ...]] = (*OF_MAPS, "outputs", "test_outputs")
    # conditioning: a residual that has decayed by e^-20 is 2e-9 of its scale, far above round-off;
    # flows at rtol 1e-10 are the limit
    tolerance: ClassVar[float] = 1e-6

    def domain(self, start):
        depth = len(start.params)
        one = Condition("one layer", depth, 1, depth == 1, fact="depth", wants=("1",))
        whole = Condition(
            "the rule sees all samples",
            int(getattr(start.rule, "batch", 0)),
            0,
            not getattr(start.rule, "batch", 0),
            fact="all-samples",
            wants=("yes",),
        )
        return (
            one,
            plain_layers(start),
            squared_loss(start),
            rule_is(start, GradientFlow, GradientDescent, HeavyBall),
            whole,
        )

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # above the critical rate the prediction diverges, as the run does
            return self._said(start, clock)

    def _said(self, start, clock):
        marks, c, rho = start.marked(clock), constant(start), ridge_of(start)
        X, Y, W_0 = start.data.train.X, start.data.train.Y, start.params["layer1"]["weight"]
        P, sigma, Q, h = directions(X, c)
        left = self._left(start, h + rho, marks)
        seen = P.T @ Y
        w_0 = W_0 @ Q
        w_inf = w_0 * (rho == 0)
        w_inf[:, : len(sigma)] = (2 * c * sigma / (h[: len(sigma)] + rho)) * seen.T
        W = (w_inf + left[:, None, :] * (w_0 - w_inf)) @ Q.T
        # the residual in each direction decays as a whole where there is no ridge, so that nothing
        # cancels near interpolation
        r_inf = (sigma * w_inf[:, : len(sigma)]).T - seen if rho else 0.0
        r = r_inf + left[:, : len(sigma), None] * ((sigma * w_0[:, : len(sigma)]).T - seen - r_inf)
        rest = Y - P @ seen if len(sigma) < len(X) else np.zeros_like(Y)
        loss = c * (np.sum(r**2, axis=(1, 2)) + np.sum(rest**2)) + rho / 2 * np.sum(
            W**2, axis=(1, 2)
        )
        said = said_of_maps(start, marks, W, loss=loss)
        test = (
            {}
            if start.data.test is None
            else {"test_outputs": start.data.test.X @ np.swapaxes(W, 1, 2)}
        )
        told = {"outputs": X @ np.swapaxes(W, 1, 2)} | test
        for q in Outputs().quantities(start.system, start.state.params):
            said[q.name] = (("time", *q.axes), told[q.name], q.attributes)
        return said

    def _left(self, start, h, marks):
        rule = start.rule
        if rule.flows:
            return np.exp(-h * marks.times[:, None])
        if isinstance(rule, HeavyBall):
            return momentum_decay(h, float(rule.rate), float(rule.momentum), marks.steps)
        return (1 - float(rule.rate) * h) ** marks.steps[:, None]

    @classmethod
    def example(cls):
        return Experiment(
            DeepLinear(),
            Gaussian(n=20, d=4, k=2, noise=0.1, test=5),
            GradientDescent(rate=0.3),
            Clock(steps=60, every=3),
        )


def hessian_top(start: Start) -> float:
    """The largest eigenvalue of H = 2c X'X, ridge included: the sharpness of one linear layer,
    everywhere."""
    return float(
        directions(np.asarray(start.data.train.X), constant(start)).h.max() + ridge_of(start)
    )
