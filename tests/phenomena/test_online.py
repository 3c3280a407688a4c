"""Learning from fresh samples: online SGD, tokens, noise scales, committees, single indices,
Marchenko-Pastur and compute-optimal envelopes, against simulation and integrals by numpy, scipy and
mpmath."""

import dataclasses
import itertools
from math import comb

import jax
import mpmath
import numpy as np
import pytest
from scipy import integrate

import learnmech as lm
from learnmech import architectures, data, initial, instruments, interventions, rules, theories
from learnmech.errors import Refused
from learnmech.theories import compute_optimal, noise_scale, online, saad_solla, single_index
from learnmech.theories.linear_grokking import grokking_losses, marchenko_pastur
from learnmech.theories.one_hot import one_hot_moments

LAM = np.array([1.5, 0.6, 0.2, 0.05])
SEED = 5


# --- online SGD on Gaussian inputs


def second_moment(M, lam, noise, rate, batch):
    """E (I - rate S) M (I - rate S) + noise over batches of x ~ N(0, diag lam), by the fourth
    moments of normal variables written out."""
    C, places = np.diag(lam), range(len(lam))
    own = np.zeros_like(M)
    for i, j, k, m in itertools.product(places, repeat=4):  # E x_i x_j x_k x_m
        own[i, m] += (C[i, j] * C[k, m] + C[i, k] * C[j, m] + C[i, m] * C[j, k]) * M[j, k]
    moved = M - rate * (C @ M + M @ C) + rate**2 * (own / batch + (1 - 1 / batch) * C @ M @ C)
    return moved + rate**2 * noise / batch * C


@pytest.mark.parametrize("rate, batch", [(0.3, 1), (0.9, 4)])
def test_the_moments_of_online_sgd_are_those_of_every_fourth_moment_written_out(rate, batch):
    off = np.array([1.0, -2.0, 0.5, 3.0])
    M, steps, course = np.outer(off, off), np.array([0, 1, 2, 7, 40]), {}
    for step in range(41):
        course[step] = np.diag(M)
        M = second_moment(M, LAM, 0.3, rate, batch)
    found = online.online_moments(LAM, off[None] ** 2, 0.3, rate, batch, steps)[:, 0]
    # the same numbers by another way
    np.testing.assert_allclose(found, [course[step] for step in steps], rtol=1e-10)


def test_online_sgd_settles_where_its_gain_says_and_grows_above_its_threshold():
    for batch in (1, 8):
        edge = online.online_threshold(LAM, batch)
        for rate, grows in ((0.999 * edge, False), (1.001 * edge, True)):
            top = np.linalg.eigvalsh(online.online_map(LAM, rate, batch))[-1]
            assert (top > 1) == grows and (online.online_gain(LAM, rate, batch) > 1) == grows
        rate = 0.5 * edge
        end = online.online_moments(LAM, 0 * LAM[None], 0.3, rate, batch, np.array([10**6]))[0, 0]
        said = online.online_stationary(LAM, 0.3, rate, batch)
        assert end @ LAM + 0.3 == pytest.approx(said, rel=1e-10)
    many = np.full(4000, 1e-3)  # of many small modes 2B/tr Lam
    assert online.online_threshold(many, 3) == pytest.approx(2 * 3 / many.sum(), rel=2e-3)
    assert online.online_threshold(LAM, 10**7) == pytest.approx(2 / LAM.max(), rel=1e-6)
    with pytest.raises(Refused, match="The stationary risk of online SGD needs a rate below"):
        online.online_stationary(LAM, 0.3, 2.0, 1)


def plain_runs(W, B, root, noise, rate, batch, steps, runs, rng):
    """Mean and standard error over runs of sum over outputs of E |Wx - y|^2, by numpy."""
    W, C, found = np.repeat(W[None], runs, 0), root.T @ root, []
    for step in range(max(steps) + 1):
        if step in steps:
            off = W - B
            risk = np.einsum("rki,ij,rkj->r", off, C, off) + len(B) * noise**2
            found.append((risk.mean(), risk.std() / np.sqrt(runs)))
        X = rng.standard_normal((runs, batch, len(C))) @ root
        errors = X @ (W - B).swapaxes(1, 2) - noise * rng.standard_normal((runs, batch, len(B)))
        W = W - rate / batch * errors.swapaxes(1, 2) @ X
    return np.array(found).T


