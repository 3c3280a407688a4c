"""Watching: arrays by their addresses, whole, in part and reduced, against numpy; and what it
takes, said beforehand."""

import re
import types

import jax
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, rules
from learnmech.errors import Refused
from learnmech.instruments import Watch
from learnmech.language import trees
from learnmech.runs import estimates

SHAPE = re.compile(r"^\S.* needs \S.*, but got .+\. [A-Z].*[.?]$")


@pytest.fixture(scope="module")
def record():
    experiment = lm.Experiment(
        architectures.Mlp(hidden=(5, 4)),
        data.Gaussian(n=24, d=3, k=2, test=7),
        rules.Adam(rate=0.01),
        lm.Clock(steps=30, every=5),
        precision="float64",
    )
    return lm.run(experiment)


def seen(record, watch, step=10):
    """What one instrument shows at a step, and its name."""
    table = record.read(watch, [step])
    (name,) = table.data_vars
    return table[name].isel(time=0), name


def signals(record, step=10, view="train"):
    """Every signal at a step, from the state and the architecture alone."""
    system = record.start.system
    return jax.tree.map(
        np.asarray,
        jax.jit(system.architecture.signals)(record.at(step).params, getattr(system, view).X),
    )


def test_signals_weights_and_their_parts_are_those_of_the_state(record):
    state, here = jax.tree.map(np.asarray, record.at(10)), signals(record)
    for path, expected in {
        "layer2.post": here["layer2.post"],
        "output": here["output"],
        "layer1.pre[sample=3:6,unit=2]": here["layer1.pre"][3:6, 2],
        "layer2.weight[1,:]": state.params["layer2"]["weight"][1],
        "layer3.weight[-1,0]": state.params["layer3"]["weight"][-1, 0],
    }.items():
        values, name = seen(record, path)
        np.testing.assert_allclose(values, expected, rtol=1e-13, atol=1e-15)
        assert name == path


def test_the_test_view_is_watched_on_its_own_samples(record):
    values, name = seen(record, Watch("layer1.post", view="test"))
    np.testing.assert_allclose(values, signals(record, view="test")["layer1.post"], rtol=1e-13)
    assert "on test" in name and "test_sample" in values.dims


def test_a_layer_means_all_its_arrays(record):
    table = record.read("layer2", [10])
    arrays = trees.leaves_by_path({"layer2": record.at(10).params["layer2"]})
    assert set(table.data_vars) == set(arrays)
    assert all(np.array_equal(table[name].isel(time=0), array) for name, array in arrays.items())


def test_gradients_with_respect_to_signals_are_central_differences_of_the_loss(record):
    system, params = record.start.system, record.at(10).params
    values, _ = seen(record, "gradient.layer1.post")
    step = 1e-6

    def loss(shift):
        outputs = system.architecture.forward(
            params, system.train.X, lambda name, x: x + shift if name == "layer1.post" else x
        )
        return float(system.loss_function.value(outputs, system.train.Y, system.train.weight))

    for where in ((0, 0), (5, 3), (23, 4)):
        kick = np.zeros((24, 5))
        kick[where] = step
        assert float(values.values[where]) == pytest.approx(
            (loss(kick) - loss(-kick)) / (2 * step), rel=1e-6, abs=1e-10
        )


def test_the_gradient_and_the_update_are_those_of_the_step(record):
    before, after = (jax.tree.map(np.asarray, record.at(step).params) for step in (10, 11))
    gradient = jax.jit(jax.grad(record.start.system.loss))(before)
    for layer in ("layer1", "layer3"):
        np.testing.assert_allclose(
            seen(record, f"gradient.{layer}.weight")[0],
            gradient[layer]["weight"],
            rtol=1e-12,
            atol=1e-16,
        )
        np.testing.assert_allclose(
            seen(record, f"update.{layer}.weight")[0],
            after[layer]["weight"] - before[layer]["weight"],
            rtol=1e-9,
            atol=1e-15,
        )


