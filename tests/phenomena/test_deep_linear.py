"""Deep linear networks: modes, end-to-end maps and landscapes against the full weight matrices,
moved by plain numpy and scipy."""

import functools
import itertools

import jax
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import learnmech as lm
from learnmech.architectures import DeepLinear
from learnmech.comparison.orders import fitted_order
from learnmech.data import Gaussian
from learnmech.data.base import Drawn, View
from learnmech.initial import Given
from learnmech.losses import Squared
from learnmech.rules import GradientDescent, GradientFlow
from learnmech.system.landscape import hessian_matrix
from learnmech.theories import Decoupled, EndToEnd, LambdaBalanced
from learnmech.theories.landscape import (
    balanced_sharpness,
    critical_losses,
    minimum_sharpness,
    minimum_spectrum,
    origin_spectrum,
    plateau_losses,
)
from learnmech.theories.modes import descent_strengths, escape_time, flow_strengths, half_time

SCALINGS = {
    "half-mean": lambda n: 1 / (2 * n),
    "mean": lambda n: 1 / n,
    "half-sum": lambda n: 1 / 2,
    "sum": lambda n: 1.0,
}


def orthogonal(n, rng):
    return scipy.stats.ortho_group.rvs(n, random_state=rng) if n > 1 else np.ones((1, 1))


def product(layers):
    return functools.reduce(lambda W, layer: layer @ W, layers)


def gradients(layers, S_xx, S_yx):
    """Of the half-mean loss, layer by layer."""
    G, found = product(layers) @ S_xx - S_yx, []
    for i in range(len(layers)):
        after = product(layers[i + 1 :]) if i + 1 < len(layers) else np.eye(len(G))
        before = product(layers[:i]) if i else np.eye(G.shape[1])
        found.append(after.T @ G @ before.T)
    return found


def flowed(layers, S_xx, S_yx, times, rtol=1e-12, atol=1e-14):
    """The layers at these times, every entry integrated by DOP853."""
    shapes = [W.shape for W in layers]
    cuts = np.cumsum([W.size for W in layers])[:-1]

    def unpacked(flat):
        return [
            part.reshape(shape) for part, shape in zip(np.split(flat, cuts), shapes, strict=True)
        ]

    def moving(t, flat):
        return -np.concatenate([g.ravel() for g in gradients(unpacked(flat), S_xx, S_yx)])

    start = np.concatenate([W.ravel() for W in layers])
    solved = scipy.integrate.solve_ivp(
        moving, (0, times[-1]), start, "DOP853", times, rtol=rtol, atol=atol
    )
    return [unpacked(flat) for flat in solved.y.T]


def descended(layers, S_xx, S_yx, rate, steps):
    """The layers at these steps, by a plain loop."""
    reached = []
    for step in range(steps[-1] + 1):
        if step in steps:
            reached.append(layers)
        layers = [W - rate * g for W, g in zip(layers, gradients(layers, S_xx, S_yx), strict=True)]
    return reached


def balanced_layers(left, strengths, right, hidden, rng):
    """Balanced layers whose product is left diag(strengths) right', signs and all; hidden widths
    at least as many as there are strengths."""
    depth, root = len(hidden) + 1, np.abs(strengths) ** (1 / (len(hidden) + 1))
    frames = [
        right,
        *(orthogonal(h, rng)[:, : len(root)] for h in hidden),
        left * np.where(strengths < 0, -1, 1),
    ]
    return [(frames[i + 1] * root) @ frames[i].T for i in range(depth)]


def inputs(d, n, rng, spectrum=1.0):
    """X (n, d) with S_xx = V diag(spectrum) V' exactly, and V."""
    V, Q = orthogonal(d, rng), np.linalg.qr(rng.standard_normal((n, d)))[0]
    return np.sqrt(n) * Q * np.sqrt(spectrum * np.ones(d)) @ V.T, V


def started(X, Y, layers, rule, clock, loss=None, test=None):
    parts = (
        DeepLinear(hidden=tuple(len(W) for W in layers[:-1])),
        Gaussian(n=len(X), d=X.shape[1], k=Y.shape[1]),
        rule,
        clock,
    )
    flat = np.concatenate([W.ravel() for W in layers])
    return lm.prepare(
        lm.Experiment(*parts, Given(flat), loss or Squared()), Drawn(View(X, Y), test)
    )


