"""Curvature: operators, eigenvalues, densities, traces and slices against dense matrices and
closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import flatten_util

import learnmech as lm
from learnmech import architectures, data, initial, instruments, losses, rules
from learnmech.curvature.eigenpairs import eigenpairs, sharpness
from learnmech.curvature.lanczos import extremes
from learnmech.curvature.operators import KINDS, flattened, product_of
from learnmech.curvature.slices import landscape_slice
from learnmech.curvature.spectrum import density, measures, sums
from learnmech.errors import Refused
from learnmech.language import trees
from learnmech.system.landscape import hessian_matrix
from learnmech.theories.landscape import balanced_sharpness
from learnmech.theories.scalar import minimum_sharpness

EPS = np.finfo(float).eps
LOSSES = {
    scaling: losses.Squared(scaling=scaling, ridge=0.3)
    for scaling in ("half-mean", "mean", "half-sum", "sum")
}


DESCENT = rules.GradientDescent(rate=0.05)


WIDE = {"architecture": architectures.Mlp(hidden=(16,)), "data": data.Gaussian(n=30, d=4, k=2)}


def made(loss=LOSSES["half-mean"], rule=DESCENT, **more):
    """A tanh network, ready: of 37 parameters with biases, which is formed, or one of 96, which
    is searched."""
    parts = {
        "architecture": architectures.Mlp(hidden=(5,), bias=True),
        "data": data.Gaussian(n=12, d=4, k=2),
    } | more
    return lm.prepare(
        lm.Experiment(rule=rule, loss=loss, clock=lm.Clock(steps=24, every=3), **parts)
    )


def raveled(tree):
    return np.asarray(flatten_util.ravel_pytree(tree)[0])


def dense(start):
    """{curvature: matrix}, from the whole Jacobian and the formulas, with numpy."""
    flat, unflatten = flatten_util.ravel_pytree(start.params)
    system = start.system
    n, c = len(system.train.X), system.loss_function.constant(len(system.train.X))
    J = np.asarray(
        jax.jit(jax.jacfwd(lambda w: system.outputs(unflatten(w), system.train.X)))(flat)
    )
    errors = np.asarray(system.outputs(start.params, system.train.X) - system.train.Y)
    G = (
        2 * c * n * np.einsum("nkp,nk->np", J, errors)
    )  # the gradients of n times each sample's share
    gauss_newton = 2 * c * np.einsum("nkp,nkq->pq", J, J)
    hessian = np.asarray(jax.jit(jax.hessian(lambda w: system.loss(unflatten(w))))(flat))
    return {
        "hessian": (hessian + hessian.T) / 2,
        "gauss-newton": gauss_newton,
        "fisher": gauss_newton,
        "empirical-fisher": G.T @ G / n,
    }


@eqx.filter_jit
def applied(system, params, rows, of):
    return jax.lax.map(flattened(product_of(system, params, of), params), rows)


@pytest.fixture(scope="module")
def small():
    start = made()
    return start, dense(start)


@pytest.fixture(scope="module")
def wide():
    """Large enough that nothing is formed."""
    start = made(**WIDE)
    matrices = dense(start)
    assert len(matrices["hessian"]) == 96
    return start, matrices


# --- operators


@pytest.mark.parametrize("of", KINDS)
def test_every_curvature_is_its_formula_on_the_whole_jacobian(small, of):
    start, matrices = small
    matrix = matrices[of]
    seen = applied(start.system, start.params, jnp.eye(len(matrix)), of)
    # sums of at most n k p products
    np.testing.assert_allclose(seen, matrix, atol=100 * EPS * np.abs(matrix).max())


@pytest.mark.parametrize("scaling", ["half-mean", "sum"])
def test_the_fisher_of_the_squared_loss_is_that_of_normal_noise_of_variance_one_over_2cn(scaling):
    """E s s' over targets drawn about the outputs, by the four-point rule that is exact for
    second moments: y = f +- sigma sqrt(k) e_c."""
    start = made(loss=LOSSES[scaling])
    system, n = start.system, 12
    variance = 1 / (2 * LOSSES[scaling].constant(n) * n)
    assert variance == pytest.approx({"half-mean": 1, "sum": 1 / (2 * n)}[scaling])
    flat, unflatten = flatten_util.ravel_pytree(start.params)
    J = np.asarray(jax.jacfwd(lambda w: system.outputs(unflatten(w), system.train.X))(flat))
    scores = np.concatenate(
        [sign * np.sqrt(2 * variance) * J[:, c] / variance for c in range(2) for sign in (1, -1)]
    )  # d log p/dw = J'(y - f)/variance
    drawn = scores.T @ scores / (4 * n)
    seen = np.asarray(applied(system, start.params, jnp.eye(len(flat)), "fisher"))
    np.testing.assert_allclose(seen, drawn, atol=100 * EPS * np.abs(drawn).max())


def test_the_hessian_of_linear_regression_is_2c_xx_for_every_output():
    start = made(architecture=architectures.DeepLinear(), loss=losses.Squared("mean"))
    X = np.asarray(start.data.train.X)
    expected = np.sort(np.repeat(np.linalg.eigvalsh(2 / len(X) * X.T @ X), 2))
    for of in ("hessian", "gauss-newton", "fisher"):
        values = eigenpairs(start.system, start.params, 8, of=of).values
        np.testing.assert_allclose(values, expected[::-1], rtol=1e-12)  # a few products of float64


def test_gauss_newton_is_the_hessian_where_every_residual_is_zero(small):
    start, matrices = small
    Y = np.asarray(start.system.outputs(start.params, start.system.train.X))
    system = eqx.tree_at(
        lambda s: (s.train.Y, s.loss_function), start.system, (jnp.asarray(Y), losses.Squared())
    )
    np.testing.assert_allclose(
        hessian_matrix(system, start.params),
        matrices["gauss-newton"],
        atol=100 * EPS * np.abs(matrices["gauss-newton"]).max(),
    )


def test_gauss_newton_and_fisher_of_cross_entropy_are_the_covariance_of_the_classes_between_jacobians(
    small,
):
    """diag(p) - pp' in its outputs, whatever the classes of the samples."""
    start, _ = small
    classes = jnp.asarray(np.eye(2)[np.arange(12) % 2])
    system = eqx.tree_at(
        lambda s: (s.train.Y, s.loss_function), start.system, (classes, losses.CrossEntropy())
    )
    flat, unflatten = flatten_util.ravel_pytree(start.params)
    J = np.asarray(
        jax.jit(jax.jacfwd(lambda w: system.outputs(unflatten(w), system.train.X)))(flat)
    )
    f = np.asarray(system.outputs(start.params, system.train.X))
    p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
    covariance = p[:, :, None] * (np.eye(2) - p[:, None, :])
    expected = np.einsum("nkp,nkl,nlq->pq", J, covariance, J) / 12
    for of in ("gauss-newton", "fisher"):
        instruments.Sharpness(of=of).check(system)
        np.testing.assert_allclose(
            applied(system, start.params, jnp.eye(len(flat)), of),
            expected,
            atol=100 * EPS * np.abs(expected).max(),
        )


