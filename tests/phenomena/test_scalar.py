"""The scalar chain: closed forms against the weights themselves, integrated by scipy or by
Taylor series in thirty digits."""

import functools

import mpmath as mp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

import learnmech as lm
from learnmech.architectures import DeepLinear
from learnmech.comparison.orders import fitted_order
from learnmech.data import Gaussian
from learnmech.data.base import Drawn, View
from learnmech.initial import Given
from learnmech.losses import Squared
from learnmech.rules import GradientFlow
from learnmech.theories import ScalarChain
from learnmech.theories.scalar import (
    balanced_time,
    chain,
    infinite_depth_time,
    logistic,
    logistic_time,
    minimum_sharpness,
    two_layers,
)

many = settings(max_examples=60, deadline=None, derandomize=True, database=None)
weight = st.floats(-2, 2).map(lambda w: round(w, 3))
target = st.floats(-2, 2).map(lambda s: round(s, 2))


def slope(w, s, a):
    """Gradient of (a/2)(w_1 ... w_L - s)^2."""
    return a * (np.prod(w) - s) * np.array([np.prod(np.delete(w, i)) for i in range(len(w))])


def integrated(w0, s, a, times, floor=1e-15):
    """All weights (t, L) by DOP853 at the smallest relative tolerance it accepts."""
    solved = scipy.integrate.solve_ivp(
        lambda t, w: -slope(w, s, a),
        (0, times[-1]),
        np.array(w0, float),
        "DOP853",
        times,
        rtol=3e-14,
        atol=floor,
    )
    return solved.y.T


def in_thirty_digits(w0, s, a, times):
    """All weights (t, L) by Taylor series of order 24, the coefficients by their recurrence."""
    order = 24
    with mp.workdps(30):
        w, s, a, now, reached = [mp.mpf(x) for x in w0], mp.mpf(s), mp.mpf(a), mp.mpf(0), []
        for end in map(mp.mpf, times):
            while now < end:
                series = [[x] for x in w]
                for n in range(order):
                    times_of = lambda p, q: [mp.fdot(p[: m + 1], q[m::-1]) for m in range(n + 1)]  # noqa: B023, E731
                    rest = [
                        functools.reduce(
                            times_of,
                            [x for j, x in enumerate(series) if j != i],
                            [mp.mpf(1)] + [mp.mpf(0)] * n,
                        )
                        for i in range(len(w))
                    ]
                    error = [-x for x in times_of(rest[0], series[0])]
                    error[0] += s
                    for i, x in enumerate(series):
                        x.append(a * times_of(rest[i], error)[n] / (n + 1))
                # the last terms kept are below 1e-24
                size = max(abs(x[-1]) for x in series)
                step = min(
                    end - now, (mp.mpf("1e-24") / size) ** (mp.mpf(1) / order) if size else end
                )
                w, now = [mp.polyval(x[::-1], step) for x in series], now + step
            reached.append([float(x) for x in w])
    return np.array(reached)


def until(s, a, w):
    """Marks over six times the fastest rate at the saddle and at the start, so that an unstable
    direction amplifies round-off by e^12 at most."""
    return np.linspace(0, 6 / (a * max(abs(s), np.square(w).max(), 0.1)), 6)


# --- one and two layers


@many
@given(weight, weight, target, st.sampled_from([0.1, 1.0, 3.0]))
def test_two_layers_from_any_start_move_as_their_weights_do(w1, w2, s, a):
    times = until(s, a, [w1, w2])
    # the solver's 3e-14 a step, amplified by e^12 where the start is on the edge between the two
    # signs
    np.testing.assert_allclose(
        np.stack(two_layers(w1, w2, s, a, times), 1),
        integrated([w1, w2], s, a, times),
        rtol=1e-8,
        atol=1e-8,
    )


EDGES = [
    (0, 0),
    (1, 0),
    (0, -1),
    (0.5, 0.5),
    (0.5, -0.5),
    (-0.5, -0.5),
    (1.5, 1.5),
    (2, 0.25),
    (-0.25, 2),
]


