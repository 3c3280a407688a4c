"""Columns: a table, and which of its columns are inputs, targets and classes."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from learnmech.data.categories import Levels, laid_out
from learnmech.data.cells import class_names, held_number, written_numbers
from learnmech.data.samples import Samples, brief, counted
from learnmech.errors import Refused, nearest, refused

Columns = int | str | tuple[int | str, ...] | None


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of `n` cells: a matrix of numbers, or lists of cells, `written` where they are text
    that is still to be read as numbers.

    `names` over the columns (None: no header), `rows` the place of each row in its source, `said`
    how the source was understood.
    """

    name: str
    names: tuple[str, ...] | None
    rows: Sequence[int]
    matrix: np.ndarray | None = None
    columns: Sequence[Sequence] = ()
    written: bool = False
    decimal: str = "."
    said: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.columns) if self.matrix is None else self.matrix.shape[1]

    def titled(self, column: int) -> str:
        """A column as messages name it."""
        return (
            f"column {column} (from 0)" if self.names is None else f"column {self.names[column]!r}"
        )

    def column(self, column: int) -> Sequence | np.ndarray:
        """The cells of a column."""
        return self.columns[column] if self.matrix is None else self.matrix[:, column]

    def known_as(self) -> str:
        """Its name and how it was understood, for a refusal."""
        return f"{self.name} ({'; '.join(self.said)})" if self.said else self.name

    def place(self, who: str, knob: str, wanted: int | str) -> int:
        """Which column is meant: by name, or by place from 0 (-1: the last)."""
        if isinstance(wanted, str):
            if self.names is None:
                raise refused(
                    who,
                    f"a header, to find {knob} = {wanted!r}",
                    f"none in {self.known_as()}",
                    "Give the place, 0 for the first column, or set header",
                )
            if wanted not in self.names:
                raise refused(
                    who,
                    f"{knob} to name a column of {self.name}",
                    repr(wanted),
                    nearest(wanted, self.names),
                )
            return self.names.index(wanted)
        if not -self.width <= wanted < self.width:
            got = f"{wanted} of {counted(self.width, 'column')} in {self.known_as()}"
            raise refused(
                who, f"{knob} to be places of columns, from 0", got, "Lower it, or give a name"
            )
        return wanted % self.width

    def numbers(self, who: str, columns: Sequence[int], hint: str = "") -> np.ndarray:
        """(n, len(columns)), NaN where a number is missing."""
        if self.matrix is not None:
            chosen = (
                self.matrix
                if list(columns) == list(range(self.width))
                else self.matrix[:, list(columns)]
            )
            if chosen.dtype.kind == "f" and np.isinf(chosen).any():
                place, column = np.argwhere(np.isinf(chosen))[0]
                raise self._no_number(
                    who, int(place), columns[int(column)], chosen[place, column], hint
                )
            return chosen
        made = []
        for column in columns:
            values, bad = self._numbers(self.columns[column])
            if bad is not None:
                raise self._no_number(who, bad, column, self.columns[column][bad], hint)
            made.append(values)
        return np.stack(made, 1) if made else np.zeros((len(self.rows), 0))

    def _numbers(self, cells):
        if self.written:
            return written_numbers(cells, self.decimal)
        if isinstance(cells, np.ndarray):
            values = cells.astype(np.float64)
        else:
            found = [held_number(cell) for cell in cells]
            bad = next((place for place, value in enumerate(found) if value is None), None)
            if bad is not None:
                return None, bad
            values = np.array(found, np.float64)
        infinite = np.flatnonzero(np.isinf(values))
        return values, int(infinite[0]) if len(infinite) else None

    def _no_number(self, who, place, column, cell, hint):
        shown = repr(cell) if len(repr(cell)) <= 60 else repr(cell)[:60] + "..."
        got = f"{shown} in row {self.rows[place]}, {self.titled(column)} of {self.known_as()}"
        return refused(
            who,
            "finite numbers in every cell",
            got,
            f"Replace it, or leave the column out by inputs{hint}",
        )


