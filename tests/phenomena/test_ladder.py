"""The ladder: how far each axis, turned off, is from the full experiment, how well that is known,
and in which order axes go."""

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

import learnmech as lm
from learnmech import architectures, data, losses, rules, simplifications
from learnmech.cli.app import call as main
from learnmech.curvature.eigenpairs import sharpness
from learnmech.errors import Refused
from learnmech.figures.style import svg
from learnmech.studies.ladders import Distance, ladder
from learnmech.studies.ladders.distances import distance
from learnmech.studies.ladders.phenomena import judged, order_of_modes, phenomenon

TIMES = np.array([0.0, 1.0, 3.0])


def experiment(**changes):
    parts = {
        "architecture": architectures.Mlp(hidden=(8,), activation="tanh"),
        "data": data.Digits(train=60, components=5),
        "rule": rules.SGD(rate=0.1, batch=20),
        "clock": lm.Clock(steps=30, marks=7),
        "precision": "float32",
    }
    return lm.Experiment(**(parts | changes))


@pytest.fixture(scope="module")
def found():
    return ladder(
        experiment(), ["round-off", "nonlinearity", "batches", "step size", "bias"], seeds=2
    )


# --- distances


def test_a_distance_is_the_largest_mean_difference_over_the_range_with_its_paired_error():
    full = np.array([[4.0, 2.0, 0.0], [6.0, 2.0, 2.0]])  # mean 5, 2, 1: range 4
    rung = np.array([[4.0, 3.0, 1.0], [6.0, 3.4, 3.0]])  # differs by 0, 1.2 and 1
    one = distance(full, rung, TIMES)
    assert one.farthest == pytest.approx(1.2 / 4) and one.mark == 1 and one.start == 0
    assert one.resolution == pytest.approx(0.2 / 4)  # of 1 and 1.4: sd 0.2 sqrt 2, over sqrt 2
    assert one.spread == 0  # both full runs are at 2 there
    assert one.mean == pytest.approx((0.5 * 1.2 * 1 + 0.5 * 2.2 * 2) / 3 / 4)
    assert np.isnan(one.last) and np.isnan(one.logarithm)  # a zero has no ratio
    one = distance(full + 1, rung + 1, TIMES)
    assert one.last == pytest.approx(3 / 2) and one.logarithm == pytest.approx(np.log(3 / 2))


def test_resolution_and_spread_are_two_things():
    """Curves that scatter from seed to seed and move together: the difference is known ten times
    better than either."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal((8, 1))
    full = np.array([3.0, 2.0, 1.0]) + common
    rung = full + 0.1 + 0.01 * rng.standard_normal((8, 3))
    one = distance(full, rung, TIMES)
    assert one.spread > 10 * one.resolution
    assert one.farthest == pytest.approx(0.05, abs=5 * one.resolution)


def test_what_diverged_is_infinitely_far_and_never_clipped():
    full = np.ones((2, 3)) * [3, 2, 1]
    for gone in (np.nan, np.inf):
        one = distance(full, np.where(TIMES > 1, gone, full), TIMES)
        assert np.isinf(one.farthest) and one.verdict(0.05) == "changed"


@pytest.mark.parametrize(
    "farthest, resolution, verdict",
    [
        (0.03, 0.009, "kept"),
        (0.03, 0.011, "undecided"),
        (0.08, 0.014, "changed"),
        (0.08, 0.016, "undecided"),
        (0.0, np.nan, "undecided"),
    ],
)
def test_a_verdict_needs_two_resolutions(farthest, resolution, verdict):
    one = Distance(farthest, 0, resolution, 0, 0, 1, 0, 0)
    assert one.verdict(0.05) == verdict


def test_of_experiments_that_differ_by_exactly_the_tolerance_few_are_called_either():
    """At the edge a verdict is wrong whichever it is: with eight seeds at most 5% of either kind,
    t with 7 degrees of freedom being beyond 2 in 4.3% on each side."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(2000):
        full = np.array([2.0, 1.0]) + 0.0 * rng.standard_normal((8, 2))
        rung = full + np.stack([np.zeros(8), 0.05 + 0.02 * rng.standard_normal(8)], axis=1)
        found.append(distance(full, rung, np.array([0.0, 1.0])).verdict(0.05))
    for wrong in ("kept", "changed"):
        assert found.count(wrong) / 2000 < 0.06


