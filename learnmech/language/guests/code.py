"""Guests: a user's own code, what of it an experiment runs, how its source travels and is found
again.

A class of the user's own counts by the digest of its bytecode, which comments do not move. It
travels as source and never pickled by value, which loses the leaves of an Equinox module in
silence: files as they are, and of a script or a notebook the statements that the class needs.
Before anything is run, what travels is imported and held against the class at hand.
"""

import hashlib
import importlib
import sys
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from learnmech.errors import Refused, refused
from learnmech.language.digest import code_digest, digest_of, found_in, model_digest
from learnmech.language.guests.carried import IMPORTING, Carried
from learnmech.language.guests.excerpts import Sources, called, sources_of
from learnmech.language.origins import in_library, modules_named

PYTHON = "{}.{}".format(*sys.version_info[:2])
FOLDER = "parts"
"""The folder of a run folder in which own code lies."""


class Guest(NamedTuple):
    """A class of the user's own: its family and kind, its name, the digest of its code, the
    module that defines it."""

    family: str
    kind: str
    name: str
    digest: str
    module: str


class Code(NamedTuple):
    """The user's own code in an experiment, with the source of every file of it, {path: bytes};
    `python` reads its bytecode."""

    guests: tuple[Guest, ...] = ()
    files: dict[str, bytes] = {}
    python: str = PYTHON

    @property
    def told(self) -> dict:
        """As plain data for a record: every guest, and the sha256 of every file."""
        files = {
            path: hashlib.sha256(held).hexdigest() for path, held in sorted(self.files.items())
        }
        return {
            "python": self.python,
            "guests": [one._asdict() for one in self.guests],
            "files": files,
        }

    def write(self, folder: Path) -> None:
        """Write its files into a folder."""
        for path, held in self.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(held)


Classes = dict[tuple[str, str], type]
"""{(family, kind): class}."""

_MET: dict[str, Classes] = {}
_ORIGINS: "weakref.WeakKeyDictionary[type, Sources]" = weakref.WeakKeyDictionary()


def own(classes: Classes) -> Classes:
    """Those of the classes that belong to no library."""
    return {key: cls for key, cls in classes.items() if not in_library(cls.__module__)}


def digests_of(classes: Classes, models: Iterable[tuple[str, ModuleType]] = ()) -> dict:
    """What `code_of` tells, without the source."""
    mine = [
        Guest(family, kind, cls.__name__, code_digest(cls), "")
        for (family, kind), cls in sorted(own(classes).items())
    ]
    used = [(name, model_digest(module)) for name, module in models]
    return Code((*mine, *(Guest("models", name, "", one, "") for name, one in used if one))).told


def code_of(classes: Classes, models: Iterable[tuple[str, ModuleType]] = ()) -> Code:
    """The user's own code in these classes, and in `models` {name in the text: the module that
    makes it}.

    Refuses, before anything is run, a class whose source cannot be found again.
    """
    guests: list = []
    files: dict = {}
    for (family, kind), cls in sorted(own(classes).items()):
        found, digest = _sources(cls), code_digest(cls)
        guests.append(Guest(family, kind, cls.__name__, digest, found.module))
        _merge(files, found.files, cls.__name__)
        _verified(cls, guests[-1], found)
    for name, module in models:
        held, used = sources_of(module), modules_named(module)
        sha = hashlib.sha256(held.files[f"{held.module}.py"]).hexdigest()
        if not sha.startswith(name):
            raise refused(
                "Wrapped",
                f"the file of its model with sha256 {name}...",
                f"{sha[:16]}...",
                "Restore the file",
            )
        beside = model_digest(module)
        guests += [Guest("models", name, "", beside, "")] if beside else []
        held = _with_folder(held, found_in(used, module), held.module)
        _verified_modules(held, used)
        _merge(files, held.files, held.module)
    return Code(tuple(guests), files)


def _sources(cls):
    """The source of a class: that from which it was made again, or what stands here, with all
    Python files beside it where it finds names that are made while it runs."""
    if (found := _ORIGINS.get(cls)) is not None:
        return found
    return _with_folder(sources_of(cls), found_in(cls), cls.__name__)


def _with_folder(held, found, who):
    if not found.means.beyond:
        return held
    files = dict(held.files)
    for path, several in found.files().items():
        for one in several:
            _merge(files, {path: one}, who)
    return Sources(held.module, files)


def _merge(files, more, who):
    for path, held in more.items():
        if files.setdefault(path, held) != held:
            raise refused(
                who,
                "one file of own code of each name",
                f"two that are called {path}",
                "Rename one of them",
            )


