"""Excerpts: the source of a user's own class or module, as files which can be imported somewhere
else.

Of a module it is its file, and every module of the user's own that this imports. Of a script or of
a notebook, which would run from its first line to its last, it is the definitions that the class
needs, directly or through others.
"""

import ast
import importlib.util
import inspect
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from learnmech.errors import refused
from learnmech.language.imports import imports_in, parents_of
from learnmech.language.origins import in_library
from learnmech.machine.syntax import parsed


class Sources(NamedTuple):
    """The module to import, and the files {path: bytes} from which it can be."""

    module: str
    files: dict[str, bytes]


def sources_of(what: type | ModuleType) -> Sources:
    """The source of a class, or of a module with all it imports of the user's own."""
    module = what if isinstance(what, ModuleType) else sys.modules.get(what.__module__)
    file = getattr(module, "__file__", None)
    whole = isinstance(what, ModuleType) or (
        module is not None
        and what.__module__ != "__main__"
        and getattr(module, what.__name__, None) is what
    )
    if whole and file is not None and Path(file).is_file():
        return _of_file(module, Path(file))
    return _of_lines(what, module)


def called(module: ModuleType) -> str:
    """The name under which a module travels: its own, or that of its file where it was brought by
    its path and has a name of the catalogue's making."""
    brought = module.__name__.startswith(("learnmech_guest_", "learnmech_model_"))
    return Path(str(module.__file__)).stem if brought else module.__name__


def _of_file(module, file):
    name = called(module)
    files: dict[str, bytes] = {}
    _gather(name, file, files)
    return Sources(name, files)


def _gather(name, file, files):
    package = file.name == "__init__.py"
    path = name.replace(".", "/") + ("/__init__.py" if package else ".py")
    if path in files:
        return
    files[path] = file.read_bytes()
    for parent in parents_of(name):
        _gather_named(parent, files)
    for imported in imports_in(files[path], name, package):
        _gather_named(imported, files)


def _gather_named(name, files):
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
        mine = not in_library(name) and name != "__main__"
    else:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            spec = None
        file = None if spec is None else spec.origin
        mine = file is not None and not _installed(Path(file))
    if mine and file and file.endswith(".py") and Path(file).is_file():
        _gather(name, Path(file), files)


def _installed(file):
    return any(
        file.resolve().is_relative_to(Path(base).resolve())
        for base in (sys.prefix, sys.base_prefix)
        if base
    )


def _of_lines(cls, module):
    text = _text_of(cls, module)
    if text is None:
        remedy = f"Put {cls.__name__} into a file, and import it or bring it by --with"
        raise refused(
            cls.__name__, "source from which it can be made again", "none in any file", remedy
        )
    excerpt = _excerpt(text, cls)
    files = {f"own_{cls.__name__.lower()}.py": excerpt.encode()}
    for imported in imports_in(excerpt, "own", False):
        _gather_named(imported, files)
    return Sources(f"own_{cls.__name__.lower()}", files)


def _text_of(cls, module):
    """The text in which a class stands: the cells of a notebook so far, or its file."""
    cells = getattr(module, "In", None)
    if isinstance(cells, list):
        return "\n".join(cell for cell in cells if _parses(cell))
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).is_file():
        return None
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return None


def _parses(text):
    try:
        return parsed(text) is not None
    except (SyntaxError, ValueError):
        return False


def _excerpt(text, cls):
    """The last definition of a class in a text, and of every name at the top of the text that it
    needs."""
    lines = text.splitlines()
    body = _unguarded(parsed(text).body)
    defines = {name: index for index, node in enumerate(body) for name in _defined(node)}
    first = defines.get(cls.__name__) if "<locals>" not in cls.__qualname__ else None
    nested = None if first is not None else _nested(text, cls)
    if first is None and nested is None:
        remedy = f"Put {cls.__name__} into a file, and import it or bring it by --with"
        raise refused(
            cls.__name__, "source from which it can be made again", "none that can be found", remedy
        )
    chosen, waiting = set(), [nested if first is None else body[first]]
    if first is not None:
        chosen.add(first)
    while waiting:
        for name in _needed(waiting.pop()):
            index = defines.get(name)
            if index is not None and index not in chosen:
                chosen.add(index)
                waiting.append(body[index])
    stars = {
        i for i, n in enumerate(body) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"
    }
    shown = [_written(body[index], lines) for index in sorted(chosen | stars)]
    if first is None:
        shown.append(textwrap.dedent(_written(nested, lines)))
    return "\n".join(shown) + "\n"


def _unguarded(body):
    """The statements of a text, those under `if __name__ == "__main__":` among them."""
    found: list[ast.stmt] = []
    for node in body:
        guard = isinstance(node, ast.If) and any(
            isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(node.test)
        )
        found += _unguarded(node.body) if guard else [node]
    return found


def _defined(node):
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(one.asname or one.name).split(".")[0] for one in node.names}
    if isinstance(node, (ast.If, ast.Try, ast.With)):
        return {name for inner in ast.iter_child_nodes(node) for name in _defined(inner)}
    return {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def _needed(node):
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _nested(text, cls):
    """A class that is made within a function: the definition of its name in which the lines of
    its methods lie."""
    codes = [
        inspect.unwrap(one).__code__
        for one in vars(cls).values()
        if hasattr(inspect.unwrap(one), "__code__")
    ]
    lines = {code.co_firstlineno for code in codes if not code.co_filename.startswith("<")}
    named = [
        n for n in ast.walk(parsed(text)) if isinstance(n, ast.ClassDef) and n.name == cls.__name__
    ]
    within = [n for n in named if any(n.lineno <= line <= n.end_lineno for line in lines)]
    found = within or named
    return found[-1] if found else None


def _written(node, lines):
    decorated = getattr(node, "decorator_list", None)
    first = min([node.lineno, *(d.lineno for d in decorated or ())])
    text = "\n".join(lines[first - 1 : node.end_lineno])
    # with another statement on the same line, the line is not the statement's own
    return (
        text
        if _parses(textwrap.dedent(text)) and ";" not in lines[first - 1]
        else ast.unparse(node)
    )