def test_theory_and_runs_of_numpy_and_both_ways_of_drawing_have_the_same_mean():
    matrix = np.array([[1.0, 0.4, 0.0], [0.4, 0.8, -0.2], [0.0, -0.2, 0.3]])
    source = data.Gaussian(n=4, d=3, k=2, covariance="given", matrix=matrix, noise=0.3)
    rule, clock = rules.SGD(rate=0.4, batch=2, sampling="fresh"), lm.Clock(at=(0, 3, 10, 30))
    plain = lm.Experiment(architectures.DeepLinear(), source, rule, clock)
    start, rng = lm.prepare(plain), np.random.default_rng(SEED)
    said = theories.OnlineSgd().predict(start)["population_loss"].values
    B, root = (np.asarray(getattr(start.data.population, one)) for one in ("map", "root"))
    W = start.params["layer1"]["weight"]
    mean, bar = plain_runs(W, B, root, 0.3, 0.4, 2, (0, 3, 10, 30), 3000, rng)
    np.testing.assert_array_less(np.abs(mean / 2 - said), 4 * bar / 2 + 1e-12)
    drawn = lm.sweep(
        dataclasses.replace(plain, initial=initial.Given.of(start.params)),
        {"rule.sampling": ("fresh", "fresh-gradient")},
        seeds=300,
        watch=("population-loss", "batch-loss"),
    )
    for quantity in ("population_loss", "batch_loss"):
        for way in drawn[quantity].values:  # the batch's own loss has the population's for a mean
            bar = way.std(0, ddof=1) / np.sqrt(300)
            np.testing.assert_array_less(np.abs(way.mean(0) - said), 4.5 * bar + 1e-12)
    # the scatter of runs too: of its logarithm, since the tails are heavy, which 300 tell to 6%
    one, other = np.log(drawn["population_loss"].values).std(1)[:, 1:]
    np.testing.assert_allclose(one, other, rtol=0.2)


def test_the_gradient_drawn_by_its_law_has_the_second_moments_of_that_of_a_batch():
    population = lm.prepare(
        lm.Experiment(
            architectures.DeepLinear(),
            data.Gaussian(n=4, d=3, k=2, covariance="power-law", noise=0.3),
            rules.SGD(rate=0.1, batch=4, sampling="fresh-gradient"),
            lm.Clock(steps=1),
        )
    ).data.population
    W, keys = (
        np.array([[0.5, -1.0, 2.0], [0.0, 1.0, 0.3]]),
        jax.random.split(jax.random.PRNGKey(1), 60_000),
    )

    def gradient(view):
        return ((view.X @ W.T - view.Y).T @ view.X / len(view.X)).ravel()

    ways = [
        jax.jit(jax.vmap(lambda key: gradient(population.sample(key, 4)))),
        jax.jit(jax.vmap(lambda key: gradient(population.condensed(W, key, 4)))),
    ]
    (mean, spread), (other, beside) = [
        (g.mean(0), np.cov(g.T)) for g in (np.asarray(way(keys)) for way in ways)
    ]
    error = np.sqrt(2 * np.diag(spread) / 60_000)
    np.testing.assert_array_less(np.abs(mean - other), 4.5 * error)
    size = np.sqrt(np.outer(np.diag(spread), np.diag(spread)))
    # entries of a covariance over 60,000: 0.6% each way, twice that with the tails of a product
    np.testing.assert_allclose(beside / size, spread / size, atol=0.04)


def test_the_law_of_the_gradient_is_refused_where_it_is_not_known():
    bent = lm.Experiment(
        architectures.Mlp(hidden=(3,)),
        data.Gaussian(n=4, d=3),
        rules.SGD(rate=0.1, batch=4, sampling="fresh-gradient"),
        lm.Clock(steps=3),
    )
    with pytest.raises(Refused, match="SGD needs the mean squared loss of a linear network"):
        lm.run(bent)
    frozen = dataclasses.replace(
        theories.OnlineSgd.example(), architecture=architectures.DeepLinear(hidden=(3,))
    )
    held = dataclasses.replace(
        frozen.with_value("rule.sampling", "fresh-gradient"),
        events=(interventions.Freeze("layer1", at=2),),
    )
    record = lm.run(held, ("population-loss", "layer1.weight"))
    moved = np.abs(np.diff(record["layer1.weight"].values, axis=0)).max(axis=(1, 2))
    assert moved[0] > 0 and not moved[1:].any()


