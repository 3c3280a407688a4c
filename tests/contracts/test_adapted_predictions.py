"""Predictions of the adapter for people coming from neural-tangents: against references in numpy
and scipy, and against that library's own numbers."""

import jax
import jax.numpy as jnp
import learnmech_tangents as nt
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
from learnmech_tangents import predict, stax

KEY = jax.random.PRNGKey(0)
EXACT = 1e-10  # two exact formulas in float64, through a solve of a kernel of condition 1e4

# The sine regression of that library's cookbook.
X_TRAIN = np.linspace(-3, 2.4, 7)[:, None]
Y_TRAIN = np.sin(X_TRAIN) + 0.1 * np.cos(5 * X_TRAIN)
X_TEST = np.linspace(-3.2, 3.1, 9)[:, None]


def network(activation, depth, width=64, out=1):
    """The cookbook's dense network."""
    layers = [stax.Dense(width, W_std=1.5, b_std=0.05), activation]
    return stax.serial(*layers * depth, stax.Dense(out, W_std=1.5, b_std=0.05))


ERF1, RELU3 = network(stax.Erf(), 1), network(stax.Relu(), 3)


def flow(K, across, time, gap):
    """(E gap, K_sd K^-1 (1 - E) gap), E = exp(-K time) by scaling and squaring."""
    E = np.zeros_like(K) if np.isinf(time) else scipy.linalg.expm(-K * time)
    return E @ gap, across @ np.linalg.solve(K, gap - E @ gap)


def test_training_in_weight_space_is_training_in_function_space():
    init_fn, apply_fn, _ = network(stax.Erf(), 1, width=24, out=2)
    targets = np.concatenate([Y_TRAIN, np.cos(X_TRAIN)], axis=1)
    _, start = init_fn(KEY, (-1, 1))
    f_lin = jax.jit(nt.linearize(apply_fn, start))
    kernel_fn = jax.jit(nt.empirical_ntk_fn(apply_fn, trace_axes=(), vmap_axes=0))
    K, across = kernel_fn(X_TRAIN, None, start), kernel_fn(X_TEST, X_TRAIN, start)
    largest = predict.max_learning_rate(K)
    slope = jax.grad(lambda params: 0.5 * jnp.mean((f_lin(params, X_TRAIN) - targets) ** 2))
    stepped = jax.jit(
        lambda params, rate: jax.tree.map(lambda w, g: w - rate * g, params, slope(params))
    )

    def trained(rate, steps):
        params = start
        for _ in range(steps):
            params = stepped(params, rate)
        return f_lin(params, X_TRAIN), f_lin(params, X_TEST)

    predicted = {}
    for t in (50.0, np.array([50.0])):
        predict_fn = predict.gradient_descent_mse(
            K, targets, learning_rate=0.02 * largest, trace_axes=()
        )
        predicted[np.ndim(t)] = predict_fn(
            t, apply_fn(start, X_TRAIN), apply_fn(start, X_TEST), across
        )
    np.testing.assert_allclose(predicted[1][1][0], predicted[0][1], rtol=1e-13)
    coarse, fine = trained(0.02 * largest, 50), trained(0.01 * largest, 100)
    for one, two, limit in zip(coarse, fine, predicted[0], strict=True):
        # descent is the flow to first order in the rate; extrapolated, to second
        assert np.abs(two - limit).max() < 0.02
        assert np.abs(2 * two - one - limit).max() < 0.1 * np.abs(two - limit).max()
    losses = [np.abs(trained(share * largest, 400)[0]).max() for share in (0.99, 1.05)]
    assert losses[0] < 10 < 1e3 < losses[1]


