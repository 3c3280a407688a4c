"""The site of the docs: every page in its navigation, every link leads somewhere, notebooks run,
and where it is built, nothing of it is fetched from elsewhere."""

import json
import os
import re
import unicodedata
from pathlib import Path

import jax
import pytest

from learnmech.verbs import showcases, site

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def without_code(words: str) -> str:
    """A page without its blocks and spans of code, in which brackets are no links."""
    words = re.sub(r"^```.*?^```", "", words, flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "", words)


def anchors(page: Path) -> set[str]:
    """The places on a page that links may name: its headings, as GitHub and Zensical write
    them."""
    found = set()
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for heading in re.findall(r"^#+ (.+)$", text, re.M):
        words = unicodedata.normalize("NFKD", re.sub(r"[`*$\\]", "", heading)).lower()
        found.add(re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", words).strip()))
    return found


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *PAGES], ids=lambda p: str(p.relative_to(ROOT))
)
def test_links_on_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"\w+:", target):
            continue
        path, _, place = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if place:
            assert place in anchors(there), (target, sorted(anchors(there)))


def test_no_page_links_out_of_the_docs():
    # what the site has no page for; the README, beside them, may
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:\s]+)[)#]", without_code(page.read_text("utf-8"))):
            assert (page.parent / target).resolve().is_relative_to(DOCS), (page.name, target)


def test_every_page_is_in_the_navigation_once():
    yaml = pytest.importorskip("yaml")
    known = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

    def flat(entries):
        for entry in entries:
            for one in entry.values() if isinstance(entry, dict) else [entry]:
                yield from flat(one) if isinstance(one, list) else [one]

    there = list(flat(known["nav"]))
    assert len(set(there)) == len(there)
    assert set(there) == {str(page.relative_to(DOCS)) for page in PAGES}
    for kind in ("extra_css", "extra_javascript"):
        for file in known[kind]:
            assert file.startswith("assets/") or (DOCS / file).is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_kept_without_outputs_and_runs(path, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    kept = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in kept["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    book = nbformat.read(path, 4)
    nbformat.validate(book)
    place = {"metadata": {"path": str(tmp_path)}}
    surroundings = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tangents"))),
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    client = nbclient.NotebookClient(book, timeout=120, kernel_name="python3", resources=place)
    client.execute(env=surroundings)
    shown = [one for cell in book.cells for one in cell.get("outputs", [])]
    assert not [one for one in shown if one["output_type"] == "error"]
    assert sum("image/png" in one.get("data", {}) for one in shown) >= 3


@pytest.fixture(scope="module")
def ols(tmp_path_factory):
    """The page of the quickest exhibit, made from its own run, and where that is kept."""
    kept = tmp_path_factory.mktemp("kept")
    return kept, showcases.all_of(["ols"], True, kept, told=lambda _: None)["ols"]


def test_the_page_of_an_exhibit_says_what_its_run_gave(ols):
    _, said = ols
    page = site.exhibit_page(said, ("one", "other"))
    assert said["result"]["verdict"] == "holds" and "✓ holds" in page
    assert "![" in page and "(ols.svg)" in page and "(ols-report.html)" in page
    for row in said["result"]["comparisons"][0]["rows"]:
        assert f"| `{row['quantity']}` | {row['error']:.3g} |" in page
    assert (said["folder"] / "figure.svg").read_text().count("<svg") == 1
    assert said["page"]["python"].strip() in page and said["page"]["toml"].strip() in page
    html = site.cards({"ols": said})
    assert 'href="gallery/ols.html"' in html and "holds" in html


def test_an_exhibit_is_performed_again_only_where_something_changed(ols, monkeypatch):
    kept, _ = ols
    monkeypatch.setattr(showcases, "perform", lambda *_: pytest.fail("performed again"))
    showcases.showcase("ols", True, kept)
    monkeypatch.setattr(showcases, "sources", lambda: "others")
    with pytest.raises(pytest.fail.Exception, match="performed again"):
        showcases.showcase("ols", True, kept)


def test_words_of_exhibits_are_no_markup():
    assert site.prose("a < b & [c](d) * $x$ `a<b`") == r"a &lt; b &amp; \[c\](d) \* \$x\$ `a<b`"
    assert site.safe('<img src="x">[a]') == "&lt;img src=&quot;x&quot;&gt;(a)"
    assert site.table(("a",), [("x|y\nz",)]).splitlines()[-1] == r"| x\|y z |"


SHIM = "https://far.example/iframe-worker/shim"


def test_the_checker_of_a_built_site_finds_what_is_broken(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(
        '<a href="sub/one.html#here">x</a><a href="sub/one.html#there">x</a><a href="none.html">x</a>'
        f'<a href="https://example.org">x</a><img src="https://example.org/a.png"><script src="{SHIM}"></script>'
    )
    (tmp_path / "sub" / "one.html").write_text(f'<h1 id="here">x</h1><script src={SHIM}></script>')
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "iframe-worker.js").write_text("")
    assert site.finish(tmp_path) == [
        "index.html: sub/one.html#there, no such place on that page",
        "index.html: none.html",
        "index.html: https://example.org/a.png is fetched from elsewhere",
    ]
    assert f"../{site.NEAR}" in (tmp_path / "sub" / "one.html").read_text()


def test_the_built_site_is_whole():
    built = ROOT / "site"
    if not (built / "index.html").is_file():
        pytest.skip("there is no site: make docs builds it")
    assert site.broken(built) == []
    assert (built / "search.js").is_file()
