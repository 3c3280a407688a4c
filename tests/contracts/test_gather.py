"""The grid of a sweep's folder, read point by point as it is asked for."""

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, rules
from learnmech.errors import Refused
from learnmech.sweeps import kept

AXES = {
    "rule.rate": [0.02, 0.05, 0.1],
    "initial": [{"kind": "gaussian"}, {"kind": "aligned", "strength": 0.1}],
}


@pytest.fixture(scope="module")
def experiment():
    return lm.Experiment(
        architecture=architectures.DeepLinear(hidden=(4,)),
        data=data.Gaussian(n=12, d=3, k=2),
        rule=rules.GradientDescent(rate=0.05),
        clock=lm.Clock(steps=10, every=2),
    )


@pytest.fixture(scope="module")
def folder(experiment, tmp_path_factory):
    place = tmp_path_factory.mktemp("grid") / "whole"
    lm.sweep(experiment, AXES, seeds=2, watch=("loss", "norms"), folder=place)
    return place


def test_a_grid_that_is_read_point_by_point_is_the_one_that_is_read_at_once(folder):
    at_once, lazily = lm.load(folder), lm.gather(folder)
    assert lazily.sizes == at_once.sizes and set(lazily.data_vars) == set(at_once.data_vars)
    for name in (*at_once.data_vars, "reached", "time", "step"):
        np.testing.assert_array_equal(lazily[name].values, at_once[name].values)
    some = {"mark": [3, 1], "seed": 1, "rule.rate": slice(None, None, -2)}
    np.testing.assert_array_equal(
        lazily["loss"].isel(some).values, at_once["loss"].isel(some).values
    )
    assert lazily["loss"].attrs == at_once["loss"].attrs
    assert lm.point(lazily, rate=0.05, initial="{'kind': 'gaussian'}", seed=1).seed == 1


def test_only_the_points_that_are_asked_for_are_read(folder, monkeypatch):
    read, unpacked = [], kept.unpacked
    monkeypatch.setattr(
        kept, "unpacked", lambda stored, one: read.append(one) or unpacked(stored, one)
    )
    monkeypatch.setattr("learnmech.sweeps.lazy.LOOKED_AT", 1)
    grid = lm.gather(folder)
    assert len(read) == 1  # the one that says what all look like
    grid["loss"].sel(rate=0.1, seed=1).load()
    assert len(read) == 3  # of six points with this seed the two of this rate
    grid["weight_norm"].sel(rate=0.1, seed=1).load()
    assert len(read) == 3  # and both quantities lie in the same file


def test_points_that_are_not_there_are_nan_and_counted(experiment, tmp_path):
    lm.sweep(experiment, AXES, seeds=2, watch=("loss",), folder=tmp_path / "s", shard=(1, 3))
    at_once, lazily = lm.load(tmp_path / "s"), lm.gather(tmp_path / "s")
    assert lazily.attrs["note"] == at_once.attrs["note"] == "4 of 12 points; the others are NaN"
    np.testing.assert_array_equal(lazily["loss"].values, at_once["loss"].values)
    np.testing.assert_array_equal(lazily["reached"].values, at_once["reached"].values)


def test_what_differs_from_point_to_point_is_refused_by_its_name(experiment, tmp_path):
    axes = {"architecture.hidden": [[4], [5]]}
    lm.sweep(experiment, axes, watch=("loss", "layer1.weight"), folder=tmp_path / "s")
    grid = lm.gather(tmp_path / "s")
    assert np.isfinite(grid["loss"].values).all()
    (name,) = set(grid.data_vars) - {"loss"}
    with pytest.raises(
        Refused, match=rf"gather needs {name} of one shape at every point.*by lm.load"
    ):
        grid[name].load()


def test_a_folder_without_a_point_is_refused(folder, tmp_path):
    with pytest.raises(Refused, match="gather needs the folder of a sweep"):
        lm.gather(tmp_path)
    empty = tmp_path / "empty"
    (empty / "points").mkdir(parents=True)
    for name in ("sweep.json", ".sweep.json.copy"):
        (empty / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(Refused, match="gather needs a point that is kept, but got none of 12"):
        lm.gather(empty)
