"""Learning curves of matrices, experiments and records, scaling laws, and the command."""

import csv
import json

import numpy as np
import pytest

import learnmech as lm
from learnmech.cli.app import call
from learnmech.generalization import Spectrum
from learnmech.kernels.empirical import traced_kernel
from learnmech.kernels.infinite import kernel

EXPERIMENT = lm.Experiment(
    lm.architectures.Mlp(hidden=(8,), activation="relu", scaling=lm.scalings.NTK(weight=2**0.5)),
    lm.data.Digits(train=60, classes=(3, 8), targets="sign"),
    lm.rules.GradientDescent(rate=0.05),
    lm.Clock(steps=4, marks=3),
)


@pytest.fixture(scope="module")
def curve():
    """Of the NTK of 60 digits, three and eight."""
    return lm.learning_curve(EXPERIMENT, n=(10, 30, 50), ridge=(0.0, 2.0), splits=6)


def test_an_experiment_gives_the_curve_of_its_kernel(curve):
    view = lm.prepare(EXPERIMENT).data.train
    K = np.asarray(kernel(EXPERIMENT.architecture, view.X, get="ntk"))
    same = lm.learning_curve(K, view.Y, n=(10, 30, 50), ridge=(0.0, 2.0), splits=6)
    assert np.array_equal(same.test, curve.test)
    assert np.array_equal(same.predicted_test, curve.predicted_test)
    spectrum = Spectrum.of(K, view.Y)
    assert curve.predicted_test[1, 2] == spectrum.error(50, 2.0).test
    assert curve.certificates[1] == spectrum.certificate(2.0)
    only = lm.learning_curve(EXPERIMENT, n=30, splits=0)
    assert np.isnan(only.test).all() and only.predicted_test[0, 0] == curve.predicted_test[0, 1]
    assert "nothing measured" in str(only)
    nngp = lm.learning_curve(EXPERIMENT, n=30, splits=0, kernel="nngp")
    assert nngp.predicted_test[0, 0] != only.predicted_test[0, 0]


def test_the_samples_that_are_named_are_those_misread(curve):
    named = curve.misread(10, 2.0)
    Y, residual = curve.spectrum.learner.Y, curve.residual[1, 0]
    margins = ((Y - residual) * Y)[:, 0]
    seen = ~np.isnan(margins)
    assert len(named) and margins[np.intersect1d(named, np.flatnonzero(seen))].mean() < 0.1
    worst_first = curve.spectrum.margins(10, 2.0)[named]
    assert np.all(np.diff(worst_first) >= 0) and worst_first[-1] < 0


def test_a_record_gives_the_tangent_kernel_of_its_step():
    record = lm.run(EXPERIMENT)
    view = record.start.data.test
    first = lm.learning_curve(record, view="test", n=40, splits=0, at=0)
    begun = lm.learning_curve(EXPERIMENT, view="test", n=40, splits=0, kernel="tangent")
    assert np.array_equal(first.predicted_test, begun.predicted_test)
    last = lm.learning_curve(record, view="test", n=40, splits=0, ridge=1.0)
    K = traced_kernel(EXPERIMENT.architecture, record.params, view.X)
    assert last.predicted_test[0, 0] == pytest.approx(
        Spectrum.of(np.asarray(K), view.Y).error(40, 1.0).test, rel=1e-9
    )
    assert not last.notes
    assert "moved by the targets" in lm.learning_curve(record, n=10, splits=0).notes[0]


