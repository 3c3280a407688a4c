"""Folders: the Python files beside a user's own code, which count whole where that code finds
things by names that are made while it runs."""

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType

from learnmech.language.imports import imports_in
from learnmech.language.origins import LIBRARIES, in_library, is_mine

MOST_FILES, MOST_BYTES = 1000, 32 * 2**20
"""Python files in one folder, and bytes in them, that count whole; more are refused."""
_BROUGHT = ("learnmech_guest_", "learnmech_model_")
_ASIDE = ("node_modules", "__pycache__", "site-packages")


class Spread(Exception):
    """A folder with more files than count whole, or code that stands in no file."""


def spaces_from(spaces: Iterable[dict]) -> list[dict]:
    """The globals of all own modules that these, {name: value} of a module each, hold something
    of."""
    waiting, met = list(spaces), {}
    while waiting:
        space = waiting.pop()
        if id(space) in met:
            continue
        met[id(space)] = space
        for one in list(space.values()):
            waiting += _space_of(one)
        waiting += _imported(space)
    return list(met.values())


def _space_of(value):
    if isinstance(value, ModuleType):
        return [] if in_library(value.__name__) else [vars(value)]
    if isinstance(value, FunctionType):
        return [value.__globals__] if _owned(value.__globals__.get("__name__")) else []
    if isinstance(value, type) and _owned(value.__module__):
        made = sys.modules.get(value.__module__)
        return [vars(made)] if getattr(made, value.__name__, None) is value else []
    return []


def _owned(name):
    return isinstance(name, str) and name in sys.modules and not in_library(name)


def _imported(space):
    """The own modules that the source of one names, whatever it took from them."""
    place = place_of(space)
    if not isinstance(place, Path) or not place.is_file():
        return []
    package = "__path__" in space
    name = place.stem if name_of(space).startswith(_BROUGHT) else name_of(space)
    names = imports_in(place.read_bytes(), name, package)
    return [vars(sys.modules[one]) for one in names if _owned(one) and one != "__main__"]


def name_of(space: dict) -> str:
    """The name of the module with these globals."""
    return str(space.get("__name__", ""))


def place_of(space: dict) -> Path | dict[str, bytes] | None:
    """Where a module of these globals stands: a file, the files that are carried with it, or
    nowhere."""
    spec = space.get("__spec__")
    carried = getattr(getattr(spec, "loader", None), "files", None)
    if isinstance(carried, dict):
        return carried
    file = space.get("__file__")
    cells = name_of(space) == "__main__" and isinstance(space.get("In"), list)
    return None if cells or not file else Path(file).resolve()


def files_of(spaces: Iterable[dict], importing: bool = False) -> dict[str, set[bytes]]:
    """{path as Python imports it: what the file holds} of all Python files in the folders of the
    modules with these globals; with `importing`, of those on Python's path too."""
    found: dict[str, set[bytes]] = {}
    roots = set()
    for space in spaces_from(spaces):
        place = place_of(space)
        if place is None:
            raise Spread("code that stands in no file")
        if isinstance(place, dict):
            for path, held in place.items():
                found.setdefault(path, set()).add(held)
        else:
            roots.add(_root_of(space, place))
    if importing:
        roots |= {Path(entry or ".").resolve() for entry in sys.path if _searched(entry)}
    for root in sorted(roots):
        for path, held in gathered(root).items():
            found.setdefault(path, set()).add(held)
    return found


def told_of(files: dict[str, set[bytes]]) -> list[str]:
    """Those files by path and sha256, in one order."""
    return sorted(
        f"{path} {hashlib.sha256(one).hexdigest()}" for path, held in files.items() for one in held
    )


def _root_of(space, file):
    """The folder from which Python finds a module."""
    depth = 0 if name_of(space).startswith(_BROUGHT) else name_of(space).count(".")
    return file.parents[depth + ("__path__" in space)]


def _searched(entry):
    place = Path(entry or ".").resolve()
    bases = {Path(base).resolve() for base in (sys.prefix, sys.base_prefix)}
    installed = any(place.is_relative_to(base) for base in bases if base != Path("/usr"))
    return place.is_dir() and is_mine(str(place)) and not installed


def gathered(root: Path) -> dict[str, bytes]:
    """{path: what it holds} of the Python files of a folder, and of folders in it that hold some
    themselves: not of hidden ones, environments, libraries and what runs keep."""
    found: dict[str, bytes] = {}
    size = 0
    for file in _files(root, ()):
        path = "/".join(file.relative_to(root).parts)
        found[path] = file.read_bytes()
        size += len(found[path])
        if len(found) > MOST_FILES or size > MOST_BYTES:
            raise Spread(f"{root}, which has more of them")
    return found


def _files(folder, above) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            held = sorted(entries, key=lambda one: one.name)
    except OSError:  # it may not be looked into: nothing in it is imported either
        return
    files = [one for one in held if one.name.endswith(".py") and one.is_file()]
    if above and (not files or any(one.name == "pyvenv.cfg" for one in held)):
        return
    for one in files:
        if above or not _shadows(one.name[:-3], one.path):
            yield Path(one.path)
    for one in held:
        plain = one.name.isidentifier() and one.name not in _ASIDE and one.is_dir()
        if plain and not one.is_symlink() and (above or not _shadows(one.name, one.path)):
            if is_mine(one.path) and len(above) < 16:
                yield from _files(one.path, (*above, one.name))


def _shadows(name, place):
    """Whether a library has that name, which a file that is not on Python's path does not take
    from it."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is not None and Path(file).resolve().is_relative_to(Path(place).resolve()):
        return False
    return name in sys.stdlib_module_names or any(
        (root / name).is_dir() or (root / f"{name}.py").is_file() for root in LIBRARIES[2:]
    )
