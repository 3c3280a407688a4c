"""Means: by what a piece of compiled Python finds things that it does not name: names made while it
runs, what stands in its own text, attributes asked for by a name that is computed."""

import builtins
import dis
import functools
import importlib
import sys
import types
import typing

# Functions of Python that run a text, or give all names that there are.
RUNNING = {
    id(one): f"{name}" for name in ("eval", "exec", "globals") for one in (getattr(builtins, name),)
}
# {module: its words that do so, or come by code, frames and modules that nobody named}.
_ANY = frozenset(("*",))
_FINDING = {
    "builtins": frozenset(("eval", "exec", "globals", "compile")),
    "sys": frozenset(("modules", "_getframe", "_current_frames", "meta_path", "path_hooks")),
    "gc": _ANY,
    "runpy": _ANY,
    "pkgutil": _ANY,
    "zipimport": _ANY,
    "pydoc": _ANY,
    "code": _ANY,
    "codeop": _ANY,
    "linecache": _ANY,
    "tokenize": _ANY,
    "imp": _ANY,
    "pickle": frozenset(("loads", "load", "Unpickler")),
    "marshal": frozenset(("loads", "load")),
    "dill": frozenset(("loads", "load")),
    "cloudpickle": frozenset(("loads", "load")),
    "numexpr": frozenset(("evaluate",)),
    "importlib": frozenset(("reload", "util", "machinery", "find_loader")),
    "importlib.util": _ANY,
    "importlib.machinery": _ANY,
    "inspect": frozenset(
        "getsource getsourcelines getsourcefile getfile findsource getcomments getmodule stack"
        " currentframe trace getouterframes getinnerframes getclosurevars".split()
    ),
}
# Attributes that lead from a function, a frame or a class to names that no code says.
_LEADING = frozenset(
    "__globals__ __builtins__ __loader__ __spec__ f_globals f_locals f_back f_builtins tb_frame"
    " gi_frame __subclasses__ co_firstlineno co_lines co_positions co_linetable".split()
)
# What may import another module than those that are found in the code.
IMPORTING = frozenset(
    "eval exec builtins __import__ import_module importlib importlib.util importlib.machinery runpy"
    " pkgutil pickle dill cloudpickle pydoc code zipimport imp sys __loader__ __spec__".split()
)
# What reads what is written about code and counts nowhere else: docstrings and annotations.
_TOLD = frozenset(("__doc__", "__annotations__", "__annotate__"))
_TELLING = _TOLD | {"__dict__"}
_TELLERS = {
    "inspect": frozenset(
        "getdoc get_annotations signature getfullargspec getmembers getattr_static".split()
    ),
    "typing": frozenset(("get_type_hints",)),
    "types": frozenset(("get_original_bases",)),
}
_ASKING = frozenset(("getattr", "setattr", "delattr"))


# What reads a file or the environment; also every name that begins with `read_`.
_READING = frozenset(
    "open load loadtxt genfromtxt fromfile memmap loadmat safe_load urlopen environ getenv"
    " read readlines Dataset open_dataset load_dataset get_data input stdin argv".split()
)


class Means(typing.NamedTuple):
    """By what a code finds what it does not name (`beyond`), and by what it reads docstrings and
    annotations (`telling`)."""

    beyond: frozenset[str] = frozenset()
    telling: frozenset[str] = frozenset()

    def __or__(self, other: "Means") -> "Means":
        return Means(self.beyond | other.beyond, self.telling | other.telling)


class _Uses(typing.NamedTuple):
    """Names that a code looks up among globals, attributes that it asks for, (module, words) of
    what it imports, texts in it, and functions of `_CALLED` that it calls with a computed name."""

    looked_up: frozenset[str]
    asked: frozenset[str]
    imports: tuple[tuple[str, tuple[str, ...]], ...]
    texts: frozenset[str]
    computed: frozenset[str]


# {function: which argument is the name; how many it has at most where that names all}
_CALLED = {"getattr": (2, 3), "setattr": (2, 3), "delattr": (2, 2)}
_CALLED |= {"import_module": (1, 1), "__import__": (1, 1)}


def means_in(text: str) -> Means:
    """By what something is found where a text is the name of it."""
    if text in _LEADING:
        return Means(frozenset((text,)))
    return Means(telling=frozenset((text,))) if text in _TOLD else Means()