@pytest.mark.parametrize("diag_reg, absolute", [(1e-4, False), (0.02, True)])
@pytest.mark.parametrize("t", [0.0, 30.0, np.inf, None])
def test_closed_predictions_are_those_of_the_matrix_exponential(t, diag_reg, absolute):
    kernel_fn = ERF1[2]
    f0, g0 = 0.3 * X_TRAIN, 0.3 * X_TEST
    K, across = (np.asarray(kernel_fn(x, X_TRAIN, "ntk")) for x in (X_TRAIN, X_TEST))
    regular = K + diag_reg * (1 if absolute else np.trace(K) / 7) * np.eye(7)
    # loss 1/(2 * 7) sum (f - y)^2, rate 0.7
    left, moved = flow(regular, across, np.inf if t is None else 0.7 * t / 7, Y_TRAIN - f0)
    predict_fn = predict.gradient_descent_mse(K, Y_TRAIN, 0.7, diag_reg, absolute)
    train, test = predict_fn(t, f0, g0, across)
    np.testing.assert_allclose(train, Y_TRAIN - left, rtol=0, atol=EXACT)
    np.testing.assert_allclose(
        test, g0 + moved, rtol=0, atol=1e-9
    )  # 1e-9: a condition of 1e4 to 1e5
    np.testing.assert_allclose(
        predict_fn(t, None, g0, across), predict_fn(t, 0.0, g0, across)[1], rtol=1e-14
    )
    np.testing.assert_allclose(predict_fn(t, f0), train, rtol=1e-14)


@pytest.mark.parametrize("t", [0.0, 30.0, None])
def test_the_ensemble_has_the_mean_and_covariance_of_linear_maps_of_gaussian_starts(t):
    kernel_fn, size, reg = ERF1[2], 7, 1e-4
    joint = np.concatenate([X_TRAIN, X_TEST])
    nngp, ntk = (np.asarray(kernel_fn(joint, None, name)) for name in ("nngp", "ntk"))
    predict_fn = predict.gradient_descent_mse_ensemble(
        kernel_fn, X_TRAIN, Y_TRAIN, learning_rate=0.7, diag_reg=reg
    )
    for name, moving in (("nngp", nngp), ("ntk", ntk)):
        regular = moving[:7, :7] + reg * np.trace(moving[:7, :7]) / 7 * np.eye(7)
        time = np.inf if t is None else 0.7 * t / size
        _, mean = flow(regular, moving[7:, :7], time, Y_TRAIN)
        _, response = flow(regular, moving[7:, :7], time, np.eye(7))
        onto = np.concatenate([-response, np.eye(9)], axis=1)  # f_test = g_0 + response (y - f_0)
        covariance = onto @ nngp @ onto.T
        if (
            name == "nngp"
        ):  # there the noise that diag_reg stands for is counted in the covariance of the start
            _, twice = flow(regular, moving[7:, :7], 2 * time, moving[:7, 7:])
            covariance = nngp[7:, 7:] - twice
        found = predict_fn(t, X_TEST, name, compute_cov=True)
        np.testing.assert_allclose(found.mean, mean, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=1e-9)
        assert found.covariance.shape == (9, 9)
    both = predict_fn(np.array([[1.0, 2.0]]), X_TEST, None, compute_cov=True)
    assert (
        both._fields == ("nngp", "ntk")
        and both.ntk.mean.shape == (1, 2, 9, 1)
        and both.ntk.covariance.shape == (1, 2, 9, 9)
    )


