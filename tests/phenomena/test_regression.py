"""Linear regression: solutions against scikit-learn, trajectories against plain loops, moments
of SGD against every draw of batches there is."""

import itertools

import numpy as np
import pytest
import scipy.integrate
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge

import learnmech as lm
from learnmech.architectures import DeepLinear
from learnmech.comparison.orders import fitted_order
from learnmech.data import Gaussian
from learnmech.data.base import Drawn, View
from learnmech.initial import Given
from learnmech.losses import Squared
from learnmech.rules import SGD, GradientDescent, GradientFlow, HeavyBall
from learnmech.theories import Regression, SgdMoments
from learnmech.theories.regression import (
    critical_rate,
    early_stopping_filter,
    hessian_top,
    minimum_norm,
    ridge_filter,
    ridge_solution,
)
from learnmech.theories.sgd_moments import second_moment_step, stationary_covariance

C = {
    "half-mean": lambda n: 1 / (2 * n),
    "mean": lambda n: 1 / n,
    "half-sum": lambda n: 1 / 2,
    "sum": lambda n: 1.0,
}
SHAPES = {
    "full rank": (12, 4, 4),
    "fewer samples than inputs": (4, 7, 4),
    "rank-deficient": (9, 6, 3),
    "rank-deficient, wide": (5, 8, 3),
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
every_scaling = pytest.mark.parametrize("scaling", C)


def samples(shape, k=2, seed=0):
    """X (n, d) of a given rank and Y (n, k) that no linear map fits unless n <= rank."""
    n, d, rank = shape
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, rank)) @ rng.standard_normal((rank, d)) / np.sqrt(
        rank
    ), rng.standard_normal((n, k))


def started(X, Y, W, rule, clock, loss, test=None):
    parts = (
        DeepLinear(),
        Gaussian(n=len(X), d=X.shape[1], k=Y.shape[1]),
        rule,
        clock,
        Given(np.ravel(W)),
        loss,
    )
    return lm.prepare(lm.Experiment(*parts), Drawn(View(X, Y), test))


def slope(W, X, Y, c, rho=0.0):
    return 2 * c * (X @ W.T - Y).T @ X + rho * W


# --- solutions


def test_ordinary_least_squares_is_that_of_scikit_learn():
    X, Y = samples(SHAPES["full rank"])
    # round-off times the squared condition number of X, about 1e2
    np.testing.assert_allclose(
        minimum_norm(X, Y),
        LinearRegression(fit_intercept=False).fit(X, Y).coef_,
        rtol=1e-12,
        atol=1e-13,
    )


@every_shape
def test_the_pseudoinverse_gives_the_shortest_of_all_least_squares_solutions(shape):
    X, Y = samples(shape)
    # round-off times the condition number of X within its rank
    np.testing.assert_allclose(
        minimum_norm(X, Y), np.linalg.lstsq(X, Y, rcond=1e-12)[0].T, rtol=1e-11, atol=1e-12
    )


@every_shape
@every_scaling
def test_ridge_is_that_of_scikit_learn_with_alpha_rho_over_2c(shape, scaling):
    X, Y = samples(shape)
    c, rho = C[scaling](len(X)), 0.3
    alpha = rho / (2 * c)
    W = ridge_solution(X, Y, c, rho)
    # round-off times the condition number of X'X + alpha, at most 1e3
    np.testing.assert_allclose(
        W,
        Ridge(alpha=alpha, fit_intercept=False, solver="svd").fit(X, Y).coef_,
        rtol=1e-11,
        atol=1e-12,
    )
    kernel = KernelRidge(alpha=alpha, kernel="linear").fit(X, Y)
    np.testing.assert_allclose(W, kernel.dual_coef_.T @ X, rtol=1e-10, atol=1e-11)
    # its gradient vanishes: the same minimum that the loss with this ridge has
    np.testing.assert_allclose(slope(W, X, Y, c, rho), 0, atol=1e-11 * max(1.0, 2 * c * len(X)))


# --- trajectories

TIMES = np.array([0, 1, 2, 5, 17, 40])


def walked(W, X, Y, c, rho, rule, top):
    """Maps at the marks by a plain loop, or by a solver for a flow; rates and times in units of
    1/top."""
    if rule == "flow":
        solved = scipy.integrate.solve_ivp(
            lambda t, w: -slope(w.reshape(W.shape), X, Y, c, rho).ravel(),
            (0, 8 / top),
            W.ravel(),
            "DOP853",
            np.linspace(0, 8 / top, 5),
            rtol=1e-12,
            atol=1e-14,
        )
        return solved.y.T.reshape(-1, *W.shape)
    share, b = {
        "descent": (1.3, 0.0),
        "beyond the edge": (2.02, 0.0),
        "heavy ball": (1.1, 0.7),
        "nearly undamped heavy ball": (3.7, 0.9),
    }[rule]
    v, path = np.zeros_like(W), []
    for _ in range(TIMES[-1] + 1):
        path.append(W)
        v = b * v + slope(W, X, Y, c, rho)
        W = W - share / top * v
    return np.array(path)[TIMES]


