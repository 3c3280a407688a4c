"""The lab's session without a socket: what is played, changed and looked at is what the same run
gives by the library, to the bit."""

import shlex
import time

import numpy as np
import pytest
from lookers import EXPERIMENT, Looker

import learnmech as lm
from learnmech import interventions
from learnmech.cli.commands import understood
from learnmech.errors import Refused
from learnmech.lab import drawn, exports, panels
from learnmech.lab.frames import packed, thinned, unpacked
from learnmech.lab.session import Session
from learnmech.record import sealed
from learnmech.verbs.forks import events_of

PERTURB = {"kind": "add", "address": "layer1.weight", "index": [0, 1], "value": 0.5}


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """The same run by the library."""
    file = tmp_path_factory.mktemp("text") / "experiment.toml"
    file.write_text(EXPERIMENT)
    return lm.run(file)


@pytest.fixture
def session(tmp_path):
    made = Session(tmp_path / "runs")
    yield made
    made.end()


@pytest.fixture
def looker(session):
    return Looker(session)


@pytest.fixture
def opened(looker):
    said, _ = looker.ask("open", text=EXPERIMENT)
    assert said["is"] == "opened", said
    return said


def branch_of(session, said):
    return session.branches[said["branch"]]


def played(looker, name):
    looker.ask("play", branch=name)
    return looker.ended(name)


def test_what_is_opened_says_all_that_can_be_looked_at_and_taken_hold_of(looker, opened, record):
    assert opened["fingerprint"] == record.experiment.fingerprint
    assert [one["name"] for one in opened["quantities"]] == ["loss", "layer1.weight"]
    assert opened["quantities"][1]["every"] == 5
    knobs = {one["path"]: one for one in opened["knobs"]}
    assert knobs["rule.rate"]["kind"] == "number" and knobs["rule.rate"]["log"]
    assert not knobs["rule.rate"]["structural"] and knobs["architecture.hidden"]["structural"]
    assert "adam" in knobs["rule"]["choices"] and knobs["precision"]["choices"]
    assert {"layer1.weight"} <= {one["address"] for one in opened["addresses"]}
    assert {"regression"} <= {one["name"] for one in opened["theories"]}
    assert opened["laid"] == ["regression"]


def test_played_by_steps_and_marks_it_is_the_run_to_the_bit(session, looker, opened, record):
    branch, name = branch_of(session, opened), opened["branch"]
    looker.ask("step", count=7)
    assert looker.rests(name)["position"] == 7 and branch.course.reached == 3
    looker.ask("mark", count=2)
    looker.until(lambda one: one.get("reached") == 5 and one.get("status") == "paused")
    assert branch.course.reached == 5
    looker.ask("speed", marks_per_second=2000)
    assert played(looker, name)["status"] == "finished"
    assert branch.folder.is_dir() and branch.record.folder == branch.folder
    for quantity in ("loss", "layer1.weight"):
        np.testing.assert_array_equal(branch.record[quantity], record[quantity])
        np.testing.assert_array_equal(branch.course.readings(quantity).values, record[quantity])
    for path, leaf in record.final.items():
        np.testing.assert_array_equal(branch.record.final[path], leaf)


def test_dragged_back_it_is_the_state_that_was_to_the_bit(session, looker, opened, record):
    name, branch = opened["branch"], branch_of(session, opened)
    looker.ask("step", count=40)
    looker.rests(name)
    looker.ask("panel", panel="w", kind="weights", spec={"address": "layer1.weight"})
    for position in (25, 4, 39):
        looker.got.clear()
        looker.ask("seek", branch=name, position=position)
        said, (values,) = looker.until(lambda s: s["is"] == "moment" and s["panel"] == "w")
        assert said["position"] == position and said["shape"] == [2, 4]
        state = panels.here(branch, position).checkpoint.state
        was = np.asarray(record.at(position).params["layer1"]["weight"])
        np.testing.assert_array_equal(state.params["layer1"]["weight"], was)
        np.testing.assert_array_equal(values, was.astype(np.float32))
    # forward again it goes on from where it stood
    looker.ask("live", branch=name)
    assert branch.position == 40 and played(looker, name)["status"] == "finished"
    np.testing.assert_array_equal(branch.record["loss"], record["loss"])


