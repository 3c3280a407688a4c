"""Checks: whether the value of a field is one, and how values and what is wanted are written."""

import dataclasses
import types
import typing

import equinox as eqx
import numpy as np

from learnmech.errors import refused, written
from learnmech.language.parts.fields import is_traced, plain

SAYS = {"above": ">", "at_least": ">=", "below": "<", "at_most": "<="}


def _within(value, bounds) -> bool:
    checks = {
        "above": value > bounds.get("above", value - 1),
        "at_least": value >= bounds.get("at_least", value),
    }
    checks |= {
        "below": value < bounds.get("below", value + 1),
        "at_most": value <= bounds.get("at_most", value),
    }
    return all(checks[name] for name in bounds)


def whole_number(who: str, name: str, value, at_least: int = 0, at_most: int | None = None) -> int:
    """A whole number that a function was given, as an int; refuses what is none, or is out of
    bounds."""
    found = plain(value)
    if (
        isinstance(found, bool)
        or not isinstance(found, int)
        or found < at_least
        or (at_most is not None and found > at_most)
    ):
        wanted = f">= {at_least}" if at_most is None else f"from {at_least} to {at_most}"
        raise refused(
            who, f"{name} to be a whole number {wanted}", show_value(found), f"Change {name}"
        )
    return found


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
        return (
            "(" + ", ".join(show_value(v) for v in value) + ("," if len(value) == 1 else "") + ")"
        )
    return written(value)


def accepts(annotation, value) -> bool:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(accepts(option, value) for option in typing.get_args(annotation))
    if origin is tuple:
        items = typing.get_args(annotation)
        if not isinstance(value, tuple):
            return False
        if len(items) == 2 and items[1] is Ellipsis:
            return all(accepts(items[0], v) for v in value)
        return len(items) == len(value) and all(map(accepts, items, value))
    if annotation is None or annotation is type(None):
        return value is None
    if annotation is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, annotation) if isinstance(annotation, type) else True


NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def wanted(annotation) -> str:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(wanted(o) for o in typing.get_args(annotation) if o is not type(None))
    if origin is tuple:
        return (
            "a list of "
            + NAMES.get(typing.get_args(annotation)[0], "value").removeprefix("a ")
            + "s"
        )
    name = str(getattr(annotation, "__name__", annotation))
    return NAMES.get(annotation, f"{'an' if name[0] in 'AEIO' else 'a'} {name}")


def check(part, field, value):
    who, role = type(part).__name__, field.metadata.get("role")
    if role == "knob":
        _check_knob(who, field, value)
    elif role == "structure":
        _check_structure(who, field, value)
    elif role == "array":
        if value is None and accepts(field.type, None):
            return
        if not (isinstance(value, np.ndarray) and value.dtype == np.float64) and not is_traced(
            value
        ):
            raise refused(
                who,
                f"{field.name} to be an array of numbers",
                _brief(value),
                f"Give numbers, all rows of one length, in {field.name}",
            )
        if (
            isinstance(value, np.ndarray)
            and not field.metadata.get("gaps")
            and not np.isfinite(value).all()
        ):
            raise refused(
                who,
                f"finite numbers in {field.name}",
                "NaN or infinity",
                "Remove or replace the bad entries",
            )
    elif (
        isinstance(field.type, type)
        and issubclass(field.type, eqx.Module)
        and hasattr(field.type, "hint")
        and not isinstance(value, field.type)
    ):
        if not _is_traced_stand_in(value):
            remedy = f"Give one of the {field.type.__name__} kinds" + (
                f". {field.type.hint}" if field.type.hint else ""
            )
            raise refused(who, f"{field.name} to be {wanted(field.type)}", _brief(value), remedy)


def _brief(value) -> str:
    """A value that was not asked for: as it is written where that is short, else its type."""
    shown = show_value(value)
    return (
        shown
        if len(shown) <= 80 and "\n" not in shown
        else f"a {type(value).__module__}.{type(value).__name__}".replace(" builtins.", " ")
    )


def _is_traced_stand_in(value) -> bool:
    return type(value) is object


def _check_knob(who, field, value):
    whole = field.metadata["whole"]
    numeric = is_traced(value) or (
        isinstance(value, np.ndarray)
        and value.ndim == 0
        and value.dtype == (np.int64 if whole else np.float64)
    )
    if value is None and accepts(field.type, None):
        return
    if not numeric:
        raise refused(
            who,
            f"{field.name} to be {'a whole' if whole else 'a'} number",
            show_value(value),
            f"Set {field.name} to a number",
        )
    bounds = field.metadata["bounds"]
    if isinstance(value, np.ndarray):
        if not np.isfinite(value):
            raise refused(
                who,
                f"{field.name} to be a finite number",
                show_value(value),
                f"Set {field.name} to a finite number",
            )
        if not _within(value, bounds):
            _out_of_bounds(who, field, value)


def _check_structure(who, field, value):
    if not accepts(field.type, value):
        raise refused(
            who,
            f"{field.name} to be {wanted(field.type)}",
            show_value(value),
            f"Change {field.name}",
        )
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise refused(
            who,
            f"{field.name} to be one of {', '.join(map(str, choices))}",
            show_value(value),
            f"Change {field.name}",
        )
    for one in value if isinstance(value, tuple) else (value,):
        if (
            field.metadata["bounds"]
            and one is not None
            and not _within(one, field.metadata["bounds"])
        ):
            _out_of_bounds(who, field, one)


def _out_of_bounds(who, field, value):
    bounds = " and ".join(
        f"{field.name} {SAYS[name]} {bound}" for name, bound in field.metadata["bounds"].items()
    )
    raise refused(who, bounds, show_value(value), f"Change {field.name}")
