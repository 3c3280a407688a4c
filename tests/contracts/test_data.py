"""Data: what each source draws, and what a bad file is told."""

import hashlib

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, rules, theories
from learnmech.data.base import singular_modes
from learnmech.data.cards import card
from learnmech.errors import Refused
from learnmech.experiment.recipe import stream_of


def drawn(source):
    """What a source draws from its own seed."""
    return source.draw(stream_of(source.seed, "data"))


def second_moment(X):
    """S_xx."""
    return X.T @ X / len(X)


@pytest.mark.parametrize(
    "source",
    [
        data.Gaussian(n=30, d=6, covariance="power-law", whitened=True, test=4),
        data.LinearTeacher(n=30, d=6, test=4),
        data.NetworkTeacher(n=30, d=6, whitened=True, test=4),
        data.Digits(train=300, whitened=True),
        data.Hierarchy(levels=3),
    ],
    ids=repr,
)
def test_whitened_inputs_have_the_identity_for_second_moment(source):
    X = drawn(source).train.X
    # round-off of an orthonormal factor
    np.testing.assert_allclose(second_moment(X), np.eye(X.shape[1]), atol=1e-12)


def test_a_gaussian_source_has_the_covariance_it_was_given():
    matrix = np.array([[2.0, 0.6], [0.6, 0.5]])
    X = drawn(data.Gaussian(n=200_000, d=2, covariance="given", matrix=matrix)).train.X
    # the standard error of a second moment is at most 2 sqrt(2/n) = 0.0063; five of them
    np.testing.assert_allclose(second_moment(X), matrix, atol=0.03)


def test_a_linear_teacher_has_the_singular_values_it_was_given():
    view = drawn(data.LinearTeacher(strengths=(3.0, 2.0, 0.5), n=40, d=6, k=4)).train
    np.testing.assert_allclose(singular_modes(view)[1], [3.0, 2.0, 0.5, 0.0], atol=1e-12)


def test_a_network_teacher_has_the_power_it_was_given():
    view = drawn(
        data.NetworkTeacher(
            teacher=architectures.Mlp(hidden=(8,), activation="relu"), n=50, k=3, power=2.5
        )
    ).train
    assert np.mean(view.Y**2) == pytest.approx(2.5, rel=1e-12)


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_the_tree_has_the_singular_values_of_its_closed_form(levels):
    source = data.Hierarchy(levels=levels)
    np.testing.assert_allclose(
        singular_modes(drawn(source).train)[1], source.strengths(), atol=1e-12
    )


def test_completion_hides_what_it_tests_on():
    source = data.Completion(rows=6, columns=5, rank=2, seen=0.5, strength=4.0)
    sample = drawn(source)
    assert sample.train.weight.sum() == 15
    assert np.array_equal(sample.train.weight + sample.test.weight, np.ones((5, 6)))
    np.testing.assert_allclose(
        np.linalg.svd(sample.train.Y, compute_uv=False)[:3], [4.0, 4.0, 0.0], atol=1e-12
    )


def test_digits_are_split_centered_and_reduced():
    sample = drawn(data.Digits(train=200, classes=(3, 8), targets="sign", components=5))
    assert sample.train.X.shape == (200, 5) and sample.train.Y.shape == (200, 1)
    assert set(np.unique(sample.train.Y)) == {-1.0, 1.0}
    np.testing.assert_allclose(sample.train.X.mean(0), 0, atol=1e-12)
    assert len(sample.test.X) > 100
    moment = second_moment(sample.train.X)
    np.testing.assert_allclose(moment - np.diag(np.diag(moment)), 0, atol=1e-12)


def test_the_card_shows_spectra_and_target_power():
    view = drawn(data.Gaussian(n=50, d=4, k=2)).train
    shown = card(view)
    assert shown.input_spectrum.sum() == pytest.approx(np.trace(second_moment(view.X)), rel=1e-12)
    # without noise the inputs explain all of the targets
    assert shown.target_power.sum() == pytest.approx(np.mean(np.sum(view.Y**2, axis=1)), rel=1e-10)
    assert "50 samples, 4 inputs, 2 outputs" in str(shown)


TABLE = "a,b,y\n1,2,3\n4,5,6\n7,8,10\n2,1,0\n"


@pytest.fixture
def table(tmp_path):
    """A csv with a header."""
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return path


def test_a_csv_is_read_with_or_without_its_header(table, tmp_path):
    bare = tmp_path / "bare.csv"
    bare.write_text(TABLE.split("\n", 1)[1])
    for path in (table, bare):
        view = drawn(data.File(path=str(path))).train
        assert np.array_equal(view.X, [[1, 2], [4, 5], [7, 8], [2, 1]]) and np.array_equal(
            view.Y, [[3], [6], [10], [0]]
        )


