"""Sweeps: a grid in one Dataset, the same numbers as single runs."""

import dataclasses

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, rules
from learnmech.errors import Refused
from learnmech.sweeps import error_bars, sweep

WATCH = (instruments.Loss(), instruments.Norms(every=2))


@pytest.fixture(scope="module")
def experiment():
    return lm.Experiment(
        architecture=architectures.Mlp.example(),
        data=data.Gaussian.example(),
        rule=rules.GradientDescent(rate=0.05),
        clock=lm.Clock(steps=20, marks=5),
    )


def test_every_point_is_bit_equal_to_its_single_run(experiment):
    grid = sweep(experiment, {"rule.rate": [0.02, 0.05]}, seeds=2, watch=WATCH)
    assert grid["loss"].dims == ("rule.rate", "seed", "mark")
    for rate in (0.02, 0.05):
        for seed in (0, 1):
            alone = lm.run(
                experiment.with_value("rule.rate", rate).with_value("seed", seed), watch=WATCH
            )
            point = grid.sel({"rule.rate": rate, "seed": seed})
            assert np.array_equal(point["loss"], alone["loss"])
            assert np.array_equal(
                point["weight_norm"], alone.dataset["weight_norm"], equal_nan=True
            )
            assert np.array_equal(point["time"], alone["loss"]["time"])


def test_vmap_agrees_to_round_off_and_is_marked(experiment):
    one = sweep(experiment, {"rule.rate": [0.02, 0.05]}, seeds=3, watch=WATCH)
    two = sweep(experiment, {"rule.rate": [0.02, 0.05]}, seeds=3, watch=WATCH, backend="vmap")
    assert (one.attrs["backend"], two.attrs["backend"]) == ("map", "vmap")
    for name in one.data_vars:
        # round-off of 20 float64 steps whose sums are taken in another order
        np.testing.assert_allclose(one[name], two[name], rtol=1e-11)


def test_the_seed_moves_the_start_and_not_the_data(experiment):
    starts = [lm.prepare(experiment.with_value("seed", seed)) for seed in (0, 1)]
    assert np.array_equal(starts[0].data.train.X, starts[1].data.train.X)
    assert not np.array_equal(
        starts[0].params["layer1"]["weight"], starts[1].params["layer1"]["weight"]
    )
    moved = lm.prepare(experiment.with_value("data.seed", 1))
    assert not np.array_equal(starts[0].data.train.X, moved.data.train.X)


def test_a_finished_point_is_not_run_again(experiment, tmp_path):
    axes, done = {"rule.rate": [0.02, 0.05]}, []
    first = sweep(experiment, axes, watch=WATCH, folder=tmp_path)
    again = sweep(
        experiment,
        {"rule.rate": [0.02, 0.05, 0.07]},
        watch=WATCH,
        folder=tmp_path,
        progress=lambda at, of: done.append((at, of)),
    )
    assert done == [(3, 3)]
    assert np.array_equal(again["loss"].sel({"rule.rate": [0.02, 0.05]}), first["loss"])
    other = sweep(
        experiment, axes, watch=(instruments.Loss(), instruments.Distance()), folder=tmp_path
    )
    assert "distance" in other


def test_shapes_are_grouped_and_ragged_quantities_named(experiment):
    watch = (instruments.Loss(), instruments.Weights())
    grid = sweep(experiment, {"architecture.hidden": [[3], [4]]}, watch=watch)
    assert list(grid["architecture.hidden"].values) == ["[3]", "[4]"]
    assert np.isfinite(grid["loss"]).all()
    assert "layer1.weight" in grid.attrs["left_out"]


def test_a_clock_in_time_gives_one_time_axis_or_says_mark(experiment):
    in_time = experiment.with_value("clock", {"time": 1.0, "marks": 5})
    assert sweep(in_time, {"rule.rate": [0.05, 0.025]})["loss"].dims == (
        "rule.rate",
        "seed",
        "time",
    )


def test_a_diverged_point_is_padded_with_nan(experiment):
    linear = experiment.with_value("architecture", {"kind": "deep-linear"}).with_value(
        "clock", {"steps": 4000, "marks": 5}
    )
    grid = sweep(linear, {"rule.rate": [0.05, 50.0]})
    assert np.isfinite(grid["loss"].sel({"rule.rate": 0.05})).all()
    assert np.isnan(grid["loss"].sel({"rule.rate": 50.0}).isel(mark=-1)).all()


def test_error_bars_are_the_standard_error_over_seeds(experiment):
    grid = sweep(experiment, {}, seeds=4)
    bars = error_bars(grid)
    last = grid["loss"].isel(time=-1).values
    assert float(bars["loss_sem"].isel(time=-1)) == pytest.approx(last.std(ddof=1) / 2)


@pytest.mark.parametrize(
    "axes, changes",
    [
        ({"rule.rat": [1.0]}, {}),
        ({"rule.rate": []}, {}),
        ({"rule.rate": [0.1]}, {"backend": "fast"}),
        ({}, {"seeds": 0}),
    ],
)
def test_a_bad_sweep_is_refused(experiment, axes, changes):
    with pytest.raises(Refused):
        sweep(experiment, axes, **changes)


def test_numeric_knobs_share_one_compilation(experiment):
    import jax

    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: (
            compiled.append(name) if name.endswith("backend_compile_duration") else None
        )
    )
    wide = dataclasses.replace(experiment, architecture=architectures.Mlp(hidden=(6,)))
    lm.run(wide)
    before = len(compiled)
    assert before
    sweep(wide, {"rule.rate": [float(r) for r in np.linspace(0.01, 0.1, 20)]})
    assert len(compiled) == before
