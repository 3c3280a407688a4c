"""Sources: what is done with given samples, populations beside their draws, clones and the data
card, against numpy, scipy and scikit-learn."""

import jax
import numpy as np
import pytest
from scipy import special, stats
from sklearn import datasets, decomposition, kernel_ridge, linear_model, model_selection

import learnmech as lm
from learnmech import architectures, data, rules
from learnmech.data.processed import classes_in
from learnmech.data.slopes import kurtosis, participation, power_slope, spectral_slope
from learnmech.errors import Refused
from learnmech.experiment.recipe import stream_of
from learnmech.generalization.spectrum import certificate
from learnmech.verbs import cards


def drawn(source):
    """What a source draws from its own seed."""
    return source.draw(stream_of(source.seed, "data"))


def codes(view):
    """The classes of one-hot targets."""
    return view.Y.argmax(1)


# Given samples


def test_a_stratified_split_gives_each_class_its_share():
    sample = drawn(data.Bundled("wine", train=60, test=50))
    whole = np.bincount(datasets.load_wine().target)
    for view, size in ((sample.train, 60), (sample.test, 50)):
        # of the shares the remainders alone are dealt out, one to a class at most
        assert np.abs(np.bincount(codes(view)) - size * whole / whole.sum()).max() < 1.5
        assert len(view.X) == size
    both = np.concatenate([sample.train.X, sample.test.X])
    assert len(np.unique(both, axis=0)) == len(both)
    other = drawn(data.Bundled("wine", train=60, test=50, stratified=False))
    assert not np.array_equal(np.bincount(codes(other.train)), np.bincount(codes(sample.train)))
    # scikit-learn's own shares, to one sample
    _, split = model_selection.train_test_split(
        datasets.load_wine().target, test_size=50, stratify=datasets.load_wine().target
    )
    assert np.abs(np.bincount(split) - np.bincount(codes(sample.test))).max() <= 1


def test_classes_are_kept_by_name_and_flipped_by_their_share():
    kept = drawn(data.Bundled("iris", keep=("virginica", "setosa"), coding="sign"))
    assert kept.labels == ("setosa", "virginica") and len(kept.train.X) == 100
    clean, noisy = (drawn(data.Bundled("iris", flipped=share, test=30)) for share in (0.0, 0.25))
    np.testing.assert_array_equal(clean.train.X, noisy.train.X)
    np.testing.assert_array_equal(clean.test.Y, noisy.test.Y)
    assert (codes(clean.train) != codes(noisy.train)).sum() == 30
    with pytest.raises(Refused, match="keep to name two or more of its classes"):
        drawn(data.Bundled("iris", keep=("virginica", "tulip")))
    with pytest.raises(Refused, match="two classes or more, to flip some"):
        drawn(data.Bundled("diabetes", flipped=0.1))


def test_components_are_those_of_scikit_learn():
    source = data.Bundled("digits", components=6, center=True, train=500, test=100, divide_by=16)
    sample, whole = (
        drawn(source),
        drawn(source.__class__("digits", train=500, test=100, divide_by=16)),
    )
    found = decomposition.PCA(6, svd_solver="full").fit(whole.train.X)
    for view, raw in ((sample.train, whole.train), (sample.test, whole.test)):
        own = found.transform(raw.X)
        # each component up to its sign
        np.testing.assert_allclose(np.abs(view.X), np.abs(own), atol=1e-10)
    with pytest.raises(Refused, match="the rank of the training inputs"):
        drawn(data.Bundled("iris", components=5))


def test_noise_falls_on_the_training_samples_alone_and_rows_can_have_one_norm():
    plain, noisy = (
        drawn(data.Bundled("diabetes", standardize=True, test=100, input_noise=a, target_noise=b))
        for a, b in ((0.0, 0.0), (0.5, 20.0))
    )
    np.testing.assert_array_equal(plain.test.X, noisy.test.X)
    for side, size in (("X", 0.5), ("Y", 20.0)):
        off = getattr(noisy.train, side) - getattr(plain.train, side)
        # five standard errors of a deviation
        assert off.std() == pytest.approx(size, rel=5 / np.sqrt(2 * off.size))
    one = drawn(data.Bundled("diabetes", standardize=True, normalized=True, test=100))
    for view in (one.train, one.test):
        np.testing.assert_allclose(np.sum(view.X**2, 1), 10, rtol=1e-12)


