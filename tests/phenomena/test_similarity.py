"""Similarity and spread of features: dependence of kernels with and without bias, alignment of
layers, participation ratios, against sums written out."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, rules
from learnmech.errors import Refused
from learnmech.kernels.alignment import cka, cka_among, hsic, hsic_among, u_centered
from learnmech.language import text
from learnmech.system.landscape import hessian_matrix

RNG = np.random.default_rng(5)
WATCH = (
    instruments.LayerSimilarity(with_hsic=True),
    instruments.LayerSimilarity(debiased=True, with_hsic=True),
    instruments.KernelDrift(debiased=True),
    instruments.TangentKernel(),
    instruments.Participation(),
    instruments.KernelParticipation(),
    instruments.CurvatureParticipation(),
    instruments.CurvatureParticipation(of="hessian"),
)


@pytest.fixture(scope="module")
def record():
    given = lm.Experiment(
        architectures.Mlp(hidden=(5, 4), activation="relu"),
        data.Gaussian(n=9, d=3, k=2),
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=6, every=3),
    )
    return lm.run(given, WATCH)


def gram(h):
    return h @ h.T


def written_out(K, L):
    """HSIC_1 of Song et al. 2012, eq. 4, over all ways to choose two, three and four different
    samples: its three means, one by one."""
    n = len(K)
    pairs = [K[i, j] * L[i, j] for i, j in itertools.permutations(range(n), 2)]
    triples = [K[i, j] * L[i, k] for i, j, k in itertools.permutations(range(n), 3)]
    fours = [K[i, j] * L[k, m] for i, j, k, m in itertools.permutations(range(n), 4)]
    return np.mean(pairs) - 2 * np.mean(triples) + np.mean(fours)


def of_the_paper(K, L):
    """HSIC_1 of Song et al. 2012, eq. 5, by double sums."""
    n, rest = len(K), range(len(K))
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    trace = sum(K[i, j] * L[j, i] for i in rest for j in rest)
    product = sum(K[i, j] for i in rest for j in rest) * sum(L[i, j] for i in rest for j in rest)
    chain = sum(K[i, j] * L[j, k] for i in rest for j in rest for k in rest)
    return (trace + product / ((n - 1) * (n - 2)) - 2 * chain / (n - 2)) / (n * (n - 3))


def hand_cka(K, L, dependence):
    return dependence(K, L) / np.sqrt(dependence(K, K) * dependence(L, L))


def biased(K, L):
    H = np.eye(len(K)) - 1 / len(K)
    return np.trace(K @ H @ L @ H) / (len(K) - 1) ** 2


def test_dependence_without_bias_is_the_mean_over_different_samples():
    K, L = gram(RNG.standard_normal((7, 3)) + 2), gram(RNG.standard_normal((7, 2)) - 1)
    assert of_the_paper(K, L) == pytest.approx(written_out(K, L), rel=1e-11)
    assert float(hsic(K, L, debiased=True)) == pytest.approx(of_the_paper(K, L), rel=1e-11)
    assert float(hsic(K, L)) == pytest.approx(biased(K, L), rel=1e-12)
    assert float(cka(K, L, debiased=True)) == pytest.approx(hand_cka(K, L, of_the_paper), rel=1e-11)
    shifted = hsic(jnp.asarray(K + 5.0), jnp.asarray(L), debiased=True)
    assert float(shifted) == pytest.approx(of_the_paper(K, L), rel=1e-11), (
        "a constant does not count"
    )
    np.testing.assert_allclose(u_centered(jnp.asarray(K)).sum(0), 0, atol=1e-12)
    assert float(cka(3 * K + 7, K, debiased=True)) == pytest.approx(1, abs=1e-13)
    both = hsic_among(jnp.asarray([K, L]), debiased=True)
    np.testing.assert_allclose(cka_among(both)[0, 1], cka(K, L, debiased=True), rtol=1e-12)
    for size, debiased in itertools.product(
        (0.1, 1.0, 7e8), (True, False)
    ):  # the round-off of a constant is aligned with nothing
        found = cka_among(
            hsic_among(jnp.asarray([np.full((7, 7), size), K, np.full((7, 7), np.pi)]), debiased)
        )
        assert np.array_equal(np.asarray(found)[[0, 2]][:, [0, 1, 2]], np.zeros((2, 3))) and float(
            found[1, 1]
        ) == pytest.approx(1)


def test_of_independent_gaussians_the_mean_is_nothing_where_the_biased_one_is_not():
    draws = RNG.standard_normal((4000, 2, 8, 5))
    kernels = jnp.asarray(draws @ draws.transpose(0, 1, 3, 2))

    def both(debiased):
        measure = jax.vmap(
            lambda one, two: jnp.stack([hsic(one, two, debiased), cka(one, two, debiased)])
        )
        return np.asarray(jax.jit(measure)(kernels[:, 0], kernels[:, 1]))

    found = {debiased: both(debiased) for debiased in (True, False)}
    for place in (0, 1):
        mean, error = found[True][:, place].mean(), found[True][:, place].std() / np.sqrt(4000)
        assert abs(mean) < 3 * error, (place, mean, error)
        assert found[False][:, place].mean() > 30 * error, "with bias: far from 0"
    # E HSIC_0 of independent standard normals: tr(H E[K] H E[L])/(n - 1)^2 = d^2/(n - 1)
    error = found[False][:, 0].std() / np.sqrt(4000)
    assert abs(found[False][:, 0].mean() - 25 / 7) < 3 * error


def features(record, params):
    signals = record.start.system.architecture.signals(params, record.start.system.train.X)
    return [np.asarray(signals[name]) for name in ("layer1.post", "layer2.post", "layer3.pre")]


def test_layers_are_compared_with_each_other_with_their_start_and_with_the_targets(record):
    first, last = (list(map(gram, features(record, record.at(step).params))) for step in (0, 6))
    Y = gram(np.asarray(record.start.data.train.Y))
    for end, dependence in (("", biased), ("_debiased", of_the_paper)):
        for one, two in itertools.product(range(3), repeat=2):
            np.testing.assert_allclose(
                record[f"layer_hsic{end}"][-1, one, two],
                dependence(last[one], last[two]),
                rtol=1e-10,
            )
            np.testing.assert_allclose(
                record[f"layer_cka{end}"][-1, one, two],
                hand_cka(last[one], last[two], dependence),
                rtol=1e-10,
            )
        for layer in range(3):
            np.testing.assert_allclose(
                record[f"layer_cka_start{end}"][-1, layer],
                hand_cka(last[layer], first[layer], dependence),
                rtol=1e-10,
            )
            np.testing.assert_allclose(
                record[f"layer_cka_targets{end}"][-1, layer],
                hand_cka(last[layer], Y, dependence),
                rtol=1e-9,
            )
            np.testing.assert_allclose(
                record[f"layer_hsic_targets{end}"][-1, layer],
                dependence(last[layer], Y),
                rtol=1e-9,
                atol=1e-14,
            )
    np.testing.assert_allclose(record["layer_cka_start"][0], 1, rtol=1e-13)
    assert record["layer_cka"].dims == ("time", "layer", "layer'") and record["layer_cka"][
        "layer'"
    ].values.tolist() == ["layer1", "layer2", "layer3"]
    T = record["tangent_kernel"].values
    np.testing.assert_allclose(
        record["kernel_cka_start_debiased"][-1], hand_cka(T[-1], T[0], of_the_paper), rtol=1e-10
    )


def ratio(values):
    return values.sum() ** 2 / (values**2).sum()


def test_participation_is_the_ratio_of_the_eigenvalues(record):
    for layer, h in enumerate(features(record, record.at(6).params)):
        np.testing.assert_allclose(
            record["feature_participation"][-1, layer],
            ratio(np.linalg.eigvalsh(np.cov(h.T))),
            rtol=1e-11,
        )
    np.testing.assert_allclose(
        record["kernel_participation"][-1],
        ratio(np.linalg.eigvalsh(record["tangent_kernel"][-1].values)),
        rtol=1e-11,
    )
    system, params = record.start.system, record.at(6).params
    H = hessian_matrix(system, params)
    np.testing.assert_allclose(
        record["hessian_participation"][-1], ratio(np.linalg.eigvalsh(H)), rtol=1e-8
    )
    assert not record["gauss_newton_participation_error"].values.any()


def test_participation_counts_the_directions_that_are_equal():
    square = np.diag([2.0, 2, 2, 0, 0])
    assert float(instruments.participation.participation_ratio(square)) == pytest.approx(3)
    assert float(instruments.participation.participation_ratio(np.zeros((3, 3)))) == 0


def test_from_probes_the_ratio_of_a_curvature_is_within_its_error(record):
    exact = float(record["gauss_newton_participation"][-1])
    found = record.read(instruments.CurvatureParticipation(probes=400, exact_up_to=0), [6])
    value, error = (float(found[f"gauss_newton_participation{end}"][0]) for end in ("", "_error"))
    assert 0 < error < 0.2 * exact and abs(value - exact) < 4 * error


def test_of_few_samples_the_corner_is_compared_and_too_few_are_refused(record):
    few = record.read(instruments.LayerSimilarity(samples=5, debiased=True), [6])
    last = [gram(h[:5]) for h in features(record, record.at(6).params)]
    np.testing.assert_allclose(
        few["layer_cka_debiased"][0, 0, 1], hand_cka(last[0], last[1], of_the_paper), rtol=1e-10
    )
    for amiss, words in (
        ({"samples": 10}, "samples <= 9"),
        ({"samples": 3, "debiased": True}, "at least 4 samples"),
    ):
        with pytest.raises(Refused, match=words):
            record.read(instruments.LayerSimilarity(**amiss), [6])
    with pytest.raises(Refused, match="at least 4 samples"):
        record.read(instruments.KernelDrift(samples=3, debiased=True), [6])


def test_an_instrument_that_does_not_ask_for_it_is_written_as_before():
    assert "debiased" not in str(text.to_text(instruments.KernelDrift())) and "debiased" in str(
        text.to_text(instruments.KernelDrift(debiased=True))
    )
