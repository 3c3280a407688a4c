"""Faults once found in use: each stays mended."""

import json

import numpy as np
import pytest

import learnmech as lm
from learnmech import (
    architectures,
    data,
    initial,
    instruments,
    interventions,
    rules,
    schedules,
    theories,
)
from learnmech.cli.app import call
from learnmech.curvature.eigenpairs import sharpness
from learnmech.errors import Refused
from learnmech.experiment.recipe import prepare
from learnmech.language import catalog
from learnmech.theories.deep_linear import imbalance


def linear(**changes):
    """One linear layer on 20 samples."""
    parts = {
        "architecture": architectures.DeepLinear(),
        "data": data.Gaussian(n=20, d=3, k=2),
        "rule": rules.GradientDescent(),
        "clock": lm.Clock(steps=50),
    }
    return lm.Experiment(**(parts | changes))


def test_a_run_that_diverges_beyond_any_axis_keeps_its_record_and_figure(tmp_path, capsys):
    experiment = linear(rule=rules.GradientDescent(rate=50.0), clock=lm.Clock(steps=1000))
    (tmp_path / "wild.toml").write_text(experiment.text)
    assert (
        call(["run", str(tmp_path / "wild.toml"), "--json", "--out", str(tmp_path / "wild")]) == 0
    )
    assert "diverged at step" in json.loads(capsys.readouterr().out)["notes"][0]
    assert (tmp_path / "wild" / "figure.svg").stat().st_size > 1000


def test_a_log_clock_of_two_marks_reaches_its_end():
    assert list(lm.Clock(steps=50, marks=2, spacing="log").marked(0.1).steps) == [0, 50]
    assert list(lm.Clock(time=5.0, marks=2, spacing="log").marked(None).times) == [0.0, 5.0]


def test_runs_of_other_shapes_are_refused_in_a_sentence():
    one, two = (
        lm.run(linear(data=data.Gaussian(n=n, d=3, k=2)), (instruments.Outputs(),))
        for n in (20, 21)
    )
    with pytest.raises(Refused, match="of one shape on both sides"):
        lm.compare(one, two)


@pytest.mark.parametrize("h, lam", [(3, 0.0), (4, 0.7), (40, 0.0), (40, 0.7)])
def test_the_imbalance_of_a_wide_interface_is_that_of_its_matrix(h, lam):
    rng = np.random.default_rng(h)
    before, after = rng.standard_normal((h, 3)), rng.standard_normal((2, h))
    formed = np.linalg.norm(after.T @ after - before @ before.T - lam * np.eye(h)) / max(
        np.sum(before**2), np.sum(after**2)
    )
    assert imbalance([before, after], lam) == pytest.approx(formed, rel=1e-12)


def test_the_sharpness_of_a_flat_landscape_is_zero():
    flat = linear(
        architecture=architectures.Mlp(hidden=(64,), activation="relu"),
        initial=initial.Gaussian(scale=0.0),
    )
    start = prepare(flat)
    assert sharpness(start.system, start.state.params) == 0.0


@pytest.mark.parametrize(
    "rule, says",
    [
        (rules.GradientDescent(rate=50.0), "against 2/sharpness"),
        (rules.HeavyBall(rate=50.0), "against 2(1 + momentum)/sharpness"),
    ],
)
def test_a_diverging_run_is_held_against_its_own_rules_edge(rule, says):
    assert says in lm.run(linear(rule=rule, clock=lm.Clock(steps=2000))).notes[0]


def test_a_rule_without_a_known_edge_is_told_none():
    note = lm.run(linear(rule=rules.Adam(rate=1e200), clock=lm.Clock(steps=500))).notes[0]
    assert "diverged" in note and "against" not in note


def test_the_conservation_law_holds_from_the_smallest_starts():
    tiny = linear(
        architecture=architectures.DeepLinear(hidden=(4,)),
        initial=initial.SmallGaussian(std=1e-6),
        rule=rules.GradientFlow(rtol=1e-10, atol=1e-18, solver="dopri8"),
        clock=lm.Clock(time=30.0, marks=11),
    )
    comparison = lm.compare(lm.run(tiny, (instruments.Balance(),)), theories.Conservation())
    assert comparison.verdict == "holds", comparison.rows


def test_a_theory_that_speaks_of_nothing_watched_is_refused_before_the_run(tmp_path, capsys):
    for theory in ("conservation", "sgd-moments"):
        (tmp_path / "silent.toml").write_text(
            f'watch = ["loss"]\ntheories = ["{theory}"]\n'
            + linear(architecture=architectures.DeepLinear(hidden=(4,))).text
        )
        assert call(["run", str(tmp_path / "silent.toml"), "--out", str(tmp_path / "out")]) == 2
        assert not (tmp_path / "out").exists() and " needs " in capsys.readouterr().err


