"""The lab in a real browser: what a person does with mouse and keys, held against the run itself."""

import json

import numpy as np
import pytest
from conftest import EXPERIMENT, asked, until

import learnmech as lm
from learnmech.lab.exports import as_link
from learnmech.language import text


@pytest.fixture
def opened(lab, looked):
    """A page on which the experiment stands opened by its editor, nothing yet run."""
    page = looked(lab.address)
    page.wait_for_selector(".learnmech")
    begin(page)
    return page


def begin(page):
    until(page, "!store.greeting")
    if page.get_by_role("button", name="All exhibits").is_visible():
        page.get_by_role("button", name="All exhibits").click()
    page.get_by_role("button", name="Write an experiment").click()
    page.get_by_label("The experiment as TOML").fill(EXPERIMENT)
    before = asked(page, "store.selected")
    page.get_by_role("button", name="Open it").click()
    until(page, f"store.selected && store.selected !== {json.dumps(before)}")
    until(page, "lab.panels.panels.length > 2 && store.branch.lines.size")


def played(page):
    page.keyboard.press("Space")
    until(page, "store.branch.status === 'finished' && store.branch.series.has('loss')")
    until(page, "store.branch.series.get('loss').count === store.branch.marks")


def branch_of(lab, page):
    return lab.session.branches[asked(page, "store.selected")]


def series(page, name, branch="store.branch"):
    found = asked(
        page,
        f"((s) => [s.width, [...s.marks.subarray(0, s.count)],"
        f" [...s.values.subarray(0, s.count * s.width)]])({branch}.series.get('{name}'))",
    )
    return np.array(found[1]), np.array(found[2], np.float32).reshape(-1, found[0])


def test_theory_is_drawn_ahead_then_the_run_grows_along_it_and_the_past_is_replayed(lab, opened):
    page = opened
    until(page, "lab.panels.panels[0].view.plot.curves.some((c) => c.theory && c.count > 50)")
    assert asked(page, "store.branch.reached") <= 1
    played(page)
    record = branch_of(lab, page).so_far()
    marks, values = series(page, "loss")
    assert np.array_equal(marks, np.arange(101))
    assert np.array_equal(values[:, 0], record["loss"].values.astype(np.float32))
    until(page, "store.branch.errors.size > 0")
    page.get_by_text("within tolerance").first.wait_for()

    # drag to the middle: what is shown is the state there, to the bit
    box = page.get_by_role("slider", name="Where in the run").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 10, y)
    page.mouse.down()
    for share in (0.9, 0.7, 0.5):
        page.mouse.move(box["x"] + share * box["width"], y)
    page.mouse.up()
    until(page, "!store.seeking && store.branch.cursor !== null")
    at = asked(page, "store.branch.cursor")
    assert 140 <= at <= 160
    panel = "lab.panels.panels.find((p) => p.kind === 'weights')"
    until(page, f"{panel}.view.moment?.position === {at}")
    seen = np.array(asked(page, f"[...{panel}.view.moment.values]"), np.float32)
    there = np.asarray(record.at(at).params["layer1"]["weight"], np.float32)
    assert np.array_equal(seen, there.ravel())
    # and forward again, by a key
    page.keyboard.press("End")
    until(page, "store.branch.cursor === null")
    # a theory is taken off by its switch, and laid over again
    page.get_by_role("switch", name="Decoupled").uncheck()
    until(page, "!lab.panels.panels[0].view.plot.curves.some((c) => c.theory)")
    page.get_by_role("switch", name="Decoupled").check()
    until(page, "lab.panels.panels[0].view.plot.curves.some((c) => c.theory)")


