"""Beyond: what own code computes by and does not name. What libraries were set to by own modules
counts by its value; where code finds things by names that are made while it runs, all Python files
beside it count; where it reads docstrings or annotations, these do."""

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable
from types import ModuleType

import jax
import numpy as np

from learnmech.errors import Refused, refused
from learnmech.language import folders, patches
from learnmech.language.contents import CONTAINERS, PLAIN
from learnmech.machine.means import IMPORTING, RUNNING, Means, imported_in, means_in, means_of

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclasses.dataclass
class Found:
    """What a look at own code came upon: by what it finds what it does not name, in which modules
    (their globals), and the functions, classes and modules themselves."""

    means: Means = Means()
    spaces: dict[int, dict] = dataclasses.field(default_factory=dict)
    reached: dict[int, object] = dataclasses.field(default_factory=dict)
    imported: set[str] = dataclasses.field(default_factory=set)

    def meet(self, value: object, space: dict | None = None) -> None:
        """Note a function, a class or a module, and the globals that it lives in."""
        self.reached[id(value)] = value
        if space is not None:
            self.spaces[id(space)] = space

    def read(self, code, within: dict) -> None:
        """Note by what a code finds what it does not name."""
        self.means |= means_of(code, within)
        self.imported |= imported_in(code)

    def read_text(self, text: str) -> None:
        """Note a text, which may be the name of such a means."""
        self.means |= means_in(text)

    def read_function(self, value: object) -> None:
        """Note a function of a library that may be such a means."""
        if id(value) in RUNNING:
            self.means |= Means(frozenset((RUNNING[id(value)],)))

    @property
    def libraries(self) -> set[str]:
        """The packages that it names: those of what its modules hold, and of what it imports."""
        held = (one for space in self.spaces.values() for one in list(space.values()))
        named = (getattr(one, "__module__", None) or getattr(one, "__name__", None) for one in held)
        roots = {name.partition(".")[0] for name in named if isinstance(name, str)}
        return roots | {name.partition(".")[0] for name in self.imported}

    @property
    def imports(self) -> bool:
        """Whether what is made while it runs may be a module that is not imported yet."""
        return bool(self.means.beyond & IMPORTING)

    def modules(self) -> tuple[ModuleType, ...]:
        """The modules of this process in which it was found, and what these hold something of."""
        named = [
            (folders.name_of(space), space) for space in folders.spaces_from(self.spaces.values())
        ]
        held = {name: sys.modules[name] for name, _ in named if name in sys.modules}
        return tuple(
            held[name]
            for name, space in sorted(named, key=lambda pair: pair[0])
            if name in held and vars(held[name]) is space and name != "__main__"
        )

    def files(self, who: str = "Own code", importing: bool = False) -> dict[str, set[bytes]]:
        """The Python files beside it, which count whole; `importing`: and those on Python's path,
        from which a module may be imported."""
        words = ", ".join(sorted(self.means.beyond))
        try:
            return folders.files_of(self.spaces.values(), importing)
        except folders.Spread as spread:
            most = f"{folders.MOST_FILES:,} Python files and {folders.MOST_BYTES >> 20} MiB"
            raise refused(
                who,
                f"to stand in a folder of at most {most}, all of which count where names are"
                f" made while it runs ({words})",
                str(spread),
                "Put it into a file in a folder of its own, or use the names themselves",
            ) from None


def tell_beyond(told, found: Found, alone: Callable[[object], str]) -> None:
    """Tell a digest what it counts beside values and bytecode; nothing of code that uses none of
    these means."""
    for name, value in patches.patched(found.libraries).items():
        told.say("patched", name, _shown(value, alone))
    if found.means.telling:
        reached = [one for one in found.reached.values() if not isinstance(one, ModuleType)]
        modules = [one for one in found.reached.values() if isinstance(one, ModuleType)]
        written = [_written(one, alone) for one in reached] + [[one.__doc__] for one in modules]
        told.say("written", *sorted(map(repr, written)))
    if found.means.beyond:
        who = "Own code" if told.lenient else "Wrapped"
        told.say("beyond", *folders.told_of(found.files(who, found.imports)))


def tell_held(told, space: dict, alone: Callable[[object], str]) -> None:
    """Tell a digest the numbers, texts, arrays and containers that a module holds."""
    kinds = (*PLAIN, *CONTAINERS, np.ndarray, np.generic, jax.Array)
    for name, value in sorted(space.items()):
        if isinstance(value, kinds) and not name.startswith("__"):
            told.say("held", name, _shown(value, alone))


def _written(value, alone):
    """A docstring and annotations."""
    try:
        notes = inspect.get_annotations(value)
    except Exception:  # names in them that are not there
        notes = {}
    shown = {str(name): _shown(one, alone) for name, one in notes.items()}
    return [_ADDRESS.sub("", str(value.__doc__)), shown]


def _shown(value, alone):
    """A value by its content; by its type where it cannot be told by that."""
    if isinstance(value, PLAIN):
        return repr(value)
    try:
        return alone(value)
    except (Refused, RecursionError):
        return f"{type(value).__module__}.{type(value).__qualname__}"