def test_the_samples_of_any_source_are_made_ready_by_the_same_knobs():
    inner = data.GaussianMixture(n=90, d=4, classes=3, test=30, coding="signs")
    sample = drawn(data.Processed(inner, keep=(0, 2), coding="sign", whitened=True, center=True))
    assert sample.labels == ("0", "2") and set(np.unique(np.sign(sample.train.Y))) == {-1.0, 1.0}
    n = len(sample.train.X)
    np.testing.assert_allclose(sample.train.X.T @ sample.train.X / n, np.eye(4), atol=1e-12)
    line = drawn(data.Processed(data.LinearTeacher(test=5), standardize_targets=True))
    np.testing.assert_allclose(line.train.Y.std(0), 1, rtol=1e-12)
    assert classes_in(np.array([[1.0], [0.5]])) is None
    with pytest.raises(Refused, match="Processed needs vectors of real numbers"):
        drawn(data.Processed(data.ModularArithmetic(p=5)))


# Populations

POPULATIONS = {
    "hermite": data.MultiIndex(n=20_000, d=4, indices=2, degree=3, noise=0.3),
    "staircase on the sphere": data.MultiIndex(
        n=20_000, d=4, indices=3, link="staircase", inputs="sphere"
    ),
    "sign": data.MultiIndex(n=20_000, d=3, indices=2, link="sign"),
    "relu": data.MultiIndex(n=20_000, d=3, link="relu"),
    "parity": data.Parity(n=20_000, d=5, bits=3),
    "mixture": data.GaussianMixture(n=20_000, d=4, classes=3, exponent=1.0),
    "circle": data.Circle(n=20_000, drawn=True, noise=0.2),
    "manifold": data.HiddenManifold(n=20_000, d=5, hidden=3, fold="sign"),
    "folded by relu": data.HiddenManifold(n=20_000, d=5, hidden=3, fold="relu", bend="tanh"),
    "grammar": data.RandomHierarchy(
        n=2000, vocabulary=4, synonyms=3, classes=4, levels=3, branching=2
    ),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_a_population_and_its_draw_have_the_same_moments(name):
    source = POPULATIONS[name]
    own, count = drawn(source), 20_000
    view = own.population.sample(jax.random.PRNGKey(1), count)
    for side in ("X", "Y"):
        one, two = (np.asarray(getattr(of, side), float) for of in (own.train, view))
        joint = [np.concatenate([a, a**2, a[:, :1] * a], 1) for a in (one, two)]
        error = sum(part.var(0) / len(part) for part in joint)
        # six standard errors of a difference, over some fifty means
        assert (np.abs(joint[0].mean(0) - joint[1].mean(0)) < 6 * np.sqrt(error) + 1e-12).all()
        assert two.shape[1:] == one.shape[1:]


def test_a_hermite_target_is_that_of_scipy_and_of_mean_square_one():
    view = drawn(data.MultiIndex(n=50_000, d=3, degree=4, directions="axes")).train
    own = special.eval_hermitenorm(4, view.X[:, 0]) / np.sqrt(24)
    np.testing.assert_allclose(view.Y[:, 0], own, rtol=1e-12, atol=1e-12)
    assert np.mean(view.Y**2) == pytest.approx(1, abs=0.1)  # E He_4^4/24^2 = 69: se 0.04


def test_parity_and_staircase_are_products_of_bits_and_the_sphere_has_one_norm():
    view = drawn(data.Parity(n=64, d=6, bits=3)).train
    np.testing.assert_array_equal(view.Y[:, 0], view.X[:, :3].prod(1))
    stairs = drawn(
        data.MultiIndex(n=9, d=5, indices=3, link="staircase", inputs="sphere", directions="axes")
    ).train
    a, b, c = stairs.X[:, :3].T
    np.testing.assert_allclose(stairs.Y[:, 0], (a + a * b + a * b * c) / np.sqrt(3), rtol=1e-12)
    np.testing.assert_allclose(np.sum(stairs.X**2, 1), 5, rtol=1e-12)


def test_two_gaussians_are_told_apart_as_well_as_they_can_be():
    source = data.GaussianMixture(n=40_000, d=5, separation=1.5, test=0)
    view = drawn(source).train
    apart = linear_model.LogisticRegression().fit(view.X, codes(view)).score(view.X, codes(view))
    # Phi(separation/sqrt(2)), to three standard errors of a share
    assert apart == pytest.approx(stats.norm.cdf(1.5 / np.sqrt(2)), abs=3 * 0.35 / 200)


def test_the_grammar_has_one_derivation_of_each_string_and_no_string_twice():
    source = data.RandomHierarchy(
        n=300, levels=2, branching=2, vocabulary=6, synonyms=4, classes=6, inputs="ids", test=84
    )
    assert source.strings == 6 * 4**3 == 384
    sample = drawn(source)
    strings = np.concatenate([sample.train.X, sample.test.X])
    classes = np.concatenate([sample.train.Y, sample.test.Y])
    assert len(np.unique(strings, axis=0)) == 384
    # read from below: each pair of symbols is the right side of one rule
    upward = [
        {tuple(side): symbol for symbol, sides in enumerate(table) for side in sides}
        for table in sample.population.rules
    ]
    assert [len(one) for one in upward] == [24, 24]
    for string, label in zip(strings.tolist(), classes, strict=True):
        symbols = [upward[1][pair] for pair in ((string[0], string[1]), (string[2], string[3]))]
        assert upward[0][tuple(symbols)] == label
    with pytest.raises(Refused, match="the strings there are"):
        data.RandomHierarchy(n=400, vocabulary=6, synonyms=4, classes=6)


def test_fresh_samples_of_a_grammar_are_learned_from():
    experiment = lm.Experiment(
        architectures.Mlp(hidden=(8,)),
        data.RandomHierarchy(n=12, vocabulary=3, synonyms=2, classes=2),
        rules.SGD(rate=0.1, batch=4, sampling="fresh"),
        lm.Clock(steps=40, every=20),
    )
    record = lm.run(experiment, ("probe-loss",))
    assert record["probe_loss"].values[-1] < record["probe_loss"].values[0]


# Clones


def spectra(X):
    """Fourier amplitudes of 8 x 8 images."""
    return np.abs(np.fft.fft2(X.reshape(-1, 8, 8)))


def test_clones_of_images_keep_what_they_say_they_keep():
    of = data.Bundled("digits", train=300, test=50, divide_by=16)
    own = drawn(of)
    phases, pixels, rows = (drawn(data.Clone(of, form)) for form in ("phases", "pixels", "rows"))
    for side in ("train", "test"):
        one = getattr(own, side)
        moved = [getattr(made, side) for made in (phases, pixels, rows)]
        for made in moved:
            np.testing.assert_array_equal(made.Y, one.Y)
        np.testing.assert_allclose(spectra(moved[0].X), spectra(one.X), atol=1e-12)
        np.testing.assert_allclose(moved[0].X.mean(1), one.X.mean(1), atol=1e-12)
        assert np.abs(moved[0].X - one.X).mean() > 0.1
        np.testing.assert_array_equal(np.sort(moved[1].X), np.sort(one.X))
        # one order for all samples: second moments between inputs are the same numbers
        values = [np.linalg.eigvalsh(of.X.T @ of.X) for of in (one, moved[1], moved[2])]
        for found in values[1:]:
            np.testing.assert_allclose(found, values[0], rtol=1e-9, atol=1e-9)
        grids = [of.X.reshape(-1, 8, 8) for of in (one, moved[2])]
        np.testing.assert_array_equal(*(np.sort(grid.sum(2)) for grid in grids))
    kept = drawn(data.Clone(of, "pixels", own_test=True))
    np.testing.assert_array_equal(kept.test.X, own.test.X)
    np.testing.assert_array_equal(kept.train.X, pixels.train.X)
    with pytest.raises(Refused, match="Set grid"):
        drawn(data.Clone(data.Bundled("wine"), "rows"))
    assert drawn(data.Clone(data.Bundled("wine"), "phases", grid=(13,))).train.X.shape[1] == 13


def test_the_clone_of_class_means_has_one_deviation_in_all_directions():
    of = data.Bundled("iris")
    own, made = drawn(of).train, drawn(data.Clone(of, "means", seed=3)).train
    within = np.concatenate(
        [own.X[codes(own) == c] - own.X[codes(own) == c].mean(0) for c in range(3)]
    )
    spread = np.sqrt((within**2).mean())
    for c in range(3):
        one, two = (view.X[codes(own) == c] for view in (own, made))
        # five standard errors of a mean and of a deviation of fifty samples
        assert (np.abs(one.mean(0) - two.mean(0)) < 5 * spread / np.sqrt(50)).all()
        np.testing.assert_allclose(two.std(0), spread, rtol=5 / np.sqrt(100))


def test_a_clone_of_too_few_samples_says_that_it_is_too_easy(caplog):
    few = data.Bundled("digits", train=300, divide_by=16)
    with caplog.at_level("WARNING", logger="learnmech"):
        assert "too easy a clone: 10 of 10 classes" in drawn(data.Clone(few, "per-class")).said
    assert "fewer than twice their" in caplog.text
    enough = data.Bundled("digits", train=1500, components=20)
    assert "too easy" not in drawn(data.Clone(enough, "per-class")).said
    assert "too easy" in drawn(data.Clone(data.Bundled("digits", train=120))).said


# The card


def test_the_card_says_what_numpy_and_scikit_learn_say():
    source = data.Bundled("digits", train=900, test=300, center=True, divide_by=16)
    sample, card = drawn(source), lm.data_card(source)
    X, Y = sample.train.X, sample.train.Y
    values = np.linalg.eigvalsh(X.T @ X / 900)[::-1]
    assert card.effective_dimension == pytest.approx(
        values.sum() ** 2 / (values**2).sum(), rel=1e-10
    )
    sizes = (X**2).sum(1)
    assert card.norm_spread == pytest.approx(sizes.std() / sizes.mean(), rel=1e-12)
    Z = decomposition.PCA(5, svd_solver="full").fit_transform(X)
    np.testing.assert_allclose(card.kurtosis, stats.kurtosis(Z, fisher=False), rtol=1e-8)
    fit = linear_model.LinearRegression(fit_intercept=False).fit(X, Y)
    left = ((Y - fit.predict(X)) ** 2).sum() / (Y**2).sum()
    assert card.linear_share == pytest.approx(1 - left, rel=1e-8)
    assert card.constant == tuple(np.flatnonzero(np.ptp(X, axis=0) == 0))
    first, last = card.slope.first, card.slope.last
    line = stats.linregress(np.log(np.arange(first, last + 1)), np.log(values[first - 1 : last]))
    assert card.slope.value == pytest.approx(-line.slope, rel=1e-10)
    assert card.slope.error >= line.stderr * 0.999
    assert card.classes == dict(zip("0123456789", np.bincount(codes(sample.train)), strict=True))
    shown = str(card)
    assert "effective dimension" in shown and "within: above 10" in shown
    assert "<img" in card._repr_html_() and card.images.shape == (100, 8, 8, 1)


def test_the_card_of_fewer_samples_than_inputs_is_that_of_the_whole_second_moment():
    view = drawn(data.Bundled("digits", train=40, center=True)).train
    card = lm.data_card(data.Bundled("digits", train=40, center=True)).spectra
    values, V = np.linalg.eigh(view.X.T @ view.X / 40)
    np.testing.assert_allclose(card.input_spectrum, values[::-1], atol=1e-10 * values[-1])
    power = ((view.Y.T @ view.X @ V[:, ::-1] / 40) ** 2).sum(0)[:30] / values[::-1][:30]
    np.testing.assert_allclose(card.target_power[:30], power, rtol=1e-7)


def test_slopes_of_exact_power_laws_are_found_and_bent_ones_have_large_errors():
    modes = np.arange(1, 301)
    exact = spectral_slope(modes**-1.5, 10_000)
    assert (exact.first, exact.last) == (3, 100)
    assert exact.value == pytest.approx(1.5, rel=1e-10) and exact.error < 1e-10
    assert spectral_slope(modes**-1.5, 60).last == 20  # a third of the samples
    bent = spectral_slope(np.where(modes < 20, modes**-0.5, 20**1.5 * modes**-2.0), 10_000)
    assert bent.error > 0.4 and bent.halves[0] < 1 < bent.halves[1]
    assert spectral_slope(modes[:20] ** -1.0, 10_000) is None
    rng = np.random.default_rng(2)
    scattered = modes**-2.0 * rng.chisquare(1, 300)
    found = power_slope(scattered, modes**-1.0, 10_000)
    assert abs(found.value - 2) < 3 * found.error
    ended = power_slope(modes**-2.0 + 1e-3, modes**-1.0, 10_000, floor=1e-3)
    assert ended.last < 32 and power_slope(modes**-2.0, modes**-1.0, 10_000).last == 100
    assert participation(np.ones(7)) == 7 and np.isnan(kurtosis(np.ones((4, 1)))).all()


def test_repeated_and_seen_samples_are_counted_and_ids_have_a_card_too():
    X = np.array([[0.0, 1], [0, 1], [2, 3], [4, 5]])
    card = lm.data_card(
        data.Arrays(X, np.arange(4.0), X_test=X[2:] + [[0, 0], [1, 1]], Y_test=[0, 1])
    )
    assert (card.repeated, card.seen, card.n_test) == (2, 1, 2)
    ids = lm.data_card(data.ModularArithmetic(p=5, share=0.6))
    assert ids.spectra is None and sum(ids.classes.values()) == 15 and ids.figure().axes
    with pytest.raises(Refused, match="vectors of real numbers, for a kernel"):
        lm.data_card(data.ModularArithmetic(p=5), np.eye(12))
    with pytest.raises(Refused, match="a source of data, but got int"):
        lm.data_card(3)


@pytest.mark.parametrize("ridge", [0.0, 0.7])
def test_the_certificate_is_brute_leave_one_out_over_gcv(ridge):
    source = data.Bundled("wine", standardize=True, train=60)
    view = drawn(source).train
    K = np.exp(-((view.X[:, None] - view.X) ** 2).sum(2) / 8)
    told = lm.data_card(source, K, ridge).certificate
    left = 0.0
    for i in range(60):
        others = np.arange(60) != i
        fit = kernel_ridge.KernelRidge(alpha=ridge, kernel="precomputed")
        fit.fit(K[np.ix_(others, others)], view.Y[others])
        left += ((fit.predict(K[i : i + 1, others]) - view.Y[i]) ** 2).sum() / 60
    G = np.linalg.inv(K + ridge * np.eye(60))
    gcv = ((G @ view.Y) ** 2).sum() / 60 / (np.trace(G) / 60) ** 2
    assert told.ratio == pytest.approx(left / gcv, rel=1e-8)
    # at n = 30 of 60: n = sum l + (ridge/kappa)(1 - sum l/N)
    values, U = np.linalg.eigh(K)
    grid = np.geomspace(1e-9, 10, 200_001)
    total = (values[:, None] / 60 / (values[:, None] / 60 + grid)).sum(0)
    kappa = grid[np.abs(total + ridge / grid * (1 - total / 60) - 30).argmin()]
    h = U**2 @ (values / (values + 60 * kappa))
    assert told.leverage_spread == pytest.approx(h.std() / h.mean(), rel=1e-3)
    assert told.holds == (abs(np.log(told.ratio)) <= 0.1)
    with pytest.raises(Refused, match=r"a kernel \(60, 60\)"):
        lm.data_card(source, K[:5, :5])


def test_the_command_reads_names_kinds_and_files_and_writes_the_figure(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(f"{i},{i * i},{i}\n" for i in range(9)))
    told = cards.data(str(tmp_path / "t.csv"), ["test=2"], None, 0.0, tmp_path / "t.png")
    assert (told["n"], told["n_test"]) == (7, 2) and (tmp_path / "t.png").stat().st_size > 5000
    cards.data("iris", [], None, 0.0, tmp_path / "iris.html")
    page = (tmp_path / "iris.html").read_text()
    assert "effective dimension" in page and "<svg" in page and "virginica (50)" in page
    for subject, kind in (
        ("iris", data.Bundled),
        ("gaussian", data.Gaussian),
        ("saxe-modes", data.LinearTeacher),
    ):
        assert isinstance(cards.source_of(subject, {})[0], kind)
    assert int(cards.source_of("saxe-modes", {"data.n": 50})[0].n) == 50
    fasta = tmp_path / "s.fasta"
    fasta.write_text(">1\nAC\n>2\nCA\n")
    assert isinstance(cards.source_of(str(fasta), {})[0], data.Sequences)
    with pytest.raises(Refused, match="a kind of data, an exhibit"):
        cards.source_of("nothing-like-it", {})
    kernel = cards.data("iris", ["train=60"], 1, 0.1, tmp_path / "k.png")["certificate"]
    own = drawn(data.Bundled("iris", train=60)).train
    from learnmech.kernels.infinite import kernel as infinite

    network = architectures.Mlp(
        hidden=(1,), activation="relu", scaling=architectures.scalings.NTK()
    )
    K = infinite(network, own.X, get="ntk")
    assert kernel["ratio"] == pytest.approx(certificate(K, own.Y, 0.1).ratio, rel=1e-10)
