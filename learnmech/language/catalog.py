"""The catalogue: what there is, found by reading the source, so that listing imports nothing."""

import ast
import collections
import contextlib
import contextvars
import functools
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from learnmech.errors import nearest, refused, saying
from learnmech.language.faults import own_line
from learnmech.language.origins import own_sources
from learnmech.machine.sourced import Sourced
from learnmech.machine.syntax import parsed

HOUSE = Path(__file__).parents[1]
FAMILIES = {
    "architectures": "Architecture",
    "scalings": "Scaling",
    "data": "Data",
    "initial": "InitialCondition",
    "losses": "Loss",
    "rules": "Rule",
    "schedules": "Schedule",
    "interventions": "Intervention",
    "instruments": "Instrument",
    "theories": "Theory",
    "simplifications": "Simplification",
}
ABSTRACT = {
    "architectures": ("base", "dense", "wrapper"),
    "data": ("base", "given"),
    "instruments": ("base", "answers"),
}
"""{family: its files of what members descend from}, of a family that has more of them than
base.py."""
WITHIN = {"scalings": "architectures.scalings", "schedules": "rules.schedules"}
"""{family: its one file, of another room}."""


_IMPORTING: dict[str, threading.RLock] = {}


class Member(NamedTuple):
    """One entry of the catalogue."""

    family: str
    kind: str
    summary: str
    module: str
    name: str
    source: str


def kebab(name: str) -> str:
    """The name of a class in text."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "-", name).lower()


def _summary(node) -> str:
    """The first paragraph of what a class says of itself, in one line."""
    return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())


def _parsed(path: Path) -> ast.Module:
    return parsed(path.read_text(encoding="utf-8-sig"))


def _classes(path: Path):
    tree = _parsed(path)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield (
                node,
                {
                    base.id if isinstance(base, ast.Name) else getattr(base, "attr", "")
                    for base in node.bases
                },
            )


def _abstract(family: str) -> tuple[str, ...]:
    return ABSTRACT.get(family, ("base",))


@functools.cache
def _bases(family: str) -> frozenset[str]:
    names = {FAMILIES[family]}
    for stem in _abstract(family):
        root = HOUSE / family / f"{stem}.py"
        for node, bases in _classes(root) if root.exists() else ():
            if bases & names:
                names.add(node.name)
    return frozenset(names)


def _members_of(path: Path, module: str, kin: dict[str, frozenset[str]]) -> list[Member]:
    """The classes of a file that descend from `kin` {family: names}, or from one of themselves."""
    found, known = [], {family: set(names) for family, names in kin.items()}
    for node, bases in _classes(path):
        for family, names in known.items():
            if bases & names:
                names.add(node.name)
                found.append(
                    Member(family, kebab(node.name), _summary(node), module, node.name, str(path))
                )
    return found


@functools.cache
def _all_kin() -> dict[str, frozenset[str]]:
    """{family: what a class from elsewhere may descend from}: the bases of the family, and its
    members where no other family has one of that name."""
    named = collections.Counter(
        name
        for family in FAMILIES
        for name in _bases(family) | {member.name for member in own(family)}
    )
    return {
        family: _bases(family) | {member.name for member in own(family) if named[member.name] == 1}
        for family in FAMILIES
    }


@functools.cache
def own(family: str) -> tuple[Member, ...]:
    """The members of a family that are the house's own."""
    if family in WITHIN:
        path = HOUSE.joinpath(*WITHIN[family].split(".")).with_suffix(".py")
        return tuple(_members_of(path, f"learnmech.{WITHIN[family]}", {family: _bases(family)}))
    found = []
    for path in sorted((HOUSE / family).glob("*.py")):
        if path.stem not in ("__init__", *_abstract(family)):
            found += _members_of(path, f"learnmech.{family}.{path.stem}", {family: _bases(family)})
    return tuple(found)


GUESTS: list[Member] = []


def add_source(path: str | Path) -> list[Member]:
    """Bring a user's own file into the catalogue; its members are found by reading, and imported
    only when used."""
    path = Path(path).resolve()
    if not path.is_file():
        raise refused(
            "The catalogue",
            "a Python file of parts",
            f"{path}",
            "Give the path of an existing .py file",
        )
    try:
        found = _members_of(
            path, f"learnmech_guest_{path.stem}_{zlib.crc32(str(path).encode()):x}", _all_kin()
        )
    except UnicodeDecodeError:
        raise refused(
            "The catalogue", "a Python file in UTF-8", f"{path}", "Save it as UTF-8"
        ) from None
    except SyntaxError as error:
        raise refused(
            "The catalogue",
            "a Python file that parses",
            f"line {error.lineno}: {error.msg}",
            f"Mend {path.name}",
        ) from None
    GUESTS.extend(member for member in found if member not in GUESTS)
    return found


_TRUSTED = [False]


def trust(granted: bool = True) -> None:
    """Whether the Python code that a text names, `{python = "mine.py:model", sha256 = "..."}`,
    may be run to read it. Look at the code first."""
    _TRUSTED[0] = granted


_GRANTED: contextvars.ContextVar[bool] = contextvars.ContextVar("granted", default=False)


@contextlib.contextmanager
def trusting() -> Iterator[None]:
    """Within it that code may be run, by this thread alone: jobs are performed side by side."""
    token = _GRANTED.set(True)
    try:
        yield
    finally:
        _GRANTED.reset(token)


def trusted() -> bool:
    """Whether it may."""
    return _TRUSTED[0] or _GRANTED.get()


