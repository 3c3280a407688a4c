"""Clocks at moments of one's own: steps for rules that step, times for flows and where the end
is in time."""

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, rules, schedules, theories
from learnmech.comparison.orders import measured_order
from learnmech.errors import Refused
from learnmech.language import text
from learnmech.runs import blocks

NET, DATA = architectures.DeepLinear(hidden=(3,)), data.Gaussian(n=8, d=3, k=2)
DESCENT, FLOW = rules.GradientDescent(rate=0.1), rules.GradientFlow(rtol=1e-9, atol=1e-11)


def made(rule=DESCENT, **clock):
    return lm.Experiment(NET, DATA, rule, lm.Clock(**clock))


def test_steps_that_are_given_are_looked_at_and_0_and_the_end_too():
    for clock, said in (
        ({"at": (3, 10, 11)}, [0, 3, 10, 11]),
        ({"steps": 20, "at": [0, 5]}, [0, 5, 20]),
        ({"at": np.array([1.0, 4.0])}, [0, 1, 4]),
    ):
        marks = lm.prepare(made(**clock)).marks
        assert list(marks.steps) == said and not marks.note
        np.testing.assert_allclose(marks.times, 0.1 * np.array(said), rtol=1e-15)


def test_times_that_are_given_are_those_of_a_flow_and_the_nearest_steps_of_a_rule_that_steps():
    assert list(lm.prepare(made(FLOW, at=(0.25, 1, 3.5))).marks.times) == [0, 0.25, 1, 3.5]
    assert list(lm.prepare(made(FLOW, time=4.0, at=(0.25, 1))).marks.times) == [0, 0.25, 1, 4]
    stepped = lm.prepare(made(time=2.0, at=(0.32, 1))).marks
    assert list(stepped.steps) == [0, 3, 10, 20] and "0.2 of a step" in stepped.note
    paced = rules.GradientDescent(rate=0.1, schedule=schedules.WarmUp(steps=10))
    found = lm.prepare(made(paced, at=(2, 30))).marks
    np.testing.assert_allclose(found.times, [0, 0.1 * (0.1 + 0.2), 0.1 * (5.5 + 20)], rtol=1e-13)


def test_a_run_at_moments_of_its_own_sees_what_one_at_every_step_sees():
    every = lm.run(made(steps=40, every=1), (instruments.Loss(), instruments.Weights()))
    some = lm.run(made(at=(1, 2, 4, 8, 16, 40)), (instruments.Loss(), instruments.Weights()))
    assert list(some["loss"]["step"].values) == [0, 1, 2, 4, 8, 16, 40]
    for name in ("loss", "layer1.weight"):
        assert np.array_equal(some[name].values, every[name].values[[0, 1, 2, 4, 8, 16, 40]])
    # replayed between its marks, and read there, to the bit
    assert np.array_equal(some.at(13).params["layer2"]["weight"], every["layer2.weight"].values[13])
    assert np.array_equal(
        some.read("layer1.weight", [3, 9])["layer1.weight"].values,
        every["layer1.weight"].values[[3, 9]],
    )


def test_a_flow_at_moments_of_its_own_and_the_theory_of_it_agree():
    experiment = theories.Decoupled.example().with_value("clock", {"at": [0.5, 2, 2.5, 11]})
    record = lm.run(experiment, (instruments.Loss(), instruments.EndToEnd()))
    comparison = lm.compare(record, theories.Decoupled())
    assert comparison.verdict == "holds" and list(record["loss"]["time"].values) == [
        0,
        0.5,
        2,
        2.5,
        11,
    ]
    said = lm.predict(experiment, theories.Decoupled(), lm.Clock(at=(1.0, 3.0)))
    assert list(said["time"].values) == [0, 1, 3]


