"""Stubs: what the packages that import nothing until asked can give, as re-exports, for tools that
read and do not run.

`python -m learnmech.language.stubs` writes them anew; of signatures they say nothing, which tools
take from the sources.
"""

import ast
from pathlib import Path

from learnmech.language import catalog
from learnmech.machine.syntax import parsed

FILES = ("activations", "curvature", "kernels")
"""The packages of which files, and not classes, go by their names."""
HEAD = "# What __init__.py gives when asked; written by `python -m learnmech.language.stubs`.\n"


def stubs() -> dict[Path, str]:
    """{file: what is to stand in it} of every package."""
    rooms = [family for family in catalog.FAMILIES if family not in catalog.WITHIN] + list(FILES)
    return {catalog.HOUSE / room / "__init__.pyi": _stub(room) for room in rooms}


def _stub(room: str) -> str:
    folder = catalog.HOUSE / room
    given = {("", name) for name in catalog.files_of(folder)}
    if room not in FILES:
        given |= {
            (member.module.removeprefix(f"learnmech.{room}"), member.name)
            for member in catalog.own(room)
        }
        given |= set(_imported(folder / "__init__.py", room))
    return HEAD + "".join(
        f"from {module or '.'} import {name} as {name}\n"
        for module, name in sorted(given, key=_place)
    )


def _place(given: tuple[str, str]):
    """Where the linter wants an import: by its module, and of one module constants (as it takes
    SGD to be) first."""
    module, name = given
    return module, not name.isupper(), name


def _imported(path: Path, room: str):
    """What the package imports of its own modules."""
    for node in ast.walk(parsed(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            f"learnmech.{room}."
        ):
            yield from (
                (str(node.module).removeprefix(f"learnmech.{room}"), one.name) for one in node.names
            )


def write() -> None:
    """Write each stub."""
    for path, text in stubs().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
