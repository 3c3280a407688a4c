"""What is left out: leverages, leave-one-out and the marginal likelihood in closed form, against
fits made one by one; where batches leave least squares."""

import dataclasses

import mpmath
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

import learnmech as lm
from learnmech import architectures, data, initial, instruments, rules, theories
from learnmech.errors import Refused
from learnmech.kernels.learner import KernelLearner
from learnmech.kernels.posterior import posterior
from learnmech.theories import regression
from learnmech.theories.sgd_moments import (
    mean_square_threshold,
    second_moment_step,
    second_moments,
    stationary,
    stationary_covariance,
)

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((9, 3)), RNG.standard_normal((9, 2))


def rbf(A, B):
    return np.exp(-0.5 * ((A[:, None] - B[None]) ** 2).sum(-1))


@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_leave_one_out_and_leverages_are_those_of_fits_made_one_by_one(ridge):
    K, begun = rbf(X, X), RNG.standard_normal(Y.shape)
    learner = KernelLearner.of(K, Y, 0.5, begun)
    for i in range(len(X)):
        others = np.arange(len(X)) != i
        part = KernelLearner.of(K[np.ix_(others, others)], Y[others], 0.5, begun[others])
        np.testing.assert_allclose(
            learner.leave_one_out(ridge)[i],
            part.limit(K[i : i + 1, others], begun[i : i + 1], ridge)[0],
            rtol=1e-9,
        )
    moved = [
        (
            learner.limit(K, begun, ridge)
            - KernelLearner.of(K, Y - 1e-3 * np.eye(9)[:, [i]], 0.5, begun).limit(K, begun, ridge)
        )[i, 0]
        for i in range(9)
    ]
    np.testing.assert_allclose(learner.leverages(ridge), np.array(moved) / 1e-3, rtol=1e-8)


@pytest.mark.parametrize("rho", [0.0, 0.3])
@pytest.mark.parametrize("n", [9, 2], ids=["more samples than inputs", "fewer"])
def test_leave_one_out_of_least_squares_at_any_rank(n, rho):
    A, B, c = X[:n], Y[:n], 0.5
    told = regression.leave_one_out(A, B, c, rho)
    for i in range(n):
        others = np.arange(n) != i
        W = regression.ridge_solution(A[others], B[others], c, rho)
        np.testing.assert_allclose(told[i], A[i] @ W.T, rtol=1e-9, atol=1e-12)
    hat = (
        A @ np.linalg.pinv(A)
        if not rho
        else A @ np.linalg.solve(A.T @ A + rho / (2 * c) * np.eye(3), A.T)
    )
    np.testing.assert_allclose(regression.leverages(A, c, rho), np.diag(hat), rtol=1e-10)


def test_an_input_whose_direction_no_other_has_is_told_by_the_others_alone():
    A = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])  # the third alone sees the second input
    y = np.array([[1.0], [2.5], [7.0]])
    told = regression.leave_one_out(A, y)
    assert (
        told[2, 0] == pytest.approx(0.0, abs=1e-12)
        and told[0, 0] == pytest.approx(1.25)
        and told[1, 0] == pytest.approx(2.0)
    )


def test_the_marginal_likelihood_is_scikit_learns_and_that_of_fifty_digits():
    noise = 0.3
    K = rbf(X, X)
    told = KernelLearner.of(K, Y, 0.5).log_marginal_likelihood(noise)
    for j in range(2):
        fitted = GaussianProcessRegressor(
            RBF(1.0, "fixed") + WhiteKernel(noise**2, "fixed"), optimizer=None, alpha=0.0
        ).fit(X, Y[:, j])
        assert told[j] == pytest.approx(fitted.log_marginal_likelihood_value_, rel=1e-10)
    with mpmath.workdps(50):
        C, y = mpmath.matrix(K.tolist()) + noise**2 * mpmath.eye(9), mpmath.matrix(Y[:, 0].tolist())
        exact = (
            -(y.T * mpmath.lu_solve(C, y))[0] / 2
            - mpmath.log(mpmath.det(C)) / 2
            - mpmath.mpf(9) / 2 * mpmath.log(2 * mpmath.pi)
        )
    assert told[0] == pytest.approx(float(exact), rel=1e-11)
    np.testing.assert_allclose(
        posterior(K, Y, K[:2], K[:2, :2], noise).log_marginal_likelihood, told, rtol=1e-12
    )


