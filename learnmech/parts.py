"""Parts: frozen values with knobs, from which an experiment is put together."""

import contextlib
import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import numpy as np

from learnmech.errors import nearest, refused, written

Knob = np.ndarray
"""A 0-d float64 or int64 array: a leaf of the pytree, so that turning it never recompiles."""


def is_traced(value) -> bool:
    """Whether it stands for an array that is not there yet, as within a compiled function."""
    return hasattr(value, "dtype") and (isinstance(value, jax.core.Tracer) or not isinstance(value, (np.ndarray, np.generic, jax.Array)))


def plain(value):
    """A scalar of NumPy's or JAX's as Python's own; anything else as it is."""
    # a random key's type is none of NumPy's
    scalar = hasattr(value, "dtype") and not is_traced(value) and value.ndim == 0 and isinstance(value.dtype, np.dtype)
    return value.item() if scalar else value


def whole_number(who: str, name: str, value, at_least: int = 0, at_most: int | None = None) -> int:
    """A whole number that a function was given, as an int; refuses what is none, or is out of bounds."""
    found = plain(value)
    if isinstance(found, bool) or not isinstance(found, int) or found < at_least or (at_most is not None and found > at_most):
        wanted = f">= {at_least}" if at_most is None else f"from {at_least} to {at_most}"
        raise refused(who, f"{name} to be a whole number {wanted}", show_value(found), f"Change {name}")
    return found


def _as_knob(value, dtype):
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)):
        return value
    if dtype is np.int64:
        whole = -(2**63) <= value < 2**63 and value == int(value)  # NaN and infinity fail the first comparison
        return np.asarray(int(value), dtype) if whole else value
    try:
        return np.asarray(float(value), dtype)
    except OverflowError:
        return value


def knob(
    default=dataclasses.MISSING,
    *,
    whole: bool = False,
    above=None,
    at_least=None,
    below=None,
    at_most=None,
    kw_only: bool = False,
    meaning: str = "",
    since: str = "",
):
    """A numeric field that can be swept and traced: float64, or int64 when `whole`.

    Bounds are checked when the part is made. `meaning` is what the field is, in one line with its
    unit (`meaning_of`). One that came `since` a later version is left out of the text at its
    default, so that the fingerprints of what does not use it stay as they were.
    """
    dtype = np.int64 if whole else np.float64
    bounds = {"above": above, "at_least": at_least, "below": below, "at_most": at_most}
    return eqx.field(
        converter=lambda value: _as_knob(value, dtype),
        default=default,
        kw_only=kw_only,
        metadata={"role": "knob", "whole": whole, "bounds": {k: v for k, v in bounds.items() if v is not None}} | _said_of(meaning, since),
    )


def _said_of(meaning, since):
    return {"meaning": meaning, "since": since}


def part(default=dataclasses.MISSING, *, kw_only: bool = False, meaning: str = "") -> typing.Any:
    """A field that holds a part, or a list of them; `meaning` as of `knob`."""
    return eqx.field(default=default, kw_only=kw_only, metadata=_said_of(meaning, ""))


def _frozen(value):
    return tuple(_frozen(v) for v in value) if isinstance(value, (list, tuple)) else plain(value)


def structure(
    default=dataclasses.MISSING,
    *,
    choices=None,
    at_least=None,
    kw_only: bool = False,
    where: bool = False,
    meaning: str = "",
    since: str = "",
):
    """A field that shapes the computation (a width, a depth, a name): static, so that changing it compiles anew.

    `where`: it says where something lies (a path), not what it is, and is no part of the identity.
    `meaning` and `since` as of `knob`.
    """
    return eqx.field(
        static=True,
        converter=_frozen,
        default=default,
        kw_only=kw_only,
        metadata={
            "role": "structure",
            "choices": choices,
            "bounds": {} if at_least is None else {"at_least": at_least},
            "where": where,
        }
        | _said_of(meaning, since),
    )


def array(default=dataclasses.MISSING, *, meaning: str = ""):
    """A field that holds a numpy array of the user's own (or None); its text form is a file and its sha256. `meaning` as of `knob`."""
    return eqx.field(converter=_as_array, default=default, metadata={"role": "array", "bounds": {}} | _said_of(meaning, ""))


def _as_array(value):
    try:
        found = np.asarray(value)
    except ValueError:
        return value
    return found.astype(np.float64) if found.dtype.kind in "biuf" else value


SAYS = {"above": ">", "at_least": ">=", "below": "<", "at_most": "<="}


def _within(value, bounds) -> bool:
    checks = {"above": value > bounds.get("above", value - 1), "at_least": value >= bounds.get("at_least", value)}
    checks |= {"below": value < bounds.get("below", value + 1), "at_most": value <= bounds.get("at_most", value)}
    return all(checks[name] for name in bounds)


class Shorthand(typing.NamedTuple):
    """A name that is no field of its own: the field it turns, its value now (None where it has no single one), and value -> the field's value."""

    field: str
    value: object
    turned: Callable