# --- tokens


def test_the_moments_of_tokens_are_those_of_the_binomial_written_out_and_the_mean_of_runs():
    p, V, rate, batch = np.array([0.6, 0.3, 0.1]), np.array([0.5, 0.2, 0.7]), 0.8, 3
    M, begin = [np.array([1.0, 2.0, 0.5])], np.array([1.0, 2.0, 0.5])
    for _ in range(9):
        moved = np.zeros(3)
        for i in range(3):
            for count in range(batch + 1):
                chance = comb(batch, count) * p[i] ** count * (1 - p[i]) ** (batch - count)
                left = 1 - rate * count / batch
                moved[i] += chance * (left**2 * M[-1][i] + (rate / batch) ** 2 * count * V[i])
        M.append(moved)
    np.testing.assert_allclose(
        one_hot_moments(p, begin, V, rate, batch, np.arange(10)), M, rtol=1e-12
    )
    slow = one_hot_moments(p, begin, V, 1e-6, 3, np.array([10**6]))[0]  # flow
    np.testing.assert_allclose(slow, np.exp(-2 * p) * begin, rtol=1e-5)


def test_bigrams_have_the_probabilities_of_the_counts_they_are_given():
    counts = np.array([[4.0, 1.0, 0.0], [0.0, 2.0, 2.0], [1.0, 0.0, 0.0]])
    source = data.Bigrams(vocabulary=3, counts=counts, n=20_000)
    view = source.draw(np.random.default_rng(0)).train
    # six standard errors of a share
    np.testing.assert_allclose(view.X.T @ view.Y / 20_000, counts / counts.sum(), atol=0.02)
    with pytest.raises(Refused, match="Bigrams needs counts"):
        data.Bigrams(vocabulary=3, counts=np.eye(3) * [1, 1, 0])


# --- the noise scale


def test_noise_scales_of_gaussian_inputs_are_read_within_their_errors_and_one_step_gains_as_said():
    off = np.array([[1.0, -2.0, 0.5, 3.0]])
    source = data.Gaussian(
        n=4000, d=4, covariance="given", matrix=np.diag(LAM), map=-off, noise=0.5
    )
    start = lm.prepare(
        lm.Experiment(
            architectures.DeepLinear(),
            source,
            rules.SGD(rate=0.1, batch=8),
            lm.Clock(steps=1),
            initial.Gaussian(scale=0.0),
        )
    )
    record = lm.run(start, (instruments.NoiseScale(curved=True), instruments.GradientNoise()))
    read = {name: float(record[name][0]) for name in record.names if record[name].ndim == 1}
    said = noise_scale.gaussian_noise(LAM, off[0], 0.25)
    for name, expected in (("noise_scale", said.simple), ("curved_noise_scale", said.curved)):
        assert abs(read[name] - expected) < 4 * read[f"{name}_error"] < 0.4 * expected
    assert read["best_rate"] == pytest.approx(said.best_rate(8), rel=0.1)
    # the biased scale of the samples themselves, less what tr C/n adds to |g|^2
    biased = read["gradient_noise_scale"]
    assert read["noise_scale"] == pytest.approx(biased / (1 - biased / 4000), rel=1e-9)
    # the gain of one step against the exact moments of one
    for rate, batch in ((0.2, 1), (0.7, 8)):
        after = online.online_moments(LAM, off**2, 0.25, rate, batch, np.array([0, 1]))[:, 0] @ LAM
        assert said.gain(rate, batch) == pytest.approx((after[0] - after[1]) / 2, rel=1e-12)
    best = said.best_rate(8)
    assert said.gain(best, 8) > max(said.gain(best * 1.01, 8), said.gain(best * 0.99, 8))
    assert noise_scale.without_replacement(10, 10) == 0


def test_the_error_of_a_noise_scale_is_the_scatter_of_draws():
    plain = lm.Experiment(
        architectures.Mlp(hidden=(3,)),
        data.Gaussian(n=400, d=3, map=np.ones((1, 3)), noise=1.0),
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=1),
    )
    grid = lm.sweep(plain, {"data.seed": range(60)}, watch=("noise-scale",))
    scales, errors = (
        grid[name].values[..., 0].ravel() for name in ("noise_scale", "noise_scale_error")
    )
    # 60 draws tell a spread to 9%, and errors scatter with the scale itself
    assert np.std(scales) == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.4)


# --- teacher and student


