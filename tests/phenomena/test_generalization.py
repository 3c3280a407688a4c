"""Generalization said from spectra: exact formulas against references that share no code, leading
orders against simulation."""

import math

import mpmath
import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.datasets import load_digits
from sklearn.kernel_ridge import KernelRidge

from learnmech import architectures, scalings
from learnmech.errors import Refused
from learnmech.generalization import (
    Spectrum,
    best_ridge,
    circle,
    cube,
    eigenlearning,
    first_inputs,
    hermite_spectrum,
    kappa_of,
    least_squares,
    measured,
    of_linear,
    of_pool,
    power_law_best,
    power_law_error,
    power_law_kappa,
    power_law_spectrum,
    profile_of,
    random_features,
    random_features_of_pool,
    shifted,
    sphere,
)
from learnmech.kernels.infinite import kernel

RELU = architectures.Mlp(hidden=(8,), activation="relu", scaling=scalings.NTK(weight=2**0.5))
EXACT = 1e-10  # what round-off leaves at condition numbers of 1e4


@pytest.fixture(scope="module")
def digits():
    """(X, Y, NTK, spectrum) of 240 digits, targets one-hot and centered."""
    X, labels = load_digits(return_X_y=True)
    X, Y = X[:240] / 16 - X[:240].mean(0) / 16, np.eye(10)[labels[:240]] - 0.1
    K = np.asarray(kernel(RELU, X, get="ntk"))
    return X, Y, K, Spectrum.of(K, Y)


def haar(size, values, rng):
    """A pool's kernel with these eigenvalues over N and eigenvectors in general position."""
    U = ortho_group.rvs(size, random_state=rng)
    return (U * (size * values)) @ U.T, U


# --- exact


@pytest.mark.parametrize(
    ("n", "ridge", "size"), [(7, 0.3, math.inf), (7, 0.0, math.inf), (11, 0.2, 30), (4, 0.0, 30)]
)
def test_kappa_solves_its_equation(n, ridge, size):
    values = np.append(power_law_spectrum(1.3, 20), np.zeros(0 if size == math.inf else 10))
    with mpmath.workdps(40):
        lam = [mpmath.mpf(float(one)) for one in values]

        def lacking(log):
            kappa = mpmath.e**log
            taken = sum(one / (one + kappa) for one in lam)
            return taken + mpmath.mpf(ridge) / kappa * (1 - taken / mpmath.mpf(size)) - n

        found = kappa_of(values, n, ridge, None, size)
        known = mpmath.e ** mpmath.findroot(lacking, float(np.log(found)) + 0.1)
    assert abs(found / float(known) - 1) < 1e-12


def test_leave_one_out_and_gcv_are_those_of_refits(digits):
    _, Y, K, spectrum = digits
    for ridge in (0.0, 0.7):
        G = np.linalg.inv(K + ridge * np.eye(len(K)))
        gcv = (np.linalg.norm(G @ Y) ** 2 / len(K)) / (np.trace(G) / len(K)) ** 2
        assert abs(spectrum.gcv(ridge) / gcv - 1) < EXACT
        told = spectrum.leave_one_out(ridge)
        for i in (0, 17, 101):
            rest = np.arange(len(K)) != i
            part = K[np.ix_(rest, rest)] + ridge * np.eye(len(K) - 1)
            fit = K[i, rest] @ np.linalg.solve(part, Y[rest])
            assert np.abs(told[i] - (Y[i] - fit)).max() < EXACT
        # the theory's own value at N - 1 is GCV
        assert abs(spectrum.error(len(K) - 1, ridge).test / gcv - 1) < 5e-3


def test_measured_curves_are_those_of_scikit_learn(digits):
    _, Y, K, spectrum = digits
    found = measured(K, spectrum, [20, 150], 0.5, splits=2, seed=3)
    rng = np.random.default_rng(3)
    for split in range(2):
        order = rng.permutation(len(K))
        for at, n in enumerate((20, 150)):
            train, out = order[:n], order[n:]
            fit = KernelRidge(alpha=0.5, kernel="precomputed").fit(
                K[np.ix_(train, train)], Y[train]
            )
            for these, seen in ((out, found.test), (train, found.train)):
                said = ((fit.predict(K[np.ix_(these, train)]) - Y[these]) ** 2).sum(1).mean()
                assert abs(seen[at, split] / said - 1) < EXACT


def test_a_kernel_of_low_rank_has_the_fit_of_least_norm():
    rng = np.random.default_rng(0)
    F, Y = rng.standard_normal((60, 25)), rng.standard_normal((60, 1))
    found = measured(F @ F.T, Spectrum.of(F @ F.T, Y), [10, 40], 0.0, splits=1, seed=1)
    order = np.random.default_rng(1).permutation(60)
    for at, n in enumerate((10, 40)):
        w = np.linalg.pinv(F[order[:n]]) @ Y[order[:n]]
        residual = Y - F @ w
        assert abs(found.test[at, 0] / (residual[order[n:]] ** 2).mean() - 1) < EXACT
        assert abs(found.train[at, 0] - (residual[order[:n]] ** 2).mean()) < EXACT


