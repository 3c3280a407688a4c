"""Small random starts, and cross-entropy that can be solved: closed forms against integrations and
minimizations that know nothing of them."""

import numpy as np
import pytest
from scipy import integrate, optimize, special

import learnmech as lm
from learnmech import data, initial, losses, rules, theories
from learnmech.data.base import View
from learnmech.errors import Refused
from learnmech.theories.abelian_modes import (
    character_strengths,
    character_sums,
    circulant,
    differences,
    from_characters,
    simplex_time,
)
from learnmech.theories.max_margin import lone_margin, max_margin
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
from learnmech.theories.unigram_plateau import beyond_unigram, escape_modes, weights_along
from learnmech.theories.zipf import share_left, share_left_of_many, zipf_shares

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
    # (rate s)^2 of the strongest mode
    assert off[0] < 0.2**2 and np.log2(off[0] / off[1]) > 1.7
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


def test_the_largest_margin_is_that_of_support_vectors():
    from sklearn.svm import SVC

    rng = np.random.default_rng(3)
    X = rng.standard_normal((20, 8))
    y = np.sign(X @ rng.standard_normal(8))
    w, alpha = max_margin(X, y)
    signed = X * y[:, None]
    assert (signed @ w).min() == pytest.approx(1, rel=1e-12) and (alpha >= 0).all()
    assert signed.T @ alpha == pytest.approx(w, abs=1e-12)
    assert alpha.sum() == pytest.approx(w @ w, rel=1e-12)
    assert alpha @ (signed @ w - 1) == pytest.approx(0, abs=1e-12)
    # libsvm breaks its own constraints by 1e-6; its bias is shut out by mirrored samples
    both = SVC(kernel="linear", C=1e8, tol=1e-10).fit(np.vstack([X, -X]), np.append(y, -y))
    assert w == pytest.approx(both.coef_[0], abs=1e-5)
    with pytest.raises(Refused, match="a plane through 0"):
        max_margin(np.vstack([X, X[:1]]), np.append(y, -y[0]))


def test_one_sample_under_the_logistic_loss_has_a_closed_form():
    size, times = 1.7, np.array([0.0, 1.0, 30.0])
    run = flowed(lambda u: (size**2 / (1 + np.exp(u)),), (np.zeros(1),), times)
    assert lone_margin(times, size) == pytest.approx(np.ravel(run), rel=1e-10)


def test_the_largest_margin_needs_separable_classes_and_a_long_run():
    example, theory = theories.MaxMargin.example(), theories.MaxMargin()
    assert all(one.holds for one in theory.conditions(lm.prepare(example)))
    for path, value, word in (
        ("data", data.Digits(train=200, classes=(3, 8), components=1, targets="sign"), "separated"),
        ("clock", lm.Clock(time=100.0, marks=5), "the run is long"),
        ("loss", losses.Squared(), "logistic"),
    ):
        missing = [
            one.claim
            for one in theory.conditions(lm.prepare(example.with_value(path, value)))
            if not one.holds
        ]
        assert any(word in claim for claim in missing), (path, missing)


def test_small_weights_leave_the_unigram_plateau_as_counting_says():
    rng, V, h = np.random.default_rng(4), 4, 3
    counts = rng.integers(1, 30, (V, V)).astype(float)
    X, Y = (
        np.repeat(np.eye(V)[side.ravel()], counts.ravel().astype(int), axis=0)
        for side in np.indices((V, V))
    )
    J = counts.T / counts.sum()
    q, M = J.sum(1), J - np.outer(J.sum(1), J.sum(0))
    view = View(X, Y)
    modes = escape_modes(view)
    assert beyond_unigram(view) == pytest.approx(M, abs=1e-15) and len(modes.s) == V - 1

    def velocity(W_1, W_2, b_1, b_2):
        z = W_2 @ (W_1 + b_1[:, None]) + b_2[:, None]
        p = np.exp(z) / np.exp(z).sum(0)
        G = J - p * J.sum(0)
        return W_2.T @ G, G @ (W_1 + b_1[:, None]).T, (W_2.T @ G).sum(1), G.sum(1)

    W_1, W_2 = 1e-5 * rng.standard_normal((h, V)), 1e-5 * rng.standard_normal((V, h))
    times = np.linspace(0.0, 3 / modes.s[0], 4)
    run = flowed(velocity, (W_1, W_2, np.zeros(h), np.log(q)), times)
    for (a, b, *_), (one, two) in zip(run, weights_along(W_1, W_2, M, times), strict=True):
        assert np.abs(a - one).max() + np.abs(b - two).max() < 1e-6 * np.abs(one).max()
    # the Hessian on the weights is +-s, each as often as there are hidden units, and zeros
    Q = np.block([[np.zeros((V, V)), -M.T], [-M, np.zeros((V, V))]])
    assert np.linalg.eigvalsh(Q)[: V - 1] == pytest.approx(-modes.s, abs=1e-15)


def test_the_unigram_plateau_needs_its_biases_and_ends_where_a_mode_has_grown():
    example, theory = theories.UnigramPlateau.example(), theories.UnigramPlateau()
    assert all(one.holds for one in theory.conditions(lm.prepare(example)))
    for path, value, word in (
        ("clock", lm.Clock(time=500.0, marks=3), "ends on the plateau"),
        ("initial", initial.SmallGaussian(std=1e-4), "biases are those of the plateau"),
        ("architecture.activation", "tanh", "linear with biases"),
    ):
        missing = [
            one.claim
            for one in theory.conditions(lm.prepare(example.with_value(path, value)))
            if not one.holds
        ]
        assert any(word in claim for claim in missing), (path, missing)


def test_under_zipfs_law_the_loss_left_is_an_exponential_integral_or_a_power():
    V, times = 10**5, np.array([100.0, 1e3, 1e4])
    # Euler and Maclaurin's correction is half the first and last term, 1e-6 of the whole
    left = share_left(zipf_shares(V, 1.0), times)
    assert share_left_of_many(V, 1.0, times) == pytest.approx(left, rel=3e-6)
    # t = V^tau leaves 1 - tau, up to a constant over ln V
    taus = np.log(times) / np.log(V)
    assert np.abs(left - (1 - taus)).max() < 1.2 / np.log(V)
    # of 10^6 words the tail that is left out is 1e-6 of all, and nothing of it is learned
    left = share_left(zipf_shares(10**6, 2.0), times[:2])
    assert share_left_of_many(10**6, 2.0, times[:2]) == pytest.approx(left, rel=1e-4)
