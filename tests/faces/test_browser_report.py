"""The report in a real browser, from a file and without a server: scrubbed, zoomed, held against
theory; and complete with scripts off."""

import json

import pytest
from conftest import asked, until

import learnmech as lm
from learnmech import theories


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    experiment = lm.Experiment(
        lm.architectures.DeepLinear(hidden=(3,)),
        lm.data.Gaussian(n=20, d=4, k=2, whitened=True),
        lm.rules.GradientDescent(rate=0.05),
        lm.Clock(steps=300, every=3),
        lm.initial.Aligned(strength=0.05),
    )
    record = lm.run(experiment, watch=("loss", "mode-strengths", "weights"))
    file = tmp_path_factory.mktemp("page") / "run.html"
    record.report(file, theories=(theories.Decoupled(),), title="A run")
    return file, record


def test_a_report_is_scrubbed_zoomed_and_held_against_theory_without_a_server(report, looked):
    file, record = report
    page = looked(file.as_uri())
    page.locator(".panel").first.wait_for()
    until(page, "store.branch.series.size && store.branch.lines.size")
    assert asked(page, "store.branch.reached") == record.reached
    # a heat map of a watched array follows the cursor
    page.get_by_role("button", name="Add a panel").scroll_into_view_if_needed()
    panel = "lab.panels.panels.find((p) => p.kind === 'weights')"
    until(page, f"{panel}?.view.moment")
    track = page.get_by_role("slider", name="Where in the run")
    track.focus()
    page.keyboard.press("Home")
    until(page, f"store.branch.cursor === 0 && {panel}.view.moment.position === 0")
    first = asked(page, f"[...{panel}.view.moment.values]")
    name = asked(page, f"{panel}.spec.address")
    assert first == [float(v) for v in record[name].values[0].astype("float32").ravel()]
    page.keyboard.press("Shift+ArrowRight")
    until(page, "store.branch.cursor === 3")
    page.locator(".where", has_text="step 3 of 300").wait_for()
    # play goes to the end by itself
    page.get_by_label("Speed").select_option("full speed")
    page.get_by_role("button", name="Play").click()
    until(page, "!store.branch.playing && store.branch.cursor === 300")
    # zoom by dragging, undone by a double click; hover says numbers
    plot = page.locator(".panel .u-over").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 40, steps=4)
    page.mouse.up()
    until(page, "lab.panels.panels[0].view.plot.zoom !== null")
    page.locator(".panel .at", has_text="t = ").first.wait_for()
    plot.dblclick()
    until(page, "lab.panels.panels[0].view.plot.zoom === null")
    page.get_by_role("switch", name="Decoupled").uncheck()
    until(page, "!lab.panels.panels[0].view.plot.curves.some((c) => c.theory)")


def test_with_scripts_off_the_report_is_complete(report, looked):
    file, record = report
    page = looked(file.as_uri(), scripts=False)
    words = page.locator("body").inner_text()
    for one in record.names:
        assert one in words
    for heading in ("What was watched", "The experiment", "Provenance"):
        assert heading in words
    assert page.locator("figure svg").count() >= 1
    assert not page.locator("#learnmech-screen").is_visible()


@pytest.mark.parametrize("dark", [False, True])
def test_no_serious_fault_is_found_by_axe_in_a_report(report, looked, axe, dark):
    page = looked(report[0].as_uri(), dark=dark)
    page.locator(".panel").first.wait_for()
    # the page's policy lets no other script in: it is evaluated from outside
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    faults = [
        (one["id"], [(n["target"], n["failureSummary"]) for n in one["nodes"][:3]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert not faults, json.dumps(faults, indent=1)