@pytest.mark.parametrize("s", [2.0, -2.0, 0.5, 0.0])
@pytest.mark.parametrize("w", EDGES, ids=str)
def test_two_layers_on_the_edges_between_cases_move_as_their_weights_do(w, s):
    times = np.array([0, 0.1, 1, 3])
    said = np.stack(two_layers(*w, s, 1.0, times), 1)
    # the solver's 3e-14 a step over some 100 steps, times e^(2 * 3) along the unstable direction
    np.testing.assert_allclose(said, integrated(w, s, 1.0, times), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "w", [(1e-8, 5e-9), (1e-8, -5e-9), (1e-8, 0.0), (2e-9, -1e-8), (1e-5, 3e-6)], ids=str
)
@pytest.mark.parametrize("s", [2.0, -2.0])
def test_two_layers_leave_the_saddle_from_a_small_start_along_the_sum_of_their_weights(w, s):
    times = np.array([0, 1, 5, 9, 10, 12, 20.0])
    said = np.stack(two_layers(*w, s, 1.0, times), 1)
    # a relative error at the start stays through the linear phase: the solver's 3e-14 a step over
    # some 1000 steps
    np.testing.assert_allclose(
        said, integrated(w, s, 1.0, times, floor=1e-24), rtol=1e-9, atol=1e-15
    )


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("sign", [1, -1])
def test_two_layers_nearly_balanced_keep_all_their_digits(gap, sign):
    w, times = (0.3 + gap, sign * 0.3), np.array([0, 0.5, 3])
    said = np.stack(two_layers(*w, 2.0, 1.0, times), 1)
    # round-off of 0.3 + gap, amplified by e^(2 * 3) along the unstable direction
    np.testing.assert_allclose(said, in_thirty_digits(w, 2.0, 1.0, times), rtol=0, atol=1e-12)


def test_two_balanced_layers_grow_on_a_logistic_curve_of_rate_2_s_a():
    u0, s, a, times = 0.01, 1.5, 0.8, np.linspace(0, 5, 11)
    seen = integrated([0.1, 0.1], s, a, times).prod(axis=1)
    # the solver's tolerance, amplified along the way out of the saddle
    np.testing.assert_allclose(logistic(u0, s, 2 * s * a, times), seen, rtol=1e-10)
    for share in (0.1, 0.5, 0.99):
        at = logistic_time(u0, s, 2 * s * a, share)
        assert integrated([0.1, 0.1], s, a, np.array([0, at]))[-1].prod() == pytest.approx(
            share * s, rel=1e-10
        )


def test_both_references_agree_on_four_layers():
    w, times = (0.5, -0.4, 0.8, 1.1), np.array([0, 2.0])
    # the solver's 3e-14 a step, with room
    np.testing.assert_allclose(
        integrated(w, 1.0, 1.0, times), in_thirty_digits(w, 1.0, 1.0, times), rtol=1e-11
    )


def test_a_lazy_start_learns_exponentially_at_rate_a_k():
    K, s, a = 400.0, 1.0, 1.0
    times = np.linspace(0, 3 / (a * K), 7)
    w1, w2 = two_layers(np.sqrt(K), 0.0, s, a, times)
    # the next order is (2 s / K)^2 = 2.5e-5
    np.testing.assert_allclose(w1 * w2, s * (1 - np.exp(-a * K * times)), rtol=1e-4)


# --- any depth


@many
@given(st.lists(weight, min_size=1, max_size=5), target, st.sampled_from([0.3, 1.0]))
def test_a_chain_of_any_depth_from_any_start_moves_as_its_weights_do(w, s, a):
    rate = a * max(1.0, max(map(abs, w))) ** (2 * len(w) - 2) * max(1.0, abs(s))
    times = np.linspace(0, 4 / rate, 5)
    # the solver's tolerance of 1e-12 a step, amplified by e^8 or so where a weight leaves zero
    np.testing.assert_allclose(
        chain(np.array(w), s, a, times), integrated(w, s, a, times), rtol=1e-8, atol=1e-8
    )


DEEP = [
    (0.1, 0.1, 0.1),
    (0.5, -0.5, 0.5),
    (0.3, 0.3, -0.7),
    (0.0, 0.5, 0.5),
    (0.0, 0.0, 0.5),
    (0.2, 0.2, 0.2, -0.2),
    (1.0, 1e-8, 2e-8),
    (1.0, 1e-9, -1e-8, 1.0),
]