def test_an_event_is_a_fork_to_the_bit_and_undone_it_is_gone(session, looker, opened, record):
    name = opened["branch"]
    played(looker, name)
    child, _ = looker.ask("event", branch=name, at=30, event=PERTURB)
    assert child["parent"] == name and child["at"] == 30
    played(looker, child["branch"])
    perturbed = interventions.Perturb("layer1.weight[0,1]", "add", 0.5)
    forked = lm.fork(record, 30, (perturbed,))
    made = session.branches[child["branch"]]
    assert made.record.experiment.fingerprint == forked.experiment.fingerprint
    np.testing.assert_array_equal(made.record["loss"], forked["loss"])
    np.testing.assert_array_equal(made.record.final["layer1.weight"], forked.final["layer1.weight"])
    # and so far apart as `lm.twins` says
    said, buffers = looker.ask("beside", branches=[name, child["branch"]])
    apart = lm.twins(record, forked)
    for quantity in ("distance", "weight_distance", "function_distance", "growth_rate"):
        np.testing.assert_array_equal(buffers[said[quantity]], apart[quantity].values)
    np.testing.assert_array_equal(buffers[said["x"]], apart["step"].values)
    tree, _ = looker.ask("undo", branch=child["branch"])
    assert tree["selected"] == name and [one["branch"] for one in tree["branches"]] == [name]
    assert made.folder.is_dir()  # what was run is kept


def test_a_knob_is_turned_on_the_way_or_in_a_new_root(session, looker, opened):
    name = opened["branch"]
    looker.ask("step", count=20)
    looker.rests(name)
    turned, _ = looker.ask("turn", branch=name, at=20, path="rule.rate", value=0.05)
    assert [one["kind"] for one in turned["events"]] == ["change"] and turned["parent"] == name
    knobs = {one["path"]: one["value"] for one in turned["knobs"]}
    assert knobs["rule.rate"] == 0.05
    swapped, _ = looker.ask("turn", branch=name, at=20, path="rule", value="adam")
    assert [one["kind"] for one in swapped["events"]] == ["swap"]
    other, _ = looker.ask("turn", branch=name, at=20, path="architecture.hidden", value="(3,)")
    assert other["parent"] is None and other["events"] == [] and other["status"] == "ready"
    again, _ = looker.ask("turn", branch=name, at=0, path="rule.rate", value=0.05)
    assert again["parent"] is None
    wrong, _ = looker.ask("turn", branch=name, at=20, path="rule.rate", value=-1)
    assert wrong["is"] == "error" and "rate > 0" in wrong["said"]


def test_a_theory_lies_ahead_of_the_run_as_it_is_predicted(session, looker, opened, record):
    name = opened["branch"]
    answer, _ = looker.ask("theory", branch=name, theory="regression", on=True)
    said, buffers = looker.until(lambda s: s["is"] == "lines" and s["quantity"] == "loss")
    foretold = lm.predict(record.start, session.branches[name].theories[0])
    np.testing.assert_array_equal(buffers[0][:, 0], foretold["loss"].values.astype(np.float32))
    played(looker, name)
    said, buffers = looker.until(
        lambda s: s["is"] == "errors" and s["quantity"] == "loss" and s["verdict"] == "within"
    )
    compared = lm.compare(record, session.branches[name].theories[0])
    assert said["largest"] == pytest.approx(compared.row("loss").error, abs=1e-12)
    unknown, _ = looker.ask("theory", branch=name, theory="magic", on=True)
    assert unknown["is"] == "error"


