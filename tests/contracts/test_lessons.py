"""Lessons: every step can be made ready, what is to be predicted is watched, what is claimed is so,
and what is wrong in a file of one's own is said in one sentence before anything runs."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

import learnmech as lm
from learnmech.errors import Refused
from learnmech.lab.lessons import check, lesson_of, lessons, subject_of
from learnmech.lab.lessons.pages import pages

ROOT = Path(__file__).parents[2]
STEPS = {
    f"{name}-{place}": step
    for name, one in lessons().items()
    for place, step in enumerate(one.steps, 1)
}


@pytest.fixture(scope="module")
def run():
    """The record of a step, run once."""
    kept = {}

    def record(name):
        if name not in kept:
            subject = subject_of(STEPS[name])
            kept[name] = lm.run(subject.experiment(), subject.watch)
        return kept[name]

    return record


def test_there_are_six_lessons_of_four_to_seven_steps():
    assert len(lessons()) == 6 and len(STEPS) > 30
    assert all(4 <= len(one.steps) <= 7 for one in lessons().values())
    for name, one in lessons().items():
        assert one.name == name and len({step.title for step in one.steps}) == len(one.steps)
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.title = "another"


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_ready_to_be_run_and_what_is_predicted_is_watched(name):
    step = STEPS[name]
    start = check(step)
    assert step.predict is not None and len(start.marks.times) >= 10
    # nothing that would take a classroom minutes
    assert start.marks.steps is None or start.marks.steps[-1] <= 6000


@pytest.mark.parametrize("name", STEPS)
def test_texts_are_words_and_formulas_without_html(name):
    step = STEPS[name]
    for words in (step.title, step.text, step.see):
        assert not re.search(r"<[a-zA-Z/!]|&\w+;", words) and "SEE" not in words
        assert words.count("$") % 2 == 0 and words.count("{") == words.count("}")
        for formula in re.findall(r"\$\$(.+?)\$\$|\$(.+?)\$", words, re.S):
            assert all(one == one.strip() or "\n" in one for one in formula if one), formula


def half(record, quantity, entry=()):
    """The time at which an entry comes to half of where it ends."""
    one = record[quantity]
    course = np.abs(one.values.reshape(len(one), -1)[:, entry or 0])
    return float(np.interp(course[-1] / 2, course, one["time"].values))


def test_what_lessons_claim_of_waits_is_so(run):
    # as they are printed: to the last digit that stands in the lesson
    assert half(run("width-one-1"), "end_to_end") == pytest.approx(1.90, abs=5e-3)
    assert half(run("width-one-2"), "end_to_end") == pytest.approx(3.63, abs=5e-3)
    assert half(run("width-one-3"), "end_to_end") == pytest.approx(0.166, abs=5e-4)
    assert half(run("width-one-5"), "end_to_end") == pytest.approx(4.66, abs=5e-3)
    assert half(run("deep-linear-stages-1"), "mode_strength", 3) == pytest.approx(3.459, abs=5e-4)
    assert half(run("deep-linear-stages-3"), "mode_fraction", 3) == pytest.approx(5.96, abs=6e-3)


def test_what_the_lesson_on_regression_claims_is_so(run):
    record = run("linear-regression-2")
    assert float(record["sharpness"][-1]) == pytest.approx(1.050, abs=5e-4)
    loss = run("linear-regression-3")["loss"]
    assert float(loss[-1]) == pytest.approx(41.5, abs=0.05)
    assert float(loss[-1] / loss[-2]) == pytest.approx(1.21, abs=5e-3)
    sizes = [float(run(f"linear-regression-{at}")["weight_norm"][-1, 0]) for at in (4, 5)]
    assert sizes == pytest.approx([0.575, 1.459], abs=5e-4)
    # what no sample sees is orthogonal to what is learned
    assert np.hypot(sizes[0], 1.340) == pytest.approx(sizes[1], abs=1e-3)


def test_what_the_lesson_on_the_edge_claims_is_so(run):
    top = run("edge-of-stability-2")["sharpness"].values
    # on which side of the edge hangs on round-off: 19.6 and 20.4 by two compilers
    assert float(top[len(top) // 2 :].mean()) == pytest.approx(20.0, rel=0.03)
    assert top.max() == pytest.approx(27.6, abs=0.1)
    turned = run("edge-of-stability-5")["sharpness"]
    assert float(turned.sel(time=turned["time"][turned["step"] <= 3960][-1])) > 38
    assert float(turned[-1]) == pytest.approx(20.0, rel=0.03)


GOOD = """
title = "Mine"
about = "A lesson of one step."
[[steps]]
title = "One"
text = "It learns."
see = "It has learned."
watch = ["loss", "mode-strengths"]
theories = ["decoupled"]
predict = { quantity = "mode_strength", entry = { mode = 0 } }
[steps.experiment.architecture]
kind = "deep-linear"
hidden = [4]
[steps.experiment.data]
kind = "linear-teacher"
strengths = [2.0]
n = 10
d = 3
k = 2
[steps.experiment.initial]
kind = "aligned"
[steps.experiment.rule]
kind = "gradient-descent"
rate = 0.1
[steps.experiment.clock]
steps = 20
"""
AMISS = {
    "no title": (('title = "Mine"\n', ""), "A lesson needs a text as its title, but got none."),
    "no text": (('text = "It learns."\n', ""), "Step 1 needs a text as its text, but got none."),
    "unknown key": (('see = "It', 'sees = "x"\nsee = "It'), "Did you mean see or theories?"),
    "unknown kind": (('"deep-linear"', '"deep-linaer"'), "Did you mean deep-linear"),
    "unknown knob": (("hidden = [4]", "hiden = [4]"), "Did you mean hidden"),
    "unknown theory": (('"decoupled"', '"decopled"'), "Did you mean decoupled"),
    "unknown instrument": (('"loss", ', '"los", '), "Did you mean loss"),
    "not watched": (
        ('quantity = "mode_strength", entry = { mode = 0 }', 'quantity = "test_loss"'),
        "Step 1, predict needs a quantity that is watched, but got 'test_loss'.",
    ),
    "no such entry": (("mode = 0", "mode = 9"), "needs mode below 2, but got 9."),
    "no entry": ((", entry = { mode = 0 }", ""), "Write entry = { mode = 0 }."),
    "a theory of nothing watched": (
        (', "mode-strengths"]\ntheories = ["decoupled"]', ']\ntheories = ["lambda-balanced"]'),
        None,
    ),
    "a theory of many runs": (('"decoupled"', '"sgd-moments"'), "needs many runs, but got one."),
    "a rate below 0": (("rate = 0.1", "rate = -0.1"), "-0.1"),
    "an event after the end": (
        ("[steps.experiment.architecture]", '[steps.changes]\nevents = [{ kind = "freeze", path = "layer1", at = 99 }]\n[steps.experiment.architecture]'),
        "99",
    ),
    "an exhibit that is none": (("[[steps]]", '[[steps]]\nexhibit = "sax-modes"'), None),
    "no steps": ((GOOD[GOOD.index("[[steps]]") :], ""), "A lesson needs steps, a list of tables"),
    "no TOML": (('title = "Mine"', "title = Mine"), "TOML that parses"),
}  # fmt: skip


def test_a_lesson_of_ones_own_is_read(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(GOOD)
    lesson = lesson_of(mine)
    (step,) = lesson.steps
    assert (lesson.name, lesson.title, step.predict) == (
        "mine",
        "Mine",
        ("mode_strength", {"mode": 0}),
    )
    assert lesson_of("width-one") == lessons()["width-one"]


@pytest.mark.parametrize("fault", AMISS)
def test_what_is_wrong_in_a_lesson_is_one_sentence(fault, tmp_path, monkeypatch):
    (old, new), said = AMISS[fault]
    assert old in GOOD
    mine = tmp_path / "mine.toml"
    mine.write_text(GOOD.replace(old, new, 1))
    monkeypatch.setattr("learnmech.runs.running.run", lambda *_, **__: pytest.fail("it was run"))
    with pytest.raises(Refused) as error:
        lesson_of(mine)
    words = str(error.value)
    assert "\n" not in words and " needs " in words and " but got " in words
    assert said is None or said in words, words


def test_a_title_is_words_in_an_error_and_no_more(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(
        GOOD.replace('"One"', '"\\u001b[31m\\nOne"').replace("rate = 0.1", "rate = -0.1")
    )
    with pytest.raises(Refused) as error:
        lesson_of(mine)
    assert "\x1b" not in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_no_lessons_are_refused(tmp_path):
    with pytest.raises(Refused, match="Did you mean width-one"):
        lesson_of("width-on")
    (tmp_path / "one.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Refused, match="UTF-8"):
        lesson_of(tmp_path / "one.toml")
    (tmp_path / "two.toml").write_text("#" * 2**21)
    with pytest.raises(Refused, match="bytes at most"):
        lesson_of(tmp_path / "two.toml")


def test_the_pages_of_the_lessons_are_those_of_their_texts(tmp_path, monkeypatch):
    folder, made = ROOT / "docs" / "lessons", pages()
    for name, page in made.items():
        assert (folder / name).read_text(encoding="utf-8") == page, (
            "python -m learnmech.lab.lessons docs/lessons"
        )
    assert {path.name for path in folder.iterdir()} == set(made)
    (script,) = re.findall(r"```python\n(.*?)```", made["README.md"], re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "README.md", "exec"), {})
