"""Contents: what a Python object holds, so that a digest can tell it by its content and not by the
name of its type."""

import argparse
import collections
import collections.abc
import concurrent.futures
import contextvars
import copyreg
import enum
import functools
import io
import logging
import os
import pickle
import random
import sys
import threading
import types
import typing
import weakref

import equinox as eqx
import jax
import numpy as np

from learnmech.language.origins import in_library

PLAIN = (str, bytes, int, float, complex, bool, type(None), type(Ellipsis), range, slice, np.dtype)
CONTAINERS = (tuple, list, dict, set, frozenset)
# What serves a computation and is no part of it: messages, locks, workers, the device. An open file
# and the environment are what is outside, which no digest sees.
SERVING = (
    logging.Logger,
    logging.Handler,
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Thread,
    concurrent.futures.Executor,
    argparse.ArgumentParser,
    io.IOBase,
    type(os.environ),
    jax.Device,
)
TYPINGS = tuple(
    getattr(typing, name)
    for name in ("TypeVar", "ParamSpec", "TypeVarTuple", "ForwardRef", "NewType", "TypeAliasType")
    if hasattr(typing, name)
)
# The generators of the whole process, which begin anywhere: `numpy.random.normal`, `random.random`.
SHARED_RANDOM = (
    getattr(random.random, "__self__", None),
    getattr(np.random.normal, "__self__", None),
)
# What Python writes into a class, and libraries that make classes of it.
CLASS_WRITTEN = frozenset(
    f"__{name}__"
    for name in (
        "module qualname doc dict weakref annotations annotate_func annotations_cache firstlineno"
        " static_attributes classcell classdictcell orig_bases parameters type_params match_args"
        " abstractmethods abstractvars abstractclassvars dataclass_fields dataclass_params hash"
        " summoned slotnames"
    ).split()
)
# What Python writes into a module, and what a source says of itself.
MODULE_WRITTEN = frozenset(
    f"__{name}__"
    for name in (
        "name doc package loader spec file cached builtins path annotations annotate"
        " conditional_annotations warningregistry code all author version date license"
    ).split()
)


class Untold(Exception):
    """A value that cannot be told by its content."""


def is_own(cls: type) -> bool:
    """Whether a class is of the user's own, rather than of Python or an installed library."""
    module = getattr(cls, "__module__", None)
    if not isinstance(module, str):
        return False
    # a part of a compiled library has no file, and its package has one
    words = module.split(".")
    return not any(in_library(".".join(words[:count])) for count in range(1, len(words) + 1))


def derives(cls: type) -> bool:
    """Whether a class of the user's own is built on a library's, or a compiled one, whose objects
    hold more than attributes: a number, a list, an array."""
    ignored = (object, typing.Generic, typing.Protocol)
    compiled = any(
        base.__base__ is object and not {"__dict__", "__slots__"} & vars(base).keys()
        for base in cls.__mro__
    )
    return compiled or (
        not issubclass(cls, (eqx.Module, enum.Enum))
        and any(
            not is_own(base) and base not in ignored and base.__module__ not in ("abc", "typing")
            for base in cls.__mro__
        )
    )


def attributes_of(value: object) -> dict[str, object]:
    """The attributes that an object itself has, in the order in which they were set; none that
    was computed once from others (`functools.cached_property`)."""
    cls, found = type(value), {}
    for base in cls.__mro__:
        for name, one in vars(base).items() if "__slots__" in vars(base) else ():
            if isinstance(one, types.MemberDescriptorType):
                try:
                    found[name] = one.__get__(value, cls)
                except AttributeError:  # a slot that is still empty
                    continue
    try:
        held = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return found
    written = ("_value_", "_name_", "__objclass__", "_sort_order_")
    for name, one in held.items() if isinstance(held, dict) else ():
        made = isinstance(getattr(cls, name, None), functools.cached_property)
        if not made and not (isinstance(value, enum.Enum) and name in written):
            found[name] = one
    return found