def _verified(cls, guest, found):
    told = Code((guest,), found.files).told
    try:
        arrived = summoned(told, found.files)[guest.family, guest.kind]
        same = code_digest(arrived) == guest.digest
        got = "source that makes other code"
    except Refused as refusal:
        same, got = False, f"source that does not import ({refusal})"
    # where names are made while it runs, its modules must hold what their files say
    beside = found_in(cls) if same else None
    if beside is not None and beside.means.beyond:
        _verified_modules(found, beside.modules(), cls.__name__)
    if not same:
        remedy = (
            f"Put {cls.__name__} into a file of its own and import it, or start Python anew if that"
            " file was edited"
        )
        raise refused(cls.__name__, "source from which it can be made again", got, remedy)


def _verified_modules(held, used, who="Wrapped"):
    """What a model's file imports must be what travels. What they hold may have changed in use,
    and is not looked at here."""
    try:
        with Carried(held.files).within():
            arrived = tuple(importlib.import_module(called(one)) for one in used)
        same = digest_of(arrived, lenient=True, held=False) == digest_of(
            used, lenient=True, held=False
        )
        got = "files that make other code"
    except Exception as error:
        same, got = False, f"files that do not import ({type(error).__name__}: {error})"
    if not same:
        what = f"the modules that {held.module}.py imports as their files say"
        raise refused(who, what, got, "Start Python anew if one was edited, or restore it")


def summoned(told: dict, source: Path | dict[str, bytes]) -> Classes:
    """The classes that a record tells of, imported from its own copy of their source; run this
    only with the user's leave."""
    key = repr(sorted(told["files"].items())) + repr(
        sorted((g["family"], g["kind"], g["name"]) for g in told["guests"])
    )
    with IMPORTING:
        if key not in _MET:
            held = source if isinstance(source, dict) else _read(told, source)
            _MET[key] = _imported(told, held)
        return _MET[key]


def _read(told, folder):
    held = {}
    for path, sha in told["files"].items():
        inside = (folder / path).resolve()
        if not inside.is_relative_to(folder.resolve()) or not inside.is_file():
            raise refused(
                "The run folder",
                f"its copy of {path}",
                "none",
                "Give the file of your own parts by --with",
            )
        held[path] = inside.read_bytes()
        found = hashlib.sha256(held[path]).hexdigest()
        if found != sha:
            remedy = "Restore it, or give the file of your own parts by --with"
            raise refused(
                "The run folder", f"{path} with sha256 {sha[:16]}...", f"{found[:16]}...", remedy
            )
    return held


def _imported(told, held):
    wanted, carried = [guest for guest in told["guests"] if guest["module"]], Carried(held)
    with carried.within():
        try:
            modules = {
                guest["module"]: importlib.import_module(guest["module"]) for guest in wanted
            }
            found = {
                (g["family"], g["kind"]): getattr(modules[g["module"]], g["name"]) for g in wanted
            }
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise refused(
                "Own code",
                "source that can be imported",
                said,
                "Mend it, or put it into a file of its own",
            ) from error
    for cls, guest in zip(found.values(), wanted, strict=True):
        cls.__summoned__ = True  # a copy: not what a name means in this process
        _ORIGINS[cls] = Sources(guest["module"], held)
    return found


def changed(
    told: dict, classes: Classes, models: Iterable[tuple[str, ModuleType]] = ()
) -> list[str]:
    """What of the code that a record tells of is other code here, each in words with both
    digests."""
    found = []
    mine, modules = own(classes), dict(models)
    for guest in told.get("guests", ()):
        what = f"{guest['family']}: {guest['kind']}" if guest["family"] else guest["name"]
        if guest["family"] == "models":
            if guest["kind"] in modules:
                found += _differs(
                    what,
                    guest["digest"],
                    model_digest(modules[guest["kind"]]) or "",
                    told,
                    None,
                )
            continue
        if (guest["family"], guest["kind"]) not in classes:
            continue
        cls = mine.get((guest["family"], guest["kind"]))
        if cls is None:
            found.append(
                f"{what} was own code, sha256 {guest['digest'][:16]}, and is learnmech's here"
            )
            continue
        found += _differs(what, guest["digest"], code_digest(cls), told, cls)
    for (family, kind), cls in mine.items():
        if not any((g["family"], g["kind"]) == (family, kind) for g in told.get("guests", ())):
            found.append(
                f"{family}: {kind} is own code here, sha256 {code_digest(cls)[:16]}, and was"
                " learnmech's"
            )
    return found


def _differs(what, then, now, told, cls):
    if told["python"] == PYTHON:
        return (
            []
            if then == now
            else [f"{what} is other code: sha256 {then[:16]} then, {now[:16]} now"]
        )
    # bytecode moves with Python: under another one the sources are held against each other
    held = (
        None
        if cls is None
        else {p: hashlib.sha256(b).hexdigest() for p, b in _sources(cls).files.items()}
    )
    if held is not None and all(told["files"].get(path) == sha for path, sha in held.items()):
        return []
    return [
        f"{what} was read by Python {told['python']}, and its source is another or not at hand"
        f" under {PYTHON}"
    ]