REDUCED = {
    "norm": lambda x: np.linalg.norm(x),
    "mean": lambda x: np.mean(x),
    "covariance": lambda x: np.cov(x.T, bias=True),
    "singular-values": lambda x: np.linalg.svd(x, compute_uv=False)[:3],
    "histogram": lambda x: (
        np.histogram(np.clip(x, -0.999, 0.999), bins=3, range=(-1, 1))[0] / x.size
    ),
}


@pytest.mark.parametrize("reduce", REDUCED)
def test_a_reduction_is_that_of_the_whole(record, reduce):
    values, _ = seen(record, Watch("layer2.post", reduce=reduce, count=3))
    np.testing.assert_allclose(
        values, REDUCED[reduce](np.asarray(signals(record)["layer2.post"])), rtol=1e-11, atol=1e-14
    )


def test_a_reduction_in_the_loop_is_the_reduction_of_what_is_replayed(record):
    watch = (
        Watch("layer2.post", reduce="norm"),
        Watch("gradient.layer2.pre", reduce="norm", every=2),
        "layer1.weight[2,1]",
    )
    watched = lm.run(record.experiment, watch)
    assert watched.names == ["norm(layer2.post)", "layer1.weight[2,1]", "norm(gradient.layer2.pre)"]
    for one in watch:
        again = record.read(one, watched.timeline.positions[:: getattr(one, "every", 1)])
        (name,) = again.data_vars
        np.testing.assert_array_equal(again[name], watched[name])


@pytest.mark.parametrize(
    "watch",
    [
        "layer1.wight",
        "layer9.pre",
        "layer2.post[unit=4]",
        "layer2.post[height=1]",
        "layer1.weight[0,0,0]",
        "memory.nu",
        "losss",
        "layer1[0]",
        "layer1.weight[",
        Watch("layer1.bias[0]", reduce="covariance"),
        Watch("layer1.weight[0,:]", reduce="singular-values"),
    ],
    ids=str,
)
def test_what_cannot_be_watched_is_refused_before_the_run(record, watch):
    with pytest.raises(Refused) as caught:
        lm.run(record.experiment, ("loss", watch))
    assert SHAPE.match(str(caught.value)), str(caught.value)


def test_the_estimate_is_what_is_written(record, tmp_path):
    watch = (instruments.Loss(), Watch("layer2.post", every=2), "layer1")
    said = lm.estimate(record.experiment, watch)
    made = lm.run(record.experiment, watch, folder=tmp_path / "run")
    assert said.readings == sum(made[name].nbytes for name in made.names)
    kept = sum(
        np.asarray(leaf).nbytes
        for key in made.kept.positions()
        for leaf in jax.tree.leaves(made.kept.read(key, made.timeline).state)
    )
    assert 0 < kept <= said.checkpoints
    assert said.seconds > 0 and "MB" not in str(said)


def test_what_does_not_fit_is_refused_before_anything_is_written(record, tmp_path, monkeypatch):
    huge = record.experiment.with_value("clock", {"steps": 10**6, "every": 1})
    monkeypatch.setattr(
        estimates.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=10**8)
    )
    monkeypatch.setattr(estimates, "free_memory", lambda: 10**8)
    for folder in (None, tmp_path / "run"):
        with pytest.raises(Refused) as caught:
            lm.run(huge, ("layer1.post",), folder=folder)
        assert SHAPE.match(str(caught.value)) and "MB" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_checkpoints_stay_within_the_budget(record):
    few = lm.run(record.experiment.with_value("clock", {"steps": 3000, "every": 10}), budget=6000)
    sizes = [
        sum(
            np.asarray(leaf).nbytes
            for leaf in jax.tree.leaves(few.kept.read(key, few.timeline).state)
        )
        for key in few.kept.positions()
    ]
    assert len(sizes) >= 1 and sum(sizes[:-1]) <= 6000