class Outside(typing.NamedTuple):
    """A file that a part reads from outside its text: the knob that names it, where it is, and the sha256 of its content."""

    field: str
    path: Path
    sha256: str


class _Asked(type(eqx.Module)):
    """A class of parts; arguments that do not fit its fields are refused in a sentence, and `help` tells what each field is."""

    def __init__(cls, *args, **kwargs):
        super().__init__(*args, **kwargs)
        shown = [line for field in _shown(cls) if (line := _line_of(cls, field))]
        if shown:
            cls.__doc__ = "\n".join([told(cls), "", KNOBS, *shown])

    @property
    def __signature__(cls):
        """How it is called, with the type of each field: a field's converter hides it."""
        found, kinds = inspect.signature(cls.__init__), {field.name: _asked_for(field) for field in _shown(cls)}
        given = list(found.parameters.values())[1:]
        return found.replace(parameters=[one.replace(annotation=kinds.get(one.name, one.annotation)) for one in given], return_annotation=found.empty)

    def __call__(cls, *args, **kwargs):
        try:
            return super().__call__(*args, **kwargs)
        except TypeError:
            _check_arguments(cls, args, kwargs)
            raise


KNOBS = "Knobs:"


def _shown(cls):
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


def _asked_for(field):
    """The type of value that a field is given: of a knob the number, not the array in which it is kept."""
    if field.metadata.get("role") != "knob":
        return field.type
    number = int if field.metadata["whole"] else float
    return number | None if _accepts(field.type, None) else number


def told(cls: type) -> str:
    """What a class says of itself, without the list of its knobs."""
    return (inspect.getdoc(cls) or "").partition(f"\n\n{KNOBS}\n")[0]


def _line_of(cls, field):
    meaning = field.metadata.get("meaning", "")
    if not meaning:
        return ""
    default = field.default is not dataclasses.MISSING and field.default is not None
    return f"    {field.name}: {meaning}" + (f" ({show_value(field.default)} unless given)" if default else "")


def meaning_of(cls: type, name: str) -> str:
    """What a field is, in one line: as it says itself, else the first sentence of the class, or of one it descends from, which names it in backticks."""
    said = {field.name: field.metadata.get("meaning", "") for field in _shown(cls)}[name]
    for one in cls.__mro__ if not said else ():
        sentences = re.split(r"(?<=[.;:])\s+", " ".join(told(one).split())) if one.__doc__ else ()
        found = next((sentence for sentence in sentences if f"`{name}`" in sentence), "")
        if found:
            return found.rstrip(".;:")
    return said


def _check_arguments(cls, args, kwargs):
    """Refuse arguments that the class cannot be called with."""
    who, signature = cls.__name__, inspect.signature(cls)
    fields = signature.parameters
    with contextlib.suppress(TypeError):
        signature.bind(*args, **kwargs)
        return
    named = [name for name, field in fields.items() if field.kind is not inspect.Parameter.KEYWORD_ONLY]
    for name in kwargs:
        if name not in fields:
            raise refused(who, "a known knob", repr(name), nearest(name, fields))
        if name in named[: len(args)]:
            raise refused(who, f"{name} once", "it by place and by name", "Drop one of them")
    if len(args) > len(named):
        raise refused(who, f"at most {len(named)} values by place", len(args), "Write the others by name")
    for name, field in fields.items():
        if field.default is inspect.Parameter.empty and name not in kwargs and name not in named[: len(args)]:
            kind = next((f.type for f in dataclasses.fields(cls) if f.name == name), None)
            of_kind = f", {_wanted(kind)}" if isinstance(kind, type) and issubclass(kind, Part) else ""
            raise refused(who, f"{name}{of_kind}", "nothing", f"Give {name}")