def test_a_part_that_descends_from_a_member_of_the_catalogue_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "GUESTS", [])
    (tmp_path / "mine.py").write_text(
        '"""A rule of my own, and one made from it."""\n\nfrom learnmech.rules.adaptive import'
        ' Adam\n\n\nclass Patient(Adam):\n    """Adam, patiently."""\n\n\nclass'
        ' MorePatient(Patient):\n    """Adam, more patiently."""\n'
    )
    found = catalog.add_source(tmp_path / "mine.py")
    assert [(member.family, member.kind) for member in found] == [
        ("rules", "patient"),
        ("rules", "more-patient"),
    ]
    assert catalog.load(found[1]).example().b1 == 0.9


def test_a_run_that_ends_where_it_begins_does_not_bear_a_theory_out():
    short = linear(
        architecture=architectures.DeepLinear(hidden=(4,)),
        rule=rules.GradientFlow(max_steps=1, rtol=1e-10),
        clock=lm.Clock(time=30.0, marks=4),
    )
    comparison = lm.compare(lm.run(short, (instruments.Balance(),)), theories.Conservation())
    assert comparison.verdict == "outside domain"
    assert [c.claim for c in comparison.conditions if not c.holds] == [
        "the run went on beyond its first mark"
    ]


def test_readings_of_a_state_that_is_not_a_number_are_none_either():
    lost = linear(
        architecture=architectures.DeepLinear(hidden=(4,)),
        rule=rules.GradientFlow(max_steps=1, rtol=1e-10),
        clock=lm.Clock(time=30.0, marks=4),
    )
    watch = (instruments.Balance(), instruments.Ranks(), instruments.Alignment())
    record = lm.run(lost, watch)
    for instrument in watch:
        for quantity in instrument.quantities(record.prepared[0].start.system, record.params):
            assert not np.isfinite(record[quantity.name].values[-1]).any(), (
                quantity.name,
                record[quantity.name].values,
            )


def test_two_runs_with_one_mark_in_common_are_not_compared():
    one, two = (
        lm.run(linear(rule=rules.GradientDescent(rate=rate), clock=lm.Clock(steps=40, every=5)))
        for rate in (0.1, 0.07)
    )
    with pytest.raises(Refused, match="more than one"):
        lm.compare(one, two)


def test_cadences_are_joined_by_step_where_time_stands_still():
    ended = linear(
        rule=rules.GradientDescent(rate=0.1, schedule=schedules.Cosine(steps=20)),
        clock=lm.Clock(steps=40, every=5),
    )
    record = lm.run(ended, (instruments.Loss(), instruments.Norms(every=2)))
    norms = record.dataset["weight_norm"].values[:, 0]
    assert record.dataset["step"].values.tolist() == list(range(0, 41, 5)) and np.isnan(
        norms
    ).tolist() == [False, True] * 4 + [False]
    assert lm.compare(record, record).verdict == "holds"


def test_readings_that_are_nan_all_along_are_read_back_as_whole(tmp_path):
    watch = (instruments.Loss(), instruments.Sharpness(iterations=2))
    lm.run(linear(architecture=architectures.Mlp(hidden=(20,))), watch, folder=tmp_path / "run")
    record = lm.load(tmp_path / "run")
    assert (
        not record.notes
        and np.isnan(record["sharpness"].values).all()
        and np.isfinite(record["sharpness_residual"].values).all()
    )


@pytest.mark.parametrize(
    "rule", [rules.SpectralDescent(), rules.SpectralFlow()], ids=["descent", "flow"]
)
def test_gains_under_spectral_rules_are_refused_before_anything_is_computed(rule):
    clock = lm.Clock(time=1.0, marks=3) if rule.flows else lm.Clock(steps=3)
    normed = architectures.Mlp(hidden=(4,), norm="layer", affine=True)
    with pytest.raises(Refused, match="weights that are matrices"):
        prepare(linear(architecture=normed, rule=rule, clock=clock))


def test_what_cannot_be_read_after_an_event_is_refused_before_the_run(tmp_path):
    swapped = linear(rule=rules.Adam(), events=(interventions.Swap(rule=rules.Lion(), at=5),))
    with pytest.raises(Refused):
        lm.run(swapped, (instruments.PreconditionedSharpness(),), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_exhibits_are_listed_under_both_names(capsys):
    told = []
    for family in ("gallery", "exhibits"):
        assert call(["list", family, "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1] and "catapult" in str(told[0])
