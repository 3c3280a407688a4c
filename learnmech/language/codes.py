"""Codes: modules, classes, functions and bytecode of a user's own, told to a digest by what they do
and not by where they stand."""

import dataclasses
import enum
import inspect
import types
from types import ModuleType

import jax
import numpy as np

from learnmech.language.contents import CLASS_WRITTEN, MODULE_WRITTEN, PLAIN, is_own
from learnmech.language.origins import imported, in_library, library_name, taken, whole_of
from learnmech.machine.bytecode import globals_of, imports_of, steps_of

METHODS = (types.FunctionType, staticmethod, classmethod, property)
# What a dataclass writes into its class by itself, or says nothing of what a model computes.
UNTOLD = ("__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__reduce__")


def tell_module(told, module):
    """A user's own module by what it defines, imports and holds, not by its name or its
    comments."""
    told.say("module")
    told.found.meet(module, vars(module))
    for name, one in sorted(vars(module).items()):
        if _hidden(name, one, MODULE_WRITTEN):
            continue
        if _counts(told, one):
            told.tell_as(name, one)
        else:
            told.say(name, type(one).__qualname__)


def _counts(told, value):
    return told.held or (_defined(value) and not isinstance(value, (list, set, dict)))


def tell_class(told, cls):
    told.say("class", cls.__name__)
    own = is_own(cls)
    if own:
        told.found.meet(cls)
    if is_own(type(cls)):
        told.tell(type(cls))
    for base in cls.__bases__:
        told.tell(base)
    for name, one in sorted(vars(cls).items()):
        hidden = name.startswith("__") and not isinstance(one, METHODS)
        if hidden and own:
            hidden = _hidden(name, one, CLASS_WRITTEN)
        hidden = hidden or name.startswith("_abc_") or (name in UNTOLD and not _written(name, one))
        if not hidden:
            told.tell_as(name, one)
    # what a field makes of a value that is given to it
    for name, field in (vars(cls).get("__dataclass_fields__") or {}).items() if own else ():
        for one in field.metadata.values():
            if isinstance(one, types.FunctionType) and not in_library(_module_of(one)):
                told.tell_as(name, one)


def tell_function(told, f):
    library = in_library(_module_of(f))
    if library and hasattr(f, "registry") and hasattr(f, "__wrapped__"):
        # functools.singledispatch: the functions in it, and not which it has called
        told.say("dispatch")
        return told.tell((f.__wrapped__, dict(f.registry)))
    told.say("function")
    if not library:
        told.found.meet(f, f.__globals__)
        told.found.read(f.__code__, f.__globals__)
    told.tell((f.__code__, f.__defaults__, f.__kwdefaults__))
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        try:
            held = cell.cell_contents
        except ValueError:  # a cell that is still empty
            told.say(name)
        else:
            told.tell_as(name, held)
    for name in () if library else globals_of(f.__code__):
        if name in f.__globals__ and _counts(told, f.__globals__[name]):
            told.tell_as(name, f.__globals__[name])
        else:
            told.say(name)
    for name, words in () if library else imports_of(f.__code__):
        module = imported(name, f.__globals__, words is None)
        if module is not None:
            told.say("imports", name, *(words or ()))
            told.tell(
                [taken(module, word, f.__globals__) for word in words]
                if words
                else whole_of(module, name, f.__globals__)
            )
    held = {name: one for name, one in vars(f).items() if not name.startswith("__")}
    if held and not library:
        told.tell(held)


def tell_code(told, code):
    # what a class computes is the same wherever it and its imports stand; a model in hand
    # counts as it always has
    if told.lenient:
        told.say(
            "code",
            *steps_of(code),
            code.co_names,
            code.co_varnames,
            code.co_argcount,
            code.co_kwonlyargcount,
            code.co_flags & ~inspect.CO_NESTED,
        )
        return told.tell(code.co_consts)
    told.say(
        "code",
        code.co_code,
        code.co_names,
        code.co_varnames,
        code.co_argcount,
        code.co_kwonlyargcount,
        code.co_flags,
        code.co_exceptiontable,
    )
    told.tell(code.co_consts)


def _module_of(f):
    """The module in which a function was defined; its `__module__` may be that of one it wraps."""
    return f.__globals__.get("__name__") or f.__module__ or ""


def _written(name, value):
    """Whether a user wrote this method, rather than a dataclass or a library."""
    return (
        name in ("__eq__", "__hash__", "__setattr__", "__delattr__")
        and isinstance(value, types.FunctionType)
        and value.__code__.co_filename != "<string>"
        and not in_library(_module_of(value))
    )


def _hidden(name, value, written):
    """Whether a name is of Python's own making, or holds what no source says of itself."""
    if not (name.startswith("__") and name.endswith("__")):
        return False
    return name in written or not (isinstance(value, METHODS) or _defined(value))


def _defined(value) -> bool:
    """Whether a module that holds it defines or imports it, rather than works with it."""
    if isinstance(value, (tuple, frozenset, list, set, dict)):
        return all(map(_defined, [*value, *(value.values() if isinstance(value, dict) else ())]))
    if dataclasses.is_dataclass(value) or isinstance(value, types.SimpleNamespace):
        return True
    if is_own(type(value)) and not isinstance(value, (*PLAIN, type, enum.Enum)):
        return False
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
