"""The README and the docs: what they show is run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from learnmech.experiment.recipe import Experiment, prepare
from learnmech.gallery import contracts
from learnmech.language import catalog
from learnmech.language.text import parse, part_of
from learnmech.verbs import reference

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language on a page."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_the_python_on_a_page_runs_as_one_script(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks(page, "python")), str(page), "exec"), {"__name__": page.stem})


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "toml")], ids=lambda p: p.name)
def test_the_toml_on_a_page_is_an_experiment(page):
    for written in blocks(page, "toml"):
        table = {
            name: value
            for name, value in parse(written).items()
            if name not in ("watch", "theories")
        }
        prepare(part_of(Experiment, table))


def test_the_parts_of_the_docs_keep_their_contracts(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("\n".join(blocks(ROOT / "docs" / "your-own-parts.md", "python")))
    results = contracts.of_file(mine)
    assert len(results) == 8
    for part, checks in results.items():
        assert checks
        for check in checks:
            assert check.holds, (part, check)


def test_every_command_named_in_the_readme_exists():
    named = set(re.findall(r"^learnmech (\w+)", (ROOT / "README.md").read_text(), re.M))
    out = subprocess.run(
        [sys.executable, "-c", "from learnmech.cli.app import call; call(['--help'])"],
        capture_output=True,
        text=True,
    ).stdout
    assert named and all(re.search(rf"^\s+{name}\s", out, re.M) for name in named), (named, out)


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)


def test_the_page_of_exhibits_is_that_of_the_catalogue():
    from learnmech.gallery.__main__ import page

    assert (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8") == page(), (
        "python -m learnmech.gallery > docs/gallery.md"
    )
    assert page().count("\n| `") >= 40


def test_the_reference_is_that_of_the_source_and_says_something_of_everything():
    folder, made = ROOT / "docs" / "reference", reference.pages()
    for name, page in made.items():
        assert (folder / name).read_text(encoding="utf-8") == page, (
            "python -m learnmech.verbs.reference docs/reference"
        )
    assert {path.name for path in folder.iterdir()} == set(made)
    for family in catalog.FAMILIES:
        told = dict(
            re.findall(r"^## `(\w+)`\n\nIn texts `[\w-]+`\. (.+)$", made[f"{family}.md"], re.M)
        )
        assert set(told) == {member.name for member in catalog.own(family)}
        assert all(len(words) > 20 for words in told.values())
    told = re.findall(r"^## `lm\.(\w+)`$", made["functions.md"], re.M)
    assert {"run", "fork", "sweep", "compare", "predict", "Experiment", "Job"} <= set(told)
