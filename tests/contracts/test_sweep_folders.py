"""The folders of sweeps: parts, what is there of one under way, theories over every point,
points as runs, listing and deleting."""

import io
import json
import logging
import os
import shutil

import netCDF4
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, initial, rules, theories
from learnmech.cli.app import call
from learnmech.errors import Refused
from learnmech.record import locks, sealed
from learnmech.sweeps import by_mark, error_bars, kept

AXES = {
    "rule.rate": [0.05, 0.1, 60.0],
    "initial": [{"kind": "aligned", "strength": 0.01}, {"kind": "gaussian"}],
}
WATCH = ("loss", {"kind": "norms", "every": 2}, "mode-strengths")
GAUSSIAN = "{'kind': 'gaussian'}"


@pytest.fixture(scope="module")
def experiment():
    return lm.Experiment(
        architecture=architectures.DeepLinear(hidden=(3,)),
        data=data.Gaussian(n=12, d=3, k=2, whitened=True),
        initial=initial.Aligned(strength=0.01),
        rule=rules.GradientDescent(rate=0.05),
        clock=lm.Clock(steps=20, marks=5),
    )


@pytest.fixture(scope="module")
def whole(experiment, tmp_path_factory):
    """(a finished sweep's folder, its grid)."""
    folder = tmp_path_factory.mktemp("swept") / "s"
    return folder, lm.sweep(experiment, AXES, seeds=2, watch=WATCH, folder=folder)


@pytest.fixture
def copy(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "s")
    return tmp_path / "s"


def test_parts_of_a_sweep_are_the_whole_and_say_how_far_it_is(experiment, whole, tmp_path):
    folder, said = tmp_path / "parts", []
    for i in (2, 1, 3):
        grid = lm.sweep(experiment, AXES, seeds=2, watch=WATCH, folder=folder, shard=f"{i}/3")
        said.append(grid.attrs.get("note"))
        there = grid["reached"].values > 0
        assert there.sum() == 4 * len(said) and grid["loss"].dims == whole[1]["loss"].dims
        assert (
            np.isnan(grid["loss"].values[~there]).all()
            and np.isfinite(grid["loss"].values[there][:, 0]).all()
        )
    assert said == [
        "4 of 12 points; the others are NaN",
        "8 of 12 points; the others are NaN",
        None,
    ]
    assert grid.equals(whole[1]) and lm.load(folder).equals(grid)


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1/0", "one", (1.5, 2), (1,), True, "1/2/3"])
def test_a_part_that_is_none_is_refused_before_anything_is_written(experiment, tmp_path, shard):
    with pytest.raises(Refused, match="count from 1"):
        lm.sweep(experiment, AXES, folder=tmp_path / "s", shard=shard)
    assert not (tmp_path / "s").exists()


def test_parts_of_two_sweeps_are_not_mixed_and_parts_need_a_folder(experiment, copy):
    with pytest.raises(Refused, match="its seeds"):
        lm.sweep(experiment, AXES, seeds=3, watch=WATCH, folder=copy, shard=(1, 2))
    with pytest.raises(Refused, match="a folder that its parts share"):
        lm.sweep(experiment, AXES, shard=(1, 2))


def test_a_flipped_point_is_left_out_and_named_and_a_flipped_description_is_read_from_its_copy(
    whole, copy
):
    point = sorted((copy / "points").glob("*.point"))[3]
    stored = bytearray(point.read_bytes())
    stored[700] ^= 4
    point.write_bytes(stored)
    (copy / "sweep.json").write_bytes(b"{" + (copy / "sweep.json").read_bytes())
    grid = lm.load(copy)
    there = grid["reached"].values > 0
    assert (
        there.sum() == 11 and point.name in grid.attrs["note"] and "11 of 12" in grid.attrs["note"]
    )
    assert np.array_equal(
        grid["loss"].values[there], whole[1]["loss"].values[there], equal_nan=True
    )
    (copy / ".sweep.json.copy").unlink()
    with pytest.raises(Refused, match="missing or damaged"):
        lm.load(copy)


def _still(table, name):
    """The table with one of its variables as it is at its first mark alone."""
    return table.assign({name: table[name][0]})