def holds(theory, start):
    failed = [condition for condition in theory.domain(start) if not condition.holds]
    assert not failed, failed


# --- modes, each on its own

#        a_0     s     g
MODES = [
    (0.05, 1.5, 1.0),
    (0.3, 0.4, 2.0),
    (2.0, 0.5, 1.0),
    (0.7, 0.0, 0.6),
    (0.0, 1.0, 1.0),
    (0.5, 0.5, 1.0),
    (-0.3, 0.6, 0.5),
    (1.0, 1e-4, 1.0),
    (-0.4, 0.0, 1.0),
]


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_the_modes_of_a_deep_linear_network_flow_each_on_its_own(depth):
    a0, s, g = np.array(MODES).T
    rng, m, times = np.random.default_rng(depth), len(MODES), np.array([0, 0.3, 1, 2.5])
    U, V = orthogonal(m, rng), orthogonal(m, rng)
    layers = balanced_layers(U, a0, V, (m + 1,) * (depth - 1), rng)
    seen = [
        np.diag(U.T @ product(at) @ V) for at in flowed(layers, V * g @ V.T, U * s @ V.T, times)
    ]
    # the solver's 1e-12 a step; e^3 on round-off where a mode or a misalignment leaves the saddle
    np.testing.assert_allclose(flow_strengths(a0, s, g, depth, times), seen, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("s", [1e-3, 1e-9, 1e-17])
def test_a_mode_whose_target_is_next_to_nothing_decays_as_if_there_were_none(s, depth):
    times = np.array([0, 1.0, 5.0])
    # the target moves the strength by less than s (1 + 5 depth)
    nothing = flow_strengths(np.array([0.1]), np.zeros(1), np.ones(1), depth, times)
    np.testing.assert_allclose(
        flow_strengths(np.array([0.1]), np.array([s]), np.ones(1), depth, times),
        nothing,
        rtol=1e-9,
        atol=s * (1 + 5 * depth),
    )


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_modes_of_a_long_run_end_at_their_targets_or_at_the_saddle(depth):
    s = np.array([2.0, 2.0, 0.7])
    end = flow_strengths(np.array([-0.1, 0.1, 5.0]), s, np.ones(3), depth, np.array([0, 1.0, 1e3]))[
        -1
    ]
    # e^-700 is nothing; three layers come back to the saddle as 1/(s t)^3 = 1.3e-10
    np.testing.assert_allclose(end, [2.0 if depth == 1 else 0.0, 2.0, 0.7], rtol=0, atol=1e-9)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("rate", [0.02, 0.4])
def test_the_modes_of_a_deep_linear_network_descend_each_on_its_own_at_any_rate(rate, depth):
    a0, s, g = np.array(MODES).T
    rng, m, steps = np.random.default_rng(depth), len(MODES), [0, 1, 2, 10, 30]
    U, V = orthogonal(m, rng), orthogonal(m, rng)
    layers = balanced_layers(U, a0, V, (m,) * (depth - 1), rng)
    seen = [
        np.diag(U.T @ product(at) @ V)
        for at in descended(layers, V * g @ V.T, U * s @ V.T, rate, steps)
    ]
    # round-off of 30 steps; 1.6^30 at most on a misalignment of 1e-16 that leaves the saddle
    np.testing.assert_allclose(
        descent_strengths(a0, s, g, depth, rate, np.array(steps)), seen, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("a0, s", [(1e-3, 1.0), (0.02, 2.5), (0.3, 0.7)])
def test_a_mode_is_half_learned_at_its_half_time(depth, a0, s):
    at = half_time(a0, s, depth)
    layers = [np.array([[a0 ** (1 / depth)]])] * depth
    end = product(flowed(layers, np.eye(1), s * np.eye(1), np.array([0, at]))[-1])[0, 0]
    # the solver's 1e-12 a step, amplified by s/a_0 along the plateau
    assert end == pytest.approx(s / 2, rel=1e-8)


def test_deep_plateaus_last_a_power_of_the_start_and_shallow_ones_a_logarithm():
    starts = np.array([1e-4, 1e-6, 1e-8])
    for depth in (3, 4):
        times = np.array([half_time(a0, 1.5, depth) for a0 in starts])
        # the leading order, whose correction is a_0^(1-2/L) ln or a constant: below 5% of times
        # above 1e2
        np.testing.assert_allclose(
            times * (depth - 2) * 1.5 * starts ** (1 - 2 / depth), 1, rtol=0.05
        )
    assert half_time(1e-8, 1.5, 2) / half_time(1e-4, 1.5, 2) == pytest.approx(2, rel=0.05)


def test_the_saddle_is_left_at_the_escape_time_but_for_a_constant():
    s, w, waited = 1.3, np.array([0.9, 0.4]), []
    for eps in (1e-4, 1e-7, 1e-10):
        reached = lambda t, w: w[0] * w[1] - s / 2  # noqa: E731
        reached.terminal = True
        solved = scipy.integrate.solve_ivp(
            lambda t, w: (s - w[0] * w[1]) * w[::-1],
            (0, 100),
            eps * w,
            "DOP853",
            events=reached,
            rtol=1e-12,
            atol=1e-24,
        )
        waited.append(solved.t[-1] - escape_time(s, eps))
    # the constant is of the order of 1/s and forgets eps: corrections are of the order eps^2
    np.testing.assert_allclose(waited, waited[-1], rtol=0, atol=1e-6)
    assert abs(waited[0]) < 2 / s


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize(
    "d, hidden, k",
    [(4, (), 2), (3, (5,), 4), (4, (2,), 3), (3, (3, 4), 2), (5, (4, 3, 4), 3)],
    ids=str,
)
@pytest.mark.parametrize("flows", [True, False], ids=["flow", "descent"])
def test_decoupled_says_what_the_weights_do_in_every_shape_and_scaling(
    d, hidden, k, scaling, flows
):
    rng, n = np.random.default_rng(7), 11
    g = np.linspace(1.5, 0.5, d)
    X, V = inputs(d, n, rng, g)
    m = min(d, k)
    U, s = orthogonal(k, rng)[:, :m], np.array([1.6, 0.9, 0.35])[:m]
    rest = rng.standard_normal((n, k))
    rest -= X @ np.linalg.lstsq(X, rest, rcond=None)[0]
    Y = X @ ((U * (s / g[:m])) @ V[:, :m].T).T + 0.1 * rest
    modes = min((m, *hidden))
    layers = balanced_layers(
        U[:, :modes], np.array([0.05, -0.2, 0.6])[:modes], V[:, :modes], hidden, rng
    )
    factor = 2 * SCALINGS[scaling](n) * n
    S_xx, S_yx = X.T @ X / n, Y.T @ X / n
    if flows:
        start = started(
            X,
            Y,
            layers,
            GradientFlow(),
            lm.Clock(time=2.4 / factor, marks=4),
            Squared(scaling=scaling),
        )
        seen = flowed(layers, S_xx, S_yx, np.linspace(0, 2.4, 4))
    else:
        start = started(
            X,
            Y,
            layers,
            GradientDescent(rate=0.08 / factor),
            lm.Clock(steps=30, every=10),
            Squared(scaling=scaling),
        )
        seen = descended(layers, S_xx, S_yx, 0.08, [0, 10, 20, 30])
    holds(Decoupled(), start)
    said, maps = Decoupled().predict(start), [product(at) for at in seen]
    # the solver's 1e-12 a step, and round-off that leaves the saddle as e^(2 s t) < e^8
    np.testing.assert_allclose(said["end_to_end"], maps, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        said["mode_strength"], [np.diag(U.T @ W @ V[:, :m]) for W in maps], rtol=0, atol=1e-9
    )
    np.testing.assert_allclose(
        said["loss"], [SCALINGS[scaling](n) * np.sum((X @ W.T - Y) ** 2) for W in maps], rtol=1e-8
    )


def test_decoupled_speaks_of_a_target_whose_rank_is_deficient():
    rng = np.random.default_rng(8)
    X, V = inputs(4, 12, rng)
    U = orthogonal(3, rng)
    Y = X @ (1.5 * np.outer(U[:, 0], V[:, 0])).T
    W_l, s_l, Vt_l = np.linalg.svd(Y.T @ X / 12, full_matrices=False)
    assert 0 < s_l[1] < 1e-14
    layers = balanced_layers(W_l, np.array([0.1, 0.2, 0.3]), Vt_l.T, (3,), rng)
    start = started(X, Y, layers, GradientFlow(), lm.Clock(time=3.0, marks=4))
    holds(Decoupled(), start)
    seen = [product(at) for at in flowed(layers, X.T @ X / 12, Y.T @ X / 12, np.linspace(0, 3, 4))]
    # the solver's 1e-12 a step
    np.testing.assert_allclose(Decoupled().predict(start)["end_to_end"], seen, rtol=0, atol=1e-9)


# --- lambda-balanced


def lambda_layers(lam, d, h, k, scale, rng):
    """W_2'W_2 - W_1W_1' = lam I, from singular values p, q with q^2 - p^2 = lam on a common
    frame."""
    p = scale * rng.uniform(0.5, 1.5, h) * (np.arange(h) < min(d, k))
    p, q = (np.sqrt(p**2 + max(-lam, 0)), np.sqrt(p**2 + max(lam, 0)))
    frame, left, right = orthogonal(h, rng), np.zeros((k, h)), np.zeros((h, d))
    left[:, : min(k, h)], right[: min(d, h)] = (
        orthogonal(k, rng)[:, : min(k, h)],
        orthogonal(d, rng)[: min(d, h)],
    )
    return [frame @ (p[:, None] * right), (left * q) @ frame.T]


TWO = [
    (3, 3, 3, 0.7),
    (3, 2, 5, 1.5),
    (5, 3, 2, -0.9),
    (4, 6, 2, 0.0),
    (2, 6, 4, 0.0),
    (5, 1, 4, 0.3),
    (4, 4, 4, -3.0),
    (1, 1, 1, 8.0),
    (3, 3, 4, 1e-9),
]


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("d, h, k, lam", TWO, ids=str)
def test_two_lambda_balanced_layers_solve_the_riccati_equation_whatever_their_alignment(
    d, h, k, lam, scaling
):
    rng, n = np.random.default_rng(h), 13
    X, Y = inputs(d, n, rng)[0], rng.standard_normal((n, k))
    layers, factor = lambda_layers(lam, d, h, k, 0.3, rng), 2 * SCALINGS[scaling](n) * n
    test = View(rng.standard_normal((4, d)), rng.standard_normal((4, k)))
    start = started(
        X,
        Y,
        layers,
        GradientFlow(),
        lm.Clock(time=6 / factor, marks=4),
        Squared(scaling=scaling),
        test,
    )
    holds(LambdaBalanced(), start)
    seen = [product(at) for at in flowed(layers, X.T @ X / n, Y.T @ X / n, np.linspace(0, 6, 4))]
    said, c = LambdaBalanced().predict(start), SCALINGS[scaling]
    # the solver's 1e-12 a step, amplified by e^6 or so where a mode leaves the saddle
    np.testing.assert_allclose(said["end_to_end"], seen, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        said["loss"], [c(n) * np.sum((X @ W.T - Y) ** 2) for W in seen], rtol=1e-8
    )
    np.testing.assert_allclose(
        said["test_loss"], [c(4) * np.sum((test.X @ W.T - test.Y) ** 2) for W in seen], rtol=1e-8
    )
    np.testing.assert_allclose(
        said["singular_value"], [np.linalg.svd(W)[1] for W in seen], rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("lam", [0.0, 2.0, -5.0])
def test_a_lambda_balanced_network_ends_at_the_best_map_of_its_width(lam):
    rng = np.random.default_rng(3)
    X, Y = inputs(3, 9, rng)[0], rng.standard_normal((9, 3))
    layers = lambda_layers(lam, 3, 2, 3, 1e-3, rng)
    U, s, Vt = np.linalg.svd(Y.T @ X / 9)
    said = LambdaBalanced().predict(
        started(X, Y, layers, GradientFlow(), lm.Clock(time=2000.0, marks=3))
    )
    # the lazy start turns towards the strongest modes last, as e^-(s_2^2 - s_3^2) t / |lam| =
    # e^-60; then round-off of thousands of spans
    assert s[2] < 0.9 * s[1]
    np.testing.assert_allclose(
        said["end_to_end"][-1], (U[:, :2] * s[:2]) @ Vt[:2], rtol=0, atol=1e-11
    )


# --- end to end


DEEP = [
    (4, (), 3),
    (3, (3,), 3),
    (5, (2,), 3),
    (2, (5, 4), 4),
    (4, (3, 1, 3), 3),
    (3, (3, 4, 3, 5), 2),
    (4, (4, 1, 4, 4), 4),
    (1, (2,), 1),
]


@pytest.mark.parametrize(
    "d, hidden, k, scaling",
    [(*shape, list(SCALINGS)[i % 4]) for i, shape in enumerate(DEEP)],
    ids=str,
)
def test_the_end_to_end_map_of_a_balanced_network_obeys_one_equation(d, hidden, k, scaling):
    rng, n = np.random.default_rng(5), 12
    X, Y = rng.standard_normal((n, d)) * np.linspace(1.2, 0.6, d), rng.standard_normal((n, k))
    Y += X @ rng.standard_normal((d, k))
    m = min((d, *hidden, k))
    layers = balanced_layers(
        orthogonal(k, rng)[:, :m], np.linspace(0.9, 0.3, m), orthogonal(d, rng)[:, :m], hidden, rng
    )
    factor = 2 * SCALINGS[scaling](n) * n
    start = started(
        X, Y, layers, GradientFlow(), lm.Clock(time=3 / factor, marks=4), Squared(scaling=scaling)
    )
    holds(EndToEnd(), start)
    seen = [product(at) for at in flowed(layers, X.T @ X / n, Y.T @ X / n, np.linspace(0, 3, 4))]
    said = EndToEnd().predict(start)
    # the solvers' 1e-11 a step on maps of size 1, over some 30 steps
    np.testing.assert_allclose(said["end_to_end"], seen, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        said["loss"], [SCALINGS[scaling](n) * np.sum((X @ W.T - Y) ** 2) for W in seen], rtol=1e-8
    )


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_a_balanced_network_that_starts_with_one_mode_keeps_to_one(depth):
    rng, n, hidden = np.random.default_rng(6), 12, (3,) * (depth - 1)
    X = rng.standard_normal((n, 3))
    Y = X @ rng.standard_normal((3, 3)) + rng.standard_normal((n, 3))
    layers = balanced_layers(
        orthogonal(3, rng)[:, :1], np.array([0.9]), orthogonal(3, rng)[:, :1], hidden, rng
    )
    start = started(X, Y, layers, GradientFlow(), lm.Clock(time=3, marks=4))
    holds(EndToEnd(), start)
    seen = [product(at) for at in flowed(layers, X.T @ X / n, Y.T @ X / n, np.linspace(0, 3, 4))]
    # the solvers' 1e-11 a step; what is off the one mode is round-off in the weights, times e^9 or
    # so
    np.testing.assert_allclose(EndToEnd().predict(start)["end_to_end"], seen, rtol=0, atol=1e-9)


# --- what is conserved


def imbalances(layers):
    return [after.T @ after - before @ before.T for before, after in itertools.pairwise(layers)]


def test_flow_conserves_the_imbalance_of_adjacent_layers_and_descent_breaks_it_at_first_order_in_the_rate():
    rng = np.random.default_rng(9)
    X, Y = rng.standard_normal((10, 3)), rng.standard_normal((10, 2))
    layers = [0.6 * rng.standard_normal(shape) for shape in ((4, 3), (3, 4), (2, 3))]

    def drift(rule):
        final = lm.run(started(X, Y, layers, rule, lm.Clock(time=2.0, marks=2))).final
        now = imbalances([np.asarray(final[f"layer{i}.weight"]) for i in (1, 2, 3)])
        return max(
            np.abs(one - two).max() for one, two in zip(now, imbalances(layers), strict=True)
        )

    # the solver's tolerance of 1e-11 a step
    assert drift(GradientFlow(rtol=1e-11, atol=1e-13, solver="dopri8")) < 1e-9
    rates = [0.04, 0.02, 0.01, 0.005]
    order = fitted_order(rates, [drift(GradientDescent(rate=rate)) for rate in rates])
    # the next order in the rate, over a range of 8
    assert order.slope == pytest.approx(1, abs=0.1) and order.standard_error < 0.03


# --- landscape


def whitened_target(d, k, s, rng, noise=0.0, n=14):
    """X whitened, Y = X B' + noise off its span, with S_yx = B = U diag(s) V' exactly, and (U,
    V)."""
    X, V = inputs(d, n, rng)
    U, rest = orthogonal(k, rng), rng.standard_normal((n, k))
    rest -= X @ X.T @ rest / n
    m = len(s)
    return X, X @ ((U[:, :m] * s) @ V[:, :m].T).T + noise * rest, U[:, :m], V[:, :m]


def hessian(start):
    return np.linalg.eigvalsh(hessian_matrix(start.system, start.state.params))


STILL = GradientDescent(rate=0.1), lm.Clock(steps=1, marks=2)


@pytest.mark.parametrize("d, h, k", [(3, 4, 2), (2, 1, 4), (3, 3, 3), (1, 2, 1)])
def test_the_origin_is_a_strict_saddle_whose_curvatures_are_the_strengths_of_the_modes(d, h, k):
    rng = np.random.default_rng(h)
    # any inputs: S_xx plays no part at the origin
    X, Y = rng.standard_normal((9, d)), rng.standard_normal((9, k))
    s = np.linalg.svd(Y.T @ X / 9)[1]
    start = started(X, Y, [np.zeros((h, d)), np.zeros((k, h))], *STILL)
    # round-off
    np.testing.assert_allclose(origin_spectrum(s, h, d, k), hessian(start), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "d, h, k, rank", [(3, 4, 2, 2), (2, 2, 4, 2), (3, 3, 3, 3), (4, 2, 4, 2), (4, 1, 3, 1)]
)
def test_the_curvatures_at_a_minimum_are_all_sums_of_squared_singular_values_of_the_two_layers(
    d, h, k, rank
):
    rng = np.random.default_rng(rank)
    s = np.linspace(1.5, 0.6, rank)
    X, Y, U, V = whitened_target(d, k, s, rng, noise=0.2)
    frame = orthogonal(h, rng)[:, :rank]
    A = rng.standard_normal((rank, rank))
    layers = [frame @ A @ np.diag(s) @ V.T, U @ np.linalg.inv(A) @ frame.T]
    found, said = hessian(started(X, Y, layers, *STILL)), minimum_spectrum(*layers)
    # the others are zero to round-off of the largest, which A's condition number makes up to 1e2
    some = lambda values: np.sort(values[values > 1e-10])  # noqa: E731
    np.testing.assert_allclose(some(said), some(found), rtol=1e-8)
    assert some(said).size > 0 and found[0] > -1e-11 and len(said) == d * k
    assert minimum_sharpness(*layers) == pytest.approx(found[-1], rel=1e-11)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_balanced_minimum_of_any_depth_has_the_balanced_sharpness(depth):
    rng, s = np.random.default_rng(depth), np.array([1.7, 0.8])
    X, Y, U, V = whitened_target(3, 2, s, rng)
    layers = balanced_layers(U, s, V, (3,) * (depth - 1), rng)
    # round-off
    assert balanced_sharpness(1.7, depth) == pytest.approx(
        hessian(started(X, Y, layers, *STILL))[-1], rel=1e-11
    )


@pytest.mark.parametrize("depth, noise", [(2, 0.0), (2, 0.3), (3, 0.3)])
def test_each_subset_of_learned_modes_is_a_critical_point_with_its_own_loss(depth, noise):
    rng, s, n = np.random.default_rng(depth), np.array([1.6, 1.1, 0.5]), 14
    X, Y, U, V = whitened_target(4, 3, s, rng, noise)
    floor, losses = np.sum((Y - X @ ((U * s) @ V.T).T) ** 2) / (2 * n), {}
    for learned in itertools.product([0, 1], repeat=3):
        start = started(X, Y, balanced_layers(U, s * learned, V, (3,) * (depth - 1), rng), *STILL)
        loss, gradient = start.system.value_and_gradient(start.state.params)
        # round-off
        assert max(np.abs(g).max() for g in jax.tree.leaves(gradient)) < 1e-13
        losses[learned] = float(loss)
    np.testing.assert_allclose(
        critical_losses(s, floor), sorted(losses.values()), rtol=1e-12, atol=1e-15
    )
    in_order = [losses[one] for one in [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)]]
    np.testing.assert_allclose(plateau_losses(s[::-1], floor), in_order, rtol=1e-12, atol=1e-15)


def test_modes_that_the_target_lacks_add_no_critical_losses():
    rng = np.random.default_rng(1)
    X, Y, _, _ = whitened_target(4, 3, np.array([1.6, 1.1]), rng)
    found = np.linalg.svd(Y.T @ X / len(X))[1]
    assert len(found) == 3 and 0 < found[2] < 1e-14
    # round-off
    np.testing.assert_allclose(
        critical_losses(found),
        [0, 1.1**2 / 2, 1.6**2 / 2, (1.6**2 + 1.1**2) / 2],
        rtol=1e-12,
        atol=1e-15,
    )