def test_averages_of_erf_units_are_those_of_quadrature():
    rng = np.random.default_rng(SEED)
    A = rng.standard_normal((4, 6))
    C = A @ A.T / 6
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    weights = weights / weights.sum()
    from scipy.special import erf

    root = np.linalg.cholesky(C)
    grid = np.stack(np.meshgrid(*[nodes] * 4, indexing="ij"), -1).reshape(-1, 4) @ root.T
    chance = np.prod(np.stack(np.meshgrid(*[weights] * 4, indexing="ij"), -1).reshape(-1, 4), 1)
    s, slope = erf(grid), 2 / np.sqrt(np.pi) * np.exp(-(grid**2))
    # Gauss-Hermite of 24 nodes on functions with poles near the axis: 1e-4
    np.testing.assert_allclose(saad_solla.products(C), (s.T * chance) @ s, atol=3e-4)
    np.testing.assert_allclose(
        saad_solla.slopes(C), np.einsum("q,qi,qj,qa->ija", chance, slope, grid, s), atol=2e-3
    )
    np.testing.assert_allclose(
        saad_solla.double_slopes(C, 2),
        np.einsum("q,qi,qj,qa,qb->ijab", chance, slope[:, :2], slope[:, :2], s, s),
        atol=2e-3,
    )
    np.testing.assert_allclose(
        saad_solla.both_slopes(C), np.einsum("q,qi,qj->ij", chance, slope, slope), atol=2e-3
    )


def test_a_committee_follows_its_order_parameters_readout_noise_and_batch_too():
    student = architectures.Committee(hidden=2, readout="learned", spread=0.7)
    source = data.NetworkTeacher(architectures.Committee(hidden=1), n=4, d=600, noise=0.3)
    record = lm.run(
        lm.Experiment(
            student,
            source,
            rules.SGD(rate=0.8, batch=2, sampling="fresh"),
            lm.Clock(steps=3600, marks=13),
        ),
        ("population-loss", "overlaps", "layer2.weight"),
    )
    laid = lm.compare(record, theories.SaadSolla(), 0.08)  # O(1/sqrt d) = 4%, of one run
    assert laid.verdict == "holds", laid
    assert abs(record["layer2.weight"].values[-1] - 1).max() > 0.04  # it has learned
    # the population's loss in closed form is that of many samples
    many = record.start.system.fresh(record.start.state.key, 60_000)
    seen = float(many.loss_on(record.at(1800).params, many.train))
    assert float(record["population_loss"].sel(time=1800 * 0.8)) == pytest.approx(seen, rel=0.02)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_cosine_on_the_sphere_is_that_of_its_closed_form(k):
    a, m, times = 0.7, 0.3, np.linspace(0, 1.5, 6)
    weights = np.zeros(k + 1)
    weights[k] = a
    found = single_index.cosine_along(m, weights, times)
    if k == 1:
        np.testing.assert_allclose(found, np.tanh(a * times + np.arctanh(m)), rtol=1e-9)
    elif k == 2:
        odds = m**2 / (1 - m**2) * np.exp(4 * a * times)
        np.testing.assert_allclose(found, np.sqrt(odds / (1 + odds)), rtol=1e-9)
    else:  # the time to m, by quadrature
        for time, end in zip(times[1:], found[1:], strict=True):
            took = mpmath.quad(lambda x: 1 / ((1 - x**2) * k * a * x ** (k - 1)), [m, end])
            assert float(took) == pytest.approx(time, rel=1e-8)


def test_a_single_index_has_orthonormal_polynomials_and_a_loss_by_its_cosine():
    index = architectures.SingleIndex((0.3, 0.0, -0.5, 1.0, 0.4))
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    one = {"layer1": {"weight": np.array([[2.0]])}}  # of any length
    values = np.asarray(index.forward(one, nodes[:, None]))[:, 0]
    said = [0.3, 0, -0.5, 1.0, 0.4] / np.sqrt([1, 1, 2, 6, 24])
    np.testing.assert_allclose(values, np.polynomial.hermite_e.hermeval(nodes, said), rtol=1e-12)
    assert index.information_exponent == 2
    start = lm.prepare(
        lm.Experiment(
            index,
            data.NetworkTeacher(architectures.SingleIndex((0.1, 1.0)), n=300_000, d=5, noise=0.2),
            rules.SGD(rate=0.1, batch=8, sampling="fresh"),
            lm.Clock(steps=1),
        )
    )
    seen = float(start.system.loss(start.state.params))
    # prices scatter by some times their mean
    assert float(start.system.population_loss(start.state.params)) == pytest.approx(seen, rel=0.02)
    with pytest.raises(Refused, match="SingleIndex needs a coefficient beyond c_0"):
        architectures.SingleIndex((1.0,))