class Mixing(architectures.Mlp):
    """An architecture in which a sample's outputs depend on the others."""

    mixes_samples = True


def test_what_has_no_such_curvature_is_refused(small):
    start, _ = small
    hinged = eqx.tree_at(lambda s: s.loss_function, start.system, losses.Hinge())
    with pytest.raises(Refused, match="needs a loss that is minus a log likelihood"):
        instruments.Sharpness(of="fisher").check(hinged)
    mixed = eqx.tree_at(lambda s: s.architecture, start.system, Mixing(hidden=(5,), bias=True))
    with pytest.raises(Refused, match="mixes samples"):
        eigenpairs(mixed, start.params, of="empirical-fisher")
    with pytest.raises(Refused, match="one of hessian"):
        eigenpairs(start.system, start.params, of="hesian")
    with pytest.raises(Refused, match="needs from 1 to 37 eigenvalues"):
        eigenpairs(start.system, start.params, 38)


# --- eigenvalues


def test_the_largest_eigenvalues_are_those_of_the_dense_matrix_and_their_residuals_are_true(wide):
    start, matrices = wide
    H, k = matrices["hessian"], 6
    spectrum = np.linalg.eigvalsh(H)
    found = eigenpairs(start.system, start.params, k)
    # to the square of the residual over the gap, and round-off of the largest
    np.testing.assert_allclose(found.values, spectrum[::-1][:k], atol=1e-12 * spectrum[-1])
    rows = np.stack([raveled(vector) for vector in found.vectors])
    np.testing.assert_allclose(rows @ rows.T, np.eye(k), atol=1e-12)
    np.testing.assert_allclose(
        found.residuals,
        np.linalg.norm(rows @ H - found.values[:, None] * rows, axis=1),
        atol=100 * EPS * spectrum[-1],
    )
    assert found.residuals.max() <= 1e-8 * spectrum[-1]


