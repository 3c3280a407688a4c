"""Forks from the command line: each intervention does what it says, to the bit; what is read,
shown, told of twins and resumed."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest

import learnmech as lm
from learnmech import interventions as events
from learnmech import report, rules
from learnmech.cli.app import call
from learnmech.errors import Refused
from learnmech.runs import blocks
from learnmech.runs import running as runs
from learnmech.system import state as states

pytestmark = pytest.mark.exact
MINE = """
watch = ["loss"]
architecture = {kind = "mlp", hidden = [4, 3], activation = "relu", bias = true}
data = {kind = "gaussian", n = 40, d = 3, k = 2}
rule = {kind = "adam", rate = 0.01}
clock = {steps = 24, every = 4}
"""
FLOW = (
    "architecture={kind='deep-linear',hidden=[2]} data.whitened=true"
    " initial={kind='aligned',strength=0.1} rule=gradient-flow clock={time=4.0,marks=9}"
)
RUNS = {
    "first": "seed=0",
    "other": "seed=1",
    "curved": "architecture.activation=tanh",
    "flow": FLOW,
}


def ask(line, status=0):
    """What a command gives as JSON."""
    out, beside = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(beside):
        assert call([*line.split(), "--json"]) == status, beside.getvalue()
    return json.loads(out.getvalue())


def files(folder):
    """Every file with its bytes, and every folder."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a run under Adam, one of another seed, one of a tanh network, a flow, and a
    fork of the first."""
    home = tmp_path_factory.mktemp("home")
    (home / "mine.toml").write_text(MINE)
    for name, changes in RUNS.items():
        ask(f"run {home}/mine.toml {changes} --out {home}/{name}")
    ask(f"fork {home}/first --at 12 --freeze layer1 --freeze layer2.weight[0,:] --out {home}/still")
    return home


@pytest.fixture
def fork(home, tmp_path, monkeypatch):
    """Fork a run by what is typed (without drawing it), and see that nothing else is written."""
    monkeypatch.setattr(report, "write", lambda *_: None)

    def forked(typed, run="first", at=12, status=0):
        before, out = files(home), tmp_path / str(len(list(tmp_path.iterdir())))
        ask(f"fork {home / run} --at {at} {typed.replace('HOME', str(home))} --out {out}", status)
        assert files(home) == before
        return lm.load(out)

    return forked


def held(record, step=12):
    """{address: array} of a state: parameters and memory."""
    return {name: np.asarray(array) for name, array in states.arrays_of(record.at(step)).items()}


def same(one, two):
    """Whether both hold the same arrays, to the bit."""
    return one.keys() == two.keys() and all(
        array.tobytes() == two[name].tobytes() for name, array in one.items()
    )


# What is typed, and the arrays that are then otherwise, from those of the parent there and of
# another run at step 17.
CHANGES = {
    "--perturb layer2.weight[1,2]=+0.1": lambda w, _: {
        "layer2.weight": w["layer2.weight"] + 0.1 * (np.arange(12) == 6).reshape(3, 4)
    },
    "--perturb layer1.weight[:,0]=-0.5": lambda w, _: {
        "layer1.weight": w["layer1.weight"] - 0.5 * (np.arange(3) == 0)
    },
    "--perturb layer1=*-2": lambda w, _: {
        name: w[name] * -2 for name in ("layer1.weight", "layer1.bias")
    },
    "--perturb memory.mu.layer1.weight=*0.5": lambda w, _: {
        "memory.mu.layer1.weight": w["memory.mu.layer1.weight"] * 0.5
    },
    "--reset-memory memory.nu.layer2": lambda w, _: {
        name: np.zeros_like(w[name]) for name in w if name.startswith("memory.nu.layer2.")
    },
    "--reset-memory memory": lambda w, _: {
        name: np.zeros_like(w[name]) for name in w if name.startswith("memory.")
    },
    "--transplant layer1=HOME/other@17": lambda w, other: {
        name: other[name] for name in ("layer1.weight", "layer1.bias")
    },
    "--transplant layer2.weight[:,0]=HOME/other@17": lambda w, o: {
        "layer2.weight": np.where(np.arange(4) == 0, o["layer2.weight"], w["layer2.weight"])
    },
    "--rescale layer1,layer2.weight=2": lambda w, _: {
        f"layer{i}": w[f"layer{i}"] * by
        for i, by in (("1.weight", 2), ("1.bias", 2), ("2.weight", 0.5))
    },
    "--event {kind='perturb',path='layer2.bias',values=[1,2,3]}": lambda w, _: {
        "layer2.bias": w["layer2.bias"] + np.arange(1.0, 4.0)
    },
    "--perturb layer3.bias=0.5 --perturb layer3.bias=-1 --perturb layer3.bias=*3": lambda w, _: {
        "layer3.bias": np.full(2, -1.5)
    },
    "--perturb layer3.bias=0.5 --perturb layer3.bias=*3 --perturb layer3.bias=-1": lambda w, _: {
        "layer3.bias": np.full(2, 0.5)
    },
}
MEANT = {
    "--set rule.rate=0.02 --relabel 3 --freeze layer1": (
        events.Change("rule.rate", 0.02),
        events.Relabel(shuffle=3),
        events.Freeze("layer1"),
    ),
    "--set rule={kind='sgd',rate=0.1} --push top-hessian=-0.2": (
        events.Swap(rules.SGD(rate=0.1)),
        events.Push("top-hessian", -0.2),
    ),
    "--ablate layer1.post[unit=2] --linearize --push gradient=1": (
        events.Patch("layer1.post[unit=2]"),
        events.Linearize(),
        events.Push("gradient", 1.0),
    ),
    "--event {kind='noise',at=16,seed=2} --transplant layer3.bias[0]=self@0": (
        events.Noise(seed=2, at=16),
        events.Perturb("layer3.bias[0]", "set", 0.0),
    ),
}


@pytest.mark.parametrize("typed", CHANGES)
def test_a_fork_begins_at_its_parents_state_with_what_was_typed_changed_in_order_and_nothing_else(
    home, fork, typed
):
    made, before = fork(typed), held(lm.load(home / "first"))
    assert same(
        held(made), before | CHANGES[typed](before, held(lm.load(home / "other"), 17))
    ) and not same(held(made), before)
    assert made["loss"]["step"].values.tolist() == [12, 16, 20, 24]


@pytest.mark.parametrize("typed", MEANT)
def test_a_fork_is_that_of_python_to_the_bit(home, fork, typed):
    made, python = fork(typed), lm.fork(lm.load(home / "first"), 12, MEANT[typed])
    assert same(held(made, 24), held(python, 24)) and not same(
        held(made, 24), held(lm.load(home / "first"), 24)
    )


def test_what_is_frozen_stands_still_until_it_is_thawed_with_the_memory_asked_for(home, fork):
    first, now = held(lm.load(home / "first")), held(lm.load(home / "still"), 24)
    assert all(np.array_equal(now[name], first[name]) for name in ("layer1.weight", "layer1.bias"))
    assert (
        np.array_equal(now["layer2.weight"][0], first["layer2.weight"][0])
        and (now["layer2.weight"][1:] != first["layer2.weight"][1:]).any()
    )
    for memory in ("hold", "reset"):
        thawed = fork(f"--thaw layer1 --memory {memory}", "still", 16)
        assert np.array_equal(
            held(thawed, 16)["memory.mu.layer1.weight"],
            first["memory.mu.layer1.weight"] * (memory == "hold"),
        )
        assert (held(thawed, 17)["layer1.weight"] != first["layer1.weight"]).any()


@pytest.mark.parametrize("path", ["layer2", "all"])
def test_noise_has_the_norm_asked_for_where_it_was_asked_for(home, fork, path):
    one, two = held(lm.load(home / "first")), held(fork(f"--noise {path}=0.3"))
    moved = {
        name: two[name] - array
        for name, array in one.items()
        if not np.array_equal(two[name], array)
    }
    assert set(moved) == {
        name for name in one if name.startswith("layer2." if path == "layer2" else "layer")
    }
    assert np.sqrt(sum(np.sum(shift**2) for shift in moved.values())) == pytest.approx(
        0.3, rel=1e-12
    )


@pytest.mark.parametrize(
    "option, value",
    [("--ablate layer1.post[unit=2]", 0.0), ("--patch layer1.post[unit=2]=0.5", 0.5)],
)
def test_a_patched_signal_is_seen_at_its_value_and_goes_on_from_there(fork, option, value):
    made = fork(f"{option} --watch layer1.post --watch output")
    assert (made["layer1.post"].values[..., 2] == value).all()
    w, X = held(made, 24), np.asarray(made.start.system.train.X)
    second = (
        np.where(
            np.arange(4) == 2, value, np.maximum(X @ w["layer1.weight"].T + w["layer1.bias"], 0)
        )
        @ w["layer2.weight"].T
        + w["layer2.bias"]
    )
    np.testing.assert_allclose(
        made["output"].values[-1],
        np.maximum(second, 0) @ w["layer3.weight"].T + w["layer3.bias"],
        rtol=1e-11,
        atol=1e-14,
    )


def test_a_rescaling_leaves_the_outputs_and_a_longer_clock_the_steps_there_were(home, fork):
    first, longer = lm.load(home / "first"), fork("--set clock.steps=32")
    outputs = [
        record.read("output", [12])["output"].values
        for record in (first, fork("--rescale layer1,layer2.weight=3"))
    ]
    np.testing.assert_allclose(*outputs, rtol=1e-13, atol=1e-14)
    assert longer["loss"]["step"].values[-1] == 32 and same(held(longer, 24), held(first, 24))


def test_a_fork_of_a_flow_leaves_it_at_a_mark_and_the_domain_of_its_theory(home, fork):
    made, flow = fork("--perturb layer1.weight=*1.5", "flow", 2.0), lm.load(home / "flow")
    assert np.array_equal(
        made.at(2.0).params["layer1"]["weight"], flow.at(2.0).params["layer1"]["weight"] * 1.5
    )
    verdicts = [
        ask(f"compare {folder} decoupled")["verdict"] for folder in (home / "flow", made.folder)
    ]
    assert verdicts == ["holds", "outside domain"]


def test_runs_are_shown_as_the_tree_of_their_forks(home, capsys, monkeypatch):
    parent = {entry["folder"]: entry["parent"] for entry in ask(f"runs --out {home}")["runs"]}
    assert parent[f"{home}/first"] is None and (
        parent[f"{home}/still"]["folder"],
        parent[f"{home}/still"]["at"],
    ) == (f"{home}/first", 12)
    assert (
        ask(f"show {home}/still")["result"]["claim"]
        == "At 12: freeze layer1, freeze layer2.weight[0,:]"
    )
    monkeypatch.chdir(home)
    assert call(["runs", "--out", "."]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[
        next(place for place, line in enumerate(lines) if line.startswith("first ")) + 1
    ].startswith("└ still  (from first at 12)")


def test_what_was_not_watched_is_read_and_twins_are_told_written_and_drawn(home, tmp_path):
    first, flow = lm.load(home / "first"), lm.load(home / "flow")
    said = ask(f"read {home}/first layer2.weight[1,2] --steps 7,0:24:8 --out {tmp_path}/a.csv")
    assert (
        said["at"]
        == np.genfromtxt(tmp_path / "a.csv", delimiter=",", skip_header=1)[:, 0].tolist()
        == [0, 7, 8, 16, 24]
    )
    assert said["quantities"]["layer2.weight[1,2]"]["values"] == [
        held(first, step)["layer2.weight"][1, 2] for step in said["at"]
    ]
    assert (
        set(ask(f"read {home}/first norms --out {tmp_path}/b.nc")["quantities"])
        >= {"weight_norm", "gradient_norm"}
        and (tmp_path / "b.nc").exists()
    )
    said = ask(f"read {home}/flow layer1.weight[0,0] --steps 0.5:2:0.5")
    assert said["at"] == [0.5, 1, 1.5, 2] and said["quantities"]["layer1.weight[0,0]"]["values"][
        -1
    ] == float(flow.at(2.0).params["layer1"]["weight"][0, 0])
    far = lm.twins(first, lm.load(home / "still"))
    for name in ("c.csv", "c.png"):
        said = ask(f"twins {home}/first {home}/still --out {tmp_path / name}")["twins"]
        assert (tmp_path / name).stat().st_size > 0
    assert said["distance"][1] == far["distance"].values[-1] and (said["first"], said["last"]) == (
        16,
        24,
    )
    assert [one["share"] for one in said["layers"].values()] == far["weight_share"].values[
        -1
    ].tolist()


def test_a_fork_cut_short_is_resumed_to_the_same_bits(fork, monkeypatch):
    whole, stream = fork("--perturb layer1=*2"), runs.stream

    def interrupted(*given, **knobs):
        flushes = stream(*given, **knobs)
        yield from (next(flushes), next(flushes))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runs, "stream", interrupted)
        patch.setattr(blocks, "MARKS", 2)
        cut = fork("--perturb layer1=*2", status=130)
    assert cut.reached < whole.reached and not ask(f"resume {cut.folder}")["interrupted"]
    assert lm.load(cut.folder).dataset.identical(whole.dataset) and same(
        held(lm.load(cut.folder), 24), held(whole, 24)
    )


@pytest.mark.parametrize("change", ["clock.marks=17", "clock.time=8"])
def test_a_fork_of_a_flow_goes_on_from_its_time_on_marks_of_its_own(home, fork, change):
    made, parent = fork(f"--set {change}", "flow", 1), lm.load(home / "flow")
    times = made["loss"].time.values
    assert times[0] == 1 and float(made["loss"][0]) == float(parent["loss"].sel(time=1.0))
    shared = np.intersect1d(times, parent["loss"].time.values)
    assert len(shared) > 3
    np.testing.assert_allclose(
        made["loss"].sel(time=shared), parent["loss"].sel(time=shared), rtol=1e-5
    )


def cut(monkeypatch, count):
    """Ctrl-C comes after so many blocks of two marks."""
    whole = runs.stream

    def stopped(*args, **kwargs):
        flow = whole(*args, **kwargs)
        for _ in range(count):
            yield next(flow)
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "stream", stopped)
    monkeypatch.setattr(blocks, "MARKS", 2)


def test_a_fork_that_was_stopped_and_resumed_is_said_to_be_whole(home, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        cut(patched, 2)
        assert ask(
            f"fork {home}/first --at 8 --perturb layer1.weight=+0.1 --out {tmp_path}/cut", 130
        )["interrupted"]
    assert not ask(f"resume {tmp_path}/cut")["interrupted"]
    assert (
        not lm.load(tmp_path / "cut").result["interrupted"]
        and "interrupted" not in (tmp_path / "cut" / "report.html").read_text()
    )


def test_runs_shows_forks_of_one_experiment_made_in_one_second_each_once(home, tmp_path, capsys):
    parent = lm.run(lm.load(home / "first").experiment, folder=tmp_path / "a")
    for name in "bc":
        lm.fork(parent, 12, (), folder=tmp_path / name)
    assert [len(ask(f"runs --out {tmp_path}")["runs"]), call(["runs", "--out", str(tmp_path)])] == [
        3,
        0,
    ]
    shown = capsys.readouterr().out
    assert shown.count("(from a at 12)") == 2 and "3 runs" in shown


def test_names_in_brackets_and_with_dots_are_shown_and_made_as_they_are(
    home, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert (
        call(
            [
                "fork",
                str(home / "first"),
                "--at",
                "12",
                "--watch",
                "layer1.post[unit=0]",
                "--out",
                "x[red]y0.1",
                "--quiet",
            ]
        )
        == 0
    )
    assert call(["show", "x[red]y0.1"]) == 0 and call(["runs", "--out", "."]) == 0
    assert capsys.readouterr().out.count("x[red]y0.1") >= 3
    for _ in range(2):
        assert call(["fork", "x[red]y0.1", "--at", "12", "--quiet"]) == 0
    monkeypatch.chdir("x[red]y0.1")
    assert call(["fork", ".", "--at", "12", "--quiet"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "x[red]y0.1",
        "x[red]y0.1-fork",
        "x[red]y0.1-fork-2",
        "x[red]y0.1-fork-3",
    ]


def test_a_count_in_the_memory_can_be_watched(fork):
    assert fork("--watch memory.count")["memory.count"].values.tolist() == [12, 16, 20, 24]


def test_a_push_along_a_gradient_that_is_zero_moves_nothing(fork):
    made = fork("--ablate output --push gradient=0.1")
    assert all(np.isfinite(leaf).all() for leaf in made.final.values())


def test_a_slice_is_transplanted_by_the_name_of_its_axis(home, fork):
    made = fork("--transplant layer1.weight[out=0]=self@4").at(12).params["layer1"]["weight"]
    donor = lm.load(home / "first").at(4).params["layer1"]["weight"]
    np.testing.assert_array_equal(made[0], donor[0])


def test_what_changes_its_size_on_the_way_is_read_apart(home):
    made = lm.fork(lm.load(home / "first"), 12, (events.Change("data.n", 30, at=16),))
    assert (
        made.read("output", 14)["output"].shape[1] == 40
        and made.read("output", 20)["output"].shape[1] == 30
    )
    with pytest.raises(Refused, match="readings of one size"):
        made.read("output", (14, 20))


def test_a_rescaling_is_a_symmetry_whatever_the_weights_are_now(home):
    with pytest.raises(
        Refused, match="a symmetry of the network"
    ):  # the biases of layer2 are zero at the start, which hides that it is none
        lm.fork(lm.load(home / "first"), 0, (events.Rescale("layer1", "layer2", 2.0),))
