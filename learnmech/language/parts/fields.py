"""Fields: the knobs, structure and arrays of a part, and what numbers they hold."""

import dataclasses
import typing

import equinox as eqx
import jax
import numpy as np

if typing.TYPE_CHECKING:
    # what it is given, and what it counts as in formulas: to a checker an array would take no
    # number
    Knob = float
    Numbers = typing.Any  # lists and arrays of any library are taken too
else:
    Knob = Numbers = np.ndarray
"""`Knob`: a 0-d float64 or int64 array: a leaf of the pytree, so that turning it never
recompiles. `Numbers`: an `array` of any shape."""


def is_traced(value) -> bool:
    """Whether it stands for an array that is not there yet, as within a compiled function."""
    return hasattr(value, "dtype") and (
        isinstance(value, jax.core.Tracer)
        or not isinstance(value, (np.ndarray, np.generic, jax.Array))
    )


def plain(value):
    """A scalar of NumPy's or JAX's as Python's own; anything else as it is."""
    # a random key's type is none of NumPy's
    scalar = (
        hasattr(value, "dtype")
        and not is_traced(value)
        and value.ndim == 0
        and isinstance(value.dtype, np.dtype)
    )
    return value.item() if scalar else value


def _as_knob(value, dtype):
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)):
        return value
    if dtype is np.int64:
        whole = -(2**63) <= value < 2**63 and value == int(
            value
        )  # NaN and infinity fail the first comparison
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
        metadata={
            "role": "knob",
            "whole": whole,
            "bounds": {k: v for k, v in bounds.items() if v is not None},
        }
        | _said_of(meaning, since),
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
    """A field that shapes the computation (a width, a depth, a name): static, so that changing it
    compiles anew.

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
    """A field that holds a numpy array of the user's own (or None); its text form is a file and
    its sha256. `meaning` as of `knob`."""
    return eqx.field(
        converter=_as_array,
        default=default,
        metadata={"role": "array", "bounds": {}} | _said_of(meaning, ""),
    )


def _as_array(value):
    try:
        found = np.asarray(value)
    except ValueError:
        return value
    return found.astype(np.float64) if found.dtype.kind in "biuf" else value
