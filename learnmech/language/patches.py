"""Patches: attributes of installed libraries that a user's own module sets, `numpy.sin = ...`.

Code that uses the library names only the library, and never the module that changed it: what it
was set to counts wherever own code does.
"""

import ast
import contextlib
import functools
import hashlib
import sys
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from learnmech.language.origins import in_library
from learnmech.machine.syntax import parsed

# What is set in these is where messages go and how they look.
_QUIET = ("sys", "os", "warnings", "logging", "matplotlib", "IPython")
# What sources that learnmech ran have set, and which these were.
_SET: set[str] = set()
_RUN: set[bytes] = set()
# {a module of the user's own: what its source sets}.
_READ: "weakref.WeakKeyDictionary[ModuleType, tuple[str, ...]]" = weakref.WeakKeyDictionary()
GONE = "no such attribute"
# What every run computes by.
COMPUTING = tuple(
    "learnmech numpy scipy jax jaxlib jaxtyping equinox optax diffrax lineax sklearn xarray".split()
)


def noted(source: bytes) -> None:
    """Note a source that was run, which no module that Python lists may stand for."""
    _SET.update(targets_of(source))
    _RUN.add(hashlib.sha256(source).digest())


@contextlib.contextmanager
def once(source: bytes) -> Iterator[None]:
    """Run a source within it: where it was run before, libraries stay as they were after that, for
    a function that wraps a library's would wrap it twice."""
    again = hashlib.sha256(source).digest() in _RUN
    kept = kept_from((source,)) if again else {}
    try:
        yield
        noted(source)
    finally:
        put_back(kept)


def patched(libraries: Collection[str]) -> dict[str, object]:
    """{`numpy.sin`: what it is now} of all that own modules of this process set in these libraries
    and in those that every run computes by, and that is not the library's own by now.

    Not in others: a script that sets how tables are printed is not known to its workers.
    """
    names = {name for module in _own_modules() for name in _targets(module)} | _SET
    counted = {*libraries, *COMPUTING}
    found = {name: _value(name) for name in sorted(names) if name.partition(".")[0] in counted}
    return {name: value for name, value in found.items() if not _as_shipped(name, value)}


def _as_shipped(name, value) -> bool:
    """Whether what stands under a name is the function or class that the library has there."""
    word = name.rpartition(".")[2]
    if not isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        return False
    whole = f"{value.__module__}.{value.__qualname__}"
    return in_library(str(value.__module__)) and _value(whole) is value and value.__name__ == word


def kept_from(files: Iterable[bytes]) -> dict[str, object]:
    """What is to be put back after copies of these sources were run beside modules of this process
    which have set the same."""
    wanted = {name for source in files for name in targets_of(source)}
    if not wanted:
        return {}
    return {name: _value(name) for name in sorted(wanted)}


def put_back(kept: Mapping[str, object]) -> None:
    """Set what libraries held again."""
    for name, value in kept.items():
        held, _, last = name.rpartition(".")
        if last[0] != "*" and value is not GONE and (owner := _value(held)) is not GONE:
            setattr(owner, last, value)


def _own_modules() -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        # a module may give itself another name than the one under which it was imported
        if isinstance(module, ModuleType) and not in_library(name):
            if module.__name__ == "__main__" or str(getattr(module, "__file__", "")).endswith(
                ".py"
            ):
                yield module


def _targets(module):
    cells = getattr(module, "In", None)
    if module.__name__ == "__main__" and isinstance(cells, list):  # a notebook so far
        return tuple(sorted({name for cell in cells for name in targets_of(str(cell).encode())}))
    if module not in _READ:
        file = Path(str(getattr(module, "__file__", "")))
        try:
            _READ[module] = targets_of(file.read_bytes())
        except OSError:
            _READ[module] = ()
    return _READ[module]


def targets_of(source: bytes) -> tuple[str, ...]:
    """The attributes of libraries that a source sets, under the names that the libraries have:
    `np.linalg.norm = f`, `setattr(np, "sin", f)`, `Linear.__call__ = f` of one it imports."""
    return tuple(filter(_counts, _set_in(source)))


@functools.lru_cache(maxsize=4096)
def _set_in(source):
    if b"import" not in source:
        return ()
    try:
        tree = parsed(source)
    except SyntaxError:
        return ()
    known = _known(tree)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del)):
            found.add(_dotted(node, known))
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("setattr", "delattr"):
            found.add(_called(node, known))
    # of a name that is computed nobody knows what it sets: the whole source counts
    sha = hashlib.sha256(source).hexdigest()
    return tuple(sorted(f"{name}{sha}" if name[-1] == "*" else name for name in found if name))


def _known(tree):
    """{a name in a source: what was imported under it}."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                root = one.name if one.asname else one.name.partition(".")[0]
                known[one.asname or root] = root
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            known |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return known


def _dotted(node, known):
    words: list[str] = []
    while isinstance(node, ast.Attribute):
        words.insert(0, node.attr)
        node = node.value
    root = known.get(node.id) if isinstance(node, ast.Name) else None
    return root and ".".join([root, *words])


def _called(node, known):
    """What `setattr(of, "name", value)` sets; a name that is computed, as a star."""
    if len(node.args) < 2:
        return None
    of, name = node.args[:2]
    owner = (
        _dotted(of, known) if isinstance(of, ast.Attribute) else known.get(getattr(of, "id", ""))
    )
    said = name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else "*"
    return owner and f"{owner}.{said}"


def _counts(name):
    root = name.partition(".")[0]
    return root not in _QUIET and root in sys.modules and in_library(root)


def _value(name):
    """What stands under a dotted name: an attribute of the longest module in it."""
    words = name.split(".")
    for count in range(len(words), 0, -1):
        found: Any = sys.modules.get(".".join(words[:count]))
        if found is None:
            continue
        for word in words[count:]:
            if word[0] == "*":
                return _own_in(found)
            # as it was set: a method of a class is its function
            held: Mapping[str, Any] = vars(found) if isinstance(found, type) else {}
            found = held.get(word, GONE) if held else getattr(found, word, GONE)
            if found is GONE:
                return GONE
        return found
    return GONE


def _own_in(owner):
    """What of the user's own a library's module or class holds, and which of its functions stand
    under other names than their own."""
    found = {}
    for name, one in sorted(vars(owner).items()):
        made = getattr(one, "__globals__", {}).get("__name__") or getattr(one, "__module__", None)
        if isinstance(made, str) and made in sys.modules and not in_library(made):
            found[name] = one
    return found
