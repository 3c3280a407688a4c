"""Moved: modules under the paths they had up to 0.4, for own code that was written then, and
lies in run folders too."""

import importlib
import importlib.abc
import importlib.machinery
import sys

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
    "system": ("freezing", "state", "symmetries"),
}
"""{room: the modules that lay loose before}."""
MOVED = {
    f"learnmech.{name}": f"learnmech.{room}.{name}"
    for room, names in ROOMS.items()
    for name in names
} | {"learnmech.stages": "learnmech.march.timeline"}


class OldPaths(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under its old path; what is imported is the module itself, once."""

    def __init__(self):
        self._own: dict[str, object] = {}

    def find_spec(self, name, path=None, target=None):
        """The spec of what has moved, and None for everything else."""
        if ".".join(name.split(".")[:2]) not in MOVED:
            return None
        return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        """The module where it is now."""
        first, _, rest = spec.name.removeprefix("learnmech.").partition(".")
        module = importlib.import_module(MOVED[f"learnmech.{first}"] + (f".{rest}" if rest else ""))
        self._own[spec.name] = module.__spec__
        return module

    def exec_module(self, module):
        """It was executed where it is; the import system has written over what it knows of
        itself."""
        name = module.__spec__.name
        module.__spec__ = self._own.pop(name)


def answer() -> None:
    """Let old paths be found; before any other finder, which would read the files of a moved
    folder a second time."""
    if not any(isinstance(finder, OldPaths) for finder in sys.meta_path):
        sys.meta_path.insert(0, OldPaths())
