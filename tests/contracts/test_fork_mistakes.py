"""Mistakes in fork, resume, read and twins: each is answered in one sentence with the remedy,
and nothing is left behind."""

import re

import pytest

import learnmech as lm
from learnmech.cli.app import call
from learnmech.errors import Refused

MINE = """
watch = ["loss"]
architecture = {kind = "mlp", hidden = [4, 3]}
data = {kind = "gaussian", n = 16, d = 3, k = 2}
rule = {kind = "adam", rate = 0.01}
clock = {steps = 8, every = 4}
"""
SHAPE = re.compile(r"^\S.* needs \S.*, but got .+\. [A-Z-].*[.?]$")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a run, one of another network that flows, and a fork of the first."""
    home = tmp_path_factory.mktemp("home")
    (home / "mine.toml").write_text(MINE)
    (home / "huge.toml").write_text(
        MINE.replace('["loss"]', '["weights"]')
        .replace("[4, 3]", "[3000, 3000]")
        .replace("steps = 8, every = 4", "steps = 10000000")
    )
    flow = ("architecture.hidden=[5]", "rule=gradient-flow", "clock={time=4.0,marks=9}")
    for name, changes in (("first", ()), ("flow", flow)):
        assert (
            call(["run", str(home / "mine.toml"), *changes, "--out", str(home / name), "--json"])
            == 0
        )
    assert (
        call(
            [
                "fork",
                str(home / "first"),
                "--at",
                "4",
                "--freeze",
                "layer1",
                "--out",
                str(home / "still"),
                "--json",
            ]
        )
        == 0
    )
    return home


AT_4 = {
    "--perturb layer2.wieght=1": "Did you mean layer2.weight",
    "--perturb layer2.weight[9,0]=1": "layer2.out from 0 to 2, but got 9",
    "--perturb layer1": "a path and a value",
    "--perturb layer1=much": "a number, but got 'much'",
    "--perturb layer1=nan": "a finite number",
    "--freeze layer4": "Did you mean layer",
    "--transplant layer1=other": "a run and a step",
    "--transplant layer1=self@9": "a whole step from 0 to 8",
    "--transplant layer1=HOME/none@5": "a run folder",
    "--transplant layer1=HOME/flow@2": "of shape (4, 3)",
    "--rescale layer1,layer2=2": "a symmetry of the network",
    "--set rule.rat=1": "Did you mean rule.rate",
    "--set architecture.hidden=[9]": "a knob of rule, data or loss",
    "--set rule=gradient-flow": "a rule that steps",
    "--set data.d=5": "data of 3 inputs",
    "--set clock.steps=-1": "steps >= 1",
    "--set clock.steps=2": "a clock of at least 4 steps, but got 2",
    "--set data.n=10 --watch output": "readings of one size",
    "--set rule": "a path and a value",
    "--linearize --ablate layer1.post": "Patch before it is linearized",
    "--ablate layer1.weight": "Did you mean layer1.pre",
    "--noise all=0": "size > 0",
    "--push up=1": "top-hessian, gradient",
    "--reset-memory layer1": "memory.mu.layer1.weight",
    "--relabel x": "a whole number",
    "--event noise": "an inline table",
    "--event {kind='nois'}": "Did you mean noise",
    "--event {kind='noise',at=2}": "events at 4 or later",
    "--event {kind='noise',at=0}": "at = 4 or later",
    "--watch layer1.wight": "Did you mean layer1.weight",
    "--watch loss": "every quantity once",
    "--until lost<1": "Did you mean loss",
    "--until lost<1 --out HOME/not/made": "Did you mean loss",
    "--thaw": "expected one argument",
    "--out HOME/first": "a path that does not exist yet",
}
WHOLE = {
    "fork HOME/first --at 7.5": "a whole step from 0 to 8, but got 7.5",
    "fork HOME/first --at 9": "a whole step from 0 to 8, but got 9",
    "fork HOME/first": "--at",
    "fork HOME/none --at 4": "a run folder",
    "fork HOME/still --at 2": "a whole step from 4 to 8",
    "fork HOME/flow --at 1.3 --perturb layer1=*2": "the time of a mark",
    "fork HOME/flow --at 1 --set rule=sgd": "a rule that flows",
    "fork HOME/flow --at 1 --set clock.marks=8": "a clock with a mark at 1, where it begins",
    "fork HOME/first --at 4 --nudge layer1=1": "'--nudge'",
    "resume HOME/first": "a run that is not finished",
    "resume HOME/none": "a run folder",
    "read HOME/first layer1.weight --steps 9": "a whole step from 0 to 8",
    "read HOME/first layer1.weight --steps 1,two": "--steps needs steps, but got 'two'",
    "read HOME/first layer1.weight --steps 0:8:0": "--steps needs steps",
    "read HOME/first layer1.weight --steps 0:1e12": "--steps needs steps",
    "read HOME/first layer1.weight --steps 0:inf": "--steps needs steps",
    "read HOME/first layer1.wight": "Did you mean layer1.weight",
    "read HOME/first norm": "Did you mean norms",
    "read HOME/flow layer1.weight --steps 1.3": "Choose 1.5",
    "read HOME/first loss --out HOME/first.txt": "ending in",
    "read HOME/first loss --out HOME/mine.toml": "a file that does not exist yet",
    "twins HOME/first HOME/flow": "two runs of one architecture",
    "twins HOME/first HOME/still --steps 2": "a whole step from 4 to 8",
    "twins HOME/first HOME/none": "a run folder",
    "twins HOME/first HOME/still --out HOME/none/far.png": "a place to write",
    "run HOME/huge.toml clock.every=100 --out HOME/new": "TB of readings",
}


@pytest.mark.parametrize("line", [*AT_4, *WHOLE])
def test_a_mistake_is_answered_in_one_sentence_and_nothing_is_left_behind(home, capsys, line):
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    typed = (
        line
        if line in WHOLE
        else f"fork HOME/first --at 4 {line}" + ("" if "--out" in line else " --out HOME/new")
    )
    assert call([*typed.replace("HOME", str(home)).split(), "--quiet"]) == 2
    said = capsys.readouterr()
    assert SHAPE.match(said.err.strip()) and "\n" not in said.err.strip() and not said.out, said
    assert (AT_4 | WHOLE)[line] in said.err
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before


def test_a_folder_stands_for_its_record_and_nothing_else_does(home):
    record = lm.load(home / "first")
    assert lm.twins(home / "first", str(home / "still")).identical(
        lm.twins(record, lm.load(home / "still"))
    )
    assert (
        lm.fork(home / "first", 4, ()).params["layer1"]["weight"].tobytes()
        == lm.fork(record, 4, ()).params["layer1"]["weight"].tobytes()
    )
    for ask in (
        lambda: lm.fork(3, 4, ()),
        lambda: lm.twins(record, None),
        lambda: lm.staircase([1]),
        lambda: lm.resume(3),
        lambda: lm.fork("none", 4, ()),
    ):
        with pytest.raises(Refused, match="record|run folder"):
            ask()


@pytest.mark.parametrize(
    "knob", ["rule.rte=0.1,0.2", "rule.rate=0.1,x", "architecture.hidden=[4],[0]"]
)
def test_a_mistake_in_a_sweep_is_answered_by_its_sentence_alone(home, capsys, knob):
    assert call(["sweep", str(home / "mine.toml"), knob, "--out", str(home / "grid")]) == 2
    said = capsys.readouterr()
    assert (
        SHAPE.match(said.err.strip())
        and "\n" not in said.err.strip()
        and not said.out
        and not (home / "grid").exists()
    )
