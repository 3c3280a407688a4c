"""Categories: columns of inputs that hold names, each of which becomes an input of zeros and
ones."""

from typing import TYPE_CHECKING

import numpy as np

from learnmech.data.cells import class_names, sorted_names
from learnmech.data.samples import brief
from learnmech.errors import Refused, refused

if TYPE_CHECKING:
    from learnmech.data.columns import Table

Levels = dict[str, tuple[str, ...]]
"""{column, as messages name it: its categories in order}."""
MOST = 1000


def one_hot(
    who: str, table: "Table", column: int, known: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(a column (n, m) of zeros and ones for each category, NaN where the cell is missing; the
    categories in order, whole numbers by value). `known`: those there are, where that is told."""
    title = table.titled(column)
    names, bad = class_names(table.column(column))
    if bad is not None:
        raise refused(
            who,
            "categories that are names or whole numbers",
            f"{table.column(column)[bad]!r} in row {table.rows[bad]}, {title} of"
            f" {table.known_as()}",
            "Leave that column out of categories",
        )
    there = {name for name in names if name is not None}
    levels = known or tuple(sorted_names(there))
    unknown = sorted(there - set(levels))
    if unknown:
        row = names.index(unknown[0])
        raise refused(
            who,
            f"categories of {title} that the training samples have, {brief(levels)}",
            f"{unknown[0]!r} in row {table.rows[row]} of {table.name}",
            "Leave that row out",
        )
    if not 1 <= len(levels) <= MOST:
        raise refused(
            who,
            f"1 to {MOST} categories in {title} of {table.known_as()}",
            len(levels),
            "Leave that column out of categories",
        )
    place = {name: index for index, name in enumerate(levels)}
    codes = np.array([-1 if name is None else place[name] for name in names])
    found = (codes[:, None] == np.arange(len(levels))).astype(np.float64)
    found[codes < 0] = np.nan
    return found, levels


def laid_out(
    who: str,
    table: "Table",
    columns: list[int],
    named: list[int] | None,
    known: Levels | None,
    hint: str,
) -> tuple[np.ndarray, tuple[str, ...], Levels]:
    """(inputs (n, d), their names, the categories of each column that holds some): those columns
    `named`, or None: every column that holds no numbers."""
    if named is None:
        named = [column for column in columns if not _numeric(table, column)]
    if not named:
        return table.numbers(who, columns, hint), tuple(map(table.titled, columns)), {}
    made, heads, levels = [], [], {}
    for column in columns:
        title = table.titled(column)
        if column not in named:
            made.append(table.numbers(who, [column], hint))
            heads.append(title)
            continue
        found, own = one_hot(who, table, column, (known or {}).get(title))
        made.append(found)
        heads += [f"{title} = {name}" for name in own]
        levels[title] = own
    return np.concatenate(made, axis=1), tuple(heads), levels


def _numeric(table, column):
    try:
        table.numbers("", [column])
    except Refused:
        return False
    return True
