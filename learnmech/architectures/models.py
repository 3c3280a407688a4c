"""Models: a user's own model as a value. Its text says where the model is and its sha256;
without leave no text makes anything run."""

import functools
import hashlib
import sys
import types
from pathlib import Path
from typing import Any

import equinox as eqx

from learnmech.architectures.skeletons import check_model, is_pair, said
from learnmech.errors import refused
from learnmech.language import catalog, guests, patches
from learnmech.language.digest import digest_of
from learnmech.language.origins import own_sources
from learnmech.language.parts import Part, structure
from learnmech.machine import backend

# The models at hand in this process, by what their text says of them.
AT_HAND: dict[tuple[str, str], object] = {}
# What those in hand looked like when they were last found to be what they were, with their arrays,
# so that no other array has the place of one of them.
_SEEN: dict[tuple[str, str], tuple[str, list]] = {}
# Those of them that were made by a run folder's copy of the code.
_OF_COPIES: set[tuple[str, str]] = set()


class Model(Part):
    """Where a model is, and its sha256.

    `python`: a file and a name in it, `mine.py:model`, with the sha256 of the file. `given`: the
    name of an object that was handed over in Python, with the sha256 of its content: structure,
    weights, static fields, and the user's own code it calls.
    """

    python: str | None = structure(default=None)
    given: str | None = structure(default=None)
    sha256: str = structure(kw_only=True)

    def coherent(self):
        if (self.python is None) == (self.given is None):
            raise refused(
                "Model",
                "either python or given",
                "both" if self.python else "neither",
                'Write for example python = "mine.py:model"',
            )
        if self.python is not None:
            _file_and_name(self.python)

    @classmethod
    def of(cls, model: object) -> "Model":
        """The value that stands for an object: an Equinox module, a pair (init, apply), or a
        function that makes a module from a key."""
        if isinstance(model, cls):
            return model
        model = tuple(model) if isinstance(model, list) else model
        check_model(model)
        found = cls(given=_name_of(model), sha256=digest_of(model))
        found._take(model)
        return found

    @classmethod
    def in_file(cls, where: str) -> "Model":
        """The model of that name in a Python file, `mine.py:model`, which is run now."""
        path, name = _file_and_name(where)
        source = _read(path)
        found = cls(python=where, sha256=hashlib.sha256(source).hexdigest())
        AT_HAND[found.key] = _run(path, name, source, found.sha256)
        return found

    def __repr__(self):
        return f"<{self.python or self.given} {self.sha256[:12]}>"

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others."""
        return self.python.rpartition(":")[2] if self.python else "", self.sha256

    def _take(self, model):
        moved = [key for key, one in AT_HAND.items() if key != self.key and _is_one(one, model)]
        if moved or self.now != self.sha256:
            AT_HAND[self.key] = model
        if moved:  # what its functions compiled before it was changed is not of it any more
            backend.forget()

    @property
    def at_hand(self) -> object:
        """The model itself. Refuses one whose content is not what it was when it was handed
        over."""
        if self.key not in AT_HAND:
            raise self._unknown()
        self.check_as_given()
        return AT_HAND[self.key]

    @property
    def now(self) -> str | None:
        """sha256 of what a model that was handed over is by now; of one in a file, of the file as
        it was run; None where it is not at hand."""
        if self.key not in AT_HAND:
            return None
        if not self.given:
            return self.sha256
        model = AT_HAND[self.key]
        arrays: list = []
        seen = digest_of(model, same=arrays)
        if _SEEN.get(self.key, ("", []))[0] != seen:
            found = digest_of(model)
            if found != self.sha256:
                return found
            _SEEN[self.key] = seen, arrays
        return self.sha256

    def check_as_given(self) -> None:
        """Refuse a model in hand that was changed since: a global, a default argument or an array
        that it uses."""
        if (now := self.now) not in (None, self.sha256):
            remedy = "Restore what it uses, or give the model as it is now to Wrapped"
            got = f"one with sha256 {now[:16]}"
            what = f"{self.given} as it was handed over, sha256 {self.sha256[:16]}"
            raise refused("Wrapped", what, got, remedy)

    def modules(self):
        if self.python is None or self.key not in AT_HAND:
            return ()
        return (
            (
                self.sha256[:16],
                sys.modules[_module_name(_file_and_name(self.python)[0], self.sha256)],
            ),
        )

    def parsed(self, folder="."):
        if self.given:
            # one that was handed over is in no text: what was recorded of it is read, and whoever
            # needs the model itself is refused
            return self
        path, name = _file_and_name(self.python)
        carried = Path(folder).resolve() / guests.FOLDER / path.name
        # what a run folder's copy gave is that of run folders: elsewhere modules beside the file
        # may have been edited since
        if self.key in AT_HAND and (self.key not in _OF_COPIES or carried.is_file()):
            return self
        if not catalog.trusted():
            raise self._unknown()
        places = [
            above / path for above in (Path(folder).resolve(), *Path(folder).resolve().parents)
        ]
        path = next((place for place in (carried, *places) if place.is_file()), path)
        if self.key in AT_HAND and not path.is_file():
            return self
        source = _read(path)
        found = hashlib.sha256(source).hexdigest()
        if self.key in AT_HAND and found != self.sha256:
            return self
        if found != self.sha256:
            raise refused(
                "Wrapped",
                f"{path.name} with sha256 {self.sha256[:16]}...",
                f"{found[:16]}...",
                "Restore the file, or write its sha256",
            )
        if (
            self.key in AT_HAND
            # the same file with modules of its own: neither the module nor what was compiled of it
            # stands for this one
        ):
            sys.modules.pop(_module_name(path, found), None)
            backend.forget()
        (_OF_COPIES.add if path == carried else _OF_COPIES.discard)(self.key)
        AT_HAND[self.key] = _run(
            path,
            name,
            source,
            found,
            guests.Carried.of(carried.parent) if path == carried else None,
        )
        return self

    def _unknown(self):
        if self.given:
            what, got = (
                "the model itself, which is in no text",
                f"the name of one, {self.given}, that this process does not know",
            )
            remedy = (
                "Make the same model here and give it to Wrapped first; one in a file,"
                " Wrapped.of('mine.py:model'), is found by itself"
            )
            return refused("Wrapped", what, f"{got} (sha256 {self.sha256[:16]})", remedy)
        remedy = "Look at the file, then run learnmech --trust, or in Python lm.catalog.trust()"
        return refused(
            "Wrapped",
            "leave to run the code that a text names",
            f"{self.python} without it",
            remedy,
        )


def model_of(key: tuple[str, str]) -> object:
    """The model at hand under a key."""
    return AT_HAND[key]


def _is_one(one, other):
    """Whether two are the same object, or pairs of the same."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return all(a is b for a, b in zip(one, other, strict=False))
    return one is other