def test_a_balanced_linear_network_is_as_sharp_as_its_strongest_mode_says():
    """Six inputs, outputs and hidden units: 108 parameters, which are searched."""
    rng, depth = np.random.default_rng(0), 3
    U, V = (np.linalg.qr(rng.standard_normal((6, 6)))[0] for _ in range(2))
    s = np.array([1.7, 1.1, 0.9, 0.6, 0.4, 0.2])
    root = np.diag(s ** (1 / depth))
    layers = [root @ V.T, *[root] * (depth - 2), U @ root]
    given = initial.Given(np.concatenate([W.ravel() for W in layers]))
    whitened = data.Gaussian(n=40, d=6, k=6, whitened=True, map=U @ np.diag(s) @ V.T)
    start = made(
        architecture=architectures.DeepLinear(hidden=(6,) * (depth - 1)),
        data=whitened,
        initial=given,
        loss=losses.Squared(),
    )
    assert sharpness(start.system, start.params) == pytest.approx(
        balanced_sharpness(1.7, depth), rel=1e-11
    )
    assert sharpness(start.system, start.params) == pytest.approx(
        depth * 1.7 ** (2 - 2 / depth), rel=1e-11
    )


def test_a_scalar_chain_at_its_minimum_is_as_sharp_as_its_weights_say():
    w, x = np.array([0.5, 2.0, 1.7]), 10
    scalar = data.Gaussian(n=x, d=1, k=1, map=np.array([[w.prod()]]))
    start = made(
        architecture=architectures.DeepLinear(hidden=(1, 1)),
        data=scalar,
        initial=initial.Given(w),
        loss=losses.Squared(),
    )
    a = np.mean(np.asarray(start.data.train.X) ** 2)
    assert sharpness(start.system, start.params) == pytest.approx(
        minimum_sharpness(w, w.prod(), a), rel=1e-12
    )


# --- copies and ghosts


@pytest.fixture(scope="module")
def regression():
    """Twenty inputs and four outputs: every eigenvalue of 2c X'X four times, 80 in all."""
    start = made(
        architecture=architectures.DeepLinear(),
        data=data.Gaussian(n=60, d=20, k=4),
        loss=losses.Squared(),
    )
    X = np.asarray(start.data.train.X)
    return start, np.linalg.eigvalsh(X.T @ X / len(X))[::-1]


