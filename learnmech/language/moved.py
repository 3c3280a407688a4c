"""Moved: modules under the paths they had before, up to 0.4 most of them, for own code that was
written then, and lies in run folders too."""

import importlib
import importlib.abc
import importlib.machinery
import sys

from learnmech.errors import refused

ROOMS = {
    "language": (
        "addresses",
        "catalog",
        "digest",
        "display",
        "doors",
        "guests",
        "parts",
        "quantity",
        "text",
        "trees",
    ),
    "machine": ("backend", "bytecode", "late", "logs", "memory", "syntax", "version"),
    "activations": ("duals",),
    "architectures": ("scalings",),
    "comparison": ("differences", "divergence", "domains", "orders", "staircases"),
    "curvature": ("samplewise",),
    "experiment": ("clock", "tables"),
    "gallery": ("contracts",),
    "march": ("tracking", "watching"),
    "rules": ("schedules",),
    "runs": ("endings", "estimates", "pace"),
    "studies": ("ladders", "maps", "variables"),
    "system": ("freezing", "state", "symmetries"),
}
"""{room: the modules that lay loose, or were rooms, before}."""
MOVED = {
    f"learnmech.{name}": f"learnmech.{room}.{name}"
    for room, names in ROOMS.items()
    for name in names
} | {"learnmech.stages": "learnmech.march.timeline"}

APART = {"learnmech.adapters.tangents": ("learnmech_tangents", "pip install ./tangents")}
"""{module: (the package of its own that it became, how to get that)}."""
DOORS = {name.rpartition(".")[0] for name in APART}


class OldPaths(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under its old path; what is imported is the module itself, once."""

    def __init__(self):
        self._own: dict[str, object] = {}

    def find_spec(self, name, path=None, target=None):
        """The spec of what has moved, and None for everything else."""
        if name in DOORS:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        if ".".join(name.split(".")[:2]) not in MOVED and _apart(name) is None:
            return None
        return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        """The module where it is now; a door is made, with what it led to."""
        if spec.name in DOORS:
            return None
        if (apart := _apart(spec.name)) is not None:
            return self._kept(spec.name, _of_its_own(spec.name, *apart))
        first, _, rest = spec.name.removeprefix("learnmech.").partition(".")
        module = importlib.import_module(MOVED[f"learnmech.{first}"] + (f".{rest}" if rest else ""))
        return self._kept(spec.name, module)

    def _kept(self, name, module):
        self._own[name] = module.__spec__
        return module

    def exec_module(self, module):
        """It was executed where it is; the import system has written over what it knows of
        itself."""
        name = module.__spec__.name
        if name in DOORS:
            for old in (one for one in APART if one.rpartition(".")[0] == name):
                setattr(module, old.rpartition(".")[2], importlib.import_module(old))
        else:
            module.__spec__ = self._own.pop(name)


def _apart(name):
    """(old path, its package, how to get that) of a module that is in a package of its own now."""
    return next(
        ((old, *where) for old, where in APART.items() if f"{name}.".startswith(f"{old}.")), None
    )


def _of_its_own(name, old, package, remedy):
    try:
        return importlib.import_module(package + name.removeprefix(old))
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        who, wanted = old.rpartition(".")[0], f"{package}, a package of its own"
        raise refused(who, wanted, "none that is installed", remedy) from None


def answer() -> None:
    """Let old paths be found; before any other finder, which would read the files of a moved
    folder a second time."""
    if not any(isinstance(finder, OldPaths) for finder in sys.meta_path):
        sys.meta_path.insert(0, OldPaths())
