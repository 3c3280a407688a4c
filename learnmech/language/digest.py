"""Digests: what a Python object is, as sha256 of its content, so that an equal one made in
another process has the same."""

import dataclasses
import enum
import functools
import hashlib
import io
import pickle
import types
import weakref
from types import ModuleType

import jax
import numpy as np

from learnmech.errors import refused
from learnmech.language.beyond import Found, tell_beyond, tell_held
from learnmech.language.codes import tell_class, tell_code, tell_function, tell_module
from learnmech.language.contents import (
    CONTAINERS,
    PLAIN,
    SERVING,
    Untold,
    attributes_of,
    derives,
    holds_more,
    is_own,
    reduction_of,
    special,
)
from learnmech.language.origins import in_library, library_name, modules_named
from learnmech.language.patches import patched
from learnmech.machine import backend
from learnmech.machine.means import reads


def digest_of(value, lenient: bool = False, held: bool = True, same: list | None = None) -> str:
    """sha256 of what a value is: arrays by type, shape and bytes, modules field by field, a user's
    functions and classes by their bytecode and what they use, objects of these classes by the
    class and the attributes, a user's Python modules by all that they hold.

    What belongs to an installed library counts by its name, an object of it by what Python would
    make it again from; one that Python cannot make again is refused. Bytecode differs between
    versions of Python: so does the digest of what holds some. `lenient`: what serves a computation
    and is no part of it (a lock, a logger, an open file) counts by its type; else it is refused.
    `held`: what modules hold that may change in use counts by its content; else by its type.
    `same`: where it is given, arrays of JAX, which nothing changes, count by which ones they are,
    and are put into it: a second look at a large model costs no pass over its weights.
    """
    return _looked_at(value, lenient, held, same).hasher.hexdigest()


def found_in(what: object, model: ModuleType | None = None) -> Found:
    """By what own code finds what it does not name, and where; of the modules of a `model`, what
    runs as its file does too."""
    return _looked_at(what, True, model=model).found


def _looked_at(value, lenient, held=True, same=None, model=None):
    told = _Told(lenient, held, same)
    try:
        if model is not None and (code := getattr(model, "__code__", None)) is not None:
            told.found.read(code, vars(model))
            told.found.meet(model, vars(model))
            if reads(code):
                tell_held(told, vars(model), told.alone)
        told.tell(value)
        tell_beyond(told, told.found, told.alone)
    except RecursionError:
        if lenient:
            what, got = "values that are not nested hundreds deep", f"one that is, in {told.where}"
            raise refused(
                "Own code", what, got, "Make it within the function that uses it"
            ) from None
        raise refused(
            "Wrapped",
            "a model that does not hold itself",
            f"a {type(value).__name__} that does",
            "Take the loop out of its fields",
        ) from None
    return told


_LAST: "weakref.WeakKeyDictionary[type | ModuleType, dict]" = weakref.WeakKeyDictionary()


def code_digest(what: type | tuple[ModuleType, ...], model: ModuleType | None = None) -> str:
    """sha256 of what a class of the user's own computes: bytecode and all that it uses of the
    user's own; of a model, the modules it imports, and what its file finds beside them.

    Where it is another than the last time, what was compiled by then is forgotten: JAX knows a
    class by what it is called, and would go on with the program of the code that was there before.
    """
    found = _looked_at(what, True, model=model).hasher.hexdigest()
    used = what if isinstance(what, tuple) else ()
    first: type | ModuleType = (model or used[0]) if isinstance(what, tuple) else what
    key = tuple(map(id, used))
    if _LAST.setdefault(first, {}).setdefault(key, found) != found:
        _LAST[first][key] = found
        backend.forget()
    return found