def test_no_eigenvalue_comes_twice_that_is_there_once_among_many_maps_at_once():
    """Up to 200 products, long after the largest has converged: without reorthogonalization it
    would be there again and again."""
    rng = np.random.default_rng(0)
    plain, other = (
        np.diag(np.r_[10.0, 7.0, np.linspace(0, 1, 118)]),
        rng.standard_normal((120, 120)),
    )
    stack = np.stack([plain, other + other.T])
    vectors = jnp.asarray(rng.standard_normal((2, 120)))
    found = jax.jit(jax.vmap(lambda A, v: extremes(lambda u: A @ u, v, 4, 1, 200, 1e-10)))(
        jnp.asarray(stack), vectors
    )
    for matrix, values, products in zip(
        stack, np.asarray(found.said), np.asarray(found.products), strict=True
    ):
        spectrum = np.linalg.eigvalsh(matrix)
        np.testing.assert_allclose(
            values, [*spectrum[::-1][:4], spectrum[0]], atol=1e-12 * spectrum[-1]
        )
        assert products > 45  # past the first restart, at 40 vectors


@pytest.mark.parametrize("k, bottom", [(4, 0), (6, 0), (7, 2), (0, 5)])
def test_the_eigenvalues_of_a_run_come_as_often_as_they_are(k, bottom):
    # a linear layer with three outputs: every eigenvalue of S_xx thrice, also where a group is cut
    made = {
        "architecture": architectures.DeepLinear(),
        "data": data.Gaussian(n=60, d=30, k=3, covariance="power-law"),
    }
    experiment = lm.Experiment(
        **made, rule=rules.GradientDescent(rate=0.1), clock=lm.Clock(steps=1)
    )
    record = lm.run(experiment, (instruments.Sharpness(k=max(k, 1), bottom=bottom, iterations=90),))
    X = record.start.data.train.X
    every = np.repeat(np.linalg.eigvalsh(X.T @ X / len(X))[::-1], 3)
    # residuals of 1e-6 of the largest bound the errors of eigenvalues
    if k:
        np.testing.assert_allclose(record["hessian_eigenvalue"][0], every[:k], atol=2e-6)
    if bottom:
        np.testing.assert_allclose(record["hessian_lowest"][0], every[::-1][:bottom], atol=2e-6)


def test_one_vector_sees_each_eigenspace_once_and_copies_finds_the_others(regression):
    start, expected = regression
    once = eigenpairs(start.system, start.params, 6)
    np.testing.assert_allclose(once.values, expected[:6], rtol=1e-12)
    every = eigenpairs(start.system, start.params, 6, copies=True)
    np.testing.assert_allclose(
        every.values, np.repeat(expected, 4)[:6], rtol=1e-9
    )  # each to its residual, 1e-8, squared over a gap
    rows = np.stack([raveled(vector) for vector in every.vectors])
    np.testing.assert_allclose(rows @ rows.T, np.eye(6), atol=1e-7)


def test_single_precision_finds_the_same_to_its_own_round_off(regression):
    start, expected = regression
    found = eigenpairs(*trees.cast((start.system, start.params), np.float32), 6)
    assert (
        found.values.dtype == np.float32
        and found.residuals.max() <= 100 * np.finfo(np.float32).eps * expected[0]
    )
    # round-off of a product; the copies of an eigenvalue, which round-off brings in, are as many as
    # there are
    nearest = np.abs(found.values[:, None] - expected).argmin(axis=1)
    np.testing.assert_allclose(
        found.values, expected[nearest], atol=10 * np.finfo(np.float32).eps * expected[0]
    )
    assert nearest[0] == 0 and np.bincount(nearest).max() <= 4


# --- what has not converged


def test_what_has_not_converged_is_refused_with_its_residual(wide):
    start, matrices = wide
    with pytest.raises(
        Refused,
        match=(
            r"residuals <= 1e-08 of the largest eigenvalue, but got [0-9.]+ after 14 products\."
            r" Raise iterations"
        ),
    ):
        eigenpairs(start.system, start.params, 6, iterations=8)
    partial = eigenpairs(start.system, start.params, 6, iterations=8, partial=True)
    assert (
        np.isnan(partial.values).sum() >= 5
        and (
            partial.residuals[np.isnan(partial.values)]
            > 1e-8 * np.linalg.norm(matrices["hessian"], 2)
        ).all()
    )


