"""The house: floors, sizes and names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2] / "learnmech"
FLOORS = [
    {"errors"},
    {"machine", "screen"},
    {"language", "engines"},
    {"activations", "losses"},
    {"architectures"},
    {"data", "kernels"},
    {"initial", "system", "generalization"},
    {"curvature", "rules"},
    {"interventions"},
    {"instruments", "experiment"},
    {"march", "theories", "simplifications"},
    {"record"},
    {"runs"},
    {"comparison"},
    {"sweeps", "figures"},
    {"studies"},
    {"gallery"},
    {"report"},
    {"verbs"},
    {"lab"},
    {"cli"},
    {"__main__"},
]


def room(path: Path) -> str:
    """The room a file belongs to: its module, or the family it is in."""
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def floor(name: str) -> int:
    """The floor of a room."""
    return next(index for index, rooms in enumerate(FLOORS) if name in rooms)


def imports(path: Path):
    """Every room of the house that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (
                (n.name, n.name.split(".")[1])
                for n in node.names
                if n.name.startswith("learnmech.")
            )
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "learnmech":
            if node.module == "learnmech":
                yield from ((f"learnmech.{n.name}", n.name) for n in node.names)
            else:
                yield node.module, node.module.split(".")[1]


FILES = sorted(p for p in HOUSE.rglob("*.py") if p != HOUSE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_rooms_import_only_from_lower_floors(path):
    here = room(path)
    for module, there in imports(path):
        if there == here:
            continue
        assert floor(there) < floor(here), (
            f"{path.name} on floor {floor(here)} imports {module} on floor {floor(there)}"
        )


def test_every_room_has_a_floor():
    rooms = {room(p) for p in FILES}
    assert rooms <= set().union(*FLOORS), rooms - set().union(*FLOORS)


def test_run_and_theories_meet_only_in_comparison():
    for path in (HOUSE / "theories").rglob("*.py"):
        assert not {there for _, there in imports(path)} & {
            "march",
            "runs",
            "record",
            "comparison",
            "sweeps",
        }, path


def test_only_the_march_steps():
    for path in FILES:
        if room(path) in ("march", "rules"):
            continue
        assert ".moved(view" not in path.read_text() and "fori_loop" not in path.read_text(), path


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_files_stay_under_400_lines_and_say_what_they_are(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    assert ast.get_docstring(ast.parse(text)), f"{path} needs a first line"
    assert "from __future__ import annotations" not in text


def test_no_name_says_that_a_thing_is_not_understood():
    forbidden = {"utils", "helpers", "helper", "manager", "config", "util", "common", "misc"}
    assert not [p for p in HOUSE.rglob("*") if set(p.stem.lower().split("_")) & forbidden]


def plots(path: Path) -> bool:
    """Whether a file imports what draws; what only checkers import (`if TYPE_CHECKING:`) is not
    run."""
    tree = ast.parse(path.read_text())
    unseen = {
        id(one)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for one in node.body
    }
    modules = [
        [n.name for n in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in unseen
    ]
    return any(name.split(".")[0] == "matplotlib" for names in modules for name in names)


def test_plots_stay_on_the_upper_floors():
    assert any(map(plots, FILES))
    for path in FILES:
        assert not plots(path) or floor(room(path)) >= floor("figures"), path


def test_listing_imports_nothing_heavy():
    code = (
        "import sys; from learnmech.cli.app import call; call(['list']); print([m for m in ('jax',"
        " 'numpy', 'xarray', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip().endswith("[]")