def test_every_export_makes_the_same_experiment(session, looker, opened, tmp_path):
    name = opened["branch"]
    looker.ask("step", count=10)
    looker.rests(name)
    child, _ = looker.ask("event", branch=name, at=6, event=PERTURB)
    looker.ask("step", branch=child["branch"], count=3)
    for said in (opened, child):
        texts = {
            form: looker.ask("export", branch=said["branch"], **{"as": form})[0].get("text", "")
            for form in exports.FORMS
        }
        made = said["fingerprint"]
        assert lm.Experiment.parse(texts["toml"]).fingerprint == made
        names: dict = {}
        exec(texts["python"].replace("record = ", "seen = lambda: "), names)
        assert names["experiment"].fingerprint == made
        assert exports.text_of_link(texts["link"]) == texts["toml"]
        assert "token" not in "".join(texts.values())
    asked = understood(shlex.split(texts["command"])[1:])
    events, _ = events_of(asked.events, asked.at, "keep", asked.run)
    parent = session.branches[name]
    assert (asked.run, asked.at) == (parent.folder, 6)
    whole = lm.Experiment.parse(opened["text"])
    assert (
        whole.with_value("events", [lm.catalog and _table(one) for one in events]).fingerprint
        == made
    )


def _table(event):
    from learnmech.language.tables import table_of

    return table_of(event)


def test_what_was_drawn_is_scored_when_it_came_and_kept_with_the_run(
    session, looker, opened, record
):
    name, branch = opened["branch"], branch_of(session, opened)
    loss = record["loss"]
    exact = np.stack([loss["time"], loss], axis=1).tolist()
    level = [[0.0, float(loss.mean())], [float(loss["time"][10]), float(loss.mean())]]
    looker.ask("draw", branch=name, quantity="loss", points=exact)
    looker.ask("draw", branch=name, quantity="loss", points=level)
    wrong, _ = looker.ask("draw", branch=name, quantity="loss", points=[[0, "x"]])
    assert wrong["is"] == "error"
    played(looker, name)
    scores = [looker.until(lambda s: s["is"] == "scored")[0]["score"] for _ in range(2)]
    assert max(scores) == pytest.approx(1) and min(scores) < 0.8
    kept = sealed.read(branch.folder, drawn.FILE)["predictions"]
    assert sorted(one["score"] for one in kept) == pytest.approx(sorted(scores))
    assert [one["quantity"] for one in branch.record.result["predictions"]] == ["loss"] * 2
    assert lm.load(branch.folder).damaged is False


def test_what_is_stopped_can_be_gone_on_with_elsewhere(tmp_path, record):
    session = Session(tmp_path)
    looker = Looker(session)
    said, _ = looker.ask("open", text=EXPERIMENT)
    looker.ask("step", count=31)
    looker.rests(said["branch"])
    folder = session.branches[said["branch"]].folder
    session.end()
    again = Session(tmp_path)
    looker = Looker(again)
    try:
        found, _ = looker.ask("open", subject=folder.name)
        assert found["status"] == "interrupted" and found["reached"] == 11
        looker.ask("play", branch=found["branch"])
        looker.until(lambda one: one.get("status") == "finished")
        went = again.branches[found["branch"]]
        np.testing.assert_array_equal(went.course.readings("loss").values, record["loss"])
    finally:
        again.end()
    np.testing.assert_array_equal(lm.load(folder)["loss"], record["loss"])


def test_who_takes_nothing_holds_up_nobody_and_little(session, looker, opened):
    slow, name = Looker(session), opened["branch"]
    for one in (slow, looker):
        one.ask("panel", panel="p", kind="curves", branch=name, spec={"quantity": "loss"})
    played(looker, name)
    blocks = [b for said, b in slow.drain(session.branches) if said["is"] == "block"]
    assert len(blocks) == 1 and len(blocks[0][0]) == 21  # all that was missed, at once
    for _ in range(3000):
        slow.say({"is": "status"})
    assert slow.lost and not looker.lost
    assert len(slow.drain(session.branches)) < 600