def test_a_file_can_be_held_back_centered_and_whitened(table):
    sample = drawn(data.File(path=str(table), test=1, center=True, whitened=True))
    assert len(sample.train.X) == 3 and len(sample.test.X) == 1
    np.testing.assert_allclose(
        second_moment(sample.train.X), np.eye(sample.train.X.shape[1]), atol=1e-12
    )
    np.testing.assert_allclose(sample.train.Y.mean(0), 0, atol=1e-12)


def test_an_npz_brings_its_own_test_set(tmp_path):
    path, rng = tmp_path / "arrays.npz", np.random.default_rng(0)
    arrays = {
        "X": rng.standard_normal((5, 2)),
        "Y": rng.standard_normal(5),
        "X_test": rng.standard_normal((3, 2)),
        "Y_test": rng.standard_normal(3),
    }
    np.savez(path, **arrays)
    sample = drawn(data.File(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    assert np.array_equal(sample.train.X, arrays["X"]) and np.array_equal(
        sample.test.Y[:, 0], arrays["Y_test"]
    )


BAD_TABLES = {
    "": "at least one row",
    "\n\n": "at least one row",
    "a,b\n": "at least one row",
    "1,2\n3\n": "2 columns in every row",
    "1,2\n3,x\n": "numbers in every cell",
    "1,2\n3,nan\n": "finite numbers",
    "1,2\n3,inf\n": "finite numbers",
    "1\n2\n": "more than 1 columns",
    "a,b\n1,2\nc,d\n": "numbers in every cell",
}


@pytest.mark.parametrize("written", BAD_TABLES, ids=repr)
def test_a_bad_csv_is_told_what_is_wrong(tmp_path, written):
    path = tmp_path / "bad.csv"
    path.write_text(written)
    with pytest.raises(Refused, match=BAD_TABLES[written]):
        drawn(data.File(path=str(path)))


BAD_ARRAYS = [
    ({"X": np.ones((3, 2))}, "an array Y"),
    ({"X": np.ones((3, 2)), "Y": np.ones(4)}, "of the same n"),
    ({"X": np.ones((3, 2)), "Y": np.array([1.0, np.nan, 2.0])}, "finite numbers in Y"),
    ({"X": np.ones((3, 2, 2)), "Y": np.ones(3)}, "a matrix X"),
    ({"X": np.array([["a"]]), "Y": np.ones(1)}, "a matrix X"),
    ({"X": np.ones((0, 2)), "Y": np.ones(0)}, "at least one sample"),
    ({"X": np.ones((3, 2)), "Y": np.ones(3), "X_test": np.ones((3, 2))}, "an array Y_test"),
    (
        {"X": np.ones((3, 2)), "Y": np.ones(3), "X_test": np.ones((3, 1)), "Y_test": np.ones(3)},
        "the same d",
    ),
]


@pytest.mark.parametrize("arrays, message", BAD_ARRAYS, ids=[message for _, message in BAD_ARRAYS])
def test_a_bad_npz_is_told_what_is_wrong(tmp_path, arrays, message):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(Refused, match=message):
        drawn(data.File(path=str(path)))


def test_other_files_are_refused(tmp_path):
    junk = tmp_path / "junk.npz"
    junk.write_bytes(b"not an archive")
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, X=np.array([{}], dtype=object), Y=np.ones(1))
    for path in (junk, pickled, tmp_path / "none.csv", tmp_path):
        with pytest.raises(Refused):
            drawn(data.File(path=str(path)))
    (tmp_path / "table.csv").write_text(TABLE)
    with pytest.raises(Refused, match="sha256"):
        drawn(data.File(path=str(tmp_path / "table.csv"), sha256="0" * 64))
    with pytest.raises(Refused, match="test < n = 4"):
        drawn(data.File(path=str(tmp_path / "table.csv"), test=4))


def test_more_modes_than_dimensions_are_refused():
    experiment = lm.Experiment(
        architectures.DeepLinear.example(),
        data.Gaussian(n=9, d=3, k=2),
        rules.GradientDescent(),
        lm.Clock(steps=2),
    )
    for watch in (instruments.ModeStrengths(count=3), instruments.SingularValues(count=3)):
        with pytest.raises(Refused, match="count <= 2"):
            lm.run(experiment, watch=(watch,))
    with pytest.raises(Refused, match="as many modes as min"):
        data.LinearTeacher(strengths=(3.0, 2.0, 1.0), d=2, k=4)


def test_a_theory_outside_its_domain_says_so_and_predicts_nothing_of_another_network():
    experiment = lm.Experiment(
        architectures.Mlp.example(),
        data.Gaussian(n=9, d=3, k=2),
        rules.GradientDescent(),
        lm.Clock(steps=2),
    )
    comparison = lm.compare(lm.run(experiment), theories.Decoupled())
    assert comparison.verdict == "outside domain" and not comparison.rows
    with pytest.raises(Refused, match="deep linear"):
        lm.predict(experiment, theories.Decoupled())