@pytest.mark.parametrize(
    "kind", ["twice", "twice in single precision", "nothing", "odd", "none apart"]
)
def test_a_kernel_that_is_singular_to_round_off_is_known_by_its_rank(kind):
    A = X.copy()
    if kind.startswith("twice"):
        A[1] = A[0]
    if kind == "none apart":
        A[1] = A[0] + 1e-12
    K = {"nothing": np.zeros((9, 9)), "odd": (A @ A.T) ** 3}.get(kind, rbf(A, A))
    if kind == "odd":
        A[1] = -A[0]
        K = (A @ A.T) ** 3 + A @ A.T  # odd in each input: -x carries what x does
    K = K.astype(np.float32) if "single" in kind else K
    learner = KernelLearner.of(K, Y, 0.5)
    rank = {"nothing": 0}.get(kind, 8)
    assert learner.rank == rank and learner.condition_number == np.inf
    for ask in (
        lambda: learner.limit(K),
        lambda: posterior(K, Y, K, K),
        learner.log_marginal_likelihood,
        lambda: learner.limit(K, ridge=1e-300 * float(K.max())),
    ):
        with pytest.raises(Refused, match=f"rank {rank} of 9"):
            ask()
    assert np.isfinite(learner.limit(K, ridge=0.1)).all()
    assert learner.leverages().sum() == pytest.approx(rank, abs=1e-6)


NOISY = lm.Experiment(
    architectures.DeepLinear(),
    data.Gaussian(n=8, d=3, k=2, noise=0.5),
    rules.SGD(rate=0.15, batch=2),
    lm.Clock(steps=30, every=10),
)


@pytest.mark.parametrize("scaling", ["half-mean", "sum"])
def test_where_sgd_settles_is_the_fixed_point_of_its_second_moment(scaling):
    experiment = NOISY.with_value("loss.scaling", scaling).with_value(
        "rule.rate", 0.15 if scaling == "half-mean" else 0.02
    )
    settled = stationary(lm.prepare(experiment))
    late = second_moments(lm.prepare(experiment), lm.Clock(steps=4000, every=4000))[-1]
    np.testing.assert_allclose(settled.covariance, late, rtol=1e-8, atol=1e-12)
    said = theories.SgdMoments().predict(lm.prepare(experiment), lm.Clock(steps=4000, every=4000))
    assert settled.loss == pytest.approx(float(said["loss"][-1]), rel=1e-9)


def test_at_small_rates_it_solves_the_lyapunov_equation_of_additive_noise():
    start = lm.prepare(NOISY.with_value("rule.rate", 1e-4))
    train = start.data.train
    r = train.Y - train.X @ np.linalg.pinv(train.X) @ train.Y
    H = train.X.T @ train.X / len(train.X)
    for output, covariance in enumerate(stationary(start).covariance):
        noise = (train.X * r[:, output : output + 1] ** 2).T @ train.X / len(train.X) / 2
        np.testing.assert_allclose(covariance, stationary_covariance(H, noise, 1e-4), rtol=1e-3)
        np.testing.assert_allclose(
            H @ covariance + covariance @ H, 1e-4 * noise, rtol=1e-3, atol=1e-9
        )