def predicted(W, X, Y, scaling, rho, rule, top, test):
    chosen = {
        "flow": GradientFlow(),
        "descent": GradientDescent(rate=1.3 / top),
        "beyond the edge": GradientDescent(rate=2.02 / top),
        "heavy ball": HeavyBall(rate=1.1 / top, momentum=0.7),
        "nearly undamped heavy ball": HeavyBall(rate=3.7 / top, momentum=0.9),
    }[rule]
    clock = lm.Clock(time=8 / top, marks=5) if rule == "flow" else lm.Clock(steps=40, every=1)
    start = started(X, Y, W, chosen, clock, Squared(scaling=scaling, ridge=rho or None), test)
    assert all(condition.holds for condition in Regression().domain(start))
    assert hessian_top(start) == pytest.approx(top, rel=1e-12)  # round-off
    said = Regression().predict(start)
    return said if rule == "flow" else said.isel(time=TIMES)


@pytest.mark.parametrize(
    "rule", ["flow", "descent", "beyond the edge", "heavy ball", "nearly undamped heavy ball"]
)
@pytest.mark.parametrize("rho", [0.0, 0.4], ids=["no ridge", "ridge"])
@every_scaling
@every_shape
def test_a_linear_layer_moves_as_a_plain_loop_does_for_any_rank_loss_and_rule(
    shape, scaling, rho, rule
):
    X, Y = samples(shape)
    rng, c = np.random.default_rng(1), C[scaling](len(X))
    W, test = (
        rng.standard_normal((2, shape[1])),
        View(rng.standard_normal((3, shape[1])), rng.standard_normal((3, 2))),
    )
    top = np.linalg.eigvalsh(2 * c * X.T @ X)[-1] + rho
    seen, said = (
        walked(W, X, Y, c, rho, rule, top),
        predicted(W, X, Y, scaling, rho, rule, top, test),
    )
    # 40 steps of round-off (a flow: the solver's 1e-12 per step), on maps that grow tenfold at most
    close = {"rtol": 1e-10, "atol": 1e-10}
    U, _, Vt = np.linalg.svd(Y.T @ X, full_matrices=False)
    np.testing.assert_allclose(said["end_to_end"], seen, **close)
    np.testing.assert_allclose(said["outputs"], [X @ w.T for w in seen], **close)
    np.testing.assert_allclose(said["test_outputs"], [test.X @ w.T for w in seen], **close)
    np.testing.assert_allclose(
        said["loss"],
        [c * np.sum((X @ w.T - Y) ** 2) + rho / 2 * np.sum(w**2) for w in seen],
        **close,
    )
    np.testing.assert_allclose(
        said["test_loss"],
        [C[scaling](3) * np.sum((test.X @ w.T - test.Y) ** 2) for w in seen],
        **close,
    )
    np.testing.assert_allclose(
        said["mode_strength"], [np.diag(U.T @ w @ Vt.T) for w in seen], **close
    )
    np.testing.assert_allclose(said["singular_value"], [np.linalg.svd(w)[1] for w in seen], **close)


@every_shape
def test_descent_from_zero_finds_the_minimum_norm_solution(shape):
    X, Y = samples(shape)
    gram = X.T @ X / len(X)
    lam = np.linalg.eigvalsh(gram)
    # so many steps that the slowest direction which is learned at all has decayed by e^-40
    steps = int(40 * lam[-1] / lam[lam > 1e-10][0])
    W = np.zeros((2, shape[1]))
    start = started(
        X, Y, W, GradientDescent(rate=1 / lam[-1]), lm.Clock(steps=steps, marks=2), Squared()
    )
    shortest = np.linalg.lstsq(X, Y, rcond=1e-12)[0].T
    # e^-40 is below round-off; what is left is the condition number of X times 1e-16
    np.testing.assert_allclose(
        Regression().predict(start)["end_to_end"][-1], shortest, rtol=1e-10, atol=1e-11
    )
    for _ in range(steps):
        W = W - slope(W, X, Y, 0.5 / len(X)) / lam[-1]
    np.testing.assert_allclose(W, shortest, rtol=1e-10, atol=1e-11)