def model_digest(model: ModuleType) -> str | None:
    """sha256 of what the file of a model uses beside itself; None where that is nothing."""
    used, found = modules_named(model), Found()
    found.meet(model, vars(model))
    code = getattr(model, "__code__", None)
    if code is not None:
        found.read(code, vars(model))
    more = code is not None and (reads(code) or found.means.beyond)
    alone = not (used or patched(found.libraries) or more)
    return None if alone else code_digest(used, model)


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
    """A value told to a hash, piece by piece; functions, classes and objects of them once."""

    def __init__(self, lenient=False, held=True, same=None, found=None):
        self.hasher, self.lenient, self.held = hashlib.sha256(), lenient, held
        self.found = Found() if found is None else found
        self._same = same
        # {id: (which one it was, the object itself, whose id no other may have meanwhile)}
        self._met: dict[int, tuple] = {}
        self._open: dict[int, int] = {}
        self._names: list[str] = []

    @property
    def where(self) -> str:
        """The name under which what is told now was found."""
        return ".".join(self._names[:3]) or "it"

    def say(self, *words) -> None:
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            self.hasher.update(f"{len(word)}:".encode() + word)

    def tell(self, value) -> None:
        if isinstance(value, enum.Enum):
            self._member(value)
        elif is_own(type(value)) and not isinstance(value, (type, types.FunctionType, ModuleType)):
            self._once(value)
        elif isinstance(value, PLAIN):
            self._plain(value)
        elif isinstance(value, (np.ndarray, np.generic, jax.Array)):
            self._array(value)
        elif isinstance(value, CONTAINERS):
            self._container(value)
        elif isinstance(value, ModuleType) and in_library(value.__name__):
            self.say("module", value.__name__)
        elif library_name(value):
            self.found.read_function(value)
            self.say("library", library_name(value))
        elif isinstance(value, (type, types.FunctionType, ModuleType)):
            self._once(value)
        elif isinstance(value, types.CodeType):
            tell_code(self, value)
        else:
            self._object(value)

    def tell_as(self, name, value):
        self._names.append(str(name))
        self.say(name)
        self.tell(value)
        self._names.pop()

    def _member(self, value):
        self.say("enum", type(value).__qualname__, value.name)
        if is_own(type(value)):
            self.tell((value.value, type(value)))
            self.tell(attributes_of(value))

    def _plain(self, value):
        if isinstance(value, slice):
            ends = (value.start, value.stop, value.step)
            if not all(one is None or type(one) is int for one in ends):
                self.say("slice")
                return self.tell(ends)
        if isinstance(value, int) and value.bit_length() > 4096:  # Python does not write it out
            return self.say("plain", type(value).__name__, hex(value))
        if isinstance(value, str):
            self.found.read_text(value)
        self.say("plain", type(value).__name__, repr(value))

    def _array(self, value):
        if self._same is not None and isinstance(value, jax.Array):
            self._same.append(value)
            return self.say("same", id(value))
        if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            self.say("key", jax.random.key_impl(value))
            value = jax.random.key_data(value)
        if isinstance(value, jax.Array):
            value = np.asarray(value)
        more, value = holds_more(value), np.asarray(value)
        self.say("array", value.dtype.str, value.shape)
        if value.dtype.hasobject or value.dtype.kind == "T":  # its bytes are addresses
            self.tell(value.ravel().tolist())
        else:
            self.say(np.ascontiguousarray(value).tobytes())
        for one in more:
            self.tell(one)

    def _container(self, value):
        self.say(type(value).__qualname__, len(value))
        if id(value) in self._open:  # it holds itself
            return self.say("within", self._open[id(value)])
        self._open[id(value)] = len(self._open)
        if isinstance(value, (set, frozenset)):
            self.say(*sorted(self._apart(one) for one in value))
        elif isinstance(value, dict):
            factory = getattr(value, "default_factory", None)
            if factory is not None:
                self.tell(factory)
            # in its order, in which it may be gone through
            for name, one in value.items():
                self.tell(name)
                self.tell(one)
        else:
            for one in value:
                self.tell(one)
        del self._open[id(value)]

    def _fields(self, held):
        """Values by name, in whatever order."""
        self.say("dict", len(held))
        for name, one in sorted(held.items(), key=lambda pair: repr(pair[0])):
            self.tell(name)
            self.tell(one)

    def _apart(self, value):
        """The digest of a value alone, whatever stands beside it."""
        told = _Told(self.lenient, self.held, self._same, self.found)
        told._met, told._open, told._names = {**self._met}, {**self._open}, [*self._names]
        told.tell(value)
        return told.hasher.hexdigest()

    def alone(self, value: object) -> str:
        """The digest of a value, whatever was told before."""
        told = _Told(self.lenient, self.held, self._same, self.found)
        told.tell(value)
        return told.hasher.hexdigest()

    def _known(self, value):
        """Whether it was told already; its place is said then."""
        if id(value) in self._met:
            self.say("again", self._met[id(value)][0])
            return True
        self._met[id(value)] = len(self._met), value
        return False

    def _once(self, value):
        if self._known(value):
            return
        if isinstance(value, ModuleType):
            tell_module(self, value)
        elif isinstance(value, types.FunctionType):
            tell_function(self, value)
        elif isinstance(value, type):
            tell_class(self, value)
        else:
            self._instance(value)

    def _instance(self, value):
        """An object of a class of the user's own: the class, what it is built on, and its
        attributes."""
        cls = type(value)
        self.say("own")
        self.tell(cls)
        more = special(value)
        if more is not None:
            self.tell(more)
        elif isinstance(value, np.ndarray):
            self._array(value)
        elif isinstance(value, (set, frozenset)):
            self._container(value)
        elif derives(cls) and not (self.lenient and isinstance(value, SERVING)):
            try:
                made, given, state, items, pairs = reduction_of(value)
            except (Untold, ValueError):
                raise self._untold(value) from None
            # a state that is a dictionary is one of attributes, which are told below
            self.tell((made, given, None if isinstance(state, dict) else state, items, pairs))
        held = attributes_of(value)
        self.say(len(held))
        for name, one in held.items():
            self.tell_as(name, one)

    def _object(self, value):
        if isinstance(value, (staticmethod, classmethod)):
            self.say(type(value).__name__)
            return self.tell(value.__func__)
        if isinstance(value, property):
            return self.tell((value.fget, value.fset))
        if isinstance(value, types.MethodType):
            return self.tell((value.__func__, value.__self__))
        if isinstance(value, functools.partial):
            return self.tell((value.func, value.args, value.keywords))
        if isinstance(value, functools.cached_property):
            return self.tell(value.func)
        if self.lenient and self._known(value):
            return
        more = special(value)
        if more is not None:
            return self.tell(more)
        self.say("object", type(value).__module__, type(value).__qualname__)
        if self.lenient and isinstance(value, SERVING):
            return
        if dataclasses.is_dataclass(value):
            self.tell(type(value))
            return self._fields(
                {
                    field.name: getattr(value, field.name, None)
                    for field in dataclasses.fields(value)
                }
            )
        held = getattr(value, "__dict__", None)
        if hasattr(value, "__wrapped__") or (held is not None and not library_name(type(value))):
            self.tell((type(value), getattr(value, "__wrapped__", None)))
            return self._fields(
                {name: one for name, one in (held or {}).items() if not name.startswith("__")}
            )
        if self.lenient or not self._pickle(value):
            self._reduced(value)

    def _pickle(self, value):
        """A library's object as Python stores it, which is how one in a model in hand has always
        counted; whether it can be."""
        stored = io.BytesIO()
        pickled = _Pickled(stored)
        try:
            pickled.dump(value)
        except Exception:
            return False
        self.say(stored.getvalue())
        if pickled.own:
            self.tell(pickled.own)
        return True

    def _reduced(self, value):
        if isinstance(value, SERVING):
            raise self._untold(value)
        try:
            found = reduction_of(value)
        except Untold:
            raise self._untold(value) from None
        for one in found:
            self.tell(one)

    def _untold(self, value):
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        if self.lenient:
            return refused(
                "Own code",
                "values that can be told by their content",
                f"a {kind} as {self.where}",
                "Make it within the function that uses it",
            )
        return refused(
            "Wrapped",
            "a model whose every field can be told by its content",
            f"a {kind} in it",
            "Keep it in a file and give Wrapped.of('mine.py:model')",
        )
