"""The header of a table: told by the types of its columns, never by the first row alone; what
cannot be told is asked."""

import dataclasses
from collections.abc import Sequence

from learnmech.data.cells import NUMBER, kind
from learnmech.data.samples import brief
from learnmech.errors import refused


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a user said of the rows and columns: `header` (None: to be found), names of columns
    that were asked for, which column names the rows."""

    header: bool | None = None
    named: tuple[str, ...] = ()
    row_names: int | str | None = None


def names_over(
    who: str,
    known: str,
    row: int,
    first: Sequence[str],
    body: Sequence[Sequence[str]],
    asked: Asked,
    decimal: str,
) -> tuple[str, ...] | None:
    """The names in the first row, where it is a header above the rows of `body`; None where it
    is a row of data."""
    first = [cell.strip() for cell in first]
    found = asked.header
    if found is None:
        found = (
            True
            if asked.named and set(asked.named) <= set(first)
            else _is_header(first, body, decimal)
        )
    if found is None:
        got = f"{brief([repr(cell) for cell in first])} in row {row} of {known}"
        raise refused(
            who,
            "to be told whether its first row is a header",
            got,
            "Set header = true or false, or mend that row",
        )
    if not found:
        return None
    width = len(body[0]) if body else len(first)
    if len(first) == width - 1 and asked.row_names in (0, -width):
        first = ["", *first]
    elif len(first) != width:
        in_front = (
            ", with names of the rows in front? Set row_names = 0 to leave those out"
            if len(first) == width - 1
            else ""
        )
        got = f"{len(first)} over rows of {width} in {known}{in_front}"
        raise refused(
            who, "a name over every column", got, "Mend the header, or set header = false"
        )
    twice = sorted({name for name in first if name and first.count(name) > 1})
    if twice:
        places = [place for place, name in enumerate(first) if name == twice[0]]
        got = f"{twice[0]!r} over columns {brief(list(map(str, places)))} (from 0) of {known}"
        raise refused(
            who,
            "different names over its columns",
            got,
            "Rename them, or set header = false where that row is none",
        )
    return tuple(first)


def is_data(first: Sequence[str], body: Sequence[Sequence[str]], decimal: str) -> bool:
    """Whether the first row is told to be one of data by its own types."""
    return _is_header([cell.strip() for cell in first], body, decimal) is False


def _is_header(first, body, decimal):
    """Whether the first row is a header; None where it cannot be told."""
    kinds = [kind(cell, decimal) for cell in first]
    if not body:
        return "name" in kinds and "number" not in kinds
    width = max(map(len, body))
    shift = 1 if width == len(first) + 1 and "number" not in kinds else 0  # row names in front
    columns = [
        [row[place] for row in body if place < len(row)]
        for place in range(shift, min(width, shift + len(first)))
    ]
    # a number in the first row speaks for a column of numbers, a word may be the name over one
    over = [
        (what, _numeric([*cells, cell] if what == "number" else cells, decimal))
        for what, cell, cells in zip(kinds, first, columns)
    ]
    above_numbers = {what for what, number in over if number is not False}
    others = {what for what, number in over if number is False}
    if "name" in above_numbers:
        return None if {"number", "missing", "odd"} & above_numbers or "number" in others else True
    if not any(number for _, number in over):
        return None if set(kinds) == {"name"} else False  # a table of words alone
    if "number" in others:
        return None
    if "number" in above_numbers:
        plain = [cell for cell, (what, number) in zip(first, over) if number is not False]
        return (
            None
            if above_numbers == {"number"} and _like_names(plain, over, body, decimal)
            else False
        )
    return None if "odd" in above_numbers else False


def _numeric(cells, decimal):
    """Whether a column holds numbers, for the most part; None where all is missing."""
    kinds = [kind(cell, decimal) for cell in cells]
    numbers, words = (
        kinds.count("number"),
        len(kinds) - kinds.count("number") - kinds.count("missing") - kinds.count("blank"),
    )
    return None if not numbers + words else numbers >= words


def _like_names(first, over, body, decimal):
    """Whether a row of numbers above numbers may be a header: columns counted from 0, years, or
    whole numbers in a row above ones with a fraction."""
    if len(first) < 2 or not all(cell.isascii() and cell.isdigit() for cell in first):
        return False
    whole, columns = (
        [int(cell) for cell in first],
        [place for place, (_, number) in enumerate(over) if number is not False],
    )
    cells = [row[place].strip() for row in body for place in columns if place < len(row)]
    numbers = [cell for cell in cells if NUMBER[decimal].fullmatch(cell)]
    fractions = [not cell.lstrip("+-").isdigit() for cell in numbers]
    rising, step = (
        all(one < later for one, later in zip(whole, whole[1:])),
        {later - one for one, later in zip(whole, whole[1:])},
    )
    if whole[0] == 0 and step == {1} or all(fractions) or (rising and whole[0] >= 1000):
        return True
    # 1, 2, 3 is a row that people make up, in a short table of whole numbers
    return (
        len(step) == 1
        and (len(whole) > 2 or step == {1})
        and step != {0}
        and (any(fractions) or (len(whole) > 2 and len(body) > 4))
    )