def test_panels_show_what_the_library_reads(session, looker, opened, record):
    name, start = opened["branch"], record.start
    looker.ask("step", count=30)
    looker.rests(name)
    shown = {}
    for kind, spec in {
        "singular": {"address": "layer1.weight"},
        "activations": {"address": "output", "samples": [1, 4]},
        "samples": {"samples": 3},
        "slice": {"points": 5},
        "instrument": {"instrument": "norms"},
        "attention": {},
        "portrait": {},
    }.items():
        said, _ = looker.ask("panel", panel=kind, kind=kind, branch=name, spec=spec)
        shown[kind] = (
            said
            if said["is"] == "error"
            else looker.until(lambda s, kind=kind: s["is"] == "moment" and s["panel"] == kind)
        )
    state = record.at(30)
    weight = np.asarray(state.params["layer1"]["weight"])
    singular = np.linalg.svd(weight, compute_uv=False)
    np.testing.assert_allclose(shown["singular"][1][0], singular, rtol=1e-6)  # of float32
    outputs = np.asarray(start.system.outputs(state.params, start.system.train.X))[[1, 4]]
    np.testing.assert_allclose(shown["activations"][1][0], outputs, rtol=1e-5)
    assert len(shown["samples"][0]["extra"]["said"]) == 3
    loss = float(start.system.loss(state.params))
    assert shown["slice"][1][0][2] == pytest.approx(loss, rel=1e-6)
    assert "attention" in shown["attention"]["said"] and "portrait" in shown["portrait"]["said"]


def test_an_experiment_without_one_axis_runs_beside(session, looker):
    text = EXPERIMENT.replace("hidden = []", "hidden = [3]").replace("deep-linear", "mlp")
    said, _ = looker.ask("open", text=text.replace('theories = ["regression"]', "theories = []"))
    made, _ = looker.ask("simplify", branch=said["branch"], axis="nonlinearity")
    assert made["is"] == "opened", made
    assert made["parent"] is None and made["title"] == "without nonlinearity"
    assert session.branches[made["branch"]].timeline.start.system.architecture.is_linear


def test_a_frame_holds_its_numbers_where_a_typed_array_may_begin():
    numbers = (np.arange(5, dtype=np.float64), np.arange(3, dtype=np.int32), np.arange(7.0) > 3)
    frame = packed({"is": "moment", "title": "β", "bad": float("nan")}, numbers)
    said, buffers = unpacked(frame)
    assert said["title"] == "β" and said["bad"] is None and len(frame) % 8 == 0
    kinds = ("<f8", "<i4", "<f4")
    for one, sent, kind in zip(numbers, buffers, kinds, strict=True):
        np.testing.assert_array_equal(np.frombuffer(sent, kind), one)


def test_a_thinned_curve_keeps_its_peaks():
    values = np.zeros((100_000, 2), np.float32)
    values[54_321, 0], values[77_777, 1] = 5, -3
    fewer, marks = thinned(values, np.arange(100_000), 4000)
    assert len(fewer) < 5000 and fewer[:, 0].max() == 5 and fewer[:, 1].min() == -3
    assert marks[0] == 0 and marks[-1] == 99_999 and (np.diff(marks) > 0).all()


def test_a_prediction_of_what_is_not_watched_is_refused(session, looker, opened):
    with pytest.raises(Refused, match="watched"):
        drawn.keep(branch_of(session, opened), "sharpness", None, [[0, 1], [1, 1]])


def test_a_cell_of_a_notebook_speaks_the_same(record, monkeypatch):
    pytest.importorskip("anywidget")
    widget = lm.lab(record)
    try:
        said = []
        monkeypatch.setattr(widget, "send", lambda *given: said.append(given))
        widget._asked(widget, {"do": "hello", "id": 1}, [])
        widget.session.work.settled(30)
        end = time.monotonic() + 30
        while time.monotonic() < end and not any(one["is"] == "opened" for one, _ in said):
            time.sleep(0.01)
        opened, buffers = next(one for one in said if one[0]["is"] == "opened")
        assert widget.kind == "notebook" and opened["status"] == "finished"
        np.testing.assert_array_equal(np.frombuffer(buffers[opened["times"]]), record["loss"].time)
    finally:
        widget.close()
    assert type(record.explore()).__name__ == "LabWidget"
