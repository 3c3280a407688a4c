"""Sourced: modules made from their source as it stands, whatever bytecode lies beside it.

Python takes a `.pyc` for that of a source of the same size and time. Both are equal after a number
was edited within the second, or where a file was put back with its old time (`rsync -t`, `tar`):
the code of before the edit runs then.
"""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from typing import Any

_SWITCHING = threading.RLock()


class Sourced(SourceFileLoader):
    """A loader that neither reads nor writes bytecode."""

    def get_code(self, fullname: str) -> Any:
        """What the source says, compiled."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder:
    """Finds what the process's own finders find, and loads from the source what `mine` says of
    its file."""

    def __init__(self, mine: Callable[[str], bool]):
        self.mine = mine

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Where a module is, as Python's import asks."""
        for other in [one for one in sys.meta_path if not isinstance(one, _Finder)]:
            spec = other.find_spec(name, path, target) if hasattr(other, "find_spec") else None
            if spec is None:
                continue
            found = spec.loader
            if type(found) is SourceFileLoader and self.mine(str(found.path)):
                spec.loader = Sourced(found.name, str(found.path))
            return spec
        return None


@contextlib.contextmanager
def from_sources(mine: Callable[[str], bool]) -> Iterator[None]:
    """Within it, what is imported from files that are `mine` is made from their source."""
    finder: Any = _Finder(mine)
    with _SWITCHING:
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        with _SWITCHING:
            sys.meta_path.remove(finder)
