"""The gallery: every exhibit's claim holds on its twin, and its figure and page can be drawn."""

import re

import pytest

from learnmech import catalog, report
from learnmech.figures.style import svg
from learnmech.gallery.base import perform


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
    page = report.page(shown, drawn)
    assert page.count("<svg") == 1 and "<script" not in page
    # nothing is fetched: addresses occur only as the names of XML vocabularies, images only as their own bytes
    assert not re.search(r'(?:src|href)="(?!#|data:image)', page)


def test_every_exhibit_says_its_claim_and_source_where_the_catalogue_reads_them():
    entries = catalog.exhibits()
    assert len(entries) >= 18
    for name, entry in entries.items():
        exhibit = catalog.exhibit(name)
        assert entry.claim == exhibit.claim and entry.source == exhibit.source and entry.claim and entry.source


@pytest.mark.parametrize("name", ["saxe-modes", "scalar-sigmoid", "conservation-law", "ols"])
def test_the_theory_holds_in_single_precision_within_its_round_off(name):
    exhibit = catalog.exhibit(name)
    shown = perform(exhibit, small=True, changes={"precision": "float32"})
    for comparison in shown.comparisons:
        assert comparison.verdict == "holds", comparison
        for row in comparison.rows:
            # a hundred times float32's 1.2e-7, the bound of the verdict
            assert row.error < 1.2e-5, row