def reduction_of(value: object) -> tuple:
    """What Python would make an object again from: a function, its arguments, and what is put
    into it. Raises `Untold` for an object that Python cannot make again."""
    try:
        reducer = copyreg.dispatch_table.get(type(value))
        found = reducer(value) if reducer is not None else value.__reduce_ex__(4)
        if isinstance(found, str):
            return (_named(value, found),)
        made, given, state, items, pairs = (*found, None, None, None)[:5]
        return (
            made,
            given,
            state,
            None if items is None else list(items),
            None if pairs is None else list(pairs),
        )
    except Exception as error:
        raise Untold from error


def _named(value, name):
    """Where a library has an object by that name."""
    module = getattr(value, "__module__", None) or pickle.whichmodule(value, name)  # type: ignore[attr-defined]
    found = sys.modules.get(module)
    for word in name.split("."):
        found = getattr(found, word, None)
    if found is not value or not in_library(module):
        raise Untold
    return f"{module}.{name}"


def special(value: object) -> tuple | None:
    """What is told of an object of a library that Python does not make again, or makes from more
    than counts; None of all others."""
    if isinstance(value, types.MappingProxyType):
        return ("mapping", dict(value))
    if isinstance(value, memoryview):
        return ("memory", value.format, value.shape, value.tobytes())
    if isinstance(value, contextvars.ContextVar):
        try:
            return ("variable", value.name, value.get())
        except LookupError:
            return ("variable", value.name)
    if isinstance(value, weakref.ref):
        return ("reference", value())
    if isinstance(value, weakref.WeakSet):
        return ("references", set(value))
    if isinstance(value, (weakref.WeakKeyDictionary, weakref.WeakValueDictionary)):
        return ("references", dict(value))
    if isinstance(
        value, (collections.abc.KeysView, collections.abc.ValuesView, collections.abc.ItemsView)
    ):
        return ("view", list(value))
    if isinstance(value, (io.StringIO, io.BytesIO)):
        return ("memory", None if value.closed else (value.getvalue(), value.tell()))
    if isinstance(value, threading.local):
        return ("local", dict(vars(value)))
    if isinstance(value, TYPINGS):
        return ("typing", repr(value))
    if isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
        return ("slot", value.__name__)
    if isinstance(value, jax.tree_util.PyTreeDef):
        return ("tree", value.node_data(), value.children())
    if isinstance(value, np.random.Generator) and hasattr(value.bit_generator, "seed_seq"):
        # by its seed: what it has drawn so far moves as it is used
        seed = value.bit_generator.seed_seq
        if isinstance(seed, np.random.SeedSequence):
            return ("random", type(value.bit_generator), seed.entropy, seed.spawn_key)
    if any(value is one for one in SHARED_RANDOM) or isinstance(value, random.SystemRandom):
        return ("random",)
    return _compiled(value)


def _compiled(value):
    """A function under `jax.jit`: what it compiles and how, without the file and the line that
    JAX notes of it."""
    if is_own(type(value)):
        return None
    said = getattr(value, "_jit_info", None)
    if said is None or not hasattr(value, "__wrapped__"):
        return None
    how = ("static_argnums", "static_argnames", "inline", "compiler_options_kvs")
    return ("jit", value.__wrapped__, [getattr(said, name, None) for name in how])


def holds_more(value: np.ndarray | np.generic) -> tuple:
    """What an array says beside its type, shape and bytes."""
    found: tuple = ()
    if value.dtype.names:
        found += (value.dtype.descr,)
    if value.dtype.kind == "V" and not value.dtype.names and value.dtype.itemsize == 1:
        found += (value.dtype.name,)  # the floats of eight bits and less are all of one letter
    if isinstance(value, np.ma.MaskedArray):
        found += (np.ma.getmaskarray(value), value.fill_value)
    return found
