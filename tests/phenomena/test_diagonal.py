"""Diagonal networks: the interpolator of least potential against constrained minimisation,
enumeration, and the flow of u and v themselves."""

import itertools

import mpmath as mp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.optimize

import learnmech as lm
from learnmech.architectures import Diagonal
from learnmech.comparison.orders import fitted_order
from learnmech.data import Gaussian as GaussianData
from learnmech.data.base import Drawn, View
from learnmech.initial import Gaussian
from learnmech.losses import Squared
from learnmech.rules import GradientFlow
from learnmech.theories import DiagonalBias
from learnmech.theories.diagonal import least_potential, minimum_l1, potential


def samples(n=3, d=6, seed=0):
    """X of condition number 2 and y of a sparse target: fewer samples than inputs."""
    X = (
        np.linspace(2.0, 1.0, n)[:, None]
        * np.linalg.qr(np.random.default_rng(seed).standard_normal((d, n)))[0].T
    )
    return X, X @ np.array([1.5, -0.7] + [0.0] * (d - 2))


def flowed(X, y, a, time):
    """u and v at the end of the flow of |X(u^2 - v^2) - y|^2 / 2n from u = v = a."""
    d = X.shape[1]

    def moving(t, uv):
        slope = X.T @ (X @ (uv[:d] ** 2 - uv[d:] ** 2) - y) / len(y)
        return np.concatenate([-2 * uv[:d] * slope, 2 * uv[d:] * slope])

    end = scipy.integrate.solve_ivp(
        moving, (0, time), np.full(2 * d, a), "DOP853", rtol=1e-11, atol=1e-14 * a
    ).y[:, -1]
    return end[:d], end[d:]


@pytest.mark.parametrize("a", [1e-3, 0.1, 1.0, 30.0, 1e3, 1e5])
def test_the_potential_is_that_whose_slope_is_the_inverse_hyperbolic_sine(a):
    w = np.array([1.3, -0.02, 0.0, 4.0])
    with mp.workdps(40):
        # dq/dz = asinh(z/2), q(0) = 0
        exact = sum(
            mp.mpf(a) ** 2
            * mp.quad(lambda z: mp.asinh(z / 2), [0, mp.mpf(abs(x)) / mp.mpf(a) ** 2])
            for x in w
        )
    # round-off
    assert potential(w, a) == pytest.approx(float(exact), rel=1e-12, abs=0)


@pytest.mark.parametrize("a", [0.1, 0.5, 1.0, 5.0])
@pytest.mark.parametrize("n, d", [(3, 6), (1, 5), (4, 4)])
def test_the_interpolator_of_least_potential_is_the_constrained_minimum(n, d, a):
    X, y = samples(n, d, seed=n)
    found = least_potential(X, y, a)
    # round-off times the condition number of X
    np.testing.assert_allclose(X @ found, y, rtol=0, atol=1e-11)
    free, first = scipy.linalg.null_space(X), np.linalg.lstsq(X, y, rcond=None)[0]
    if free.shape[1]:
        least = scipy.optimize.minimize(
            lambda z: potential(first + free @ z, a),
            np.zeros(free.shape[1]),
            method="BFGS",
            options={"gtol": 1e-9},
        )
        # a minimum is flat: of its place half the digits are found
        np.testing.assert_allclose(found, first + free @ least.x, rtol=0, atol=1e-5)
        assert potential(found, a) <= least.fun * (1 + 1e-12)
        # the slope of the potential is normal to all that Xw = y leaves free
        np.testing.assert_allclose(free.T @ np.arcsinh(found / (2 * a**2)), 0, atol=1e-10)
    else:
        np.testing.assert_allclose(found, np.linalg.solve(X, y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("a", [1e-8, 1e-6, 1e-4, 1e-2, 0.3, 10.0, 1e3, 1e5])
def test_the_interpolator_of_least_potential_is_found_at_any_size_of_the_start(a):
    X, y = samples()
    found, free = least_potential(X, y, a), scipy.linalg.null_space(X)
    # round-off in the multipliers, of size ln(1/a^2), times w
    np.testing.assert_allclose(X @ found, y, rtol=0, atol=1e-11)
    multipliers = np.arcsinh(found / (2 * a**2))
    np.testing.assert_allclose(free.T @ multipliers, 0, atol=1e-11 * np.abs(multipliers).max())


@pytest.mark.parametrize("seed", range(4))
def test_the_least_l1_interpolator_is_the_best_of_all_that_have_n_entries(seed):
    X, y = (
        np.random.default_rng(seed).standard_normal((3, 7)),
        np.random.default_rng(seed + 9).standard_normal(3),
    )
    best = np.inf
    for kept in map(list, itertools.combinations(range(7), 3)):
        w = np.zeros(7)
        w[kept] = np.linalg.solve(X[:, kept], y)
        if np.abs(w).sum() < best:
            best, winner = np.abs(w).sum(), w
    # the linear program's own tolerance of 1e-7 or so
    np.testing.assert_allclose(minimum_l1(X, y), winner, rtol=0, atol=1e-7)


def test_a_small_start_leads_to_the_least_l1_norm():
    X, y = samples()
    sparse = minimum_l1(X, y)
    off = [np.abs(least_potential(X, y, a) - sparse).max() for a in (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)]
    assert all(after < before / 2 for before, after in itertools.pairwise(off))
    # entries absent from the sparse one go as a^(2 - 2 |x_i'nu|): on these data as a^0.48, from
    # 0.36 at a = 0.1
    assert off[-1] < 0.01 * off[0]


def test_a_large_start_leads_to_the_least_l2_norm_at_fourth_order():
    X, y = samples()
    starts = np.array([4.0, 8.0, 16.0, 32.0])
    off = [np.abs(least_potential(X, y, a) - np.linalg.pinv(X) @ y).max() for a in starts]
    # sinh(z) = z + z^3/6 with z ~ 1/a^2, over a range of 8
    assert fitted_order(starts, off).slope == pytest.approx(-4, abs=0.05)


@pytest.mark.parametrize(
    "a, time", [(0.02, 200.0), (0.1, 100.0), (0.5, 60.0), (1.0, 40.0), (3.0, 10.0)]
)
def test_the_flow_of_a_diagonal_network_ends_at_the_interpolator_of_least_potential(a, time):
    X, y = samples()
    u, v = flowed(X, y, a, time)
    # u v = a^2 in every entry is what the flow conserves, to the solver's 1e-11 a step
    np.testing.assert_allclose(u * v, a**2, rtol=1e-8)
    assert np.sum((X @ (u**2 - v**2) - y) ** 2) < 1e-16
    np.testing.assert_allclose(u**2 - v**2, least_potential(X, y, a), rtol=0, atol=1e-7)


@pytest.mark.parametrize("scaling", ["half-mean", "sum"])
def test_the_theory_says_where_the_flow_of_a_diagonal_network_ends_in_any_scaling_of_the_loss(
    scaling,
):
    X, y = samples()
    parts = (
        Diagonal(),
        GaussianData(n=3, d=6),
        GradientFlow(),
        lm.Clock(time=100.0, marks=3),
        Gaussian(scale=0.1),
        Squared(scaling=scaling),
    )
    said = DiagonalBias().predict(lm.prepare(lm.Experiment(*parts), Drawn(View(X, y[:, None]))))
    u, v = flowed(X, y, 0.1, 100.0)
    # the flow has converged to 1e-8
    np.testing.assert_allclose(said["end_to_end"].values.ravel(), u**2 - v**2, rtol=0, atol=1e-7)
    assert said["loss"].values == 0