# --- the climb


def test_a_rung_is_the_run_of_the_simpler_experiment_at_each_seed(found):
    for seed in found.seeds:
        at = dataclasses.replace(experiment(), seed=seed)
        linear = lm.simplified(at, simplifications.LinearUnits()).experiment
        for key, one in (((), at), (("nonlinearity",), linear)):
            record = lm.run(one, watch=("loss", "test-loss"))
            for quantity in ("loss", "test_loss"):
                np.testing.assert_array_equal(
                    found.curves[key][quantity][seed], record[quantity].values
                )


def test_axes_go_in_the_order_of_what_they_lose_alone_as_far_as_they_stand_together(found):
    lost = {one.added: one.distances["loss"].farthest for one in found.alone}
    gone = [one.added for one in found.together]
    alone = [axis for axis in gone if axis in lost]
    assert alone == sorted(alone, key=lost.get) and len(alone) == 3
    for before, after in zip(found.together[:-1], found.together[1:]):
        assert set(after.axes) == set(before.axes) | {after.added}
    # steps can be small only of all samples, and so not alone
    assert "step size" not in lost and "step size" in gone
    assert found.left["bias"] == "already without biases"


def test_round_off_is_the_axis_that_is_worth_least(found):
    (one,) = (rung for rung in found.alone if rung.added == "round-off")
    assert 0 < one.distances["loss"].farthest < 1e-5
    assert one.distances["loss"].verdict(found.tolerance) == "kept"


def test_losses_of_two_kinds_are_not_compared_and_accuracies_are():
    classes = experiment(loss=losses.CrossEntropy())
    swapped = ladder(classes, ["loss"], ("loss", "accuracy"), seeds=2)
    (one,) = swapped.alone
    assert "loss" in one.unlike and "loss" not in one.distances
    assert "accuracy" in one.distances and "not compared" in str(swapped)


def test_a_rung_that_diverges_is_said_to(found):
    steep = experiment(
        architecture=architectures.Mlp(hidden=(8,), activation="cube"),
        rule=rules.GradientDescent(rate=0.3, clip=0.05),
        clock=lm.Clock(steps=60, marks=7),
        data=data.Gaussian(n=20, d=4, k=1),
    )

    class NoClip(simplifications.Simplification):
        """The gradient as it is."""

        axis = "clipping"

        def off(self, start):
            return "" if start.rule.clip is not None else "unclipped"

        def turned(self, start):
            rule = dataclasses.replace(start.rule, clip=None, rate=30.0)
            return simplifications.base.Turned(dataclasses.replace(start.experiment, rule=rule))

    gone = ladder(steep, [NoClip()], ("loss",), seeds=2)
    assert np.isinf(gone.alone[0].distances["loss"].farthest)
    assert "diverged" in str(gone)


def test_a_ladder_shows_itself(found):
    assert "nonlinearity" in str(found) and "<table" in found._repr_html_()
    assert "tolerance" in svg(found.show())
    assert set(json.loads(json.dumps(found.plain()))) >= {"alone", "together", "left"}


def test_one_seed_has_no_resolution_and_decides_nothing():
    one = ladder(experiment(), ["batches"], ("loss",), seeds=1)
    assert one.alone[0].distances["loss"].verdict(one.tolerance) == "undecided"
    svg(one.show())


# --- what must not be lost, and rates that have lost their meaning


def test_what_is_to_be_kept_is_asked_of_every_run():
    """A start so large that the kernel hardly moves is lazy; a tangent more so."""
    lazy = experiment(initial=lm.initial.Gaussian(scale=3.0), clock=lm.Clock(steps=5, marks=3))
    lazy = dataclasses.replace(lazy, rule=rules.GradientDescent(rate=1e-4))

    def small(record):
        return float(record["loss"].values[-1]) < 1e9

    found = ladder(
        lazy, ["features", "bias"], ("loss",), 2, keep=["lazy", "loss within 90%", small]
    )
    (one,) = found.alone
    assert one.kept == {"lazy": "kept", "loss within 90%": "kept", "small": "kept"}
    assert "What was to be kept" in str(found)