class Part(eqx.Module, metaclass=_Asked):
    """A frozen value: numeric knobs are leaves, structure is static, and bad values are refused when it is made.

    `hint`: of a family, which of its parts may be meant where something else was given. `follows`: {knob: knobs that are of the
    old value alone, and dropped from its text when the knob is turned}.
    """

    hint: typing.ClassVar[str] = ""
    follows: typing.ClassVar[dict[str, tuple[str, ...]]] = {}

    def __check_init__(self):
        for field in dataclasses.fields(self):
            _check(self, field, getattr(self, field.name))
        self.coherent()

    def coherent(self) -> None:
        """Refuse fields that are each as they should be and do not go together; called after every field was checked."""

    def shorthands(self) -> dict[str, Shorthand]:
        """Names beside the fields by which knobs may be turned, as `width` for all of `hidden`."""
        return {}

    def parsed(self, folder: str | Path = ".") -> "Part":
        """Itself, once it was read from a text in a folder; a part that stands for what is in no text looks for it, or refuses."""
        return self

    @classmethod
    def placed(cls, values: dict, folder: str | Path = ".") -> dict:
        """The values of its knobs as a text in a folder has them, with what says where something lies resolved; before it is made."""
        return values

    def outside(self) -> tuple[Outside, ...]:
        """The files that it reads from outside its text."""
        return ()

    def modules(self) -> tuple[tuple[str, types.ModuleType], ...]:
        """(name, Python module) of what a file of the user's own makes for it; what that imports counts in its identity."""
        return ()

    @classmethod
    def example(cls):
        """A tiny one, for contracts and docs; a part whose fields have no defaults gives its own."""
        return cls()

    def __repr__(self):
        shown = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not unchanged(value, field.default):
                shown.append(f"{field.name}={show_value(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


def unchanged(value, default) -> bool:
    """Whether a field's value is its default."""
    if value is None or default is None or default is dataclasses.MISSING:
        return value is default
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and isinstance(default, (int, float)) and value == default
    return isinstance(value, type(default)) and bool(eqx.tree_equal(value, default))


def show_value(value) -> str:
    """A field's value as a person writes it: knobs as numbers, large arrays by their shape."""
    if isinstance(value, np.ndarray):
        return repr(value.item()) if value.ndim == 0 else f"array{value.shape}"
    if isinstance(value, tuple):
        return "(" + ", ".join(show_value(v) for v in value) + ("," if len(value) == 1 else "") + ")"
    return written(value)


def _accepts(annotation, value) -> bool:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(_accepts(option, value) for option in typing.get_args(annotation))
    if origin is tuple:
        items = typing.get_args(annotation)
        if not isinstance(value, tuple):
            return False
        if len(items) == 2 and items[1] is Ellipsis:
            return all(_accepts(items[0], v) for v in value)
        return len(items) == len(value) and all(map(_accepts, items, value))
    if annotation is None or annotation is type(None):
        return value is None
    if annotation is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, annotation) if isinstance(annotation, type) else True


NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _wanted(annotation) -> str:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_wanted(o) for o in typing.get_args(annotation) if o is not type(None))
    if origin is tuple:
        return "a list of " + NAMES.get(typing.get_args(annotation)[0], "value").removeprefix("a ") + "s"
    name = str(getattr(annotation, "__name__", annotation))
    return NAMES.get(annotation, f"{'an' if name[0] in 'AEIO' else 'a'} {name}")


def _check(part, field, value):
    who, role = type(part).__name__, field.metadata.get("role")
    if role == "knob":
        _check_knob(who, field, value)
    elif role == "structure":
        _check_structure(who, field, value)
    elif role == "array":
        if value is None and _accepts(field.type, None):
            return
        if not (isinstance(value, np.ndarray) and value.dtype == np.float64) and not is_traced(value):
            raise refused(who, f"{field.name} to be an array of numbers", _brief(value), f"Give numbers, all rows of one length, in {field.name}")
        if isinstance(value, np.ndarray) and not field.metadata.get("gaps") and not np.isfinite(value).all():
            raise refused(who, f"finite numbers in {field.name}", "NaN or infinity", "Remove or replace the bad entries")
    elif isinstance(field.type, type) and issubclass(field.type, Part) and not isinstance(value, field.type):
        if not _is_traced_stand_in(value):
            remedy = f"Give one of the {field.type.__name__} kinds" + (f". {field.type.hint}" if field.type.hint else "")
            raise refused(who, f"{field.name} to be {_wanted(field.type)}", _brief(value), remedy)


def _brief(value) -> str:
    """A value that was not asked for: as it is written where that is short, else its type."""
    shown = show_value(value)
    return shown if len(shown) <= 80 and "\n" not in shown else f"a {type(value).__module__}.{type(value).__name__}".replace(" builtins.", " ")


def _is_traced_stand_in(value) -> bool:
    return type(value) is object


def _check_knob(who, field, value):
    whole = field.metadata["whole"]
    numeric = is_traced(value) or (isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype == (np.int64 if whole else np.float64))
    if value is None and _accepts(field.type, None):
        return
    if not numeric:
        raise refused(who, f"{field.name} to be {'a whole' if whole else 'a'} number", show_value(value), f"Set {field.name} to a number")
    bounds = field.metadata["bounds"]
    if isinstance(value, np.ndarray):
        if not np.isfinite(value):
            raise refused(who, f"{field.name} to be a finite number", show_value(value), f"Set {field.name} to a finite number")
        if not _within(value, bounds):
            _out_of_bounds(who, field, value)


def _check_structure(who, field, value):
    if not _accepts(field.type, value):
        raise refused(who, f"{field.name} to be {_wanted(field.type)}", show_value(value), f"Change {field.name}")
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise refused(who, f"{field.name} to be one of {', '.join(map(str, choices))}", show_value(value), f"Change {field.name}")
    for one in value if isinstance(value, tuple) else (value,):
        if field.metadata["bounds"] and one is not None and not _within(one, field.metadata["bounds"]):
            _out_of_bounds(who, field, one)


def _out_of_bounds(who, field, value):
    wanted = " and ".join(f"{field.name} {SAYS[name]} {bound}" for name, bound in field.metadata["bounds"].items())
    raise refused(who, wanted, show_value(value), f"Change {field.name}")