def test_least_squares_on_a_pool_in_closed_form():
    size, rank = 80, 30
    values = np.append(np.linspace(2, 1, rank), np.zeros(size - rank))
    power = np.random.default_rng(0).random(size)
    left = power[rank:].sum() * size / size
    for n in (40, 60, 79):
        found = of_pool(values, power, n)
        assert found.kappa == 0
        assert abs(found.test / (left * n / ((n - rank) * (1 - rank / size))) - 1) < EXACT
        assert abs(found.train / (left * (n - rank) / (n * (1 - rank / size))) - 1) < EXACT


def test_limits_of_eigenlearning():
    values, power = power_law_spectrum(2.0, 50), power_law_spectrum(2.5, 50)
    ridgeless = eigenlearning(values, power, 20)
    assert abs(ridgeless.learnability.sum() / 20 - 1) < 1e-12 and ridgeless.train < 1e-20
    many = eigenlearning(values, power, 100, noise=0.3)  # more samples than modes
    assert many.kappa == 0 and abs(many.test / (0.3 * 100 / 50) - 1) < EXACT
    assert abs(many.train / (0.3 * 50 / 100) - 1) < EXACT
    # a level of several eigenfunctions is so many modes
    one = eigenlearning(
        np.array([1.0, 0.2]), np.array([3.0, 5.0]), 4, 0.1, 0.2, np.array([2.0, 9.0])
    )
    each = eigenlearning(
        np.repeat([1.0, 0.2], [2, 9]), np.repeat([1.5, 5 / 9], [2, 9]), 4, 0.1, 0.2
    )
    assert abs(one.test / each.test - 1) < EXACT and abs(one.train / each.train - 1) < EXACT


def test_the_best_ridge_of_a_draw_of_the_process_is_its_noise():
    values, c, noise, n = power_law_spectrum(1.5, 200), 0.7, 0.2, 40
    found = best_ridge(values, c * values, n, noise)
    assert abs(found / (noise / c) - 1) < 1e-4  # a minimum, to the root of round-off
    at = eigenlearning(values, c * values, n, noise / c, noise)
    assert abs(at.test / (c * n * at.kappa) - 1) < 1e-12


