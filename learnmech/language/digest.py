"""Digests: what a Python object is, as sha256 of its content, so that an equal one made in
another process has the same."""

import contextlib
import dataclasses
import enum
import functools
import hashlib
import inspect
import io
import pickle
import types
import weakref
from types import ModuleType

import jax
import numpy as np

from learnmech.errors import refused
from learnmech.language.origins import imported, in_library, library_name, taken, whole_of
from learnmech.machine import backend
from learnmech.machine.bytecode import globals_of, imports_of, steps_of

PLAIN = (str, bytes, int, float, complex, bool, type(None), type(Ellipsis), range, slice, np.dtype)
# What a dataclass writes into its class by itself, or says nothing of what a model computes.
UNTOLD = ("__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__reduce__")


def digest_of(value, lenient: bool = False, held: bool = True) -> str:
    """sha256 of what a value is: arrays by type, shape and bytes, modules field by field, a user's
    functions and classes by their bytecode and what they use, a user's Python modules by all that
    they define.

    What belongs to an installed library counts by its name. Bytecode differs between versions of
    Python: so does the digest of what holds some. `lenient`: what cannot be told by its content (an
    open file, a logger) counts by its type; else it is refused. `held`: lists, dictionaries and
    sets of modules count by what they hold; else by their type.
    """
    told = _Told(lenient, held)
    try:
        told.tell(value)
    except RecursionError:
        raise refused(
            "Wrapped",
            "a model that does not hold itself",
            f"a {type(value).__name__} that does",
            "Take the loop out of its fields",
        ) from None
    return told.hasher.hexdigest()


_LAST: "weakref.WeakKeyDictionary[type | ModuleType, dict]" = weakref.WeakKeyDictionary()


def code_digest(what: type | tuple[ModuleType, ...]) -> str:
    """sha256 of what a class of the user's own computes: bytecode and all that it uses of the
    user's own; of a model, the modules it imports.

    Where it is another than the last time, what was compiled by then is forgotten: JAX knows a
    class by what it is called, and would go on with the program of the code that was there before.
    """
    found = digest_of(what, lenient=True)
    first, key = (what[0], tuple(map(id, what))) if isinstance(what, tuple) else (what, ())
    if _LAST.setdefault(first, {}).setdefault(key, found) != found:
        _LAST[first][key] = found
        backend.forget()
    return found


class _Pickled(pickle.Pickler):
    """What a library's object is, with the user's own functions and classes in it kept apart: a
    pickle has but their names."""

    def __init__(self, file):
        super().__init__(file, protocol=4)
        self.own: list = []

    def persistent_id(self, value):
        if not isinstance(value, (type, types.FunctionType)) or library_name(value):
            return None
        self.own.append(value)
        return len(self.own)