@pytest.mark.parametrize("s", [1.0, -1.0, 0.0])
@pytest.mark.parametrize("w", DEEP, ids=str)
def test_a_deep_chain_of_equal_small_or_vanishing_weights_moves_as_its_weights_do(w, s):
    times = np.array([0, 1.0, 4, 12])
    said, seen = chain(np.array(w), s, 1.0, times), integrated(w, s, 1.0, times, floor=1e-24)
    # the solvers' 1e-12 a step over some 100 steps, relative to each weight, since small ones grow
    np.testing.assert_allclose(said, seen, rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize(
    "scaling, c", [("half-mean", 1 / 12), ("mean", 1 / 6), ("half-sum", 1 / 2), ("sum", 1.0)]
)
@pytest.mark.parametrize("w0", [(0.4,), (0.5, -0.1), (0.4, 0.6, -0.5)], ids=str)
def test_the_chain_of_a_data_set_moves_as_its_weights_do_in_every_scaling_of_the_loss(
    w0, scaling, c
):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(6)
    y = 1.3 * x + 0.2 * rng.standard_normal(6)
    span = 2 / (2 * c * x @ x)
    parts = (
        DeepLinear(hidden=(1,) * (len(w0) - 1)),
        Gaussian(n=6, d=1),
        GradientFlow(),
        lm.Clock(time=span, marks=5),
        Given(np.array(w0)),
    )
    said = ScalarChain().predict(
        lm.prepare(
            lm.Experiment(*parts, Squared(scaling=scaling)), Drawn(View(x[:, None], y[:, None]))
        )
    )

    def moving(t, w):
        return [
            -2 * c * np.sum((np.prod(w) * x - y) * x) * np.prod(np.delete(w, i))
            for i in range(len(w))
        ]

    w = scipy.integrate.solve_ivp(
        moving, (0, span), w0, "DOP853", np.linspace(0, span, 5), rtol=1e-12, atol=1e-14
    ).y.T
    # the solver's tolerance
    np.testing.assert_allclose(
        np.stack([said[f"layer{i + 1}.weight"].values[:, 0, 0] for i in range(len(w0))], 1),
        w,
        rtol=1e-9,
        atol=1e-11,
    )
    np.testing.assert_allclose(
        said["loss"], [c * np.sum((u * x - y) ** 2) for u in w.prod(1)], rtol=1e-9
    )


# --- times


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("u0, u, s", [(0.01, 0.5, 1.0), (0.2, 1.49, 1.5), (2.0, 1.2, 1.0)])
def test_balanced_layers_reach_a_strength_when_the_quadrature_says(u0, u, s, depth):
    a, at = 0.7, balanced_time(u0, u, s, 0.7, depth)
    seen = integrated([u0 ** (1 / depth)] * depth, s, a, np.array([0, at]))[-1].prod()
    # quadrature to 1e-11 and solver to 1e-13 a step, amplified at most tenfold in s - u
    assert seen == pytest.approx(u, rel=1e-9)
    with mp.workdps(30):
        exact = mp.quad(lambda v: 1 / (depth * a * v ** (2 - mp.mpf(2) / depth) * (s - v)), [u0, u])
    assert at == pytest.approx(float(exact), rel=1e-10)


def test_very_deep_balanced_chains_keep_the_clock_of_infinite_depth():
    u0, u, s, a = 0.3, 1.1, 1.4, 0.6
    with mp.workdps(30):
        exact = float(mp.quad(lambda v: 1 / (a * v**2 * (s - v)), [u0, u]))
    assert infinite_depth_time(u0, u, s, a) == pytest.approx(exact, rel=1e-13)
    depths = np.array([100, 200, 400, 800])
    off = [abs(depth * balanced_time(u0, u, s, a, depth) - exact) for depth in depths]
    # the next order in 1/L, over a range of 8 from L = 100
    assert fitted_order(depths, off).slope == pytest.approx(-1, abs=0.02)
    # a chain of 50 weights itself, which the formula misses by O(1/L)
    end = integrated([u0 ** (1 / 50)] * 50, s, a, np.array([0, exact / 50]))[-1].prod()
    assert 0 < abs(end - u) < 5 * u / 50


# --- minima


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_the_sharpness_of_a_minimum_is_the_top_of_its_numerical_hessian(depth):
    rng, s, a, step = np.random.default_rng(depth), -1.7, 0.6, 1e-5
    w = rng.uniform(0.5, 1.5, depth)
    w[0] *= s / w.prod()
    hessian = np.array(
        [
            (slope(w + step * e, s, a) - slope(w - step * e, s, a)) / (2 * step)
            for e in np.eye(depth)
        ]
    )
    # central differences: step^2 times third derivatives, and round-off over the step
    assert minimum_sharpness(w, s, a) == pytest.approx(
        np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1], rel=1e-8
    )


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_of_all_minima_the_balanced_one_is_least_sharp(depth):
    s, a = 1.7, 0.6

    def sharpness(free):
        logs = np.append(free, np.log(s) - np.sum(free))
        return minimum_sharpness(np.exp(logs), s, a)

    found = scipy.optimize.minimize(sharpness, np.linspace(-0.5, 0.7, depth - 1), tol=1e-12)
    # at a minimum the value is off by the square of BFGS's error in the place
    assert found.fun == pytest.approx(depth * a * s ** (2 - 2 / depth), rel=1e-8)
    np.testing.assert_allclose(np.exp(found.x), s ** (1 / depth), rtol=1e-4)


@pytest.mark.parametrize("w", [(1.3, 1.3), (2.0, 0.5), (1.1, 0.9, 1.5)], ids=str)
def test_descent_stays_at_a_minimum_up_to_two_over_its_sharpness_and_leaves_it_above(w):
    s, a, w, moved = np.prod(w), 1.0, np.array(w), []
    for share in (0.98, 1.02):
        at = w + 1e-6 * (1 / w)
        for _ in range(100):
            at = at - share * 2 / minimum_sharpness(w, s, a) * slope(at, s, a)
        moved.append(abs(at.prod() - s) / (1e-6 * s * np.sum(1 / w**2)))
    # 0.96^100 = 0.017 and 1.04^100 = 50, in the linear range
    assert moved[0] < 0.03 and moved[1] > 30