def test_spectra_of_the_cube_and_the_sphere_and_the_circle():
    d, profile = 7, lambda t: np.exp(0.8 * t) + t**2
    X = 2.0 * ((np.arange(2**d)[:, None] >> np.arange(d)) & 1) - 1
    own = np.linalg.eigvalsh(profile(X @ X.T / d)) / 2**d
    found = cube(profile, d)
    said = np.sort(np.repeat(found.values, found.multiplicity.astype(int)))
    assert np.abs(said - own).max() < 1e-13
    # x.y, and (x.y)^2 = (trace-free part) + 1/d, in 5 dimensions
    assert np.allclose(sphere(lambda t: t, 5, 4).values, [0, 1 / 5, 0, 0], atol=1e-13)
    found = sphere(lambda t: t**2, 5, 4)
    assert np.allclose(found.values, [1 / 5, 0, 2 / (5 * 7), 0], atol=1e-13)
    assert list(found.multiplicity) == [1, 5, 14, 30]
    t = 2 * np.pi * np.arange(4096) / 4096
    angle = np.minimum(t, 2 * np.pi - t)
    step = (np.pi - angle) / np.pi
    nngp = (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi
    for kind, values in (("step", step), ("nngp", nngp), ("ntk", nngp + np.cos(angle) * step)):
        seen = np.fft.rfft(values).real[:9] / len(t)
        assert np.abs(circle(kind, 9).values - seen).max() < 1e-6  # of aliasing, 1/(4096)^2


def test_exact_least_squares_by_the_moments_of_wishart_matrices():
    rng = np.random.default_rng(2)
    b = np.array([1.0, -0.5, 0.8, 0.3, 0.6, 0.2, 0.9, 0.4])
    for n, p in ((20, 4), (4, 8)):
        X = rng.standard_normal((20_000, n, 8))
        y = X @ b + 0.3 * rng.standard_normal((20_000, n))
        w = (np.linalg.pinv(X[..., :p]) @ y[..., None])[..., 0]
        errors = ((w - b[:p]) ** 2).sum(1) + (b[p:] ** 2).sum() + 0.09
        gap = abs(errors.mean() - first_inputs(n, p, b, 0.09))
        assert gap < 4 * errors.std() / 20_000**0.5
    assert first_inputs(20, 8, b, 0.09) == pytest.approx(
        least_squares(20, 8, 0.09) + 0.09, rel=EXACT
    )
    assert first_inputs(7, 8, b, 0.09) == math.inf


# --- leading orders, against simulation


def test_a_pool_in_general_position_follows_its_formula():
    size, rng = 200, np.random.default_rng(0)
    values = power_law_spectrum(1.2, size)
    K, U = haar(size, values, rng)
    Y = U @ (np.sqrt(size) * power_law_spectrum(0.6, size))[:, None]
    spectrum = Spectrum.of(K, Y)
    for ridge in (0.0, 1.0):
        sizes = [20, 100, 160]
        seen = measured(K, spectrum, sizes, ridge, splits=40)
        for at, n in enumerate(sizes):
            said = spectrum.error(n, ridge)
            # 40 splits of one pool: their standard error, and 4 % of one pool's own spread
            error = seen.test[at].std() / 40**0.5
            assert abs(seen.test[at].mean() - said.test) < 3 * error + 0.04 * said.test
            if ridge:
                assert abs(seen.train[at].mean() / said.train - 1) < 0.08
        mean = spectrum.residual(100, ridge)
        slope = float((mean * seen.residual[1]).sum() / (mean**2).sum())
        assert abs(slope - 1) < 0.06
        assert np.corrcoef(mean[:, 0], seen.residual[1][:, 0])[0, 1] > 0.97
    assert spectrum.certificate(1.0).holds
    best = spectrum.best_ridge(100)
    tried = [spectrum.error(100, best * factor).test for factor in (0.8, 1.0, 1.25)]
    assert best == 0 or tried[1] <= min(tried)


def _linear(rng, S, b, n, ridge, noise, T, draws):
    """The mean excess error on inputs of second moment T after ridge regression on S."""
    root, found = np.linalg.cholesky(S), []
    for _ in range(draws):
        X = rng.standard_normal((n, len(S))) @ root.T
        y = X @ b + math.sqrt(noise) * rng.standard_normal(n)
        w = X.T @ np.linalg.solve(X @ X.T + ridge * np.eye(n), y)
        found.append((w - b) @ T @ (w - b))
    return np.mean(found), np.std(found) / draws**0.5


def test_linear_regression_inside_and_under_a_shift_of_covariance():
    rng, d, n = np.random.default_rng(1), 100, 60
    S, T = np.diag(power_law_spectrum(1.0, d)), np.diag(power_law_spectrum(0.3, d)[::-1])
    b = rng.standard_normal(d)
    values, power = of_linear(S, b)
    seen, error = _linear(rng, S, b, n, 0.5, 0.2, S, 80)
    assert (
        abs(seen + 0.2 - eigenlearning(values, power, n, 0.5, 0.2).test) < 3 * error + 0.01 * seen
    )
    assert shifted(S, S, b, n, 0.5, 0.2) + 0.2 == pytest.approx(
        eigenlearning(values, power, n, 0.5, 0.2).test, rel=EXACT
    )
    seen, error = _linear(rng, S, b, n, 0.5, 0.2, T, 80)
    assert abs(seen - shifted(S, T, b, n, 0.5, 0.2)) < 3 * error + 0.03 * seen  # .3 to 2.6 %


@pytest.mark.parametrize(("n", "k", "ridge"), [(40, 80, 0.0), (80, 40, 0.0), (60, 60, 0.3)])
def test_random_features_follow_both_formulas(n, k, ridge):
    rng, d, noise = np.random.default_rng(3), 150, 0.1
    values = power_law_spectrum(1.0, d)
    root, b = np.sqrt(values), rng.standard_normal(d)
    tests = []
    for _ in range(60):
        W = rng.standard_normal((d, k)) * root[:, None]  # features of orthonormal inputs
        X = rng.standard_normal((n, d))
        F = X @ W
        y = X @ (root * b) + math.sqrt(noise) * rng.standard_normal(n)
        A = (
            F.T @ np.linalg.solve(F @ F.T / k + ridge * np.eye(n), y) / k
            if ridge or k > n
            else (np.linalg.lstsq(F, y)[0])
        )
        tests.append(((W @ A - root * b) ** 2).sum() + noise)
    said = random_features(values, values * b**2, n, k, ridge, noise).test
    assert abs(np.mean(tests) - said) < 3 * np.std(tests) / 60**0.5 + 0.025 * said
    # of infinitely many features the kernel's own; on a large pool the population's
    whole = random_features(values, values * b**2, n, 1e7, 0.3, 0.0).test
    assert whole == pytest.approx(eigenlearning(values, values * b**2, n, 0.3).test, rel=1e-4)


def test_random_features_on_a_pool():
    size, n, rng = 160, 70, np.random.default_rng(4)
    values = power_law_spectrum(1.0, size)
    K, U = haar(size, values, rng)
    Y = U @ (np.sqrt(size * values) * rng.standard_normal(size))
    power = (U.T @ Y) ** 2 / size
    root = U * np.sqrt(size * values)
    for k, ridge in ((35, 0.0), (70, 0.5), (200, 0.0)):
        tests = []
        for _ in range(40):
            F = root @ rng.standard_normal((size, k)) / math.sqrt(k)
            order = rng.permutation(size)
            train, out = order[:n], order[n:]
            w = (
                np.linalg.solve(F[train].T @ F[train] + ridge * np.eye(k), F[train].T @ Y[train])
                if (ridge)
                else np.linalg.lstsq(F[train], Y[train])[0]
            )
            tests.append(((F[out] @ w - Y[out]) ** 2).mean())
        said = random_features_of_pool(values, power, n, k, ridge).test
        assert abs(np.mean(tests) - said) < 3 * np.std(tests) / 40**0.5 + 0.07 * said
    wide = random_features_of_pool(values, power, n, 1e8, 0.5)
    assert wide.test == pytest.approx(of_pool(values, power, n, 0.5).test, rel=1e-4)
    assert wide.train == pytest.approx(of_pool(values, power, n, 0.5).train, rel=1e-4)


def test_power_laws_of_many_modes():
    for a, b in ((2.0, 1.5), (2.5, 1.5)):
        modes = 200_000
        values, power = power_law_spectrum(b, modes), power_law_spectrum(a, modes)
        # what lies behind the last mode is never learned
        tail, rest = modes ** (1 - a) / (a - 1), modes ** (1 - b) / (b - 1)
        for n in (100, 400):
            said = eigenlearning(values, power, n, rest, tail)
            # of order 1/n: (a - 1)/(2n) and less from n + 1/2 in place of n, and as much again
            assert abs(said.test / power_law_error(a, b, n) - 1) < a / (1.5 * n)
            assert abs(said.kappa / power_law_kappa(b, n) - 1) < b / n
    assert power_law_best(3.0, 1.5) == pytest.approx((2 / 3, 1 / 2))


# --- Hermite eigenstructure


def test_taylor_coefficients_of_relu_kernels_in_closed_form():
    nngp, ntk = (profile_of(RELU, get, levels=6) for get in ("nngp", "ntk"))
    pi = np.pi
    assert np.allclose(nngp.coefficients, [2 / pi, 1, 2 / pi, 0, 2 / pi, 0, 18 / pi], rtol=1e-6)
    assert np.allclose(ntk.coefficients, [2 / pi, 2, 6 / pi, 0, 10 / pi, 0, 126 / pi], rtol=1e-6)
    assert abs(nngp.whole - 2) < 1e-12 and abs(ntk.whole - 4) < 1e-12
    cubic = profile_of(lambda t: 1 + t + 0.5 * t**3, levels=4)
    assert np.allclose(cubic.coefficients, [1, 1, 0, 3, 0], atol=1e-9)
    with pytest.raises(Refused, match="norms and angle"):
        profile_of(architectures.Conv(shape=(4,), scaling=scalings.NTK()))


def test_hermite_modes_are_the_kernels_own(digits):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((600, 40)) * power_law_spectrum(0.15, 40)
    K = np.asarray(kernel(RELU, X, get="nngp"))
    own = np.linalg.eigvalsh(K)[::-1] / len(X)
    found = hermite_spectrum(RELU, X, X[:, :1], 60, "nngp")
    assert found.trusted and len(found.values) == 60 and np.all(np.diff(found.values) <= 0)
    # .04 to .06 at d_eff of 118 and 21, with 600 samples half of it their own
    assert np.sqrt(np.mean(np.log(found.values[:40] / own[:40]) ** 2)) < 0.15
    # a linear target is in one mode, whose power it is
    first = int(np.argmax(found.power))
    assert found.modes[first].factors == (0,)
    assert found.noise < 0.1 * found.power[first]


# --- refusals


def test_what_is_no_pool_is_refused_in_a_sentence(digits):
    spectrum = digits[3]
    with pytest.raises(Refused, match="ridge >= 0, but got -1"):
        spectrum.error(10, -1.0)
    with pytest.raises(Refused, match="n <= 239, a pool of 240 less one, but got 240"):
        spectrum.error(240)
    with pytest.raises(Refused, match="negative eigenvalues, but got -1"):
        Spectrum.of(np.diag([1.0, 2.0, -1.0]), np.ones(3))
    with pytest.raises(Refused, match="targets that are classes"):
        Spectrum.of(np.eye(3), np.arange(3.0)).margins(2)
