"""Origins: what is a library's and what is a user's own, and what of the user's own some code
imports."""

import builtins
import contextlib
import functools
import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

from learnmech.machine.bytecode import imports_of
from learnmech.machine.sourced import from_sources

LIBRARIES = tuple(
    Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
HOUSE = Path(__file__).resolve().parents[1]


@functools.cache
def in_library(module: str) -> bool:
    """Whether the Python module of that name belongs to learnmech, to Python or to an installed
    package, and is no user's own."""
    if module.split(".")[0] in ("learnmech", "builtins"):
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    if module == "__main__" or module not in sys.modules or file is None:
        return module in sys.builtin_module_names
    return _installed(file)


def library_name(value) -> str | None:
    """`jax.numpy.tanh` of what a library holds under that name, None of all else."""
    module, name = (
        getattr(value, "__module__", None),
        getattr(value, "__qualname__", None) or getattr(value, "__name__", None),
    )
    if not isinstance(module, str) or not isinstance(name, str) or not in_library(module):
        return None
    found = sys.modules.get(module)
    for word in name.split("."):
        found = getattr(found, word, None)
    return f"{module}.{name}" if found is value else None


def modules_named(module: ModuleType) -> tuple[ModuleType, ...]:
    """The modules of the user's own that a module imports, wherever in it; its own code, where
    it has some, is its `__code__`."""
    found = [one for one in vars(module).values() if isinstance(one, ModuleType)]
    makers = (
        sys.modules.get(getattr(one, "__module__", None) or "") for one in vars(module).values()
    )
    found += [one for one in makers if one is not None]
    code = getattr(module, "__code__", None)
    for name, words in imports_of(code) if code is not None else ():
        found += _modules_of(name, words, vars(module))
    mine = {
        one.__name__: one
        for one in found
        if one is not None and one is not module and not in_library(one.__name__)
    }
    return tuple(one for name, one in sorted(mine.items()) if name != "__main__")


def _modules_of(name, words, within):
    """The user's own module of that name, and those among the words taken from it."""
    found = imported(name, within, words is None)
    if found is None:
        return []
    named = (taken(found, word, within) for word in words or ())
    return [found, *(one for one in named if isinstance(one, ModuleType))]


def imported(name, within, plainly=False):
    """A module of the user's own as code with these globals imports it (`plainly`: by
    `import_module`, which knows no globals): what runs that code would import it too. None of
    all else."""
    said = within.get("__builtins__")
    importer = said["__import__"] if isinstance(said, dict) and not plainly else builtins.__import__
    try:
        package = within.get("__package__") or str(within.get("__name__", "")).rpartition(".")[0]
        whole = importlib.util.resolve_name(name, package)
        root = whole.partition(".")[0]
        if not (getattr(importer, "carries", lambda _: False)(root) or _is_mine(root)):
            return None
        with own_sources():
            return importer(whole, {}, None, ("__name__",), 0)
    except Exception:  # it is not there, which the code may be ready for
        return None


def _is_mine(root):
    if root in sys.modules:
        return not in_library(root)
    spec = importlib.util.find_spec(root)
    places: list[str | None] = []
    if spec is not None:
        places += spec.submodule_search_locations or ()
        places += [spec.origin] if spec.has_location else ()
    return (
        bool(places)
        and root not in sys.stdlib_module_names
        and not any(_installed(place) for place in places)
    )


def _installed(place):
    return any(Path(place).resolve().is_relative_to(root.resolve()) for root in LIBRARIES)


def own_sources() -> "contextlib.AbstractContextManager[None]":
    """Within it, modules of the user's own are made from their source, never from bytecode that
    may be of another."""
    return from_sources(is_mine)


@functools.lru_cache(maxsize=4096)
def is_mine(place: str) -> bool:
    """Whether a file or folder is of the user's own."""
    return not _installed(place) and not Path(place).resolve().is_relative_to(HOUSE)


def taken(module, word, within):
    """What `from module import word` takes."""
    if hasattr(module, word):
        return getattr(module, word)
    return imported(f"{module.__name__}.{word}", within)


def whole_of(module, name, within):
    """What `import a.b` may be used for: all of a."""
    return module if "." not in name else imported(module.__name__.partition(".")[0], within)