def test_descent_keeps_the_part_of_its_start_that_no_sample_sees():
    X, Y = samples(SHAPES["rank-deficient, wide"])
    W = np.random.default_rng(2).standard_normal((2, 8))
    unseen = np.eye(8) - np.linalg.pinv(X) @ X
    end = (
        Regression()
        .predict(started(X, Y, W, GradientFlow(), lm.Clock(time=1e4, marks=2), Squared()))[
            "end_to_end"
        ]
        .values[-1]
    )
    # round-off of a few products
    np.testing.assert_allclose(end @ unseen, W @ unseen, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        end, np.linalg.lstsq(X, Y, rcond=1e-12)[0].T + W @ unseen, rtol=0, atol=1e-11
    )


def test_the_loss_of_an_interpolating_network_keeps_its_digits_down_to_the_square_of_round_off():
    X, Y = samples(SHAPES["fewer samples than inputs"])
    W, c = np.random.default_rng(3).standard_normal((2, 7)), 1 / 8
    h = np.linalg.eigvalsh(2 * c * X @ X.T)
    start = started(
        X,
        Y,
        W,
        GradientDescent(rate=1.2 / h[-1]),
        lm.Clock(steps=int(60 * h[-1] / h[0]), marks=30),
        Squared(),
    )
    said, r, losses = Regression().predict(start)["loss"], X @ W.T - Y, []
    # the residual has a recursion of its own, in which nothing cancels
    for _ in range(start.marks.steps[-1] + 1):
        losses.append(c * np.sum(r**2))
        r = r - 1.2 / h[-1] * 2 * c * X @ (X.T @ r)
    assert losses[-1] < 1e-40 * losses[0]
    # round-off that thousands of multiplications gather; below, the square of the round-off of Y,
    # which is where a run in float64 stands still too
    np.testing.assert_allclose(
        said, np.array(losses)[start.marks.steps], rtol=1e-9, atol=1e-30 * losses[0]
    )


# --- critical rates


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("kind", ["heavy-ball", "nesterov", "ema"])
def test_descent_converges_just_below_its_critical_rate_and_diverges_just_above(kind, momentum):
    b, h = momentum, np.array([7.3, 3.1, 2.0])
    ends = []
    for share in (0.98, 1.02):
        rate, w, v = share * critical_rate(h[0], b, kind), np.ones(3), np.zeros(3)
        for _ in range(2000):
            g = h * w
            v = b * v + ((1 - b) * g if kind == "ema" else g)
            w = w - rate * (g + b * v if kind == "nesterov" else v)
        ends.append(np.abs(w).max())
    # 2% off the edge the slowest of these changes by over 1% a step, 2000 steps: e^20 either way
    assert ends[0] < 1e-6 and not ends[1] < 1e6


def test_at_the_critical_rate_the_top_component_flips_for_ever():
    X, Y = np.diag([2.0, 1.0]), np.zeros((2, 1))
    start = started(
        X,
        Y,
        np.array([[1.0, 1.0]]),
        GradientDescent(rate=critical_rate(4.0)),
        lm.Clock(steps=101, every=1),
        Squared(scaling="half-sum"),
    )
    W = Regression().predict(start)["end_to_end"].values[:, 0]
    # 4 eta = 2 exactly in binary; what differs is round-off in the singular vectors
    np.testing.assert_allclose(W[:, 0], (-1.0) ** np.arange(102), rtol=1e-12)
    np.testing.assert_allclose(W[:, 1], 0.5 ** np.arange(102), rtol=1e-12, atol=1e-15)


# --- filters


@pytest.mark.parametrize(
    "rate", [0.01, 0.9, 1.0, 1.9], ids=["small", "below 1/h", "at 1/h", "up to 2/h"]
)
def test_descent_stopped_early_has_learned_the_filtered_share_of_each_direction(rate):
    h = np.array([1.0, 0.5, 1e-3, 1e-9, 0.0])
    for steps in (0, 1, 7, 300):
        w = np.zeros(5)
        for _ in range(steps):
            w = w - rate * h * (w - 1.0)
        # round-off of 300 additions
        np.testing.assert_allclose(early_stopping_filter(h, rate, steps), w, rtol=1e-12, atol=0)


def test_ridge_keeps_the_filtered_share_of_each_direction():
    X, Y = samples(SHAPES["full rank"])
    c, rho = 1 / 24, 0.2
    h, Q = np.linalg.eigh(2 * c * X.T @ X)
    plain, kept = (
        LinearRegression(fit_intercept=False).fit(X, Y).coef_ @ Q,
        Ridge(alpha=rho / (2 * c), fit_intercept=False).fit(X, Y).coef_ @ Q,
    )
    # round-off times the condition number of X'X
    np.testing.assert_allclose(plain * ridge_filter(h, rho), kept, rtol=1e-10)