def test_the_order_in_which_modes_are_learned_is_kept_by_the_flow():
    """Strong modes come first in a linear network, under descent as under its flow."""
    linear = lm.Experiment(
        architecture=lm.architectures.DeepLinear(hidden=(6,)),
        data=lm.data.Gaussian(n=60, d=4, k=3, whitened=True),
        initial=lm.initial.Aligned(strength=1e-3),
        rule=rules.GradientDescent(rate=0.02),
        clock=lm.Clock(steps=3000, every=20),
    )
    found = ladder(linear, ["step size"], ("loss",), 2, keep="order of modes")
    assert found.alone[0].kept == {"order of modes": "kept"}


@pytest.mark.parametrize(
    "full, rung, same",
    [
        ([5, 20, 60], [6, 21, 300], True),
        ([5, 20, 60], [5, 60, 20], False),
        ([5, 6, 60], [6, 5, 60], True),  # half learned at neighboring marks: a tie
        ([5, 20, np.nan], [5, 20, 1], True),
        ([5, np.nan], [5, 20], None),
        ([5, 20, 60], [5, 20], None),
    ],
)
def test_modes_are_in_order_where_no_two_come_the_other_way_round(full, rung, same):
    def record(marks):
        return {
            "mode_fraction": xr.DataArray(
                [[mark <= at for mark in marks] for at in range(400)], dims=("time", "mode")
            ).astype(float)
        }

    assert order_of_modes(record(full), record(rung)) is same


@pytest.mark.parametrize(
    "full, rung, verdict",
    [
        ((True, True), (True, True), "kept"),
        ((True,) * 5, (False,) * 4 + (True,), "lost"),
        ((True, True), (True, False), "wavers"),
        ((True, True), (True, None), "cannot say"),
    ],
)
def test_a_phenomenon_is_kept_lost_or_wavers_by_its_share_of_the_seeds(full, rung, verdict):
    assert judged(full, rung) == verdict


@pytest.mark.parametrize(
    "accuracy, later, there",
    [
        ([0, 1, 1, 1, 1], [0, 0, 0, 0, 1], True),
        ([0, 1, 1, 1, 1], [0, 0, 1, 1, 1], False),
        ([0, 1, 1, 1, 1], [0, 0, 0, 0, 0], False),
        ([0, 1, 0, 1, 1], [0, 1, 0, 0, 1], False),  # what does not stay is not learned
    ],
)
def test_grokking_is_test_samples_learned_ten_times_later(accuracy, later, there):
    class Said(dict):
        pass

    record = Said(
        time=np.array([0.0, 1.0, 5.0, 10.0, 20.0]),
        accuracy=np.array(accuracy, float),
        test_accuracy=np.array(later, float),
    )
    record = {name: type("Q", (), {"values": value})() for name, value in record.items()}
    assert phenomenon("grokking").there(record) is there


def test_the_edge_of_stability_is_reached_from_below_and_kept():
    class Run(dict):
        experiment = experiment(rule=rules.GradientDescent(rate=0.1))

    def seen(values):
        quantity = type("Q", (), {"values": np.array(values)})()
        return phenomenon("edge-of-stability").there(Run(sharpness=quantity))

    assert seen([5, 12, 19, 20.5, 19.8, 20.1, 20, 19.9])
    assert not seen([5, 8, 9, 9, 9, 9, 9, 9])  # never there
    assert not seen([20, 20, 20, 20, 20, 20, 20, 20])  # there from the start
    Run.experiment = experiment(rule=rules.SignDescent(rate=0.1))
    assert seen([5, 12, 19, 20.5]) is None  # a rule without an edge


def test_a_rung_of_another_rule_is_run_at_half_and_twice_its_rate_too():
    adam = experiment(rule=rules.Adam(rate=0.01))
    found = ladder(adam, ["rule"], ("loss",), seeds=2)
    (one,) = found.alone
    factor, far = one.again["loss"]
    assert far.farthest <= one.distances["loss"].farthest and factor in (0.5, 1.0, 2.0)
    rate = float(one.experiment.rule.rate)
    curves = {}
    for times in (0.5, 1.0, 2.0):
        rule = dataclasses.replace(one.experiment.rule, rate=rate * times)
        curves[times] = np.stack(
            [
                lm.run(dataclasses.replace(one.experiment, rule=rule, seed=seed), ("loss",))["loss"]
                for seed in found.seeds
            ]
        )
    full = found.curves[()]["loss"]
    best = min(distance(full, each, found.times).farthest for each in curves.values())
    # the rate of the second seed is tuned on its own start
    assert far.farthest == pytest.approx(best, rel=0.2)
    assert "after re-tuning" in str(found)


