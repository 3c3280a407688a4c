"""The report's page alive: its data are those of the record, no text in it becomes a script, and
the module is that of the sources."""

import base64
import dataclasses
import hashlib
import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest

import learnmech as lm
from learnmech import screen, theories
from learnmech.report.embedded import MARKS, Buffers, _written, thinning

ROOT = Path(__file__).parents[2]
EVIL = "</script><script>alert(1)</script><!--<script> \u2028 ' \" & \x1b[2J"


class Elements(html.parser.HTMLParser):
    """The elements of a page as a browser would read them, and what stands in its scripts."""

    def __init__(self, page):
        super().__init__()
        self.found, self.scripts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.found and self.found[-1][0] == "script":
            self.scripts.append(data)


@pytest.fixture(scope="module")
def run():
    experiment = lm.Experiment(
        lm.architectures.DeepLinear(hidden=(3,)),
        lm.data.Gaussian(n=20, d=4, k=2, whitened=True),
        lm.rules.GradientDescent(rate=0.1),
        lm.Clock(steps=40, every=4),
        lm.initial.Aligned(strength=0.1),
    )
    return lm.run(experiment, watch=("loss", "mode-strengths", "weights"))


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "run.html"
    run.report(file, theories=(theories.Decoupled(),), title=EVIL)
    return file.read_text(encoding="utf-8")


def data_of(page):
    (said,) = re.findall(
        r'<script type="application/json" id="learnmech-data">(.*?)</script>', page, re.S
    )
    return json.loads(said)


def array(data, place):
    held = data["buffers"][place]
    kind = {"f32": "<f4", "f64": "<f8", "i32": "<i4"}[held["dtype"]]
    return np.frombuffer(base64.b64decode(held["data"]), kind)


def test_the_page_holds_the_numbers_of_the_record_and_of_the_theory(run, page):
    data = data_of(page)
    assert np.array_equal(array(data, data["opened"]["times"]), run.timeline.marks.times)
    assert {one["quantity"] for one in data["series"]} == set(run.names)
    for one in data["series"]:
        seen = np.asarray(run[one["quantity"]].values, np.float32).reshape(run.reached, -1)
        assert np.array_equal(array(data, one["values"]).reshape(one["count"], -1), seen)
        assert np.array_equal(array(data, one["x"]), np.arange(run.reached))
    laid = lm.compare(run, theories.Decoupled())
    assert {one["quantity"] for one in data["lines"]} == {row.quantity for row in laid.rows}
    for one in data["lines"]:
        said = laid.said[one["quantity"]].values.astype(np.float32)
        assert np.array_equal(array(data, one["values"]), said.reshape(-1))
    for one in data["errors"]:
        # the largest error of the course is that of the verdict, which is reckoned in float64
        (row,) = [row for row in laid.rows if row.quantity == one["quantity"]]
        assert array(data, one["error"]).max() == np.float32(row.error)


def test_no_text_of_a_user_becomes_a_script(run, page):
    found = Elements(page)
    scripts = [attrs for tag, attrs in found.found if tag == "script"]
    assert scripts == [
        {"type": "application/json", "id": "learnmech-data"},
        {"type": "module"},
    ]
    assert "alert(1)" not in found.scripts[1]
    assert data_of(page)["opened"]["claim"].startswith("</script><script>alert(1)</script><!--")
    # and what runs is the module alone, by its digest
    digest = base64.b64encode(hashlib.sha256(found.scripts[1].encode()).digest()).decode()
    (policy,) = [a["content"] for t, a in found.found if t == "meta" and "http-equiv" in a]
    assert f"script-src 'sha256-{digest}';" in policy and "default-src 'none'" in policy
    assert "connect-src" not in policy and "unsafe-eval" not in policy
    notes = dataclasses.replace(run, notes=(EVIL,))
    assert EVIL.split("\u2028")[0] not in lm.report.page(_shown(notes), "<svg></svg>")


def _shown(record):
    from learnmech.report.save import shown_of

    return shown_of(record, (), "hostile")[0]


def test_what_is_written_into_a_script_element_cannot_end_it():
    values = [EVIL, {EVIL: [EVIL, float("nan"), np.float64("inf"), np.int64(3), True, None]}]
    written = _written(values)
    assert not re.search(r"[<>&]", written) and written.isascii()
    read = json.loads(written)
    assert list(read[1].values())[0][1:] == [None, None, 3, True, None]
    assert "\x1b" not in read[0]


def test_a_long_series_keeps_its_peaks_and_its_ends():
    values = np.zeros((100_000, 1))
    values[[31_415, 92_653], 0] = 7.0, -7.0
    kept = thinning(values)
    assert len(kept) <= MARKS + 2 and {0, 31_415, 92_653, 99_999} <= set(kept)
    assert np.array_equal(thinning(values[:MARKS]), np.arange(MARKS))
    wide = thinning(np.zeros((1000, 4096)))
    assert len(wide) == 2 and set(wide) == {0, 999}
    assert Buffers().put(np.array([1e300])) == 0  # too large for 32 bits: infinite, no warning


def test_a_run_in_which_nothing_was_watched_has_a_page_without_scripts(run, tmp_path):
    record = lm.run(run.experiment, watch=())
    page = record.report(tmp_path / "none.html").read_text(encoding="utf-8")
    assert "<script" not in page and 'id="learnmech-screen"' not in page
    assert "script-src 'none'" in page


def test_the_built_module_is_that_of_the_sources():
    for name in ("screen", "report"):
        head = screen.header(name)
        assert head["sources"] == screen.source_digest(ROOT / "screen"), "stale: make screen"
        # within a page it must not end the script element
        assert not re.search(r"</script|<!--", screen.source(name), re.I)
    pinned = json.loads((ROOT / "screen" / "package.json").read_text())
    versions = {**pinned["dependencies"], **pinned["devDependencies"]}
    assert all(re.fullmatch(r"[0-9.]+", one) for one in versions.values())
    assert screen.header("screen")["katex"] == versions["katex"]
    licenses = (screen.FOLDER / "LICENSES").read_text(encoding="utf-8")
    assert licenses.count("Permission is hereby granted") == 2


def test_the_module_with_its_formulas_stays_small():
    # what the lab's page and the module may weigh together
    assert len(screen.source("screen").encode()) < 590_000
    assert len(screen.source("report").encode()) < 200_000