# --- moments of SGD


def every_end(W, X, Y, c, rate, batch, steps):
    """The maps that all (n^batch)^steps equally likely draws of batches lead to; a batch's loss
    is c(batch) times its sum of squared errors."""
    ends = [W]
    for _ in range(steps):
        ends = [
            w - rate * slope(w, X[list(i)], Y[list(i)], c(batch))
            for w in ends
            for i in itertools.product(range(len(X)), repeat=batch)
        ]
    return np.array(ends)


@every_scaling
@pytest.mark.parametrize(
    "shape", [(3, 2, 2), (3, 3, 1), (2, 3, 2)], ids=["full rank", "rank-deficient", "wide"]
)
def test_the_moments_of_sgd_are_the_average_over_every_draw_of_batches(shape, scaling):
    X, Y = samples(shape, seed=4)
    W, c = np.random.default_rng(5).standard_normal((2, shape[1])), C[scaling]
    rate = 0.3 / (2 * c(2) * 2 * np.linalg.norm(X, 2) ** 2)
    start = started(
        X, Y, W, SGD(rate=rate, batch=2), lm.Clock(steps=3, every=1), Squared(scaling=scaling)
    )
    said = SgdMoments().predict(start)
    for steps in range(4):
        ends = every_end(W, X, Y, c, rate, 2, steps)
        # exact: what is left is round-off of sums over up to 729 draws, and of the least-squares
        # solution
        np.testing.assert_allclose(said["end_to_end"][steps], ends.mean(0), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(
            said["loss"][steps],
            np.mean([c(len(X)) * np.sum((X @ w.T - Y) ** 2) for w in ends]),
            rtol=1e-12,
        )


@every_scaling
@pytest.mark.parametrize("batch", [1, 3])
def test_the_second_moment_of_sgd_is_exact_for_a_step_that_is_unbiased_for_the_gradient(
    batch, scaling
):
    X, Y = samples((3, 2, 2), k=1, seed=6)
    n, star = 3, np.linalg.lstsq(X, Y, rcond=None)[0].ravel()
    factor = 2 * C[scaling](n) * n
    rate, w = 0.4 / factor, np.array([1.0, -2.0])
    M, m = second_moment_step(
        np.outer(w - star, w - star), w - star, X, Y[:, 0] - X @ star, factor, rate, batch
    )
    draws = [list(i) for i in itertools.product(range(n), repeat=batch)]
    e = (
        np.array(
            [w - rate * factor * np.mean(X[i] * (X[i] @ w - Y[i, 0])[:, None], 0) for i in draws]
        )
        - star
    )
    # round-off
    np.testing.assert_allclose(m, e.mean(0), rtol=1e-12)
    np.testing.assert_allclose(M, e.T @ e / len(e), rtol=1e-12)


def test_descent_with_added_noise_settles_at_the_stationary_covariance():
    rng = np.random.default_rng(7)
    A, B = rng.standard_normal((2, 3, 3))
    H, noise = A @ A.T + np.eye(3), B @ B.T
    rate = 1.5 / np.linalg.norm(H, 2)
    settled, covariance, keep = (
        stationary_covariance(H, noise, rate),
        np.zeros((3, 3)),
        np.eye(3) - rate * H,
    )
    for _ in range(2000):
        covariance = keep @ covariance @ keep.T + rate**2 * noise
    # converged to round-off: the slowest direction has decayed by e^-100 and more
    np.testing.assert_allclose(settled, covariance, rtol=1e-11)
    assert stationary_covariance(np.array([[0.7]]), np.array([[4.0]]), 0.9)[0, 0] == pytest.approx(
        0.9 * 4 / (0.7 * (2 - 0.9 * 0.7)), rel=1e-14
    )


def test_for_small_rates_the_stationary_covariance_solves_the_lyapunov_equation_of_the_flow():
    H, noise = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, 0.3], [0.3, 2.0]])
    rates, off = [0.01, 0.005, 0.0025, 0.00125], []
    for rate in rates:
        covariance = stationary_covariance(H, noise, rate) / rate
        off.append(np.abs(H @ covariance + covariance @ H - noise).max())
    # the next term is O(rate), and its own correction at most 1% of it over this range
    assert fitted_order(rates, off).slope == pytest.approx(1.0, abs=0.01)
