"""The console that results are printed on: its width, tables, numbers, sizes and colors."""

import sys

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from learnmech.language.display.table import KINDS, STYLES, number

NUMERIC = {
    "measured",
    "predicted",
    "at time",
    "error",
    "tolerance",
    "value",
    "bound",
    "size",
    "start",
    "end",
    "entries",
    "every",
}
"""Columns whose entries stand at the right."""


class _Verdicts(dict):
    """Verdicts in their colors; one that is none of ours stays as it is."""

    def __missing__(self, verdict):
        return escape(str(verdict))


VERDICTS = _Verdicts({verdict: f"[{STYLES[kind]}]{verdict}[/]" for verdict, kind in KINDS.items()})


def paper() -> Console:
    """The console that results are printed on: as wide as the terminal, or 120 where it is none."""
    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 120)


def number_of(value) -> str:
    """A number as it stands in a table."""
    return escape(number(value))


def columns(*names: str, title: str | None = None) -> Table:
    """A table of columns by their names, without rows yet."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for name in names:
        table.add_column(name, justify="right" if name in NUMERIC else "left")
    return table


def size(count: float) -> str:
    """A count of bytes in words."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError
