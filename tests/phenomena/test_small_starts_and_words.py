"""Small random starts, and cross-entropy that can be solved: closed forms against integrations and
minimizations that know nothing of them."""

import numpy as np
import pytest
from scipy import integrate, optimize, special

import learnmech as lm
from learnmech import data, initial, losses, rules, theories
from learnmech.theories.abelian_modes import (
    character_strengths,
    character_sums,
    circulant,
    differences,
    from_characters,
    simplex_time,
)
from learnmech.theories.modes import Modes
from learnmech.theories.neural_collapse import collapsed
from learnmech.theories.one_hot_classes import descended_margin, word_loss, word_margin, word_time
from learnmech.theories.small_start import (
    first_strengths,
    half_times,
    maps_along,
    stepped,
    together,
)

S = np.diag([3.0, 2.0, 1.0])
TIMES = np.linspace(0.0, 6.0, 25)


def flowed(velocity, begun, times):
    """An integration by DOP853 at 1e-12, of a tuple of arrays."""
    sizes = np.cumsum([one.size for one in begun])[:-1]

    def parts(y):
        cut = np.split(y, sizes)
        return [one.reshape(like.shape) for one, like in zip(cut, begun, strict=True)]

    solved = integrate.solve_ivp(
        lambda t, y: np.concatenate([one.ravel() for one in velocity(*parts(y))]),
        (0.0, times[-1]),
        np.concatenate([one.ravel() for one in begun]),
        "DOP853",
        times,
        rtol=1e-12,
        atol=1e-16,
    )
    return [parts(y) for y in solved.y.T]


def two_layers(W_1, W_2):
    return W_2.T @ (S - W_2 @ W_1), (S - W_2 @ W_1) @ W_1.T


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    return rng.standard_normal((4, 3)), rng.standard_normal((3, 4))


def test_from_a_small_random_start_the_map_is_known_to_second_order_in_its_size(rows):
    off = []
    for size in (1e-2, 1e-3):
        W_1, W_2 = (size * one for one in rows)
        run = np.array([b @ a for a, b in flowed(two_layers, (W_1, W_2), TIMES)])
        off.append(np.abs(maps_along(W_1, W_2, S, TIMES) - run).max())
    # what the start is unbalanced by is of second order; a logarithm of the size comes with time
    assert off[0] < 1e-3 and np.log10(off[0] / off[1]) == pytest.approx(2, abs=0.15)


def test_modes_far_apart_come_to_half_at_the_time_of_gram_schmidt(rows):
    modes = Modes(np.eye(3), np.diag(S), np.eye(3), np.ones(3), np.zeros(3))
    W_1, W_2 = (1e-6 * one for one in rows)
    a0 = first_strengths(W_1, W_2, modes)
    q = (W_1 + W_2.T).T / np.sqrt(2)
    for k in range(3):  # what is left of a row beside those before it, by least squares
        rest = q[k] - q[:k].T @ np.linalg.lstsq(q[:k].T, q[k], rcond=None)[0] if k else q[k]
        assert a0[k] == pytest.approx(rest @ rest / 2, rel=1e-12)
    said, apart = half_times(a0, modes.s), together(a0, modes.s)
    for k in range(3):
        run = flowed(two_layers, (W_1, W_2), np.array([0.0, said[k]]))[-1]
        a = (run[1] @ run[0])[k, k]
        # a strength off by a share at half is off in time by that over 2 s
        allowed = 2 * max(apart[max(k - 1, 0) :].max(), 1e-9)
        assert a / modes.s[k] == pytest.approx(0.5, abs=allowed)
    assert first_strengths(W_1[:2], W_2[:, :2], modes)[2] == 0 and half_times(
        np.zeros(1), np.ones(1)
    ) == [np.inf]


def test_descents_own_factor_leaves_second_order_in_the_rate():
    s, a0, off = np.array([2.0, 1.0]), np.array([1e-6, 1e-5]), []
    for rate in (0.1, 0.05):
        steps = np.arange(0, int(16 / rate), int(0.5 / rate))
        w, run = np.sqrt(a0), []
        for step in range(steps[-1] + 1):
            if step in steps:
                run.append(w**2)
            w = w + rate * (s - w**2) * w
        grown = 1 / (1 + (s / a0 - 1) * (1 + rate * s) ** (-2.0 * steps[:, None]))
        off.append(np.abs(stepped(s * grown, s, rate) - run).max())
    assert off[0] < 0.02 and np.log2(off[0] / off[1]) > 1.7
    # the time to half is read off the same recursion, interpolated where the logit is a line
    rate, w, before, step = 0.02, np.sqrt(1e-6), 0.0, 0
    while w**2 < 1.0:
        before, w, step = w**2, w + rate * (2 - w**2) * w, step + 1
    lines = [np.log(a / (2 - a)) for a in (before, w**2)]
    when = rate * (step - 1 + np.interp(0.0, lines, [0, 1]))
    assert half_times(np.array([1e-6]), np.array([2.0]), rate)[0] == pytest.approx(when, rel=2e-4)


def test_equal_modes_do_not_stop_the_theory_of_small_starts():
    experiment = theories.SmallStart.example().with_value("data", data.Hierarchy(levels=2))
    record = lm.run(experiment.with_value("clock.time", 12.0), ("loss", "mode-strengths"))
    compared = lm.compare(record, theories.SmallStart(), 1e-6)
    assert compared.verdict == "holds", compared


def test_small_starts_are_outside_their_domain_where_they_are_large_or_inputs_are_not_white():
    example, theory = theories.SmallStart.example(), theories.SmallStart()
    for path, value, word in (
        ("initial.std", 0.3, "the start is small"),
        ("data.whitened", False, "whitened"),
        ("architecture.hidden", (4, 4), "two layers"),
        ("rule", rules.GradientDescent(rate=0.3), "rate s"),
    ):
        missing = [
            one.claim
            for one in theory.conditions(lm.prepare(example.with_value(path, value)))
            if not one.holds
        ]
        assert any(word in claim for claim in missing), (path, missing)


@pytest.mark.parametrize("V", [2, 5, 1000])
def test_a_words_margin_is_lamberts(V):
    time = np.array([1e-3, 0.5, 20.0, 60.0])
    C = (1 + V * time) / (V - 1)
    C, time = C[C < 300], time[C < 300]
    lambert = C - special.lambertw(np.exp(C) / (V - 1)).real
    m = word_margin(time, V)
    assert m == pytest.approx(lambert, rel=1e-12, abs=1e-13)
    late = word_margin(np.array([1e12]), V)  # where Lambert's overflows
    assert np.expm1(late) + (V - 1) * late == pytest.approx(V * 1e12, rel=1e-13)
    assert word_time(word_loss(m, V), V) == pytest.approx(time, rel=1e-9)


def test_descent_of_one_word_is_softmax_regression_step_by_step():
    shares, V, rate = np.array([0.6, 0.4]), 3, 2.0
    z = np.zeros((2, V))
    for _ in range(20):
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        z = z + rate * shares[:, None] * (np.eye(V)[:2] - p)
    m = descended_margin(shares, V, rate, np.array([20]))[0]
    assert [z[0, 0] - z[0, 1], z[1, 1] - z[1, 2]] == pytest.approx(m, rel=1e-13)


@pytest.mark.parametrize("rule", [None, rules.GradientDescent(rate=0.7)])
def test_words_with_several_successors_go_each_by_itself(rule):
    experiment = theories.OneHotClasses.example()
    if rule is not None:
        experiment = experiment.with_value("rule", rule)
    for begun in (initial.Gaussian(scale=0.0), initial.Gaussian()):
        record = lm.run(experiment.with_value("initial", begun), ("loss", "weights"))
        compared = lm.compare(record, theories.OneHotClasses(), 1e-9)
        assert compared.verdict == "holds", compared


def test_sign_descent_is_foretold_for_words_of_one_successor_alone():
    experiment = theories.OneHotClasses.example().with_value("rule", rules.SignDescent(rate=0.05))
    said = theories.OneHotClasses().conditions(lm.prepare(experiment))
    assert [one.claim for one in said if not one.holds] == [
        "words with several successors, under sign descent"
    ]


@pytest.mark.parametrize("group", [(7,), (2, 2, 2), (2, 3)])
def test_characters_are_modes_of_two_layers_under_cross_entropy(group):
    K = int(np.prod(group))
    opposite = differences(group)[0]
    s = 1e-2 / (1 + np.minimum(np.arange(K), opposite))
    s[0] = 0.0
    root = circulant(from_characters(np.sqrt(s), group), group)
    assert np.linalg.eigvalsh(root @ root) == pytest.approx(np.sort(s), abs=1e-16)

    def velocity(W_1, W_2):
        p = np.exp(W_2 @ W_1)
        G = (np.eye(K) - p / p.sum(0)) / K
        return W_2.T @ G, G @ W_1.T

    times = np.linspace(0.0, 60.0, 4)
    said = character_strengths(s, group, times)
    for (W_1, W_2), one in zip(flowed(velocity, (root, root.T), times), said, strict=True):
        W = W_2 @ W_1
        assert np.abs(W - circulant(from_characters(one, group), group)).max() < 1e-9
        assert character_sums(W[:, 0], group) == pytest.approx(one, abs=1e-9)
    assert said[-1].max() > 1


def test_the_simplex_grows_by_exponential_integrals():
    K, a0, a = 6, 0.01, 4.0
    time, _ = integrate.quad(lambda x: (np.exp(x) + K - 1) / (2 * x), a0, a, epsabs=0, epsrel=1e-12)
    assert simplex_time(a, a0, K) == pytest.approx(time, rel=1e-11)


def test_a_group_of_another_size_and_a_start_without_symmetry_are_outside_the_domain():
    start = lm.prepare(theories.AbelianModes.example())
    assert all(one.holds for one in theories.AbelianModes().conditions(start))
    for theory, other, word in (
        (theories.AbelianModes(group=(2, 3)), start, "classes"),
        (
            theories.AbelianModes(),
            lm.prepare(start.experiment.with_value("initial", initial.Gaussian())),
            "W_2 = W_1'",
        ),
    ):
        missing = [one.claim for one in theory.conditions(other) if not one.holds]
        assert any(word in claim for claim in missing), missing


@pytest.mark.parametrize("ridge, on_features", [(0.02, 0.05), (0.3, 0.4)])
def test_collapse_is_the_least_loss_of_free_features(ridge, on_features):
    K, each, h = 3, 2, 4
    labels, rng = np.repeat(np.arange(K), each), np.random.default_rng(2)

    def loss(flat):
        W, H = flat[: K * h].reshape(K, h), flat[K * h :].reshape(h, K * each)
        z = W @ H
        p = special.softmax(z, axis=0)
        G = (p - np.eye(K)[labels].T) / len(labels)
        prices = special.logsumexp(z, axis=0) - z[labels, np.arange(len(labels))]
        value = prices.mean() + ridge / 2 * np.sum(W**2) + on_features / 2 * np.sum(H**2)
        slope = [G @ H.T + ridge * W, W.T @ G + on_features * H]
        return value, np.concatenate([one.ravel() for one in slope])

    found = optimize.minimize(
        loss, rng.standard_normal(h * K * (1 + each)), jac=True, options={"gtol": 1e-11}
    )
    said = collapsed(K, each, ridge, on_features)
    W, H = found.x[: K * h].reshape(K, h), found.x[K * h :].reshape(h, -1)
    logits = said.a * (np.eye(K)[:, labels] - 1 / K)
    assert found.fun == pytest.approx(said.loss, rel=1e-12)
    assert W @ H == pytest.approx(logits, abs=1e-6)
    assert [np.sum(W**2), np.sum(H**2)] == pytest.approx([said.readout, said.features], abs=1e-6)
    assert (said.a == 0) == (np.sqrt(each * ridge * on_features) > 1 / K)


def test_collapse_needs_a_ridge_free_features_and_classes_of_one_size():
    example, theory = theories.NeuralCollapse.example(), theories.NeuralCollapse()
    X, Y = np.eye(4), np.eye(3)[[0, 0, 1, 2]]
    for path, value, word in (
        ("loss", losses.CrossEntropy(), "a ridge"),
        ("architecture.hidden", (1,), "hidden units"),
        ("data", data.Arrays(X=X, Y=Y), "classes of one size"),
        ("data", data.Arrays(X=np.vstack([X, X]), Y=np.vstack([Y, Y])), "features of its own"),
    ):
        missing = [
            one.claim
            for one in theory.conditions(lm.prepare(example.with_value(path, value)))
            if not one.holds
        ]
        assert any(word in claim for claim in missing), (path, missing)
    record = lm.run(example.with_value("clock.time", 10.0), ("loss", "end-to-end"))
    assert lm.compare(record, theory).verdict == "outside domain"  # it has not settled
