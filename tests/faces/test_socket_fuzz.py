"""What is no command ends no lab, and writes nothing outside its run folders."""

import json
import random
import string

import pytest
from lookers import EXPERIMENT
from served import Served, ask, said

from learnmech.errors import Refused
from learnmech.lab.commands import ASKED, checked
from learnmech.lab.safety import Limits

MESSAGES = 10_000
SEED = 19
ODD = (
    None, True, False, 0, -1, 1, 0.5, 1e308, -1e308, 2**63, 2**200, "", "x", "..", "../../etc/passwd",
    "/etc/passwd", "\x00", "\ud800", "layer1.weight", "layer1.weight[0,1]", "rule.rate", "b1", "b999",
    "regression", "curves", "weights", "loss", [], [[]], [1, 2], ["b1", "b1"], [[0, 1], [1, 0]], {},
    {"kind": "add"}, {"kind": "perturb", "path": "layer1", "value": 1e400}, {"quantity": "loss"},
    {"a": {"b": {"c": []}}}, "python = 'os.system'", "[architecture]\nkind = 'mlp'\n", "a" * 5000,
    {"kind": "freeze", "address": "../x", "index": [0]}, {"row": -5}, "toml", "folder", "link",
)  # fmt: skip


def odd(dice, depth=0):
    """Some value that nobody asked for."""
    if depth < 3 and dice.random() < 0.15:
        names = dice.sample(string.ascii_letters, dice.randint(0, 4))
        return {name: odd(dice, depth + 1) for name in names}
    if depth < 3 and dice.random() < 0.1:
        return [odd(dice, depth + 1) for _ in range(dice.randint(0, 4))]
    return dice.choice(ODD)


# what begins a run, or takes long where it happens to be meant well
SAFE = [name for name in ASKED if name not in ("open", "lesson", "hello", "undo")]


def message(dice):
    """A message of some wrong kind, as text or bytes."""
    kind = dice.random()
    if kind < 0.15:
        return "".join(dice.choices(string.printable, k=dice.randint(0, 200)))
    if kind < 0.2:
        return dice.randbytes(dice.randint(0, 200))
    if kind < 0.25:
        return json.dumps(odd(dice))
    if kind < 0.27:
        return "[" * 3000 + "]" * 3000
    if kind < 0.28:
        return '{"do":"open","text":"' + "a" * 70_000 + '"}'
    if kind < 0.3:
        return '{"do":"seek","branch":"b1","position":NaN,"position":Infinity,"id":-0}'
    name = dice.choice([*SAFE, "open", "lesson", "__init__", "do_play", "", 7])
    fields = {field.removesuffix("?"): odd(dice) for field in ASKED.get(name, ())}
    if name == "open":
        fields = {"subject": dice.choice(("..", "/etc", "none", "\x00", 5)), "text": None}
        if dice.random() < 0.5:
            fields = {
                "text": dice.choice(("", "=", "[a]\nb=1", "x" * 3000, "data = 3")),
                "subject": 3,
            }
            fields["subject"] = None
    if name == "lesson":
        fields = {"name": odd(dice), "step": dice.choice((-1, 10**9, "x"))}
    if fields and dice.random() < 0.2:
        fields.pop(dice.choice(list(fields)))
    return json.dumps({"do": name, "id": odd(dice), **fields})


def everything_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_no_message_ends_the_server_or_writes_outside_its_runs(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    served = Served(tmp_path / "runs", Limits(rate=10**9))
    dice = random.Random(SEED)
    try:
        with served.socket() as ws:
            opened, _ = ask(ws, "open", text=EXPERIMENT)
            ask(ws, "step", count=10)
            for part in range(20):
                for _ in range(MESSAGES // 20):
                    ws.send(message(dice))
                answer, _ = ask(ws, "select", branch=opened["branch"])  # it answers still
                assert answer["is"] in ("status", "error"), part
        # and others are not held up
        with served.socket() as other:
            assert ask(other, "hello")[0]["is"] == "welcome"
            opened, _ = ask(other, "open", text=EXPERIMENT)
            ask(other, "play", branch=opened["branch"])
            ended = said(other, lambda m: m.get("status") == "finished")
            assert ended[0]["branch"] == opened["branch"]
    finally:
        served.end()
    assert everything_in(tmp_path) - {
        f"runs/{name}" for name in everything_in(tmp_path / "runs")
    } <= {"home", "runs"}
    assert all(
        path.is_dir() and (path / "run.json").is_file() for path in (tmp_path / "runs").iterdir()
    )


def test_who_asks_too_fast_is_told_and_held_up(tmp_path):
    served = Served(tmp_path / "runs", Limits(rate=20))
    try:
        with served.socket() as ws:
            for _ in range(30):
                ws.send('{"do": "leave"}')
            told, _ = said(ws, lambda m: m["is"] == "error")
            assert "at most 20 messages a second" in told["said"]
            assert ask(ws, "hello")[0]["is"] == "welcome"
    finally:
        served.end()


GOOD = {"whole": 1, "number": 0.5, "text": "x", "flag": True, "table": {}, "list": [], "value": 1}


@pytest.mark.parametrize("name", ASKED)
def test_every_field_of_every_command_is_held_to_what_it_is(name):
    fields = {field.removesuffix("?"): kind for field, kind in ASKED[name].items()}
    good = {"do": name} | {field: GOOD[kind] for field, kind in fields.items()}
    assert checked(good) == good
    for field, kind in fields.items():
        if kind != "value":
            with pytest.raises(Refused, match=f"The command {name} needs {field}, a {kind}"):
                checked(good | {field: object()})