def test_the_ensemble_trained_for_ever_is_the_gaussian_process_and_fits_its_training_set():
    kernel_fn = RELU3[2]
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, X_TRAIN, Y_TRAIN, diag_reg=1e-6)
    kernels = [kernel_fn(X_TRAIN), kernel_fn(X_TEST, X_TRAIN), kernel_fn(X_TEST)]
    inference = predict.gp_inference(kernels[0], Y_TRAIN, diag_reg=1e-6)
    for name in ("nngp", "ntk"):
        forever, posterior = ensemble(None, X_TEST, name, True), inference(name, *kernels[1:])
        late = ensemble(1e12, X_TEST, name, True)
        for one in (posterior, late):
            # 1e-8: a condition of 1e6, by Cholesky and by eigenvectors
            np.testing.assert_allclose(one.mean, forever.mean, rtol=0, atol=1e-8)
            np.testing.assert_allclose(one.covariance, forever.covariance, rtol=0, atol=1e-8)
        fitted = ensemble(None, None, name, True)
        np.testing.assert_array_equal(fitted.mean, Y_TRAIN)
        assert not np.any(fitted.covariance)
        np.testing.assert_allclose(
            ensemble(1e12, None, name), Y_TRAIN, rtol=0, atol=1e-4
        )  # what the slowest of the modes has left
    exact = scipy.linalg.solve(
        kernels[0].ntk + 1e-6 * np.trace(kernels[0].ntk) / 7 * np.eye(7), Y_TRAIN, assume_a="pos"
    )
    np.testing.assert_allclose(
        inference(("ntkgp",), kernels[1]).ntkgp, kernels[1].ntk @ exact, rtol=0, atol=1e-8
    )


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_any_loss_is_integrated_as_scipy_does(momentum):
    K, across = (np.asarray(ERF1[2](x, X_TRAIN, "ntk")) for x in (X_TRAIN, X_TEST))
    labels = np.concatenate([X_TRAIN > 0, X_TRAIN <= 0], axis=1).astype(float)

    def slope(f):
        shares = np.exp(f - f.max(axis=1, keepdims=True))
        return (shares / shares.sum(axis=1, keepdims=True) - labels) / labels.size

    def velocity(_, state):
        f, q = state[:32].reshape(16, 2), state[32:].reshape(16, 2)
        push = -np.concatenate([K, across]) @ slope(f[:7])
        if momentum is None:
            return np.concatenate([push.ravel(), np.zeros(32)])
        return np.concatenate([q.ravel(), (push - (1 - momentum) / np.sqrt(0.7) * q).ravel()])

    span = (0.7 if momentum is None else np.sqrt(0.7)) * 5.0
    end = (
        scipy.integrate.solve_ivp(
            velocity, (0, span), np.zeros(64), method="DOP853", rtol=1e-11, atol=1e-13
        )
        .y[:32, -1]
        .reshape(16, 2)
    )
    predict_fn = predict.gradient_descent(
        lambda f, y: -jnp.mean(jax.nn.log_softmax(f) * y), K, labels, 0.7, momentum
    )
    train, test = predict_fn(np.array([0.0, 5.0]), 0.0, 0.0, across)
    np.testing.assert_array_equal(train[0], 0)
    # 1e-8: the accuracy of both integrations
    np.testing.assert_allclose(train[1], end[:7], rtol=0, atol=1e-8)
    np.testing.assert_allclose(test[1], end[7:], rtol=0, atol=1e-8)
    halfway = predict_fn(2.0, predict.ODEState(0.0, 0.0), None, across)
    resumed = predict_fn(3.0, halfway, None, across)
    np.testing.assert_allclose(resumed.fx_test, end[7:], rtol=0, atol=1e-8)