def test_a_run_at_moments_of_its_own_is_stopped_and_gone_on_with_to_the_bit(tmp_path, monkeypatch):
    experiment = made(at=(1, 5, 25, 125, 625))
    whole = lm.run(experiment, (instruments.Loss(),))
    monkeypatch.setattr(blocks, "MARKS", 2)

    def stop(progress):
        if progress.reached == 4:
            raise KeyboardInterrupt

    lm.run(experiment, (instruments.Loss(),), progress=stop, folder=tmp_path / "run")
    assert lm.load(tmp_path / "run").reached == 4
    lm.resume(tmp_path / "run")
    back = lm.load(tmp_path / "run")
    assert np.array_equal(
        back["loss"].values, whole["loss"].values
    ) and back.experiment.clock.at == (1, 5, 25, 125, 625)
    twin = lm.fork(back, 25, ())
    assert np.array_equal(twin["loss"].values, whole["loss"].values[3:])


def test_sweeps_go_over_rates_at_moments_of_their_own_and_over_the_moments():
    grid = lm.sweep(made(at=(1, 10)), {"rule.rate": [0.05, 0.1]}, seeds=2)
    assert list(np.ravel(grid["step"].values)[:3]) == [0, 1, 10]
    one = lm.run(made(at=(1, 10)).with_value("rule.rate", 0.05))
    assert np.array_equal(
        grid["loss"].sel({"rule.rate": 0.05, "seed": 0}).values.ravel(), one["loss"].values
    )


def test_limits_are_measured_at_times_of_ones_own():
    found = measured_order(
        made(time=1.0, at=(0.2, 0.4)), theories.Flow(), "rule.rate", [0.02, 0.01, 0.005], "loss"
    )
    assert found.slope == pytest.approx(1, abs=0.1)


def test_the_text_holds_the_moments_and_one_clock_has_one_text():
    experiment = made(at=(1, 10.0, 100))
    assert "at = [\n    1,\n    10,\n    100,\n]" in experiment.text
    assert (
        lm.Experiment.parse(experiment.text).fingerprint
        == experiment.fingerprint
        == made(at=[1.0, 10, 100]).fingerprint
    )
    assert made(at=(1, 10, 101)).fingerprint != experiment.fingerprint
    assert experiment.with_value("clock.at", [2, 3]).clock.at == (2, 3)
    assert "at" not in text.table_of(lm.Clock(steps=5))  # earlier texts are what they were


@pytest.mark.parametrize(
    "clock, said",
    [
        ({"at": (3, 2)}, "moments in ascending order, each once, in at, but got 3, then 2"),
        ({"at": (1, 5, 5)}, "each once, in at, but got 5, then 5"),
        ({"at": (1, 50), "steps": 40}, "moments within the run, up to 40, in at, but got 50"),
        ({"at": (0.5, 2.5), "time": 2.0}, "moments within the run, up to 2, in at, but got 2.5"),
        ({"at": (0.5, 2), "steps": 4}, "whole steps in at, for a rule that steps, but got 0.5"),
        ({"at": ()}, "a moment after 0 in at"),
        ({"at": (0,)}, "a moment after 0 in at"),
        ({"at": (-1, 2)}, "moments from 0 on in at, but got -1"),
        ({"at": (1, float("inf"))}, "finite moments"),
        ({"at": (1, float("nan"))}, "finite moments"),
        ({"at": (1, 2), "every": 2}, "one of at and every"),
        ({"at": (1, 2), "steps": 3, "time": 1.0}, "an end in steps or in time, but got both"),
        ({"at": 5}, "at to be a list of numbers"),
        ({"at": "1,2"}, "at to be a list of numbers"),
        ({"at": ((1, 2), (3, 4))}, "at to be a list of numbers"),
        ({"at": (True, 2)}, "at to be a list of numbers"),
        ({}, "an end in steps or in time, but got neither"),
    ],
    ids=str,
)
def test_moments_that_cannot_be_are_refused_in_a_sentence(clock, said):
    with pytest.raises(Refused) as refusal:
        lm.Clock(**clock)
    assert said in str(refusal.value)


def test_broken_steps_are_refused_where_the_rule_steps_and_taken_where_it_flows():
    with pytest.raises(Refused, match="whole steps in at"):
        lm.prepare(made(at=(0.5, 2)))
    assert list(lm.prepare(made(FLOW, at=(0.5, 2))).marks.times) == [0, 0.5, 2]
    with pytest.raises(Refused, match="at most"):
        lm.prepare(made(at=(1, 1e17)))