class _Told:
    """A value told to a hash, piece by piece; functions and classes once."""

    def __init__(self, lenient=False, held=True):
        self.hasher, self._met, self._lenient, self._held = hashlib.sha256(), {}, lenient, held

    def say(self, *words) -> None:
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            self.hasher.update(f"{len(word)}:".encode() + word)

    def tell(self, value) -> None:
        if isinstance(value, enum.Enum):
            self.say("enum", type(value).__qualname__, value.name)
            if not in_library(type(value).__module__):
                self.tell(value.value)
        elif isinstance(value, PLAIN):
            self.say("plain", type(value).__name__, repr(value))
        elif isinstance(value, (np.ndarray, np.generic, jax.Array)):
            self._array(value)
        elif isinstance(value, (tuple, list, dict, set, frozenset)):
            self._container(value)
        elif isinstance(value, ModuleType) and in_library(value.__name__):
            self.say("module", value.__name__)
        elif library_name(value):
            self.say("library", library_name(value))
        elif isinstance(value, (type, types.FunctionType, ModuleType)):
            self._once(value)
        elif isinstance(value, types.CodeType):
            self._code(value)
        else:
            self._object(value)

    def _array(self, value):
        if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            self.say("key", jax.random.key_impl(value))
            value = jax.random.key_data(value)
        value = np.asarray(value)
        self.say("array", value.dtype.str, value.shape)
        self.say(np.ascontiguousarray(value).tobytes())

    def _container(self, value):
        self.say(type(value).__qualname__, len(value))
        if isinstance(value, (set, frozenset)):
            self.say(*sorted(digest_of(one) for one in value))
        elif isinstance(value, dict):
            for name, one in sorted(value.items(), key=lambda pair: repr(pair[0])):
                self.tell(name)
                self.tell(one)
        else:
            for one in value:
                self.tell(one)

    def _once(self, value):
        if id(value) in self._met:
            self.say("again", self._met[id(value)])
            return
        self._met[id(value)] = len(self._met)
        if isinstance(value, ModuleType):
            self._module(value)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        else:
            self._class(value)

    def _module(self, module):
        """A user's own module by what it defines and imports, not by its name or its comments.
        What else it holds may change while it is used (a generator of random numbers, a logger),
        and counts by its type."""
        self.say("module")
        for name, one in sorted(vars(module).items()):
            if not (name.startswith("__") and name.endswith("__")):
                self.say(name)
                self.tell(one) if _defined(one) and self._counts(one) else self.say(
                    type(one).__qualname__
                )

    def _counts(self, value):
        return self._held or not isinstance(value, (list, set, dict))

    def _class(self, cls):
        self.say("class", cls.__name__)
        for base in cls.__bases__:
            self.tell(base)
        for name, one in sorted(vars(cls).items()):
            hidden = name.startswith("__") and not isinstance(
                one, (types.FunctionType, staticmethod, classmethod, property)
            )
            if not hidden and name not in UNTOLD and not name.startswith("_abc_"):
                self.say(name)
                self.tell(one)

    def _function(self, f):
        self.say("function")
        self.tell((f.__code__, f.__defaults__, f.__kwdefaults__))
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            self.say(name)
            with contextlib.suppress(ValueError):  # a cell that is still empty
                self.tell(cell.cell_contents)
        for name in () if in_library(f.__module__ or "") else globals_of(f.__code__):
            self.say(name)
            if name in f.__globals__ and self._counts(f.__globals__[name]):
                self.tell(f.__globals__[name])
        for name, words in () if in_library(f.__module__ or "") else imports_of(f.__code__):
            module = imported(name, f.__globals__, words is None)
            if module is not None:
                self.say("imports", name, *(words or ()))
                self.tell(
                    [taken(module, word, f.__globals__) for word in words]
                    if words
                    else whole_of(module, name, f.__globals__)
                )
        held = {name: one for name, one in vars(f).items() if not name.startswith("__")}
        if held and not in_library(f.__module__ or ""):
            self.tell(held)

    def _code(self, code):
        # what a class computes is the same wherever it and its imports stand; a model in hand
        # counts as it always has
        if self._lenient:
            self.say(
                "code",
                *steps_of(code),
                code.co_names,
                code.co_varnames,
                code.co_argcount,
                code.co_kwonlyargcount,
                code.co_flags & ~inspect.CO_NESTED,
            )
            return self.tell(code.co_consts)
        self.say(
            "code",
            code.co_code,
            code.co_names,
            code.co_varnames,
            code.co_argcount,
            code.co_kwonlyargcount,
            code.co_flags,
            code.co_exceptiontable,
        )
        self.tell(code.co_consts)

    def _object(self, value):
        if isinstance(value, (staticmethod, classmethod)):
            return self.tell(value.__func__)
        if isinstance(value, property):
            return self.tell((value.fget, value.fset))
        if isinstance(value, types.MethodType):
            return self.tell((value.__func__, value.__self__))
        if isinstance(value, functools.partial):
            return self.tell((value.func, value.args, value.keywords))
        if isinstance(value, functools.cached_property):
            return self.tell(value.func)
        self.say("object", type(value).__module__, type(value).__qualname__)
        if dataclasses.is_dataclass(value):
            self.tell(type(value))
            return self.tell(
                {
                    field.name: getattr(value, field.name, None)
                    for field in dataclasses.fields(value)
                }
            )
        held = getattr(value, "__dict__", None)
        if hasattr(value, "__wrapped__") or (held is not None and not library_name(type(value))):
            self.tell((type(value), getattr(value, "__wrapped__", None)))
            return self.tell(
                {name: one for name, one in (held or {}).items() if not name.startswith("__")}
            )
        stored = io.BytesIO()
        pickled = _Pickled(stored)
        try:
            pickled.dump(value)
        except Exception:
            if self._lenient:
                return self.tell(pickled.own) if pickled.own else None
            raise refused(
                "Wrapped",
                "a model whose every field can be told by its content",
                f"a {type(value).__module__}.{type(value).__qualname__} in it",
                "Keep it in a file and give Wrapped.of('mine.py:model')",
            ) from None
        self.say(stored.getvalue())
        if pickled.own:
            self.tell(pickled.own)


def _defined(value) -> bool:
    """Whether a module that holds it defines or imports it, rather than works with it."""
    if isinstance(value, (tuple, frozenset, list, set, dict)):
        return all(map(_defined, [*value, *(value.values() if isinstance(value, dict) else ())]))
    if dataclasses.is_dataclass(value) or isinstance(value, types.SimpleNamespace):
        return True
    kinds = (
        *PLAIN,
        type,
        types.FunctionType,
        ModuleType,
        np.ndarray,
        np.generic,
        jax.Array,
        enum.Enum,
    )
    return (
        isinstance(value, kinds) or hasattr(value, "__wrapped__") or library_name(value) is not None
    )
