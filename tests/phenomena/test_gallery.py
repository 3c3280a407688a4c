"""The gallery: every exhibit's claim holds on its twin, and its figure and page can be drawn."""

import re

import pytest

from learnmech import report
from learnmech.figures.style import svg
from learnmech.gallery.base import perform
from learnmech.language import catalog

# One code makes all pages, from an exhibit's own figure and what else was watched: a second a page,
# so a fourth of them are made.
PAGES = list(catalog.exhibits())[::4]


@pytest.mark.parametrize("name", list(catalog.exhibits()))
def test_the_claim_holds_on_the_twin(name):
    exhibit = catalog.exhibit(name)
    shown = perform(exhibit, small=True)
    for comparison in shown.comparisons:
        assert comparison.rows, comparison.theory
        for row in comparison.rows:
            assert row.error <= row.tolerance, (comparison.theory, row)
        assert comparison.verdict == "holds", comparison.conditions
    for check in shown.checks:
        assert check.holds, check
    assert shown.comparisons or shown.checks
    assert exhibit.reason or all(check.reason for check in shown.checks)
    drawn = svg(shown.figure())
    assert "<svg" in drawn
    if name not in PAGES:
        return
    page = report.page(shown, drawn)
    # the figures stand in the page itself; the scripts are its data and the one module, and only
    # repeat them
    without = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert without.count("<svg") >= 1 and page.count("<script") == 2
    # nothing is fetched: addresses occur only as the names of XML vocabularies, images only as
    # their own bytes
    assert not re.search(r'(?:src|href)="(?!#|data:image)', without)


def test_every_exhibit_says_its_claim_and_source_where_the_catalogue_reads_them():
    entries = catalog.exhibits()
    assert len(entries) >= 18
    for name, entry in entries.items():
        exhibit = catalog.exhibit(name)
        assert (
            entry.claim == exhibit.claim
            and entry.source == exhibit.source
            and entry.claim
            and entry.source
        )


@pytest.mark.parametrize("name", ["saxe-modes", "scalar-sigmoid", "conservation-law", "ols"])
def test_the_theory_holds_in_single_precision_within_its_round_off(name):
    exhibit = catalog.exhibit(name)
    shown = perform(exhibit, small=True, changes={"precision": "float32"})
    for comparison in shown.comparisons:
        assert comparison.verdict == "holds", comparison
        for row in comparison.rows:
            # a hundred times float32's 1.2e-7, the bound of the verdict
            assert row.error < 1.2e-5, row


# (exhibit, knobs, what the checks say in turn, or all of them)
TURNED = [
    (
        "staircase",
        {"architecture.hidden": (16, 16, 16), "clock": {"time": 2.0, "marks": 5}},
        ["outside domain: SmallStart: two layers: 4 (bound 2)"],
    ),
    ("saxe-modes", {"rule.rate": 2.0}, ["outside domain: steps are small"]),
    (
        "saxe-modes",
        {"clock": {"time": 1.5, "marks": 51}},
        ["holds", "holds", "not reached within the clock", "not reached within the clock"],
    ),
    (
        "saxe-modes",
        {"data.whitened": False},
        ["outside domain: Decoupled: the target's input modes"],
    ),
    ("saxe-modes", {"architecture.hidden": (8,), "rule.rate": 0.01, "seed": 3}, ["holds"] * 4),
    ("saxe-modes", {"data.noise": 0.5}, ["holds"] * 4),
    ("scalar-sigmoid", {"architecture.hidden": (1, 1)}, ["outside domain: two layers: 3"]),
    ("scalar-sigmoid", {"clock.time": 1.0}, ["not reached within the clock"]),
    (
        "lambda-balanced",
        {"initial": {"kind": "balanced"}},
        ["outside domain: the start has a lambda"],
    ),
    ("ols", {"clock.steps": 20}, ["not reached within the clock"]),
    ("ols", {"data.n": 4}, ["outside domain: the inputs span all directions"]),
    ("ols", {"rule.rate": 5.0}, ["outside domain: rate below the critical one"]),
    ("minimum-norm", {"data.n": 50}, ["outside domain: fewer samples than inputs"]),
    ("catapult", {"architecture.hidden": (16,)}, ["outside domain: a wide network"]),
    (
        "critical-rate",
        {"data.d": 8},
        ["outside domain: its checks are made for its own data.d: 8 (bound 5)"] * 2,
    ),
    (
        "semantic-hierarchy",
        {"data": {"kind": "gaussian", "n": 20, "d": 8, "k": 4, "whitened": True}},
        ["outside domain: the data are a tree"],
    ),
]


@pytest.mark.parametrize(
    "name, knobs, said", TURNED, ids=lambda one: one if isinstance(one, str) else ""
)
def test_a_turned_knob_that_breaks_a_premise_is_said_and_nothing_fails(name, knobs, said):
    shown = perform(catalog.exhibit(name), small=True, changes=knobs)
    assert [
        check.words[: len(words)] for check, words in zip(shown.checks, said, strict=True)
    ] == said
    assert shown.verdict != "fails" and shown.holds == (set(said) == {"holds"})
    assert "fails" not in {
        row.verdict for row in shown.comparisons
    } and "✗ fails" not in report.page(shown, svg(shown.figure()))


def test_a_twins_own_values_are_no_turned_knobs():
    from learnmech.gallery.base import _turned

    for name in catalog.exhibits():
        exhibit = catalog.exhibit(name)
        assert _turned(exhibit, exhibit.twin) == {} and _turned(
            exhibit, {**exhibit.twin, "seed": 1234567}
        ) == {"seed": 1234567}