def test_a_weight_is_changed_by_hand_and_the_branch_parts_by_the_numbers_of_twins(lab, opened):
    page = opened
    played(page)
    parent = branch_of(lab, page)
    asked(page, "store.seek(150)")
    until(page, "!store.seeking")
    heat = page.locator(".heat").first
    heat.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name="Add to it").click()
    page.get_by_role("spinbutton", name="Add to it: value").fill("0.25")
    page.keyboard.press("Enter")
    until(page, "store.branch.parent !== null")
    if asked(page, "store.branch.status") != "finished":
        page.get_by_role("button", name="Play").click()
    until(page, "store.branch.status === 'finished'")
    until(
        page,
        "store.branch.series.get('loss')?.marks[store.branch.series.get('loss').count - 1] === 100",
    )
    child = branch_of(lab, page)
    assert child.at == 150 and child.parent is parent
    marks, values = series(page, "loss")
    _, before = series(page, "loss", f"store.branches.get('{parent.name}')")
    assert marks[0] >= 50 and abs(values[0, 0] - before[marks[0], 0]) > 0.01

    page.get_by_role("tab", name="Branches").click()
    boxes = page.get_by_role("checkbox", name="Beside")
    asked(page, f"store.beside = [{json.dumps(parent.name)}], store.tell('beside')")
    boxes.last.check()
    until(page, "store.distance?.layers?.length === 2")
    said = asked(
        page,
        "[[...store.distance.buffers[store.distance.x]],"
        " [...store.distance.buffers[store.distance.weight_distance]]]",
    )
    twins = lm.twins(parent.so_far(), child.so_far())
    assert np.array_equal(said[0], twins["step"].values)
    assert np.array_equal(np.array(said[1]).reshape(-1, 2), twins["weight_distance"].values)
    # and it is undone
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Undo this change").click()
    until(page, f"store.selected === {json.dumps(parent.name)}")


def test_a_dial_turned_on_the_way_makes_a_branch_and_structure_a_new_root(lab, opened):
    page = opened
    played(page)
    root = asked(page, "store.selected")
    asked(page, "store.seek(90)")
    until(page, "!store.seeking")
    page.get_by_label("rate", exact=True).fill("0.02")
    page.keyboard.press("Enter")
    until(page, f"store.selected !== {json.dumps(root)}")
    child = branch_of(lab, page)
    assert child.parent.name == root and child.at == 90
    assert asked(page, "store.branch.said.knobs.find((k) => k.path === 'rule.rate').value") == 0.02
    # structure begins anew, and what one has laid out stays
    kept = asked(page, "lab.panels.panels.map((p) => p.id)")
    page.get_by_label("width", exact=True).fill("4")
    page.keyboard.press("Enter")
    until(page, f"store.selected !== {json.dumps(child.name)}")
    anew = branch_of(lab, page)
    assert anew.parent is None and anew.at == 0
    assert anew.experiment.architecture.hidden == (4,)
    assert asked(page, "lab.panels.panels.map((p) => p.id)") == kept


def test_a_prediction_is_drawn_hidden_until_the_run_and_scored(lab, opened):
    page = opened
    panel = page.locator(".panel", has_text="Training loss").first
    panel.get_by_role("button", name="Panel menu").click()
    page.get_by_role("menuitem", name="Predict").click()
    box = page.locator(".pad").bounding_box()
    page.mouse.move(box["x"] + 1, box["y"] + 10)
    page.mouse.down()
    for share in np.linspace(0, 1, 25):
        page.mouse.move(
            box["x"] + share * (box["width"] - 1),
            box["y"] + 10 + (box["height"] - 20) * min(1, 2 * share),
        )
    page.mouse.up()
    page.get_by_role("button", name="Keep it").click()
    page.get_by_text("Your prediction is kept").wait_for()
    branch = branch_of(lab, page)
    drawing = "lab.panels.panels.find((p) => p.spec.quantity === 'loss').view"
    assert not asked(page, f"{drawing}.plot.curves.some((c) => c.measured)")
    page.get_by_role("button", name="Play").click()
    until(page, f"{drawing}.drawing.state === 'scored'")
    (kept,) = branch.drawn
    assert kept["quantity"] == "loss" and 0 <= kept["score"] <= 1
    assert asked(page, f"{drawing}.drawing.result.score") == kept["score"]
    assert asked(page, f"{drawing}.plot.curves.some((c) => c.measured)")
    page.get_by_text("Your prediction:").wait_for()


