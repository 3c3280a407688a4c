"""The table: columns, rows and verdicts as a value, and how it looks as text, in a terminal and
in HTML."""

import html
import io
from typing import NamedTuple

from learnmech.errors import plain

NUMERIC = {
    "measured", "predicted", "at time", "error", "tolerance", "value", "bound", "size", "start",
    "end", "entries", "every", "local slope", "marks", "strength", "at start", "at 10 %", "at half",
    "at 90 %", "rise", "plateau from", "to", "loss", "then 5 % in",
    "off by", "± 2 se", "over time", "last", "spread", "rate/edge", "times the rate",
    "after re-tuning", "alone", "in the mean", "p", "p in ln", "after all others", "interaction",
    "first differs at", "largest difference", "relative",
    "ridge", "n", "held-out", "training", "kappa", "held-out predicted",
    "training predicted",
}  # fmt: skip
KINDS = {
    "holds": "good", "within": "good", "yes": "good", "applies": "good", "a staircase": "good",
    "kept": "good", "changed": "open", "lost": "bad", "wavers": "open", "an effect": "good",
    "an interaction": "good", "depends on the others": "open", "not in ln": "quiet",
    "same": "good", "equal to the bit": "good",
    "claimed": "good", "claimed for some ridges": "open", "a power law": "good",
    "a power law above a floor": "good", "no power law over this range": "bad",
    "fails": "bad", "beyond": "bad", "no": "bad",
    "undecided": "open", "not reached": "open", "not reached within the clock": "open",
    "different": "open", "differs": "open",
    "outside domain": "quiet", "does not apply": "quiet", "not run": "quiet",
    "not claimed": "quiet",
}  # fmt: skip
SIGNS = {"good": "✓", "bad": "✗", "open": "?", "quiet": "○"}
STYLES = {"good": "green", "bad": "bold red", "open": "yellow", "quiet": "dim"}
# Told apart from white and from black alike, where a notebook does not say which it is.
COLORS = {"good": "#1f8f5f", "bad": "#d1482a", "open": "#a87900", "quiet": "#808080"}
WIDTH = 120
# A number with its standard error is shorter.
LONG = 24


class Mark(NamedTuple):
    """A verdict in a table: its word, with more behind a colon, and of what kind it is."""

    word: str

    @property
    def kind(self) -> str:
        """good, bad, open or quiet."""
        return KINDS.get(self.word.partition(":")[0], "quiet")


class Table(NamedTuple):
    """Rows under columns, with a title, a verdict of the whole, a source and words below it.
    Cells are texts or marks."""

    columns: tuple[str, ...]
    rows: tuple[tuple["str | Mark", ...], ...]
    title: str = ""
    verdict: Mark | None = None
    source: str = ""
    below: tuple[str, ...] = ()


def number(value) -> str:
    """A number as it stands in a table."""
    if value is None:
        return ""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return "yes" if value else "no"
    try:
        return value if isinstance(value, str) else f"{float(value):.6g}"
    except (TypeError, ValueError):
        return str(value)


def printed(table: Table, console) -> None:
    """The table in a terminal."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as Grid

    def styled(cell):
        return (
            f"[{STYLES[cell.kind]}]{cell.word}[/]"
            if isinstance(cell, Mark)
            else escape(plain(cell))
        )

    title = escape(plain(table.title)) + (f": {styled(table.verdict)}" if table.verdict else "")
    title += f"  [dim]{escape(plain(table.source))}[/]" if table.source else ""
    if table.rows:
        grid = Grid(
            title=title or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold"
        )
        for column in table.columns:
            # a verdict is one word, whatever the width
            grid.add_column(
                escape(column),
                justify="right" if column in NUMERIC else "left",
                no_wrap=column == "",
            )
        for row in table.rows:
            grid.add_row(*map(styled, row))
        console.print(grid)
    elif title:
        console.print(f"[bold]{title}[/]", soft_wrap=True)
    for line in table.below:
        console.print(f"[dim]{escape(plain(line))}[/]", soft_wrap=True)


def as_text(*tables: Table, width: int = WIDTH) -> str:
    """The tables as plain text, for `print`."""
    from rich.console import Console

    out = io.StringIO()
    # in a notebook rich would display what it is to write here
    console = Console(
        file=out,
        width=width,
        force_terminal=False,
        force_jupyter=False,
        color_system=None,
        highlight=False,
    )
    for table in tables:
        printed(table, console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")


def _safe(value) -> str:
    return html.escape(plain(value), quote=True)


def marked(mark: Mark) -> str:
    """A verdict in HTML: its sign says the same without color."""
    return f'<span class="lm-{mark.kind}">{SIGNS[mark.kind]} {_safe(mark.word)}</span>'


def _cell(kind: str, cell: "str | Mark") -> str:
    if isinstance(cell, Mark):
        return f"<td {kind}>{marked(cell)}</td>"
    # numbers stay on one line; words that stand in a column of numbers, as a bound may be, do not
    kind = kind.replace("number", "number words") if len(cell) > LONG else kind
    return f"<td {kind}>{_safe(cell)}</td>"


def as_html(table: Table, heading: str = "") -> str:
    """A table in HTML; its colors are those of the style around it."""
    kinds = ['class="number"' if column in NUMERIC else "" for column in table.columns]
    head = "".join(
        f"<th {kind}>{_safe(column)}</th>"
        for kind, column in zip(kinds, table.columns, strict=True)
    )
    body = "".join("<tr>" + "".join(map(_cell, kinds, row)) + "</tr>" for row in table.rows)
    verdict = f": {marked(table.verdict)}" if table.verdict else ""
    title = (
        f"<{heading or 'strong'}>{_safe(table.title)}{verdict}</{heading or 'strong'}>"
        if table.title
        else ""
    )
    source = f'<p class="source">{_safe(table.source)}</p>' if table.source else ""
    grid = (
        "<div"
        f' class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        if table.rows
        else ""
    )
    return (
        title
        + source
        + grid
        + "".join(f'<p class="source">{_safe(line)}</p>' for line in table.below)
    )


# Notebooks set their own text color, light or dark, and this keeps to it: lines and quiet words are
# shares of it.
NOTEBOOK = (
    """<style>
.lm-box { color: inherit; font-size: 13px; line-height: 1.45; margin: .3em 0 .6em }
.lm-box table { border-collapse: collapse; margin: .35em 0 .5em; background: transparent;
  color: inherit }
.lm-box th, .lm-box td { text-align: left !important; padding: .16em 1.1em .16em 0 !important;
  vertical-align: top; background: transparent !important;
  color: inherit; border: 0 !important; max-width: 38em; white-space: normal !important }
.lm-box th { font-weight: 600; border-bottom: 1px solid currentColor !important }
.lm-box th.number, .lm-box td.number { text-align: right !important;
  white-space: nowrap !important; font-variant-numeric: tabular-nums }
.lm-box td.words { white-space: normal !important }
.lm-box p { margin: .15em 0 } .lm-box p.source { opacity: .72 } .lm-box .wide { overflow-x: auto }
  .lm-box svg, .lm-box img { max-width: 100%; height: auto }
.lm-box pre { font-size: 12px; line-height: 1.4; background: transparent; color: inherit;
  overflow-x: auto }
"""
    + "\n".join(
        f".lm-{kind} {{ color: {color}; font-weight: 600; white-space: nowrap }}"
        for kind, color in COLORS.items()
    )
    + "\n</style>"
)


def boxed(*parts: str) -> str:
    """Parts of HTML as one box of a notebook."""
    return f'{NOTEBOOK}<div class="lm-box">{"".join(parts)}</div>'
