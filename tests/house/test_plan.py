"""The plan of the house: drawn from its imports, without an arrow upwards or a circle; the pages
about it say what is so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from learnmech.errors import Refused
from learnmech.figures import plan

ROOT = Path(__file__).parents[2]
AGAIN = "python -m learnmech.figures.plan docs/floors.svg"


def drawn(picture: str) -> set[tuple[str, str]]:
    """The arrows of a picture."""
    return set(re.findall(r'<g id="(\w+)-(\w+)">', picture))


def pairs(arrows: plan.Arrows) -> set[tuple[str, str]]:
    """{room: rooms} as pairs."""
    return {(room, there) for room, lower in arrows.items() for there in lower}


def test_the_command_draws_every_room_and_every_arrow_and_none_upwards(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "learnmech.figures.plan", str(tmp_path / "floors.svg")],
        check=True,
        cwd=ROOT,
    )
    picture, found = (tmp_path / "floors.svg").read_text(encoding="utf-8"), plan.arrows()
    assert all(f">{room}</text>" in picture for room in found) and len(found) > 20
    assert drawn(picture) == pairs(plan.shown(found))
    floors = plan.floors(found)
    assert all(floors[there] < floors[room] for room, there in pairs(found))


def test_arrows_that_are_not_drawn_lead_where_drawn_ones_do():
    found = plan.arrows()
    few, reached = plan.shown(found), {}
    for room in sorted(found, key=plan.floors(found).get):
        reached[room] = few[room].union(*(reached[there] for there in few[room]))
    assert all(there in reached[room] for room, there in pairs(found))


def test_at_most_a_quarter_of_the_arrows_that_could_be_is_drawn():
    found = plan.arrows()
    possible = len(found) * (len(found) - 1) // 2
    assert 0 < len(pairs(plan.shown(found))) <= possible / 4
    few = {"a": {"b"}, "b": {"c"}, "c": set()}
    assert plan.counted(few).startswith("3 rooms on 3 floors, 2 arrows of 3 that could be (67%)")


def test_the_picture_in_the_docs_is_that_of_the_house():
    assert drawn((ROOT / "docs" / "floors.svg").read_text(encoding="utf-8")) == pairs(
        plan.shown(plan.arrows())
    ), AGAIN


def house(folder: Path, **rooms: str) -> Path:
    """A house of files."""
    for name, source in rooms.items():
        (folder / f"{name}.py").write_text(f'"""A room."""\n\n{source}\n')
    return folder


def test_a_circle_between_rooms_is_refused_by_name(tmp_path):
    built = house(
        tmp_path,
        cellar="",
        hall="def door():\n    from learnmech.attic import roof",
        attic="import learnmech.hall\nfrom learnmech import cellar",
    )
    assert plan.arrows(built) == {"cellar": set(), "hall": {"attic"}, "attic": {"hall", "cellar"}}
    with pytest.raises(Refused, match="a circle, attic -> hall -> attic"):
        plan.floors(plan.arrows(built))


def test_the_page_of_the_architecture_says_of_every_room_what_it_says_itself():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^\| \d+ \| `(\w+)` \| (.*) \|$", page, re.M))
    assert said == {room: plan.caption(room) for room in plan.files_of()}


def test_what_the_pages_name_is_there():
    """Files of the house, and names in them, which the pages of architecture, decisions and
    contributing speak of."""
    pages = [
        ROOT / "CONTRIBUTING.md",
        ROOT / "docs" / "architecture.md",
        *sorted((ROOT / "docs" / "decisions").glob("*.md")),
    ]
    named = 0
    for page in pages:
        for path, name in re.findall(
            r"`((?:learnmech|tests|benchmarks|docs)/[\w/.-]+)(?::(\w+))?`",
            page.read_text(encoding="utf-8"),
        ):
            named += 1
            assert (ROOT / path).exists(), (page.name, path)
            assert not name or re.search(
                rf"^\s*(?:def |class )?{name}\b", (ROOT / path).read_text(encoding="utf-8"), re.M
            ), (page.name, path, name)
    assert len(pages) > 8 and named > 20


@pytest.mark.parametrize(
    "page",
    [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))],
    ids=lambda p: p.name,
)
def test_links_of_pages_beside_the_docs_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