# --- densities, traces and slices


def test_the_density_of_the_spectrum_is_the_dense_one_within_its_error_bars(wide):
    start, matrices = wide
    spectrum = np.linalg.eigvalsh(matrices["hessian"])
    product = lambda v: jnp.asarray(matrices["hessian"]) @ v  # noqa: E731
    found = jax.jit(
        lambda key: density(*measures(product, len(spectrum), jnp.float64, key, 40, 60), 80, 0.03)
    )(jax.random.PRNGKey(0))
    at, value, error = map(np.asarray, found)
    s = 0.03 * (spectrum[-1] - spectrum[0])
    exact = np.mean(np.exp(-((at[:, None] - spectrum) ** 2) / (2 * s * s)), axis=1) / (
        np.sqrt(2 * np.pi) * s
    )
    # 1e-6 of the highest is the quadrature's own error, at nodes closer than s
    apart = np.abs(value - exact) / (error + 1e-6 * exact.max())
    assert apart.max() < 4.5 and np.mean(apart < 2) > 0.85
    assert 0 < error.max() < 0.1 * exact.max()
    assert np.sum(value) * (at[1] - at[0]) == pytest.approx(
        1, abs=1e-4
    )  # 4 s beyond the ends nothing is left


def test_traces_and_norms_are_exact_by_unit_vectors_and_within_their_errors_by_probes(wide):
    matrix = wide[1]["hessian"]
    product = lambda v: jnp.asarray(matrix) @ v  # noqa: E731
    both = jax.jit(
        lambda key: [sums(product, len(matrix), jnp.float64, key, 64, most) for most in (512, 0)]
    )(jax.random.PRNGKey(3))
    exact, drawn = ([float(x) for x in one] for one in both)
    truth = np.trace(matrix), np.linalg.norm(matrix)
    np.testing.assert_allclose(exact, [truth[0], 0, truth[1], 0], rtol=1e-12)
    for value, error, true in ((drawn[0], drawn[1], truth[0]), (drawn[2], drawn[3], truth[1])):
        assert abs(value - true) < 4 * error < 0.5 * abs(true)


def test_a_slice_is_the_loss_where_it_says_and_bends_as_its_eigenvalue(wide):
    start, matrices = wide
    system, flat = start.system, raveled(start.params)
    unflatten = flatten_util.ravel_pytree(start.params)[1]
    loss = jax.jit(jax.value_and_grad(lambda w: system.loss(unflatten(w))))
    a = np.array([-1e-3, 0, 1e-3, 0.5])
    seen = landscape_slice(system, start.params, ("eigenvector6", "gradient"), (a, a[:2]))
    H, slope = matrices["hessian"], np.asarray(loss(flat)[1])
    top = np.linalg.eigh(H)[1][:, -6]
    top, slope = top * np.sign(top[np.argmax(np.abs(top))]), slope / np.linalg.norm(slope)
    expected = [[float(loss(flat + x * top + y * slope)[0]) for y in a[:2]] for x in a]
    assert seen["loss"].dims == ("along1", "along2")
    np.testing.assert_allclose(seen["loss"].values, expected, rtol=1e-10)
    one = seen["loss"].values[:3, 1]
    # central second differences of step 1e-3: the fourth derivative's 1e-6, relative
    assert (one[0] - 2 * one[1] + one[2]) / 1e-6 == pytest.approx(
        np.linalg.eigvalsh(H)[-6], rel=1e-4
    )


def test_slices_that_lead_nowhere_are_refused(wide):
    system, params = wide[0].system, wide[0].params
    for along, distances, says in (
        (("gradient",), (), "as many lists of distances"),
        ((trees.zeros_like(params),), ([0.0],), "directions of finite length above zero"),
        (("eigenvector0",), ([0.0],), "a direction as a tree, gradient, or eigenvector1"),
    ):
        with pytest.raises(Refused, match=says):
            landscape_slice(system, params, along, distances)