def test_it_is_what_runs_scatter_by():
    start, count = lm.prepare(NOISY), 20_000
    train, rng = start.data.train, np.random.default_rng(0)
    w_star = np.linalg.pinv(train.X) @ train.Y[:, 0]
    w = np.tile(w_star, (count, 1))
    for _ in range(120):
        chosen = rng.integers(0, 8, (count, 2))
        x, y = train.X[chosen], train.Y[chosen, 0]
        w = w - 0.15 * np.mean(x * (np.einsum("cbd,cd->cb", x, w) - y)[..., None], axis=1)
    seen, said = np.cov(w.T), stationary(start).covariance[0]
    # entries of a covariance scatter by sqrt((C_ij^2 + C_ii C_jj)/count), more where tails are
    # heavier than a normal's
    bar = np.sqrt((said**2 + np.outer(np.diag(said), np.diag(said))) / count)
    assert (np.abs(seen - said) < 8 * bar).all() and (np.abs(said).max() > 50 * bar.max())


def test_above_the_mean_square_threshold_nothing_settles_and_fewer_samples_than_inputs_leave_no_noise():
    start = lm.prepare(NOISY)
    edge = mean_square_threshold(start.data.train.X, 1.0, 2)
    assert np.isfinite(
        stationary(lm.prepare(NOISY.with_value("rule.rate", 0.99 * edge))).covariance
    ).all()
    with pytest.raises(Refused, match="second moments that settle"):
        stationary(lm.prepare(NOISY.with_value("rule.rate", 1.01 * edge)))
    fitted = stationary(lm.prepare(NOISY.with_value("data.n", 2).with_value("rule.rate", 0.02)))
    assert np.abs(fitted.covariance).max() < 1e-20 and fitted.loss < 1e-20
    assert second_moment_step(
        np.zeros((3, 3)), np.zeros(3), start.data.train.X, np.zeros(8), 1.0, 0.1, 2
    )[0].shape == (3, 3)


def test_the_products_of_outer_layers_are_told_and_read_along_a_lambda_balanced_run():
    experiment = theories.LambdaBalanced.example()
    record = lm.run(experiment, (instruments.LayerProducts(), instruments.EndToEnd()))
    laid = lm.compare(record, theories.LambdaBalanced())
    assert laid.verdict == "holds" and {row.quantity for row in laid.rows} == {
        "input_product",
        "output_product",
        "end_to_end",
    }
    W = record.params["layer1"]["weight"], record.params["layer2"]["weight"]
    np.testing.assert_allclose(record["input_product"].values[-1], W[0].T @ W[0], rtol=1e-12)
    np.testing.assert_allclose(record["output_product"].values[-1], W[1] @ W[1].T, rtol=1e-12)
    with pytest.raises(Refused, match="LayerProducts needs a network linear in its inputs"):
        lm.run(
            experiment.with_value("architecture", {"kind": "mlp", "hidden": [3]}).with_value(
                "initial", initial.Gaussian()
            ),
            ("layer-products",),
        )


def test_kernel_theories_tell_losses_and_accuracies_as_instruments_read_them():
    network = architectures.Linearized(
        architectures.Mlp(hidden=(32,), bias=True, scaling=lm.scalings.NTK(weight=1.5))
    )
    source = data.Digits(train=12, classes=(0, 1), components=4, targets="sign")
    experiment = lm.Experiment(
        network, source, rules.GradientDescent(rate=0.3), lm.Clock(steps=10, every=5)
    )
    start = lm.prepare(experiment)
    laid = lm.compare(lm.run(start, ("loss", "test-loss", "accuracy")), theories.Lazy())
    assert laid.verdict == "holds" and {row.quantity for row in laid.rows} == {
        "loss",
        "test_loss",
        "accuracy",
        "test_accuracy",
    }
    assert {"accuracy", "test_accuracy", "test_loss"} <= set(
        theories.InfiniteWidth().predict(start).data_vars
    )
    mean = theories.EnsembleMean().predict(start)
    many = lm.sweep(
        dataclasses.replace(experiment, architecture=experiment.architecture),
        {},
        200,
        ("loss", "test-loss"),
    )
    for name in ("loss", "test_loss"):
        bar = many[name].std("seed", ddof=1).values / np.sqrt(200)
        # over seeds, and 1/h for a width of 32
        assert (
            np.abs(many[name].mean("seed").values - mean[name].values)
            < 4.5 * bar + 0.1 * mean[name].values
        ).all()