def _file_and_name(where: object) -> tuple[Path, str]:
    path, _, name = where.rpartition(":") if isinstance(where, str) else ("", "", "")
    if not path.endswith(".py") or not name.isidentifier():
        raise refused(
            "Wrapped",
            "a Python file and a name in it",
            repr(where),
            "Write for example mine.py:model",
        )
    return Path(path), name


def _read(path):
    if not path.is_file():
        raise refused(
            "Wrapped",
            "the file of its model",
            f"no file {path}",
            "Put it beside the text or in a folder above it, or go to the folder from which that"
            " path leads to it",
        )
    return path.read_bytes()


def _module_name(path, sha):
    return f"learnmech_model_{path.stem}_{sha[:16]}"


def _run(path, name, source, sha, carried=None):
    called = _module_name(path, sha)
    if called not in sys.modules:
        module: Any = types.ModuleType(called)
        module.__file__ = str(path.resolve())
        sys.modules[called] = module  # classes look there for the module they are made in
        try:
            module.__code__ = compile(source, module.__file__, "exec", dont_inherit=True)
            if carried is not None:
                module.__builtins__ = carried.builtins
            with own_sources(), patches.once(source):
                exec(module.__code__, vars(module))
        except BaseException as error:
            sys.modules.pop(called, None)
            if isinstance(error, KeyboardInterrupt):
                raise
            raise refused(
                "Wrapped", f"{path.name} to be run", said(error), f"Mend {path.name}"
            ) from error
    if not hasattr(sys.modules[called], name):
        raise refused(
            "Wrapped",
            f"a model in {path.name}",
            f"no {name} in it",
            f"Name one that {path.name} defines",
        )
    model = getattr(sys.modules[called], name)
    check_model(model)
    return model


def _name_of(model):
    if is_pair(model):
        return ", ".join(map(_name_of, model))
    model = model.func if isinstance(model, functools.partial) else model
    named = (
        type(model)
        if isinstance(model, eqx.Module) or not hasattr(model, "__qualname__")
        else model
    )
    return f"{named.__module__}.{named.__qualname__}"
