"""How the data card looks in a terminal."""

from rich.markup import escape

from learnmech.cli.looks.console import paper
from learnmech.language.display.table import Mark, Table, printed


def data(result: dict) -> None:
    """What a learner meets in the data, and where the figure is."""
    for one in result["tables"]:
        rows = tuple(
            tuple(Mark(cell["mark"]) if isinstance(cell, dict) else cell for cell in row)
            for row in one["rows"]
        )
        shown = one | {"columns": tuple(one["columns"]), "rows": rows, "below": tuple(one["below"])}
        printed(Table(**shown), paper())
    paper().print(f"->  {escape(result['file'])}", soft_wrap=True)