# --- linear grokking


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.5])
def test_the_rule_of_marchenko_and_pastur_is_its_density(ratio):
    x, weights = marchenko_pastur(ratio)
    low, high = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2

    def density(y):
        return np.sqrt(max((high - y) * (y - low), 0)) / (2 * np.pi * ratio * y)

    assert weights.sum() == pytest.approx(1, rel=1e-12)
    seen = np.exp(-1.3 * x) @ weights
    said = integrate.quad(lambda y: np.exp(-1.3 * y) * density(y), low, high, limit=400)[0]
    assert seen == pytest.approx(said + max(0, 1 - 1 / ratio), rel=1e-7)  # quad at the edges


@pytest.mark.parametrize("n, d", [(400, 200), (200, 300)])
def test_losses_of_linear_grokking_are_those_of_draws_with_noise_on_targets_too(n, d):
    rng, times, found = np.random.default_rng(SEED), np.array([0.3, 2.0, 20.0]), []
    for _ in range(12):
        X, off = rng.standard_normal((n, d)), rng.standard_normal((d, 8)) / np.sqrt(d)
        errors = 0.5 * rng.standard_normal((n, 8))
        lam, V = np.linalg.eigh(X.T @ X / n)
        at = []
        for t in times:
            gain = np.where(lam > 1e-10, (1 - np.exp(-lam * t)) / lam.clip(min=1e-10), 0)
            w = (V * np.exp(-lam * t)) @ V.T @ off + (V * gain) @ V.T @ (X.T @ errors / n)
            at.append([np.sum((X @ w - errors) ** 2) / n, np.sum(w**2) + 8 * 0.25])
        found.append(at)
    x = marchenko_pastur(d / n)[0]
    said = grokking_losses(d / n, 8.0, 8 * 0.25, np.exp(-times[:, None] * x))
    # 96 columns in all scatter by 1%, in the training loss behind its fall by 2%
    np.testing.assert_allclose(np.mean(found, 0).T, said, rtol=0.04)


# --- compute-optimal


def test_the_risk_of_random_features_is_that_of_online_sgd_on_them():
    features = compute_optimal.Features.drawn(0.8, 0.6, inputs=40, size=6)
    steps, rate = np.array([0, 1, 5, 60]), 0.3 / features.lam.sum()
    rng, j = np.random.default_rng(0), np.arange(1.0, 41)
    F = rng.standard_normal((40, 6)) / np.sqrt(6)
    w, found = np.zeros((4000, 6)), []
    for step in range(61):
        if step in steps:
            off = w @ F.T - j**-0.6
            risk = (off**2 * j**-1.6).sum(1)
            found.append((risk.mean(), risk.std() / np.sqrt(len(risk))))
        x = j**-0.8 * rng.standard_normal((4000, 40))
        u = x @ F
        w = w - rate * (np.sum(u * w, 1) - x @ j**-0.6)[:, None] * u
    mean, bar = np.array(found).T
    np.testing.assert_array_less(np.abs(features.risks(rate, steps) - mean), 4.5 * bar + 1e-12)
    assert features.risks(rate, steps)[0] == pytest.approx(np.sum(j**-2.8), rel=1e-12)


def test_the_slopes_along_the_envelope_are_between_those_seen_and_those_of_the_limit():
    sizes, compute = [16, 32, 64, 128, 256], np.geomspace(1e3, 1e5, 13)
    # (alpha, beta): seen at d <= 1024, and said of the limit
    for (alpha, beta), seen, limit in (((1.0, 0.3), -0.46, -0.533), ((1.2, 0.8), -0.78, -0.75)):
        found = compute_optimal.frontier(alpha, beta, sizes, compute)
        assert compute_optimal.phase(alpha, beta).risk == pytest.approx(limit, abs=6e-3)
        middle = found.slope[3:-3].mean()
        assert abs(middle - seen) < 0.15 and np.all(np.diff(found.size) >= 0)
    with pytest.raises(Refused, match="phase needs 2 alpha > 1"):
        compute_optimal.phase(1.0, 0.5)
