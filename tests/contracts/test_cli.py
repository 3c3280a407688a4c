"""The command line: every command, its JSON, and what it says to a mistake."""

import json
import shutil
import time

import pytest

from learnmech.cli.app import call

MINE = """
watch = ["loss", "mode-strengths", "end-to-end"]
theories = ["decoupled"]
[architecture]
kind = "deep-linear"
hidden = [4]
[data]
kind = "gaussian"
n = 20
d = 4
k = 2
whitened = true
[initial]
kind = "aligned"
strength = 0.01
[rule]
kind = "gradient-flow"
rtol = 1e-9
[clock]
time = 10.0
marks = 21
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with one experiment that was run once."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "mine.toml").write_text(MINE)
    assert call(["run", str(folder / "mine.toml"), "--out", str(folder / "first"), "--json"]) == 0
    return folder


@pytest.fixture
def said(capsys):
    """The JSON a command gives."""

    def ask(*words):
        status = call([*map(str, words), "--json"])
        return status, json.loads(capsys.readouterr().out)

    return ask


def test_a_run_folder_holds_record_text_figure_and_page(home):
    names = {path.name for path in (home / "first").iterdir()}
    assert {"experiment.toml", "record", "final.npz", "run.json", "figure.svg", "report.html"} <= names
    assert not [path for path in home.iterdir() if path.name.startswith(".")]


def test_show_compare_and_export_read_it_back(home, said):
    assert "loss" in said("show", home / "first")[1]["quantities"]
    status, result = said("compare", home / "first", "decoupled")
    assert status == 0 and result["verdict"] == "holds" and result["conditions"]
    assert said("compare", home / "first", home / "first")[1]["rows"][0]["error"] == 0
    for name in ("out.csv", "out.nc"):
        assert said("export", home / "first", home / name)[1]["bytes"] > 0
    header, first, *_ = (home / "out.csv").read_text().splitlines()
    assert header.startswith("time,loss,mode_strength[mode=1]") and len(header.split(",")) == len(first.split(","))


def test_the_same_experiment_ends_in_the_same_numbers(home, said):
    assert said("run", home / "mine.toml", "--out", home / "again")[0] == 0
    rows = said("compare", home / "again", home / "first")[1]["rows"]
    assert rows and all(row["error"] == 0 for row in rows)


def test_until_stops_the_run_and_the_note_says_so(home, said):
    _, result = said("run", home / "mine.toml", "--until", "loss<0.2", "--out", home / "short")
    assert "because loss<0.2 was met" in result["notes"][0]
    assert result["comparisons"][0]["verdict"] == "holds"


def test_predict_needs_no_run(home, said):
    _, result = said("predict", home / "mine.toml", "--out", home / "said.nc")
    assert set(result["theories"]["Decoupled"]["quantities"]) >= {"loss", "mode_strength"}
    assert (home / "said.nc").exists()


def test_theories_say_why_not(home, said):
    _, result = said("theories", home / "mine.toml")
    assert result["theories"]["decoupled"]["applies"]
    others = [t for t in result["theories"].values() if not t["applies"]]
    assert others and all(any(not c["holds"] for c in t["conditions"]) for t in others)


def test_sweep_gathers_and_goes_on(home, said):
    _, result = said("sweep", home / "mine.toml", "initial.strength=0.01,0.1", "--seeds", "2", "--out", home / "grid")
    assert [row["at"]["initial.strength"] for row in result["rows"]] == [0.01, 0.1]
    began = time.perf_counter()
    assert said("sweep", home / "mine.toml", "initial.strength=0.01,0.1", "--seeds", "2", "--out", home / "grid")[1]["backend"] == "kept"
    assert time.perf_counter() - began < 60
    assert (home / "grid" / "sweep-2.nc").exists()


def test_runs_lists_and_deletes(home, said):
    shutil.copytree(home / "first", home / "copy")
    before = {entry["folder"] for entry in said("runs", "--out", home)[1]["runs"]}
    assert said("runs", "--out", home, "--delete", "copy")[0] == 0
    after = {entry["folder"] for entry in said("runs", "--out", home)[1]["runs"]}
    assert before - after == {str(home / "copy")}


def test_a_diverging_run_finishes_and_says_why(home, said):
    status, result = said("run", home / "mine.toml", "rule={kind='gradient-descent', rate=50.0}", "clock={steps=5000}", "--out", home / "wild")
    assert status == 0
    assert "diverged at step" in result["notes"][0] and "2/sharpness" in result["notes"][0]
    assert "loss" in said("show", home / "wild")[1]["quantities"]


def test_a_guest_part_is_listed_used_and_checked(home, said, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import jax.numpy as jnp\n"
        "from learnmech.instruments.base import Instrument\n"
        "from learnmech.quantity import Quantity\n"
        "class RootLoss(Instrument):\n"
        '    """The root of the loss."""\n'
        "    def quantities(self, system, params):\n"
        "        return (Quantity('root_loss', (), 'UNITS', 'r', 'root of the loss'),)\n"
        "    def read(self, moment):\n"
        "        return {'root_loss': moment.loss * moment.loss}\n".replace("UNITS", "loss^2")
    )
    assert "root-loss" in said("list", "instruments", "--with", mine)[1]["instruments"]
    status, result = said("check", mine)
    assert status == 0 and result["holds"]
    wrong = tmp_path / "wrong.py"
    wrong.write_text(mine.read_text().replace("loss^2", "loss").replace("RootLoss", "WrongLoss"))
    status, result = said("check", wrong)
    assert status == 1 and not result["holds"]


BAD = [
    ["list", "rulez"],
    ["run", "digit-modes"],
    ["run", "{home}/none.toml"],
    ["run", "{home}/mine.toml", "rule.rat=1"],
    ["run", "{home}/mine.toml", "rule=gradient-decent"],
    ["run", "{home}/mine.toml", "architecture.hidden=[-3]"],
    ["run", "{home}/mine.toml", "architecture.hidden=wide"],
    ["run", "{home}/mine.toml", "clock.time=-1"],
    ["run", "{home}/mine.toml", "rate"],
    ["run", "{home}/mine.toml", "--until", "loss=3"],
    ["run", "{home}/mine.toml", "--until", "lost<3"],
    ["run", "{home}/mine.toml", "--out", "{home}/first"],
    ["run", "{home}/mine.toml", "--out", "/proc/none/run"],
    ["run", "{home}/mine.toml", "data.whitened=yes please"],
    ["run", "{home}/mine.toml", "data={kind='file', path='{home}/none.csv'}"],
    ["compare", "{home}/first", "decopled"],
    ["compare", "{home}/none", "decoupled"],
    ["show", "{home}/none"],
    ["export", "{home}/first", "{home}/out.txt"],
    ["runs", "--out", "{home}", "--delete", "fist"],
    ["sweep", "{home}/mine.toml", "rule.rtol=lin(1,2)"],
    ["predict", "{home}/mine.toml", "--theory", "decopled"],
    ["check", "{home}/none.py"],
    ["run"],
    ["rnu", "x"],
    ["run", "{home}/mine.toml", "--fast"],
]


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_a_mistake_is_answered_in_one_sentence_with_the_remedy(home, capsys, words):
    before = {path: path.stat().st_mtime for path in home.rglob("*")}
    assert call([word.replace("{home}", str(home)) for word in words]) == 2
    sentence = capsys.readouterr().err.strip()
    assert "\n" not in sentence and " needs " in sentence and "but got" in sentence and sentence[-1] in ".?"
    assert {path: path.stat().st_mtime for path in home.rglob("*")} == before