def test_a_curve_shows_and_writes_itself(curve, tmp_path):
    assert "held-out" in str(curve) and "<table" in curve._repr_html_()
    assert curve.dataset["test"].dims == ("ridge", "n")
    curve.to_csv(tmp_path / "curve.csv")
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 and float(rows[-1]["test"]) == curve.test[1, 2]
    figure = lm.show(curve)
    assert len(figure.axes) == 2
    json.dumps(curve.plain())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ridge": -1.0}, "ridge >= 0, but got -1"),
        ({"n": 60}, "n <= 59, a pool of 60 less one, but got 60"),
        ({"n": 0}, "n > 0 samples"),
        ({"view": "tests"}, "a view of train, test, all"),
        ({"kernel": "rbf"}, "kernel of ntk, nngp, tangent"),
        ({"splits": -1}, "splits >= 0"),
        ({"at": 3}, "a record to look at a step"),
        ({"Y": np.ones(60)}, "targets of its own data"),
    ],
)
def test_what_cannot_be_asked_is_refused(changes, words):
    with pytest.raises(lm.Refused, match=words):
        lm.learning_curve(EXPERIMENT, **changes)


def test_a_kernel_that_is_not_positive_says_its_most_negative_eigenvalue():
    K = np.array([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(lm.Refused, match="negative eigenvalues, but got -1"):
        lm.learning_curve(K, np.ones(2), n=1)
    with pytest.raises(lm.Refused, match="a kernel with its targets"):
        lm.learning_curve(K)


def test_the_command_prints_draws_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.toml").write_text(EXPERIMENT.text)
    said = ["curve", "e.toml", "--n", "10,30", "--ridge", "0,2", "--splits", "2"]
    assert call([*said, "--out", "c.csv"]) == 0
    printed = capsys.readouterr().out
    assert "leave-one-out over GCV" in printed and (tmp_path / "c.csv").is_file()
    assert call([*said, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 4
    assert call(["curve", "e.toml", "--n", "ten"]) == 2
    assert "--n needs numbers" in capsys.readouterr().err
    assert call(["curve", "e.toml", "--ridge=-1"]) == 2


# --- scaling laws


X = np.geomspace(10, 1000, 12)


def test_a_power_law_is_found_with_its_errors():
    rng = np.random.default_rng(0)
    y = 3 * X**-0.7 * np.exp(0.02 * rng.standard_normal(12))
    found = lm.power_law(X, y)
    assert found.verdict == "a power law" and found.floor == 0
    assert abs(found.exponent - 0.7) < 3 * found.exponent_error < 0.05
    assert np.allclose(found.slopes[:, 1], -0.7, atol=0.2)
    value, error = found.at(100.0)
    assert abs(value / (3 * 100**-0.7) - 1) < 0.03 and 0 < error < 0.03 * value
    with pytest.warns(UserWarning, match="34 % low"):
        far = found.at(5000.0)
    assert far[1] > error * far[0] / value
    # the slope of a straight line is that of ordinary least squares, with its standard error
    line, covariance = np.polyfit(np.log(X), np.log(y), 1, cov=True)
    assert found.exponent == pytest.approx(-line[0], rel=1e-6)
    assert found.exponent_error == pytest.approx(covariance[0, 0] ** 0.5, rel=1e-4)
    assert "exponent" in str(found) and "<table" in found._repr_html_()


def test_a_floor_is_found_where_there_is_one():
    rng = np.random.default_rng(1)
    y = (0.2 + 3 * X**-0.8) * np.exp(0.005 * rng.standard_normal(12))
    found = lm.power_law(X, y)
    assert found.verdict == "a power law above a floor"
    assert abs(found.floor - 0.2) < 4 * found.floor_error
    assert abs(found.exponent - 0.8) < 4 * found.exponent_error
    assert lm.power_law(X, y, floor=False).verdict == "no power law over this range"


def test_a_curve_that_bends_is_no_power_law_and_is_not_extrapolated():
    found = lm.power_law(X, np.exp(-X / 300))
    assert found.verdict == "no power law over this range"
    assert found.slopes[0, 1] > 10 * found.slopes[-1, 1]
    with pytest.raises(lm.Refused, match="no power law"):
        found.at(5000.0)
    with pytest.raises(lm.Refused, match="5 points"):
        lm.power_law(X[:4], X[:4])
    with pytest.raises(lm.Refused, match="above 0"):
        lm.power_law(X, X - 10)