def test_the_mean_squared_loss_by_the_ode_is_its_closed_form_also_at_rest():
    K = np.asarray(ERF1[2](X_TRAIN[::3], None, "ntk"))
    y = Y_TRAIN[::3]
    by_ode = predict.gradient_descent(
        lambda f, y: 0.5 * jnp.mean((f - y) ** 2), K, y, learning_rate=2.0
    )
    closed = predict.gradient_descent_mse(K, y, learning_rate=2.0)
    np.testing.assert_allclose(by_ode(7.0), closed(7.0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        by_ode(None), y, rtol=0, atol=1e-5
    )  # 1e-5: it rests when its velocity is below 1e-8


# --- its own numbers

# Of neural-tangents 0.6.5 on JAX 0.5.3 after jax.config.update("jax_enable_x64", True), by `cells`
# below with its nt, stax and predict.
REFERENCE = {
    "relu ntk": [
        [1.1374106614957875, 0.1771872751528102, 1.366040030774686],
        [8.907449818982327, 1.9547085732158251, 4.396806920757689],
    ],
    "erf standard ntk": [
        [1.6578981446662038, -0.9477875949318799, 3.8967338337609956],
        [6.490917126479586, 0.625828340287562, 4.450410962217795],
    ],
    "drawn": [-0.80408245718908, 0.015315063555818865, -0.48010626144377755],
    "outputs": [
        [2.506122535429263, -0.04508400214024788],
        [1.9883240641962003, -0.8328692773987515],
    ],
    "empirical": [
        [0.4141585562841016, -1.8684071905322828, 3.3929090838990827],
        [5.101959240699606, -0.11285097953979961, 3.933021750229436],
    ],
    "sampled": [
        [2.7216391374908238, 1.213978747392297, 0.22160898596254053],
        [5.53800317363028, 2.4333094213081066, 0.521185672414398],
    ],
    "mean": [[0.1421844253429517, -0.20455103738159622], [0.9607306810415388, -0.6277581851010713]],
    "covariance": [
        [0.4603193817612067, 0.8248091477551363],
        [0.8248091477551363, 2.4002388198831897],
    ],
    "nngp covariance": [
        [0.4554338938394039, 0.8358062557275097],
        [0.8358062557275097, 2.6025138570884763],
    ],
    "train nngp covariance": [0.09350894936235073, -0.1296197898720942, -0.04748936211845571],
    "trained mean": [
        [0.45676507448536263, 0.4861268604564944],
        [2.091885857940386, 1.3348576297115744],
    ],
    "ntkgp": [[1.6578788234507285, 2.8419155035106787], [2.8419155035106787, 10.888553143357843]],
}


def cells():
    """The cells that made REFERENCE."""
    x, z = (
        np.array([[1.0, 0.0, 2.0], [0.5, -1.0, 1.0], [-1.0, 1.0, 0.25]]),
        np.array([[0.3, 0.7, -0.2], [1.0, 2.0, 1.0]]),
    )
    y = np.array([[1.0, 0.0], [-0.5, 0.3], [0.2, -1.0]])
    relu = stax.serial(
        stax.Dense(8, 1.5, 0.1),
        stax.Relu(),
        stax.Dense(8, 1.5, 0.1),
        stax.LeakyRelu(0.3),
        stax.Dense(2, 1.5, 0.1),
    )
    k = {"parameterization": "standard"}
    erf = stax.serial(
        stax.Dense(8, 1.5, 0.1, **k), stax.Erf(1.2, 0.8, 0.1), stax.Dense(2, 1.5, 0.1, **k)
    )
    _, params = erf[0](jax.random.PRNGKey(3), (-1, 3))
    e = predict.gradient_descent_mse_ensemble(relu[2], x, y, 0.7, 0.01)
    K, Kt, Ktt = (relu[2](*p, ("nngp", "ntk")) for p in ((x, None), (z, x), (z, None)))
    return {
        "relu ntk": relu[2](z, x, "ntk"),
        "erf standard ntk": erf[2](z, x, "ntk"),
        "drawn": params[0][0][0, :3],
        "outputs": erf[1](params, z),
        "empirical": nt.empirical_ntk_fn(erf[1])(z, x, params),
        "sampled": nt.monte_carlo_kernel_fn(erf[0], erf[1], jax.random.PRNGKey(3), 2)(z, x, "nngp"),
        "mean": e(5.0, z, "ntk"),
        "covariance": e(5.0, z, "ntk", True).covariance,
        "nngp covariance": e(5.0, z, "nngp", True).covariance,
        "train nngp covariance": e(5.0, None, "nngp", True).covariance[0],
        "trained mean": predict.gradient_descent_mse(K.ntk, y, 0.7)(None, 0.0, z[:, :2], Kt.ntk)[1],
        "ntkgp": predict.gp_inference(K, y, 0.01)("ntkgp", Kt, Ktt).covariance,
    }


def test_cells_give_the_numbers_that_library_gave():
    found = cells()
    assert found.keys() == REFERENCE.keys()
    for name, value in found.items():
        # 1e-12: both in float64, on kernels of condition below 100; 3e-15 measured
        np.testing.assert_allclose(value, REFERENCE[name], rtol=0, atol=1e-12, err_msg=name)
