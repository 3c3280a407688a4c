"""Carried: modules of the user's own from a copy of their source, which stand for themselves in
a process that has others of their names."""

import builtins
import contextlib
import sys
import threading
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from learnmech.language import patches
from learnmech.language.parts import Part

# Importing swaps modules of the process for a moment: one thread at a time.
IMPORTING = threading.RLock()


class Carried:
    """Files {path: source} as modules. What is imported `within` it is theirs; so is what their
    functions import when they are called, long after."""

    def __init__(self, files: dict[str, bytes], place: str = "parts"):
        self.files, self.place = files, place
        self.names = {name for path in files for name in _names(path)}
        self.modules: dict[str, ModuleType] = {}
        self._open = False
        self.builtins = vars(builtins) | {"__import__": _Importer(self)}

    @classmethod
    def of(cls, folder: Path) -> "Carried":
        """The Python files below a folder."""
        return cls(
            {
                file.relative_to(folder).as_posix(): file.read_bytes()
                for file in sorted(folder.rglob("*.py"))
            },
            str(folder),
        )

    @contextlib.contextmanager
    def within(self) -> Iterator[None]:
        """Within it, modules of these names are those of these files; the process's own of the
        same names come back after."""
        with IMPORTING:
            if self._open:  # one of them imports another
                yield
                return
            # modules of this process that set attributes of a library go before their copies
            kept = patches.kept_from(self.files.values())
            before = {name: sys.modules.pop(name) for name in self.names if name in sys.modules}
            sys.modules.update(self.modules)
            sys.meta_path.insert(0, self)
            self._open = True
            try:
                yield
            finally:
                self._open = False
                sys.meta_path.remove(self)
                found = {
                    name: module
                    for name in self.names
                    if (module := sys.modules.pop(name, None)) is not None
                }
                sys.modules.update(before)
                self.modules |= found
                patches.put_back(kept)
                _marked(found.values())

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Where one of these modules is, as Python's import asks."""
        stem = name.replace(".", "/")
        for file, package in ((f"{stem}/__init__.py", True), (f"{stem}.py", False)):
            if file in self.files:
                # it finds and loads, without the base class that importlib's stubs ask for
                loader: Any = self
                spec = ModuleSpec(name, loader, origin=f"{self.place}/{file}", is_package=package)
                spec.has_location = True
                return spec
        return ModuleSpec(name, None, is_package=True) if name in self.names else None

    def create_module(self, spec: ModuleSpec) -> None:
        """A module as Python makes one."""

    def exec_module(self, module: ModuleType) -> None:
        """Run its source."""
        vars(module)["__builtins__"] = self.builtins
        origin = str(module.__spec__.origin if module.__spec__ else "")
        exec(
            compile(
                self.files[origin.removeprefix(f"{self.place}/")], origin, "exec", dont_inherit=True
            ),
            vars(module),
        )
        patches.noted(self.files[origin.removeprefix(f"{self.place}/")])


class _Importer:
    """`import` as the functions of carried modules do it."""

    def __init__(self, carried: Carried):
        self.carried = carried

    def carries(self, name: str) -> bool:
        """Whether a module of that name is carried."""
        return name in self.carried.names

    def __call__(self, name, globals=None, locals=None, fromlist=(), level=0):
        if not level and not self.carries(name.partition(".")[0]):
            return builtins.__import__(name, globals, locals, fromlist, level)
        with self.carried.within():
            return builtins.__import__(name, globals, locals, fromlist, level)


def _names(path: str) -> Iterable[str]:
    words = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return [".".join(words[: count + 1]) for count in range(len(words))]


def _marked(modules: Iterable[ModuleType]) -> None:
    """A class of a copy is not what its name means in this process."""
    for module in modules:
        for one in list(vars(module).values()):
            if (
                isinstance(one, type)
                and issubclass(one, Part)
                and one.__module__ == module.__name__
            ):
                mine: Any = one  # a mark of one class, which parts as such do not have
                mine.__summoned__ = True