def samples(
    who: str,
    table: Table,
    inputs: Columns = None,
    targets: Columns = None,
    classes: int | str | bool | None = None,
    row_names: int | str | None = None,
    beside: Table | None = None,
    categories: Columns | bool = None,
    levels: Levels | None = None,
) -> Samples:
    """The samples of a table: `targets` (a number: so many of the last columns; None: the last)
    or `classes` (True: the last), and `inputs` (None: all others but `row_names`). `beside`: the
    table that holds the targets, or the classes. `categories`: inputs that hold names (True: those
    that hold no numbers), and `levels` which there are, where that is told."""
    named = [] if row_names is None else [table.place(who, "row_names", row_names)]
    left = [column for column in range(table.width) if column not in named]
    source, there = (table, left) if beside is None else (beside, list(range(beside.width)))
    goals = _goals(who, source, there, targets, classes, beside is None)
    chosen = (
        _listed(who, table, "inputs", inputs)
        if inputs is not None
        else [c for c in left if beside is not None or c not in goals]
    )
    both = set(chosen) & (set(goals if beside is None else ()) | set(named))
    if both:
        raise refused(
            who,
            "inputs that are neither targets, classes nor row names",
            table.titled(min(both)),
            "Leave it out of one",
        )
    if not chosen:
        raise refused(
            who, "at least one input", f"none in {table.known_as()}", "Name some columns in inputs"
        )
    if beside is not None and len(beside.rows) != len(table.rows):
        got = f"{len(table.rows)} in {table.name} and {len(beside.rows)} in {beside.name}"
        raise refused(who, "as many targets as inputs", got, "Give the targets of these samples")
    if inputs is None:
        _refuse_row_names(who, table, chosen)
    hint = (
        ""
        if classes is not None and classes is not False
        else ", or, where it holds classes, name it in classes"
    )
    named_so = (
        []
        if categories is None or categories is False
        else None
        if categories is True
        else _listed(who, table, "categories", categories)
    )
    if named_so and set(named_so) - set(chosen):
        got = table.titled(min(set(named_so) - set(chosen)))
        raise refused(who, "categories that are inputs", got, "Name it in inputs, or drop it")
    X, heads, found = laid_out(
        who, table, chosen, named_so, levels, f"{hint}, or, where it holds names, in categories"
    )
    outs = tuple(map(source.titled, goals))
    told = [f"{title}: {counted(len(own), 'category')}" for title, own in found.items()]
    said = (
        *table.said,
        (
            f"{counted(len(table.rows), 'row')}, {counted(len(chosen), 'input')}"
            f" ({_short(table, chosen)})"
        ),
        *told,
    )
    if classes is None or classes is False:
        said = (*said, f"{counted(len(goals), 'target')} ({_short(source, goals)})")
        Y = source.numbers(who, goals, hint)
        return Samples(table.name, X, Y, table.rows, heads, outs, said=said, levels=found)
    names, bad = class_names(source.column(goals[0]))
    if bad is not None:
        got = (
            f"{source.column(goals[0])[bad]!r} in row {source.rows[bad]}, {outs[0]} of"
            f" {source.known_as()}"
        )
        raise refused(
            who,
            "classes that are names or whole numbers",
            got,
            "Name the column that holds classes, or give it as targets",
        )
    return Samples(
        table.name,
        X,
        None,
        table.rows,
        heads,
        outs,
        np.array(names, object),
        said=said,
        levels=found,
    )


def _short(table, columns):
    return brief(
        [str(column) if table.names is None else table.names[column] for column in columns]
    )


def _goals(who, table, there, targets, classes, with_inputs):
    """The columns of the targets, or the one of the classes."""
    if classes is not None and classes is not False:
        if targets is not None:
            raise refused(who, "either targets or classes", "both", "Drop one")
        if classes is not True:
            return [table.place(who, "classes", classes)]
        if not with_inputs and len(there) != 1:
            raise refused(
                who,
                f"one column in {table.known_as()}, the classes",
                len(there),
                "Name the column in classes",
            )
        return there[-1:]
    if targets is None and not with_inputs:
        return there
    count = 1 if targets is None else targets
    if isinstance(count, int):
        if count < 1:
            raise refused(
                who, "targets >= 1, so many of the last columns", count, "Raise it, or name columns"
            )
        if len(there) < count + with_inputs:
            what = (
                f"more than {count} columns, the last {count} being the targets"
                if with_inputs
                else f"{count} columns"
            )
            raise refused(
                who,
                what,
                f"{len(there)} in {table.known_as()}",
                "Add inputs, lower targets, or set separator",
            )
        return there[-count:]
    return _listed(who, table, "targets", targets)


def _listed(who, table, knob, wanted):
    places = [
        table.place(who, knob, one)
        for one in ((wanted,) if isinstance(wanted, (int, str)) else wanted)
    ]
    if len(set(places)) != len(places) or not places:
        raise refused(
            who,
            f"{knob} to be different columns, one or more",
            brief(list(map(str, wanted))),
            f"Change {knob}",
        )
    return places


def _refuse_row_names(who, table, chosen):
    """Refuse a column that may well be the names of the rows: one without a name, or a first one
    that counts the rows of a table without header."""
    remedy = "Set row_names = 0 to leave the first column out, or name the columns that are inputs"
    unnamed = [
        column for column in chosen if table.names is not None and _unnamed(table.names[column])
    ]
    if unnamed:
        raise refused(
            who,
            "a name over every column",
            f"none over column {unnamed[0]} (from 0) of {table.known_as()}",
            remedy,
        )
    if (
        table.names is not None
        or not table.written
        or chosen[0] != 0
        or len(chosen) < 2
        or len(table.rows) < 3
    ):
        return
    try:
        values = table.numbers(who, [0])[:, 0]
    except Refused:
        return  # no numbers, which is refused in its place
    if values[0] in (0, 1) and np.array_equal(values, values[0] + np.arange(len(values))):
        got = (
            f"{values[0]:.0f}, {values[1]:.0f}, {values[2]:.0f}, ... in the first of"
            f" {table.known_as()}"
        )
        raise refused(
            who, "to be told whether a column that counts the rows is an input", got, remedy
        )


def _unnamed(name):
    return not name or (name.startswith("Unnamed: ") and name[9:].isdigit())
