"""What the commands tell: differences between runs, pages of exhibits, how data were read, how
long it takes."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, initial, instruments, rules
from learnmech.architectures import models
from learnmech.cli.app import call
from learnmech.comparison.checks import Check
from learnmech.errors import Refused
from learnmech.gallery import pages
from learnmech.gallery.base import Exhibit, perform
from learnmech.language import catalog, text
from learnmech.runs import running as runs

WATCH = ("loss", "mode-strengths", "norms")


def made(**knobs) -> lm.Experiment:
    """A tiny experiment, with knobs turned."""
    experiment = lm.Experiment(
        architecture=architectures.DeepLinear(hidden=(4,)),
        data=data.Gaussian(n=12, d=4, k=2),
        initial=initial.Gaussian(scale=0.3),
        rule=rules.GradientDescent(rate=0.05),
        clock=lm.Clock(steps=20, every=2),
    )
    for path, value in knobs.items():
        experiment = experiment.with_value(path.replace("__", "."), value)
    return experiment


@pytest.fixture(scope="module")
def record():
    return lm.run(made(), WATCH)


def test_a_run_and_itself_again_are_equal_to_the_bit(record):
    found = lm.diff(record, lm.run(made(), WATCH))
    assert found.same and not found.knobs and not found.made
    assert [one.words for one in found.numbers] == ["equal to the bit"] * len(found.numbers)
    assert {one.quantity for one in found.numbers} == {*record.names, "parameters at the end"}


def test_the_first_mark_and_the_largest_difference_are_those_of_the_arrays(record):
    other = lm.run(made(rule__rate=0.06), WATCH)
    found = lm.diff(record, other)
    assert not found.same and [(one.what, one.one, one.other) for one in found.knobs] == [
        ("rule.rate", "0.05", "0.06")
    ]
    loss = next(one for one in found.numbers if one.quantity == "loss")
    a, b = record["loss"].values, other["loss"].values
    assert a[0] == b[0] and loss.first == 2 and loss.differ == 10 and loss.marks == 11
    assert loss.largest == np.abs(a - b).max() and loss.relative == loss.largest / max(
        a.max(), b.max()
    )


def test_a_last_bit_is_a_difference_and_a_missing_reading_on_both_sides_is_none(record):
    values = record["loss"].values.copy()
    values[7] = np.nextafter(values[7], 1)
    table = record.tables[1]
    moved = dataclasses.replace(
        record, tables={1: table.assign(loss=table["loss"].copy(data=values))}
    )
    loss = next(one for one in lm.diff(record, moved).numbers if one.quantity == "loss")
    assert (loss.first, loss.differ) == (14, 1) and 0 < loss.relative < 1e-15
    values[7] = np.nan
    gone = dataclasses.replace(
        record, tables={1: table.assign(loss=table["loss"].copy(data=values))}
    )
    assert (
        next(one for one in lm.diff(gone, gone).numbers if one.quantity == "loss").words
        == "equal to the bit"
    )
    against = next(one for one in lm.diff(record, gone).numbers if one.quantity == "loss")
    assert against.first == 14 and against.largest == np.inf


def test_shorter_runs_other_parts_versions_and_notes_are_told(record):
    other = lm.run(made(clock__steps=10, rule={"kind": "adam", "rate": 0.05}), ("loss",))
    other = dataclasses.replace(
        other, notes=("a note",), provenance=other.provenance | {"jax": "0.0.1"}
    )
    found = lm.diff(record, other)
    assert {"rule", "rule.b1", "clock.steps"} <= {one.what for one in found.knobs}
    assert [one.other for one in found.notes] == ["a note"] and [
        one.what for one in found.made
    ] == ["jax"]
    assert {one.what: (one.one, one.other) for one in found.only}["marks"] == (
        "11, step 0 to 20",
        "6, step 0 to 10",
    )
    assert "update_norm" in found.only[0].one


def test_widths_that_differ_are_said_and_never_subtracted(record):
    found = lm.diff(record, lm.run(made(data__d=3), WATCH))
    words = {one.quantity: one.words for one in found.numbers}
    assert words["loss"] == "differs" and words["parameters at the end"] == "other names or shapes"


def test_texts_differ_by_their_knobs_and_their_data_by_content(tmp_path, record):
    for name, last in (("one", 3.0), ("two", 3.5), ("copy", 3.0)):
        (tmp_path / f"{name}.csv").write_text(f"a,b,y\n1,2,3\n4,5,6\n7,8.5,{last}\n")
    one, two, copy = (
        made(data={"kind": "file", "path": str(tmp_path / f"{name}.csv")})
        for name in ("one", "two", "copy")
    )
    found = lm.diff(one, two)
    assert (
        not found.knobs
        and [row.what for row in found.data] == ["path"]
        and "sha256" in found.data[0].one
    )
    assert lm.diff(one, copy).same
    (tmp_path / "mine.toml").write_text('watch = ["loss"]\n' + made().text)
    assert lm.diff(record, tmp_path / "mine.toml").same
    with pytest.raises(Refused, match="a run or an experiment"):
        lm.diff(record, 3)


def test_the_command_says_it_in_its_exit_status_and_obeys_no_name(tmp_path, capsys, record):
    evil = dataclasses.replace(record, notes=("\x1b[2Jgone [red]x[/red] <script>",))
    for name, one in (("a", record), ("b", evil)):
        one.save(tmp_path / name)
    (tmp_path / "c.toml").write_text(made(rule__rate=0.06).text)
    assert call(["diff", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and "[red]x[/red]" in said
    assert "<script>" not in lm.diff(record, evil)._repr_html_()
    assert call(["diff", str(tmp_path / "a"), str(tmp_path / "c.toml"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (
        found["knobs"] == [{"what": "rule.rate", "one": "0.05", "other": "0.06"}]
        and found["numbers"] == []
    )
    assert call(["diff", str(tmp_path / "a"), "nowhere"]) == 2
    assert "diff needs a run folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", catalog.exhibits())
def test_the_program_of_an_exhibit_is_its_experiment(name):
    exhibit, scope = catalog.exhibit(name), {}
    exec(pages.program(name, exhibit).rpartition("record =")[0], scope)
    assert scope["experiment"].fingerprint == exhibit.experiment().fingerprint


def test_the_page_of_an_exhibit_tells_what_can_be_turned_and_what_it_took(capsys):
    assert call(["list", "gallery", "saxe-modes"]) == 0
    said = capsys.readouterr().out
    for words in (
        "Saxe, McClelland",
        "rule.rate",
        "[data]",
        "lm.Experiment(",
        "decoupled",
        "inputs are whitened",
    ):
        assert words in said, words
    assert call(["list", "gallery", "saxe-mods", "--json"]) == 2
    assert "saxe-modes" in capsys.readouterr().err


# --- how data were read


def test_how_a_table_was_read_is_said_before_the_run_and_kept_with_it(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("mass,wing,y\n3,2,1\n4,,2\n1.5,3,0.5\n2.5,3.5,1\n")
    experiment = made(data={"kind": "file", "path": str(tmp_path / "t.csv"), "missing": "drop"})
    (tmp_path / "e.toml").write_text(f'watch = ["loss"]\ntheories = []\n{experiment.text}')
    assert call(["run", str(tmp_path / "e.toml"), "--out", str(tmp_path / "r")]) == 0
    told = capsys.readouterr()
    words = (
        "header: mass, wing, y; separator: comma; 4 rows, 2 inputs (mass, wing); 1 target (y); 1"
        " row with a missing cell left out: 3; 3 for training"
    )
    assert told.err.index(words) < told.err.index("running") and f"data: {words}" in told.out
    assert f"As it was read: {words}" in (tmp_path / "r" / "report.html").read_text()
    assert call(["show", str(tmp_path / "r")]) == 0
    assert f"data: {words}" in capsys.readouterr().out
    assert words in str(lm.load(tmp_path / "r")).replace("\n", " ")


# --- what is called damaged


def test_only_damage_is_called_damaged(tmp_path, record, monkeypatch):
    from learnmech.record import folder as folders

    record.save(tmp_path / "r")
    raised = ValueError("conflicting sizes for dimension 'layer'")

    def failing(*_):
        raise raised

    monkeypatch.setattr(folders, "of_other_content", failing)
    with pytest.raises(ValueError, match="conflicting sizes") as caught:
        lm.load(tmp_path / "r")
    assert caught.value is raised
    raised = PermissionError(13, "Permission denied", "somewhere")
    with pytest.raises(
        Refused,
        match=(
            "a run folder that can be read, but got somewhere: Permission denied. Give permission"
        ),
    ):
        lm.load(tmp_path / "r")
    monkeypatch.undo()
    (tmp_path / "r" / "record" / "every-1.zarr" / "loss" / "c.0").unlink()
    assert "damaged: loss in rows 0-10" in " ".join(lm.load(tmp_path / "r").notes)


# --- a model that was handed over


def test_what_was_recorded_of_a_model_in_hand_is_read_anywhere_and_nothing_is_made_of_it_again(
    tmp_path, capsys, monkeypatch
):
    model = architectures.Wrapped(
        (
            lambda key, d, k: {"a": {"w": jax.random.normal(key, (k, d))}},
            lambda params, x: params["a"]["w"] @ x,
        )
    )
    ran = lm.run(made(architecture=model), ("loss",), folder=tmp_path / "r")
    assert any("was handed over in Python" in note and "Wrapped.of(" in note for note in ran.notes)
    monkeypatch.setattr(models, "AT_HAND", {})
    there = lm.load(tmp_path / "r")
    assert there.dataset.equals(ran.dataset) and lm.diff(there, ran).same
    for again in (
        lambda: there.at(3),
        lambda: lm.fork(there, 3, ()),
        lambda: there.read("norms", [2]),
    ):
        with pytest.raises(
            Refused,
            match=(
                "the model itself, which is in no text.*Make the same model here and give it to"
                " Wrapped first"
            ),
        ):
            again()
    assert call(["export", str(tmp_path / "r"), str(tmp_path / "o.csv")]) == 0
    assert (
        call(["resume", str(tmp_path / "r"), "--quiet"]) == 2
        and "give it to Wrapped first" in capsys.readouterr().err
    )


def test_a_file_that_uses_nothing_new_is_written_as_it_was(tmp_path):
    (tmp_path / "t.csv").write_text("1,2,3\n4,5,6\n7,8.5,3\n")
    known = {"kind", "path", "targets", "test", "center", "whitened", "seed"}  # the knobs of 0.4
    assert set(text.table_of(data.File(str(tmp_path / "t.csv"), targets=1))) == known | {"sha256"}
    assert text.table_of(data.File(str(tmp_path / "t.csv"), missing="drop"))["missing"] == "drop"


# --- phases, and what lies behind the clock


def test_runs_that_a_check_makes_tell_how_far_they_are():
    told = []
    with runs.heard(told.append):
        lm.run(made(), ("loss",))
        mine = []
        lm.run(made(), ("loss",), progress=mine.append)
    assert told[-1].reached == 11 and len(mine) == len(told)
    lm.run(made(), ("loss",))
    assert len(mine) == len(told)


def test_checks_that_look_behind_the_end_of_a_shorter_clock_are_not_reached():
    def verify(shown):
        return (
            Check(
                "the loss at step 15",
                float(shown.record["loss"].sel(step=16)),
                1.0,
                1.0,
                "it is read there",
            ),
        ), {}

    def performed(**changes):
        exhibit = Exhibit(
            "it learns", "textbook", lambda: made(), (instruments.Loss(),), verify=verify
        )
        return perform(
            exhibit, changes={path.replace("__", "."): value for path, value in changes.items()}
        )

    assert performed(clock__steps=20).verdict != "not reached"
    short = performed(clock__steps=8)
    assert (
        short.verdict == "not reached" and short.checks[0].words == "not reached within the clock"
    )
    assert performed(clock__steps=8, rule__rate=0.01).verdict == "outside domain"