def means_of(code: types.CodeType, within: dict) -> Means:
    """By what a code with these globals, or a function within it, finds what it does not name."""
    uses = _uses(code)
    beyond = {word for word in uses.asked | uses.texts if word in _LEADING}
    telling = {word for word in uses.asked if word in _TELLING}
    telling |= uses.texts & _TOLD
    words = uses.asked | {word for _, taken in uses.imports for word in taken}
    held: list[tuple[str, typing.Any]] = [
        (name, within.get(name, getattr(builtins, name, None))) for name in uses.looked_up
    ]
    held += [(name, sys.modules.get(name)) for name, taken in uses.imports if not taken]
    for name, one in held:
        if id(one) in RUNNING:
            beyond.add(RUNNING[id(one)])
        elif one is sys.modules:
            beyond.add("sys")
        elif one is builtins.compile and name not in within:
            beyond.add("compile")
        elif one is importlib.import_module and name != "import_module":
            beyond.add("import_module")
        elif name in _LEADING and name not in ("__loader__", "__spec__"):
            beyond.add(name)
        elif isinstance(one, types.ModuleType):
            _of_module(one.__name__, words, beyond, telling)
    for module, taken in uses.imports:
        _of_module(module, frozenset(taken), beyond, telling)
    beyond |= uses.computed & {"import_module", "__import__"}
    telling |= {
        name
        for name in uses.computed & _ASKING
        if name not in within or within[name] is getattr(builtins, name)
    }
    telling |= {name for name in ("vars", "dir") if name in uses.looked_up and name not in within}
    return Means(frozenset(beyond), frozenset(telling))


def imported_in(code: types.CodeType) -> set[str]:
    """The modules that a code, or a function within it, imports by their names."""
    return {module for module, _ in _uses(code).imports}


def reads(code: types.CodeType) -> bool:
    """Whether a code, or a function within it, reads files or the environment, so that what it
    holds is more than what it says."""
    uses = _uses(code)
    taken = {word for _, words in uses.imports for word in words}
    names = uses.asked | uses.looked_up | taken
    return bool(names & _READING) or any(name.startswith("read_") for name in names)


def _of_module(name, words, beyond, telling):
    wanted = _FINDING.get(name, frozenset())
    if wanted is _ANY or wanted & words:
        beyond.add(name)
    if _TELLERS.get(name, frozenset()) & words:
        telling.add(name)


@functools.lru_cache(maxsize=4096)
def _uses(code: types.CodeType) -> _Uses:
    steps = [one for one in dis.get_instructions(code) if one.opname not in ("CACHE", "NOP")]
    looked_up, asked, imports, texts, computed = set(), set(), [], set(), set()
    loaded: list[typing.Any] = [0, None]
    for at, one in enumerate(steps):
        if one.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            looked_up.add(one.argval)
        elif one.opname.startswith("LOAD_CONST"):
            loaded.append(one.argval)
        elif one.opname == "IMPORT_NAME":
            imports.append((one.argval, tuple(loaded[-1] or ())))
        elif one.opcode in dis.hasname and not one.opname.startswith(("STORE", "DELETE")):
            asked.add(one.argval)
        if one.opname == "LOAD_GLOBAL" and one.argval in _TELLING:
            asked.add(one.argval)
        if one.opname == "IMPORT_FROM" and one.argval in _CALLED:
            if steps[at + 1].argval != one.argval:  # under another name
                computed.add(one.argval)
        if one.opname.startswith("LOAD_") and one.argval in _CALLED:
            if not _is_plain(steps, at, *_CALLED[one.argval]):
                computed.add(one.argval)
    for one in code.co_consts:
        if isinstance(one, str):
            texts.add(one)
        elif isinstance(one, types.CodeType):
            inner = _uses(one)
            looked_up |= inner.looked_up
            asked |= inner.asked
            imports += inner.imports
            texts |= inner.texts
            computed |= inner.computed
    return _Uses(
        frozenset(looked_up),
        frozenset(asked),
        tuple(imports),
        frozenset(texts),
        frozenset(computed),
    )


# What takes the arguments off the stack, of the two steps that Python 3.11 calls by.
_CALL = "PRECALL" if sys.version_info < (3, 12) else "CALL"


def _is_plain(steps, at, which, most) -> bool:
    """Whether what is loaded at a step is called on the spot, by at most so many arguments, and
    the one that names something (its first or second) is a text in the code."""
    first = steps[at]
    if first.opname.startswith("LOAD_CONST"):  # the word as a text, which calls nothing
        return True
    depth, given = 0, None
    for one in steps[at + 1 :]:
        if one.opname == _CALL and depth == one.arg:
            constant = given is not None and given.opname.startswith("LOAD_CONST")
            said = given.argval if given is not None and constant else None
            return which <= (one.arg or 0) <= most and isinstance(said, str)
        if one.opname == "PUSH_NULL" and one is steps[at + 1] and sys.version_info >= (3, 13):
            continue  # of this call; before, it stood ahead of what is called
        if one.opcode in (*dis.hasjrel, *dis.hasjabs):
            return False
        depth += dis.stack_effect(one.opcode, one.arg if one.opcode >= dis.HAVE_ARGUMENT else None)
        if depth < 0:
            return False
        if depth == which:
            given = one
    return False