FORGED = {
    "a reading of texts": lambda t: t.assign(loss=t["loss"].copy(data=["\x1b"] * len(t["time"]))),
    "times of texts": lambda t: t.assign_coords(time=[f"{one}" for one in t["time"].values]),
    "steps of texts": lambda t: t.assign_coords(step=("time", ["one"] * len(t["time"]))),
    "a reading without time": lambda t: _still(t, "loss"),
    "readings across time": lambda t: t.transpose(..., "time"),
    "marks of a text": lambda t: t.assign_attrs(marks="all"),
    "no time": lambda t: t.isel(time=0, drop=True),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_whole_point_that_is_no_table_of_numbers_is_named_and_made_again(
    experiment, whole, copy, forge, caplog
):
    point = sorted((copy / "points").glob("*.point"))[3]
    stored = point.read_bytes()
    with np.load(io.BytesIO(stored[len(kept.MAGIC) + 65 :])) as held:
        identity = json.loads(held["said"].tobytes())["identity"]
    point.write_bytes(kept.packed(forge(kept.unpacked(stored, identity)), identity))
    (copy / "sweep.nc").unlink(missing_ok=True)
    grid = lm.load(copy)
    assert (grid["reached"].values > 0).sum() == 11 and point.name in grid.attrs["note"]
    with caplog.at_level(logging.WARNING, "learnmech"):
        again = lm.sweep(experiment, AXES, seeds=2, watch=WATCH, folder=copy)
    assert again.equals(whole[1]) and f"{point.name} is made again: its " in caplog.text
    assert point.read_bytes() == stored


def test_a_point_run_again_is_what_is_kept_to_the_bit(whole):
    folder, grid = whole
    for source in (grid, folder):
        experiment = lm.point(source, {"initial": {"kind": "gaussian"}}, rate=0.1, seed=1)
        kept = grid.sel({"rule.rate": 0.1, "initial": GAUSSIAN, "seed": 1})
        record = lm.run(experiment, watch=WATCH)
        assert np.array_equal(record["loss"].values, kept["loss"].values)
        assert np.array_equal(
            record.dataset["weight_norm"].values,
            kept["weight_norm"].transpose("mark", ...).values,
            equal_nan=True,
        )
    for asked, says in (
        ({"rate": 0.3}, "Choose from 0.05, 0.1, 60.0"),
        ({"rat": 0.1}, "rule.rate"),
        ({"seed": 1}, "also of rule.rate"),
    ):
        with pytest.raises(Refused, match=says):
            lm.point(grid, **asked)


def test_a_theory_over_a_grid_says_of_each_point_what_it_says_of_its_run(whole):
    folder, grid = whole
    laid = lm.compare(grid, theories.Decoupled())
    assert laid.dataset.equals(lm.compare(folder, "decoupled").dataset)
    for rate, start in ((0.1, 1), (60.0, 0)):
        experiment = lm.point(grid, {"initial": AXES["initial"][start]}, rate=rate, seed=1)
        alone = lm.compare(lm.run(experiment, watch=WATCH), theories.Decoupled())
        here = laid.dataset.sel({"rule.rate": rate, "seed": 1}).isel(initial=start)
        assert (
            str(here["verdict"].item()) == alone.verdict
            and here["why"].item() == alone.words.partition(": ")[2]
        )
        for row in alone.rows:
            one = here.sel(quantity=row.quantity)
            assert (one["error"].item(), one["predicted"].item(), one["at_time"].item()) == (
                row.error,
                row.predicted,
                row.time,
            )
    assert laid.verdicts == {"holds": 6, "outside domain": 6}
    for words in ("holds", "outside domain", "error of loss", "12 points"):
        assert words in str(laid) and words in laid._repr_html_()
    drawn = [text.get_text() for axis in lm.show(laid).axes for text in axis.texts]
    assert set(drawn) == {"✓", "○"}


def test_what_is_no_grid_or_no_theory_is_refused_in_a_sentence(experiment, whole):
    grid = whole[1]
    record = lm.run(experiment)
    asks = [
        (3, "flow"),
        ("nowhere", "flow"),
        (grid, "flo"),
        (grid, theories.Flow),
        (grid, grid),
        (grid, record),
        (grid.mean("seed"), "flow"),
    ]
    for what, other in [
        *asks,
        (grid["loss"], "flow"),
        (experiment, "flow"),
        (grid.drop_attrs(), "flow"),
        (record, None),
    ]:
        with pytest.raises(Refused):
            lm.compare(what, other)


def test_means_over_seeds_are_laid_over_every_knob_and_a_seed_that_diverged_leaves_no_mean():
    experiment = theories.SgdMoments.example()
    rate = float(experiment.rule.rate)
    grid = lm.sweep(experiment, {"rule.rate": [rate, rate / 2]}, seeds=20)
    laid = lm.compare(grid, theories.SgdMoments())
    alone = lm.compare_means(experiment, grid.sel({"rule.rate": rate}), theories.SgdMoments())
    assert laid.dataset["verdict"].dims == ("rule.rate",)
    assert (
        laid.dataset["error"].sel({"rule.rate": rate, "quantity": "loss"}).item()
        == alone.row("loss").error
    )
    with pytest.raises(Refused, match="lm.compare"):
        lm.compare_means(experiment, grid, theories.SgdMoments())
    with pytest.raises(Refused, match="another"):
        lm.compare_means(
            experiment.with_value("rule.rate", rate / 3),
            grid.sel({"rule.rate": rate}),
            theories.SgdMoments(),
        )
    grid["loss"].values[0, 0, -1] = np.nan
    assert np.isnan(error_bars(grid)["loss"].values[0, -1])
    assert (
        lm.compare_means(experiment, grid.sel({"rule.rate": rate}), theories.SgdMoments()).verdict
        == "undecided"
    )


def test_a_grid_under_way_has_points_that_are_not_run(experiment, tmp_path):
    grid = lm.sweep(
        experiment,
        {"rule.rate": [0.05, 0.1]},
        watch=("loss", "mode-strengths"),
        folder=tmp_path / "s",
        shard=(2, 2),
    )
    assert lm.compare(grid, "decoupled").verdicts == {"not run": 1, "holds": 1}
    assert "1 of 2 points" in lm.show(grid).get_suptitle()
    with pytest.raises(Refused, match="point that is kept"):
        shutil.rmtree(tmp_path / "s" / "points")
        lm.load(tmp_path / "s")


def test_runs_that_diverged_say_where(whole):
    grid = whole[1]
    gone = grid["diverged_at"].sel({"rule.rate": 60.0, "initial": GAUSSIAN})
    noted = lm.run(lm.point(grid, {"initial": {"kind": "gaussian"}}, rate=60.0, seed=0)).notes[0]
    assert noted.startswith(f"diverged at step {gone.values[0]:g}:")
    assert np.isnan(grid["diverged_at"].sel({"rule.rate": 0.05})).all()
    alone = grid[["loss"]]
    page = lm.report.grid_page(alone, "Sweep", (lm.compare(alone, "decoupled"),))
    count = int(np.isfinite(grid["diverged_at"]).sum())
    assert (
        f"{count} of 12 points diverged" in page
        and "Decoupled: where it holds" in page
        and "2 of 2 seeds, at step" in page
    )


def test_one_axis_of_time_for_every_sweep(experiment, whole):
    in_time = lm.sweep(experiment, {"initial.strength": [0.01, 0.02]})
    assert "time" in in_time.dims and by_mark(in_time)["loss"].dims == (
        "initial.strength",
        "seed",
        "mark",
    )
    assert (
        np.array_equal(by_mark(in_time)["time"].values, in_time["time"].values)
        and by_mark(whole[1]) is whole[1]
    )


TEXT = (
    'watch = ["loss"]\n[architecture]\nkind = "deep-linear"\nhidden = [3]\n[data]\nkind ='
    ' "gaussian"\nn = 12\nd = 3\n[rule]\nkind = "gradient-descent"\n'
)


def test_the_command_gathers_when_all_is_kept_lists_compares_and_deletes(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.toml").write_text(TEXT + "rate = 0.05\n[clock]\nsteps = 20\nmarks = 5\n")

    def said(*words, status=0):
        assert call([*words, "--json"]) == status
        return json.loads(capsys.readouterr().out)

    swept = ("sweep", "e.toml", "rule.rate=0.05,90", "--out", "s")
    first = said(*swept, "--shard", "1/2")
    assert (
        first["file"] is None
        and first["points"] == {"kept": 1, "of": 2}
        and not (tmp_path / "s" / "sweep.nc").exists()
    )
    assert (
        said("runs", ".")["runs"][0]["points"] == {"kept": 1, "of": 2}
        and said("show", "s")["points"]["kept"] == 1
    )
    last = said(*swept, "--shard", "2/2")
    assert (
        last["file"].endswith("sweep.nc")
        and last["rows"][1]["diverged"]["runs"] == 1
        and last["rows"][1]["loss"]["mean"] is None
    )
    assert call(["show", "s"]) == 0
    shown = capsys.readouterr().out
    assert "1 of 2 points diverged" in shown and "at step" in shown
    assert (
        said("compare", "s", "flow")["points"] == 2
        and "Flow: where it holds" in (tmp_path / "s" / "report.html").read_text()
    )
    assert "sweep" in said("read", "s", "loss", status=2)["error"]
    os.symlink(tmp_path / "s", tmp_path / "link")
    (tmp_path / "s" / "mine.txt").write_text("mine")
    assert "a link" in said("runs", ".", "--delete", "link", status=2)["error"]
    assert "mine.txt" in said("runs", ".", "--delete", "s", status=2)["error"]
    (tmp_path / "s" / "mine.txt").unlink()
    with locks.shared(tmp_path / "s"):
        assert "in use" in said("runs", ".", "--delete", "s", status=2)["error"]
    said("runs", ".", "--delete", "s")
    assert not (tmp_path / "s").exists() and (tmp_path / "e.toml").exists()


def test_a_sweep_stopped_while_it_gathers_leaves_one_file_and_every_number_in_it_has_a_sum(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.toml").write_text(TEXT + "rate = 0.05\n[clock]\nsteps = 20\nmarks = 5\n")
    swept, written = ["sweep", "e.toml", "rule.rate=0.05,90", "--out", "s", "--quiet"], sealed.write

    def stopped(folder, name, said):
        if name == "gathered.json" and not (folder / "gathered.json").exists():
            written(folder, name, said)
            raise KeyboardInterrupt
        written(folder, name, said)

    monkeypatch.setattr(sealed, "write", stopped)
    assert [call(swept), call(swept)] == [130, 0] and [
        file.name for file in (tmp_path / "s").glob("*.nc")
    ] == ["sweep.nc"]
    with netCDF4.Dataset(tmp_path / "s" / "sweep.nc") as stored:
        assert (
            all(one.filters()["fletcher32"] for one in stored.variables.values() if one.ndim)
            and "rule.rate" in stored.variables
        )
