"""The command line: every command, its JSON, and what it says to a mistake."""

import json
import shutil

import pytest

from learnmech.cli.app import call
from learnmech.rules import HeavyBall

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
    assert {
        "experiment.toml",
        "record",
        "final.npz",
        "run.json",
        "figure.svg",
        "report.html",
    } <= names
    assert not [path for path in home.iterdir() if path.name.startswith(".")]


def test_show_compare_and_export_read_it_back(home, said):
    assert "loss" in said("show", home / "first")[1]["quantities"]
    status, result = said("compare", home / "first", "decoupled")
    assert status == 0 and result["verdict"] == "holds" and result["conditions"]
    assert said("compare", home / "first", home / "first")[1]["rows"][0]["error"] == 0
    for name in ("out.csv", "out.nc"):
        assert said("export", home / "first", home / name)[1]["bytes"] > 0
    header, first, *_ = (home / "out.csv").read_text().splitlines()
    assert header.startswith("time,loss,mode_strength[mode=1]") and len(header.split(",")) == len(
        first.split(",")
    )


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
    _, result = said(
        "sweep",
        home / "mine.toml",
        "initial.strength=0.01,0.1",
        "--seeds",
        "2",
        "--out",
        home / "grid",
    )
    assert [row["at"]["initial.strength"] for row in result["rows"]] == [0.01, 0.1]
    assert (
        said(
            "sweep",
            home / "mine.toml",
            "initial.strength=0.01,0.1",
            "--seeds",
            "2",
            "--out",
            home / "grid",
        )[1]["backend"]
        == "kept"
    )
    assert [file.name for file in (home / "grid").glob("*.nc")] == ["sweep.nc"]
    # another sweep in the same folder has a file of its own
    assert said(
        "sweep", home / "mine.toml", "initial.strength=0.01", "--seeds", "2", "--out", home / "grid"
    )[1]["file"].endswith("sweep-2.nc")


def test_list_describes_one_part_with_its_knobs(said):
    _, result = said("list", "rules", "heavy-ball")
    momentum = result["knobs"]["momentum"]
    assert momentum == {
        "default": "0.9",
        "choices": "",
        "bounds": ">= 0 < 1",
        "meaning": HeavyBall.__dataclass_fields__["momentum"].metadata["meaning"],
    }
    assert "Polyak" in result["text"] and "Knobs:" not in result["text"]


def test_runs_lists_and_deletes(home, said):
    shutil.copytree(home / "first", home / "copy")
    before = {entry["folder"] for entry in said("runs", "--out", home)[1]["runs"]}
    assert said("runs", "--out", home, "--delete", "copy")[0] == 0
    after = {entry["folder"] for entry in said("runs", "--out", home)[1]["runs"]}
    assert before - after == {str(home / "copy")}


def test_a_diverging_run_finishes_and_says_why(home, said):
    status, result = said(
        "run",
        home / "mine.toml",
        "rule={kind='gradient-descent', rate=50.0}",
        "clock={steps=5000}",
        "--out",
        home / "wild",
    )
    assert status == 0
    assert "diverged at step" in result["notes"][0] and "2/sharpness" in result["notes"][0]
    assert "loss" in said("show", home / "wild")[1]["quantities"]


def test_a_guest_part_is_listed_used_and_checked(home, said, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import jax.numpy as jnp\n"
        "from learnmech.instruments.base import Instrument\n"
        "from learnmech.language.quantity import Quantity\n"
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
    ["list", "rules", "adm"],
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
    ["run", "{home}/mine.toml", "--out", "{home}/" + 300 * "x"],
    ["runs", "--out", "{home}/nowhere"],
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
    ["run", "{home}/mine.toml", "--until", ""],
    ["run", "{home}/mine.toml", "--until", "loss<nan"],
    ["run", "{home}/mine.toml", "clock.every=3"],
    ["run", "{home}/mine.toml", "clock.marks=1000000000000"],
    ["run", "{home}/mine.toml", "data.n=1000000000000"],
    ["run", "{home}/mine.toml", "architecture.hidden=[100000000000000000000]"],
    ["run", "{home}/mine.toml", "data={kind='hierarchy', levels=60}"],
    ["run", "saxe-modes", "data.n=4"],
    ["compare", "{home}/first", "decoupled", "--tolerance", "-1"],
    ["sweep", "{home}/mine.toml", "seed=0,0"],
    ["sweep", "{home}/mine.toml", "data.n=lin(0,1,inf)"],
]


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_a_mistake_is_answered_in_one_sentence_with_the_remedy(home, capsys, words):
    before = {path: path.stat().st_mtime for path in home.rglob("*")}
    assert call([word.replace("{home}", str(home)) for word in words]) == 2
    sentence = capsys.readouterr().err.strip()
    assert (
        "\n" not in sentence
        and " needs " in sentence
        and "but got" in sentence
        and sentence[-1] in ".?"
    )
    assert {path: path.stat().st_mtime for path in home.rglob("*")} == before