@functools.cache
def _entry_points() -> tuple[Member, ...]:
    found = []
    for point in importlib.metadata.entry_points(group="learnmech"):
        spec = importlib.util.find_spec(point.value)
        if spec and spec.origin:
            found += _members_of(Path(spec.origin), point.value, _all_kin())
    return tuple(found)


def members(family: str) -> dict[str, Member]:
    """{kind: member} of a family, guests last."""
    guests = [member for member in (*_entry_points(), *GUESTS) if member.family == family]
    return {member.kind: member for member in (*own(family), *guests)}


def _module(member: Member):
    if member.module.startswith("learnmech_guest_"):
        with _IMPORTING.setdefault(member.module, threading.RLock()):  # no thread sees half of it
            if member.module not in sys.modules:
                _import_guest(member)
    with own_sources():
        return importlib.import_module(member.module)


def _import_guest(member: Member) -> None:
    file = str(member.source)
    spec = importlib.util.spec_from_file_location(
        member.module, file, loader=Sourced(member.module, file) if file.endswith(".py") else None
    )
    if (
        spec is None or spec.loader is None
    ):  # a path that is no .py file, which `add_source` refused
        raise refused(
            "The catalogue",
            "a Python file of parts",
            member.source,
            "Give the path of an existing .py file",
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[member.module] = module
    try:
        with own_sources():
            spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(member.module, None)
        if isinstance(error, KeyboardInterrupt):
            raise
        # a script may end itself as it is imported, which must not be taken for our own end
        name, line = Path(member.source).name, own_line(error)
        script = ": keep what a script does under `if __name__ == '__main__':`"
        raise refused(
            "The catalogue",
            f"{name} to be imported",
            saying(error) + (f" (line {line.number} of {line.file})" if line else ""),
            f"Mend {name}" + (script if isinstance(error, SystemExit) else ""),
        ) from error


def load(member: Member) -> type[Any]:
    """The class of a member, imported now."""
    return getattr(_module(member), member.name)


def find(family: str, kind: str) -> type[Any]:
    """The class of that kind, or the nearest names in the error."""
    known = members(family)
    if not isinstance(kind, str) or kind not in known:
        raise refused(
            f"The catalogue of {family}", "a known kind", repr(kind), nearest(str(kind), known)
        )
    return load(known[kind])


def lazy_family(package: str, file: str, also: Mapping[str, str] | None = None):
    """`__getattr__` and `__dir__` of a family's package: its classes by name, imported on first
    use.

    `__all__` is among what the first gives, so that `help` and `import *` find what there is.
    `also` {name: its module} is what the package has besides.
    """
    folder, also = Path(file).parent, also or {}

    def names():
        return {
            member.name: member
            for member in (*own(folder.name), *_entry_points())
            if member.family == folder.name
        }

    def getattr_(name):
        if name == "__all__":
            return dir_()
        if name in names():
            return load(names()[name])
        if name in also:
            return getattr(importlib.import_module(also[name]), name)
        return _file_of(package, folder, name, names())

    def dir_():
        return sorted({*names(), *also})

    return getattr_, dir_


def lazy_files(package: str, file: str):
    """`__getattr__` and `__dir__` of a package whose files go by their names, imported on first
    use."""
    folder = Path(file).parent

    def getattr_(name):
        return dir_() if name == "__all__" else _file_of(package, folder, name, dir_())

    def dir_():
        return files_of(folder)

    return getattr_, dir_


def files_of(folder: Path) -> list[str]:
    """The modules of a package, by their names."""
    return sorted(
        path.stem if path.suffix else path.name for path in folder.iterdir() if _is_module(path)
    )


def _is_module(path: Path) -> bool:
    return not path.name.startswith("_") and (
        path.suffix == ".py" or (path / "__init__.py").is_file()
    )


def _file_of(package, folder, name, known):
    """The module of a package by its name, or the nearest names in the error."""
    if name.startswith("__"):
        raise AttributeError(name)
    if name in files_of(folder):
        return importlib.import_module(f"{package}.{name}")
    raise AttributeError(f"{package} has no {name!r}. {nearest(name, known)}")


class ExhibitEntry(NamedTuple):
    """An exhibit as read from its file, before anything is imported."""

    name: str
    claim: str
    source: str
    module: str


@functools.cache
def exhibits() -> dict[str, ExhibitEntry]:
    """{name: entry} of the gallery: one file per exhibit, which assigns `exhibit =
    Exhibit(claim=..., source=...)`."""
    found = {}
    for path in sorted((HOUSE / "gallery").glob("*.py")):
        tree = _parsed(path)
        for node in tree.body:
            if (
                isinstance(node, ast.Assign)
                and getattr(node.targets[0], "id", "") == "exhibit"
                and isinstance(node.value, ast.Call)
            ):
                said = {
                    k.arg: str(k.value.value)
                    for k in node.value.keywords
                    if isinstance(k.value, ast.Constant)
                }
                name = path.stem.replace("_", "-")
                found[name] = ExhibitEntry(
                    name,
                    said.get("claim", ""),
                    said.get("source", ""),
                    f"learnmech.gallery.{path.stem}",
                )
    return found


def exhibit(name: str):
    """The exhibit of that name, imported now."""
    if name not in exhibits():
        raise refused("The gallery", "a known exhibit", repr(name), nearest(name, exhibits()))
    return importlib.import_module(exhibits()[name].module).exhibit