def test_every_rung_says_how_near_the_edge_it_is(found):
    (one,) = (rung for rung in found.alone if rung.added == "batches")
    start = lm.prepare(one.experiment)
    top = sharpness(start.system, start.state.params)
    assert one.near_edge == pytest.approx(float(start.rule.rate) * top / 2, rel=0.01)


def test_all_combinations_tell_what_each_axis_is_worth_from_the_same_runs():
    found = ladder(experiment(), ["nonlinearity", "batches", "data"], seeds=2, combinations=True)
    design = found.design
    assert set(design.axes) == {"nonlinearity", "batches", "data"} and len(design.cells) == 8
    for cell, last in zip(design.cells, design.last["loss"]):
        np.testing.assert_array_equal(last, found.curves[cell]["loss"][:, -1])
    assert "What pairs add" in str(found) and "<table" in design._repr_html_()
    svg(design.show())


def test_which_theories_apply_stands_beside_each_rung():
    found = ladder(experiment(), ["batches", "nonlinearity"], ("loss",), seeds=1, theories=True)
    assert "theories that apply" in str(found)
    full = {kind for rung in found.together[:1] for kind in rung.theories}
    assert full <= set(found.together[-1].theories)


@pytest.mark.parametrize(
    "ask, sentence",
    [
        (lambda: ladder(experiment(), ["nonlinarity"]), "Did you mean nonlinearity"),
        (lambda: ladder(experiment(), seeds=0), "ladder needs one seed or more"),
        (lambda: ladder(experiment(), seeds=(1, 1)), "ladder needs one seed or more, each once"),
        (lambda: ladder(experiment(), tolerance=0), "ladder needs a tolerance above 0, but got 0"),
        (
            lambda: ladder(experiment(), ["bias"], watch=("weights",)),
            "a quantity of one number at a time",
        ),
        (lambda: ladder(experiment(), ["bias"], keep=["stairs"]), "Did you mean"),
        (
            lambda: ladder(experiment(), ["batches"], seeds=1, keep=["grokking"]),
            "a phenomenon that is there in the full experiment, but got grokking in 0 of 1 seeds",
        ),
        (
            lambda: ladder(experiment(), ["batches"], seeds=1, keep=["lost within 5%"]),
            "a quantity of loss, test_loss, but got 'lost'",
        ),
        (
            lambda: ladder(experiment(), ["batches"], seeds=1, combinations=True),
            "two axes or more that can be off together",
        ),
        (
            lambda: ladder(
                experiment(),
                [simplifications.Whitened(), simplifications.GaussianInputs()],
            ),
            "axes that can stand together",
        ),
        (lambda: ladder(3), "The experiment needs an Experiment"),
    ],
)
def test_what_makes_no_ladder_is_refused_in_a_sentence(ask, sentence):
    with pytest.raises(Refused) as refusal:
        ask()
    assert sentence in str(refusal.value)


def test_the_command_prints_the_ladder_and_writes_its_figure(tmp_path, capsys):
    experiment().save(tmp_path)
    text, figure = str(tmp_path / "experiment.toml"), str(tmp_path / "ladder.png")
    ask = ["ladder", text, "--axes", "nonlinearity,batches", "--seeds", "2"]
    assert main([*ask, "--json", "--out", figure]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {one["added"] for one in said["alone"]} == {"nonlinearity", "batches"}
    assert (tmp_path / "ladder.png").stat().st_size > 10_000
    assert main([*ask, "--out", figure]) == 2  # a file that is there is not written over
    assert main([*ask]) == 0
    assert "off by" in capsys.readouterr().out
    assert main([*ask, "--all", "--keep", "loss within 50%", "--out", str(tmp_path / "l.svg")]) == 0
    assert (tmp_path / "l-combinations.svg").stat().st_size > 10_000
    assert "What pairs add" in capsys.readouterr().out
    assert main(["ladder", text, "--seeds", "0"]) == 2
    assert main(["ladder", text, "--axes", "dpth"]) == 2
    assert "depth" in capsys.readouterr().err
