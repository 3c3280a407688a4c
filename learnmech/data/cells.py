"""Cells: what is written in a cell of a table, a number or a missing one, and what only looks
like either."""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

MISSING = frozenset(
    "NA na N/A n/a #N/A #NA <NA> NaN nan NAN -NaN -nan NaT nat".split()
    + "NULL Null null None none ? - -- .".split()
    + [""]
)
"""Cells that stand for a missing number."""

UNKNOWN = frozenset(["", "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan"])
"""Cells that stand for a missing class: a class may well be called None."""

# ASCII digits alone: float() takes 1_0, infinity, and the digits of every script
NUMBER = {
    mark: re.compile(
        rf"[+-]?(\d+({re.escape(mark)}\d*)?|{re.escape(mark)}\d+)([eE][+-]?\d+)?", re.ASCII
    )
    for mark in ".,"
}
LONGEST = 200
"""Characters of the longest name of a class."""

WHOLE = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)
PLAIN = {mark: b"0123456789+-eE " + mark.encode() for mark in ".,"}


def number(cell: str, decimal: str = ".") -> float | None:
    """The number in a cell; NaN where it is missing, infinite where it is beyond float64, None
    where it is none."""
    cell = cell.strip()
    if NUMBER[decimal].fullmatch(cell):
        return float(cell.replace(decimal, "."))
    return math.nan if cell in MISSING else None


def written_numbers(cells: Sequence[str], decimal: str = ".") -> tuple[np.ndarray, int | None]:
    """(the numbers in a column of written cells, the place of the first cell that holds none)."""
    joined = "".join(cells).encode(errors="replace")
    if not joined.translate(None, PLAIN[decimal]):
        try:
            given = cells if decimal == "." else [cell.replace(decimal, ".") for cell in cells]
            return _bounded(np.array(list(map(float, given))))
        except ValueError:
            pass
    found = [number(cell, decimal) for cell in cells]
    bad = next((place for place, value in enumerate(found) if value is None), None)
    values, infinite = _bounded(np.array([math.nan if value is None else value for value in found]))
    return values, infinite if bad is None else bad if infinite is None else min(bad, infinite)


def _bounded(values):
    infinite = np.flatnonzero(np.isinf(values))
    return values, int(infinite[0]) if len(infinite) else None


def held_number(value: Any) -> float | None:
    """The number that an object is, as cells of a DataFrame are; NaN where it is missing, None
    where it is none."""
    if value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant"):
        return math.nan
    if isinstance(value, (str, bytes, complex, np.complexfloating)):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def kind(cell: str, decimal: str = ".") -> str:
    """What a cell of a first row may be: a `number`, `missing`, `blank`, a `name`, or `odd`
    (1.O, 2nd)."""
    cell = cell.strip()
    if not cell:
        return "blank"
    if cell in MISSING:
        return "missing"
    if (
        NUMBER[decimal].fullmatch(cell)
        or NUMBER["."].fullmatch(cell)
        or cell.lower().lstrip("+-") in ("inf", "infinity")
    ):
        return "number"
    return "name" if cell[0].isalpha() or cell[0] == "_" else "odd"


def class_names(cells: Sequence | np.ndarray) -> tuple[list[str | None], int | None]:
    """(the class in each cell of a column, None where it is missing; the place of the first cell
    that is no class).

    Whole numbers are classes by their value, 1 and 1.0 the same; other numbers are none.
    """
    if isinstance(cells, np.ndarray):
        if cells.dtype.kind == "b":
            cells = cells.astype(np.int8)
        cells = cells.tolist()
    found: list[str | None] = []
    for place, cell in enumerate(cells):
        text = _class_name(cell)
        if not _no_class(cell) if text is None else len(text) > LONGEST:
            return found, place
        found.append(text)
    texts = [text for text in found if text is not None]
    if all(WHOLE.fullmatch(text) for text in texts):
        return [None if text is None else str(int(text.partition(".")[0])) for text in found], None
    fractions = all(NUMBER["."].fullmatch(text) or NUMBER[","].fullmatch(text) for text in texts)
    if fractions:
        return found, next(
            place
            for place, text in enumerate(found)
            if text is not None and not WHOLE.fullmatch(text)
        )
    return found, None


def _class_name(cell):
    if isinstance(cell, str):
        return None if cell.strip() in UNKNOWN else cell.strip()
    if isinstance(cell, (bool, np.bool_)):
        return str(cell)
    value = held_number(cell)
    if value is None or not math.isfinite(value):
        return None
    if isinstance(cell, (int, np.integer)):
        return str(int(cell))
    # a float beyond 2^53 may stand for several whole numbers
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def _no_class(cell):
    if isinstance(cell, str):
        return True
    value = held_number(cell)
    return value is not None and math.isnan(value)


def sorted_names(names: set[str]) -> list[str]:
    """Classes in order: whole numbers by value, others by name."""
    whole = all(WHOLE.fullmatch(name) for name in names)
    return sorted(names, key=int) if whole else sorted(names)