def test_whatever_applies_is_laid_over_a_run_that_names_no_theory(home, said):
    plain = home / "plain.toml"
    plain.write_text(
        "\n".join(line for line in MINE.splitlines() if not line.startswith(("watch", "theories")))
    )
    _, result = said("run", plain, "--out", home / "plain")
    verdicts = {one["theory"]: one["verdict"] for one in result["comparisons"]}
    assert set(verdicts) >= {"Decoupled", "EndToEnd", "LambdaBalanced", "Conservation"}
    assert set(verdicts.values()) == {"holds"}, verdicts


def test_a_run_far_from_a_named_theory_is_outside_its_domain(home, said):
    status, result = said(
        "run",
        home / "mine.toml",
        "architecture={kind='mlp', hidden=[4]}",
        "initial={kind='gaussian'}",
        "--until",
        "loss<0",
        "--out",
        home / "tanh",
    )
    assert (status, result) == (
        2,
        {"error": result["error"]},
    )  # end-to-end is watched, which a tanh network has not
    text = home / "tanh.toml"
    text.write_text(
        MINE.replace('"mode-strengths", "end-to-end"', '"mode-strengths"')
        .replace("deep-linear", "mlp")
        .replace('kind = "aligned"\nstrength = 0.01', 'kind = "gaussian"')
    )
    assert (
        said("run", text, "--out", home / "tanh")[1]["comparisons"][0]["verdict"]
        == "outside domain"
    )


def test_a_swept_seed_gives_a_row_a_seed_and_json_stays_json(home, said, capsys):
    _, result = said("sweep", home / "mine.toml", "seed=0,1", "--out", home / "seeds")
    assert [row["at"]["seed"] for row in result["rows"]] == [0, 1] and result["rows"][0]["loss"][
        "sem"
    ] is None


def test_a_shorter_run_of_a_sweep_says_its_own_last_value(home, said):
    _, result = said("sweep", home / "mine.toml", "clock.marks=5,11", "--out", home / "lengths")
    assert all(row["loss"]["mean"] is not None for row in result["rows"])


@pytest.mark.parametrize("name", ["run.json", "experiment.toml", "final.npz", "record"])
def test_a_damaged_run_folder_is_named_and_never_read_as_numbers(home, capsys, name, tmp_path):
    shutil.copytree(home / "first", tmp_path / "damaged")
    target = tmp_path / "damaged" / name
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.write_bytes(target.read_bytes()[:20])
    assert call(["show", str(tmp_path / "damaged")]) == 2
    assert " needs " in capsys.readouterr().err
    assert call(["runs", "--out", str(tmp_path), "--json"]) == 0


def test_an_interrupted_run_keeps_its_whole_blocks_and_says_so(home, monkeypatch, capsys):
    from learnmech.runs import blocks
    from learnmech.runs import running as runs

    stream = runs.stream

    def interrupted(*given, **knobs):
        yield next(stream(*given, **knobs))
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "stream", interrupted)
    monkeypatch.setattr(blocks, "MARKS", 5)
    assert call(["run", str(home / "mine.toml"), "--out", str(home / "cut"), "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["notes"] == ["interrupted after 5 of 21 marks"]
    assert call(["show", str(home / "cut")]) == 0
