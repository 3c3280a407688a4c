"""The built module: where it stands, its text, and from which sources it was made."""

import hashlib
import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "bundle"

# What decides the module: the sources, what is bundled with them, and how.
DECISIVE = ("package.json", "package-lock.json", "build.mjs")


@cache
def source(name: str = "screen") -> str:
    """The text of the module: `screen` for the lab and a notebook, `report` for a page without a
    server, which is the same without formulas and editor."""
    return (FOLDER / f"{name}.js").read_text(encoding="utf-8")


def header(name: str = "screen") -> dict[str, str]:
    """What the first comment of the built module says of it, {word: value}."""
    first = source(name).split("*/", 1)[0]
    return dict(re.findall(r"^ \* ([a-z]+): (\S+)$", first, re.MULTILINE))


def source_digest(folder: Path) -> str:
    """The sha256 of the sources in a checkout's `screen/`: of each file that decides the module its
    path and its content, in the order of their paths."""
    files = [folder / name for name in DECISIVE]
    files += [path for path in (folder / "src").rglob("*") if path.is_file()]
    told = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in files):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        told.update(f"{name}\n{hashlib.sha256(content).hexdigest()}\n".encode())
    return told.hexdigest()