def test_what_leads_out_leads_back_to_the_same_experiment(lab, opened, tmp_path, looked):
    page = opened
    branch = branch_of(lab, page)
    page.keyboard.press("x")
    page.get_by_role("menuitem", name="As TOML").click()
    file = tmp_path / "again.toml"
    file.write_text(page.get_by_role("textbox", name="As TOML").input_value())
    page.get_by_role("button", name="Close", exact=True).click()
    record = lm.run(file)
    assert record.experiment.fingerprint == branch.experiment.fingerprint

    # a link only fills the editor
    count = len(lab.session.branches)
    link = looked(lab.address + as_link(branch))
    area = link.get_by_label("The experiment as TOML")
    area.wait_for()
    assert text.parse(area.input_value()) == text.parse(file.read_text())
    assert len(lab.session.branches) == count
    # each panel as a table, a picture, a drawing
    panel = page.locator(".panel").first
    for words, starts in (("CSV", b"step,time,"), ("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        panel.get_by_role("button", name="Panel menu").click()
        with page.expect_download() as kept:
            page.get_by_role("menuitem", name=f"Save as {words}").click()
        assert kept.value.suggested_filename.endswith(words.lower())
        with open(kept.value.path(), "rb") as file_:
            assert file_.read(20).startswith(starts)


def test_names_of_users_are_shown_as_text(lab, looked, tmp_path):
    evil = "<img src=x onerror=document.title='gone'>"
    file = tmp_path / f"{evil.replace('/', '')}.toml"
    file.write_text(EXPERIMENT)
    lab.session.begin(str(file), {})
    try:
        page = looked(lab.address)
        until(page, "store.branches.size > 0 && lab.panels.panels.length")
        assert "<img" in page.locator(".head .claim").inner_text()
        page.get_by_role("tab", name="Branches").click()
        assert page.locator(".bench img").count() == 0 and page.title() == "learnmech lab"
    finally:
        lab.session.first = None


def test_everything_can_be_done_by_keys(opened):
    page = opened
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    page.keyboard.press("p")
    page.get_by_role("menu").wait_for()
    page.keyboard.press("Escape")
    first = asked(page, "lab.panels.panels[0].id")
    page.locator(".panel").first.focus()
    page.keyboard.press("Alt+ArrowRight")
    assert asked(page, "lab.panels.panels[1].id") == first
    page.keyboard.press("e")
    area = page.get_by_label("The experiment as TOML")
    assert "deep-linear" in area.input_value()
    page.keyboard.press("Escape")
    for reached in (1, 2):  # the start is a mark too
        page.keyboard.press("Shift+ArrowRight")
        until(page, f"store.branch.reached === {reached}")
    outline = page.evaluate(
        "getComputedStyle(document.querySelector('.learnmech').shadowRoot.activeElement"
        " ?? document.body).outlineStyle"
    )
    assert outline in ("solid", "none")


@pytest.mark.parametrize("dark", [False, True])
def test_no_serious_fault_is_found_by_axe(lab, looked, axe, dark):
    page = looked(lab.address, dark=dark)
    page.wait_for_selector(".learnmech")
    faults = []

    def look():
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        for one in found["violations"]:
            if one["impact"] in ("serious", "critical"):
                nodes = [(n["target"], n["failureSummary"]) for n in one["nodes"][:3]]
                faults.append((one["id"], one["help"], nodes))

    begin(page)
    played(page)
    look()
    page.get_by_role("button", name="All exhibits").click()
    look()
    assert not faults, json.dumps(faults, indent=1)


def test_a_lesson_asks_before_it_tells_and_fits_a_phone(lab, looked):
    page = looked(lab.address, width=390, height=844)
    until(page, "!store.greeting")
    if page.get_by_role("button", name="All exhibits").is_visible():
        page.get_by_role("button", name="All exhibits").click()
    page.locator(".lesson-card", has_text="Width one").click()
    page.get_by_role("button", name="Predict first").wait_for()
    until(page, "lab.panels.panels.length && store.branch.said.lesson")
    assert page.locator(".formula .katex").count() > 3
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert asked(page, "store.branch.said.laid.length") and not asked(page, "lab.laid.size")
    page.get_by_role("button", name="Run it").click()
    # when it has come to its end the lesson says what there was to see, and theory is laid over it
    page.get_by_role("heading", name="What to see").wait_for()
    until(page, "lab.laid.size && store.branch.lines.size")
