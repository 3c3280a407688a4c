"""Staircases: when modes are learned and in which order, against closed forms, on real data, and
where there is none."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, initial, instruments, losses, rules
from learnmech.cli.app import call
from learnmech.comparison.plateaus import plateaus
from learnmech.comparison.staircases import staircase, stairs
from learnmech.errors import Refused

S = np.array([4.0, 2.0, 1.0])
WATCH = ("loss", instruments.ModeFractions())
STRENGTH = 1e-9
DECOUPLED = lm.Experiment(
    architectures.DeepLinear(hidden=(3,)),
    data.LinearTeacher(strengths=tuple(S), n=12, d=4, k=3),
    rules.GradientFlow(rtol=1e-9, atol=1e-14, solver="dopri8"),
    lm.Clock(time=14.0, marks=1401),
    initial.Aligned(strength=STRENGTH),
)
DIGITS = lm.Experiment(
    architectures.Mlp(hidden=(16,), activation="relu"),
    data.Digits(train=60, classes=(1, 4, 7)),
    rules.GradientDescent(rate=0.1),
    lm.Clock(steps=600, every=3),
)


@pytest.fixture(scope="module")
def two_layers():
    return staircase(lm.run(DECOUPLED, WATCH))


def test_two_layers_from_a_small_decoupled_start_learn_each_mode_when_the_closed_form_says(
    two_layers,
):
    """t(c) = 1/(2 s) ln(c (1 - c_0)/(c_0 (1 - c))), Saxe et al. 2014, of the loss 1/(2n) sum |f
    - y|^2."""
    for one, s in zip(two_layers.rises, S, strict=True):
        first = STRENGTH / s
        times = [np.log(c * (1 - first) / (first * (1 - c))) / (2 * s) for c in (0.1, 0.5, 0.9)]
        # between marks a line stands for the curve: off by at most c''/8 gap^2 over c', (gap^2/8)
        # (2s)(1 - 2c)
        np.testing.assert_allclose(
            [one.tenth, one.half, one.ninetieth], times, atol=0.01**2 / 8 * 2 * s + 1e-6
        )
        assert one.strength == pytest.approx(s, rel=1e-12) and one.start == pytest.approx(
            first, rel=1e-9
        )
        assert one.rise == pytest.approx(
            np.log(81) / (2 * s), abs=1e-4
        ) and one.gap == pytest.approx(0.01)
    assert (
        two_layers.verdict == "a staircase"
        and two_layers.order == (1, 2, 3)
        and two_layers.steps == ((1,), (2,), (3,))
    )


def test_the_loss_rests_at_the_saddles_between(two_layers):
    saddles = [np.sum(S[m:] ** 2) / 2 for m in range(3)]
    assert len(two_layers.plateaus) == 3
    for m, (one, saddle) in enumerate(zip(two_layers.plateaus, saddles, strict=True)):
        assert one.loss == pytest.approx(saddle, rel=0.02) and two_layers.rises[m].tenth > one.start
        assert one.end < two_layers.rises[m].half and (
            m == 0 or one.start > two_layers.rises[m - 1].half
        )
        assert one.end - one.start >= one.fall > 0


def test_three_layers_take_longer_by_the_power_law_of_their_start():
    """u(t) = s c of depth 3 obeys u' = 3 u^(4/3) (s - u) from a small aligned start, so that the
    delay goes as u_0^(-1/3)/s and modes are far apart."""
    deep = dataclasses.replace(
        DECOUPLED,
        architecture=architectures.DeepLinear(hidden=(3, 3)),
        clock=lm.Clock(time=60.0, marks=2001),
    )
    found = staircase(
        lm.run(dataclasses.replace(deep, initial=initial.Aligned(strength=1e-3)), WATCH)
    )
    assert found.verdict == "a staircase" and found.order == (1, 2, 3)
    for one, s in zip(found.rises, S, strict=True):
        u = np.geomspace(1e-3, s / 2, 20_001)
        slope = 3 * u ** (4 / 3) * (s - u)
        half = np.sum(
            np.diff(u) * (1 / slope[1:] + 1 / slope[:-1]) / 2
        )  # trapezoids on a grid of 20,000, off by 1e-8
        assert one.half == pytest.approx(half, abs=1e-3)
        assert one.rise < 0.5 * one.tenth


def test_from_a_large_start_modes_rise_together_and_the_loss_never_rests():
    large = dataclasses.replace(
        DECOUPLED, initial=initial.SmallGaussian(std=0.6), clock=lm.Clock(time=8.0, marks=401)
    )
    found = staircase(lm.run(large, WATCH))
    assert found.verdict == "not a staircase: modes rise together" and not found.plateaus
    assert len(found.steps) == 1 and len(found.steps[0]) == 3 and "at 10 % by" in found.decided[0]


def test_where_the_clock_ends_before_they_are_learned_it_says_which(two_layers):
    short = dataclasses.replace(DECOUPLED, clock=lm.Clock(time=5.0, marks=251))
    found = staircase(lm.run(short, WATCH))
    assert (
        found.verdict == "not reached within the clock: modes 2, 3"
        and found.order[0] == 1
        and found.steps == ((1,),)
    )
    assert (
        np.isnan(found.rises[2].half)
        and "mode 3 has come to less than 10 % by the last mark" in found.decided[1]
    )


def test_what_was_not_watched_is_replayed_and_fewer_modes_can_be_asked_for(two_layers):
    bare = dataclasses.replace(DECOUPLED, clock=lm.Clock(time=14.0, marks=601))
    found = staircase(lm.run(bare, ()), count=2)
    assert (
        len(found.times) == 200
        and [one.mode for one in found.rises] == [1, 2]
        and found.verdict == "a staircase"
    )
    for one, whole in zip(found.rises, two_layers.rises, strict=False):
        assert one.half == pytest.approx(whole.half, abs=one.gap)
    with pytest.raises(Refused, match="count from 0 to 3"):
        staircase(lm.run(bare, ()), count=4)


def test_a_relu_network_on_digits_is_read_by_the_same_statistic():
    record = lm.run(DIGITS, WATCH)
    found, system = staircase(record), record.start.system
    X, Y = (
        np.asarray(part, float) for part in (record.start.data.train.X, record.start.data.train.Y)
    )
    U, s, Vt = np.linalg.svd(Y.T @ X / len(X), full_matrices=False)
    outputs = np.asarray(system.outputs(record.at(600).params, system.train.X))
    there = s > 1e-12 * s[0]
    np.testing.assert_allclose(
        found.fractions[-1],
        np.diag(U.T @ (outputs.T @ X / len(X)) @ Vt.T)[there] / s[there],
        rtol=1e-9,
    )
    assert found.verdict.startswith("not a staircase") and len(found.rises) == there.sum()
    for place, one in enumerate(found.rises):
        at = np.searchsorted(found.times, one.half)
        assert found.fractions[at, place] >= 0.5 > found.fractions[: at - 1, place].max() or at == 0


def test_a_network_that_fits_its_data_has_every_fraction_at_1_whatever_the_inputs():
    start = lm.prepare(
        dataclasses.replace(
            DIGITS,
            architecture=architectures.DeepLinear(hidden=()),
            data=data.Gaussian(n=20, d=3, k=2, noise=0.3),
        )
    )
    X, Y = np.asarray(start.data.train.X), np.asarray(start.data.train.Y)
    W = np.linalg.lstsq(X, Y, rcond=None)[0].T
    fitted = dataclasses.replace(
        start.experiment,
        initial=initial.Given.of({"layer1": {"weight": W}}),
        clock=lm.Clock(steps=1),
    )
    np.testing.assert_allclose(lm.run(fitted, WATCH)["mode_fraction"][0], 1, rtol=1e-12)


def logistic(times, s, first):
    return 1 / (1 + (1 / first - 1) * np.exp(-2 * s * times))


TIMES = np.linspace(0, 10, 2001)


def judged(columns, times=TIMES):
    columns = np.stack(columns, axis=1)
    return stairs(times, columns, times, np.sum((1 - columns) ** 2, axis=1))


def test_modes_that_rise_one_after_another_like_exponentials_are_no_staircase():
    found = judged([1 - np.exp(-40 * TIMES), 1 - np.exp(-0.5 * TIMES)])
    assert (
        found.steps == ((1,), (2,))
        and found.verdict == "not a staircase: modes rise from the start"
        and not found.plateaus
    )
    assert found.rises[1].tenth == pytest.approx(-np.log(0.9) / 0.5, abs=1e-4)


def test_modes_of_one_step_are_told_from_those_apart():
    found = judged(
        [logistic(TIMES, 4.0, 1e-6), logistic(TIMES, 3.8, 1e-6), logistic(TIMES, 1.0, 1e-6)]
    )
    assert (
        found.steps == ((1, 2), (3,))
        and found.verdict == "a staircase"
        and len(found.plateaus) == 2
    )
    turned = judged([logistic(TIMES, 1.0, 1e-6), logistic(TIMES, 4.0, 1e-6)])
    assert turned.order == (2, 1) and turned.steps == ((2,), (1,)) and turned.rises[0].step == 2


def test_marks_too_far_apart_are_not_taken_for_modes_that_rise_together():
    coarse = np.linspace(0, 10, 3)
    found = judged([logistic(coarse, 8.0, 1e-6), logistic(coarse, 6.0, 1e-6)], coarse)
    assert found.verdict == "undecided: marks too far apart to tell modes 1 and 2"
    alone = judged([logistic(TIMES, 4.0, 1e-6)])
    assert alone.verdict == "not a staircase: one mode alone"


def test_a_loss_that_is_convex_in_time_has_no_plateau_and_a_spoiled_one_does_not_invent_one():
    for loss in (
        np.exp(-TIMES),
        np.exp(-20 * TIMES) + 0.05 * np.exp(-0.1 * TIMES),
        1 / (1 + TIMES) ** 2,
        10 - TIMES,
        np.full(2001, 3.0),
    ):
        assert plateaus(TIMES, loss) == ()
    noise = np.random.default_rng(0).standard_normal(2001)
    assert plateaus(TIMES, np.exp(-TIMES) + 0.01 * np.abs(noise)) == ()
    assert (
        plateaus(TIMES[:2], np.array([1.0, 0.5])) == ()
        and plateaus(TIMES, np.full(2001, np.nan)) == ()
    )
    one = plateaus(TIMES, (1 - logistic(TIMES, 2.0, 1e-6)) ** 2)
    assert len(one) == 1 and one[0].start == 0
    # stays within 1 % until (1 - c)^2 = 0.99 (1 - c_0)^2, and falls by 5 % more where it is 0.94
    ends = [np.log((1 - np.sqrt(1 - x)) / np.sqrt(1 - x) / 1e-6) / 4 for x in (0.01, 0.06)]
    assert one[0].end == pytest.approx(ends[0], abs=0.01) and one[0].fall == pytest.approx(
        ends[1] - ends[0], abs=0.01
    )
    many = np.linspace(0, 10, 20_001)  # more than are looked at
    assert len(plateaus(many, (1 - logistic(many, 2.0, 1e-6)) ** 2)) == 1


def test_modes_without_strength_are_left_out_and_other_losses_say_so():
    record = lm.run(
        dataclasses.replace(
            DECOUPLED,
            data=data.LinearTeacher(strengths=(4.0,), n=12, d=4, k=3),
            clock=lm.Clock(time=4.0, marks=81),
        ),
        WATCH,
    )
    assert np.isnan(record["mode_fraction"].values[:, 1:]).all()
    found = staircase(record)
    assert [one.mode for one in found.rises] == [
        1
    ] and "left out, without strength in the data: 2, 3" in found.notes
    priced = lm.run(
        dataclasses.replace(
            DIGITS,
            loss=losses.CrossEntropy(),
            data=data.Digits(train=20, classes=(1, 4)),
            clock=lm.Clock(steps=2),
        ),
        WATCH,
    )
    assert any("CrossEntropy" in note for note in staircase(priced).notes)


def test_it_shows_itself_in_a_notebook_a_figure_and_on_the_command_line(
    two_layers, tmp_path, capsys
):
    shown = str(two_layers)
    assert (
        shown.splitlines()[0] == "Modes of linear-teacher: a staircase"
        and "mode 1 at 90 % by" in shown
    )
    assert "lm-good" in two_layers._repr_html_() and "plateau from" in two_layers._repr_html_()
    assert len(lm.show(two_layers).axes) == 2
    lm.run(
        dataclasses.replace(DECOUPLED, clock=lm.Clock(time=5.0, marks=101)),
        WATCH,
        folder=tmp_path / "run",
    )
    assert call(["staircase", str(tmp_path / "run"), "--out", str(tmp_path / "s.png")]) == 0
    assert (
        "not reached within the clock: modes 2, 3" in capsys.readouterr().out
        and (tmp_path / "s.png").stat().st_size > 10_000
    )
    assert call(["staircase", str(tmp_path / "run"), "--json", "--modes", "1"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == "not a staircase: one mode alone" and said["modes"][0][
        "half"
    ] == pytest.approx(two_layers.rises[0].half, abs=1e-2)
    assert call(["staircase", str(tmp_path / "run"), "--out", str(tmp_path / "s.txt")]) == 2


# MNIST's test images in IDX format, where they are at hand
IMAGES = (
    Path(os.environ.get("LEARNMECH_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "mnist"
    / "t10k-images-idx3-ubyte.gz"
)


@pytest.mark.skipif(
    not IMAGES.is_file(),
    reason="needs the MNIST test images; LEARNMECH_DATA names the folder of mnist/",
)
def test_on_photographed_digits_a_small_start_makes_a_staircase_of_their_modes_and_a_usual_one_does_not():
    labels = IMAGES.with_name("t10k-labels-idx1-ubyte.gz")
    images = data.File(
        path=str(IMAGES),
        targets_path=str(labels),
        classes=True,
        train=100,
        divide_by=255,
        center=True,
    )
    small = lm.Experiment(
        architectures.DeepLinear(hidden=(8,)),
        images,
        rules.GradientDescent(rate=0.05),
        lm.Clock(steps=800, every=4),
        initial.SmallGaussian(std=1e-6),
    )
    found = staircase(lm.run(small, WATCH), count=4)
    assert (
        found.verdict == "a staircase"
        and found.steps[0] == (1,)
        and found.order == (1, 2, 3, 4)
        and found.plateaus[0].start == 0
    )
    usual = staircase(lm.run(small.with_value("initial.std", 0.03), WATCH), count=4)
    assert usual.verdict == "not a staircase: modes rise together" and not usual.plateaus
