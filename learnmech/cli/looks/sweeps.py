"""How sweeps look in a terminal, and what is made of them: a theory over them, a limit."""

from rich.markup import escape

from learnmech.cli.looks.console import VERDICTS, columns, number_of, paper
from learnmech.language.display import budgets, ladders, maps, results
from learnmech.language.display.results import give_or_take
from learnmech.language.display.table import Table, printed

ROWS = 60
"""Points of a sweep that are told in a terminal, where their page tells all."""


def sweep(result: dict) -> None:
    """The last mark of each point of a sweep; where runs diverged, at which step."""
    console, rows = paper(), result["rows"]
    axes = list(rows[0]["at"])
    quantities = [q for q in rows[0] if q not in ("at", "diverged", "runs")]
    gone = any(row["diverged"]["runs"] for row in rows)
    partly = result["file"] is None
    table = columns(
        *map(escape, (*axes, *quantities)),
        *(["diverged"] if gone else []),
        *(["runs"] if partly else []),
    )
    for row in rows:
        cells = [_mean(row[quantity]) for quantity in quantities]
        runs = ["{kept} of {of}".format(**row["runs"])] if partly else []
        table.add_row(
            *(number_of(v) for v in row["at"].values()),
            *cells,
            *([_diverged(row["diverged"])] if gone else []),
            *runs,
        )
    console.print(table)
    points = result["points"]
    if result["diverged"]:
        console.print(
            f"[yellow]{result['diverged']} of {points['of']} points diverged[/]", soft_wrap=True
        )
    if result["file"] is None:
        part = "part {} of {} is done: ".format(*result["shard"]) if result["shard"] else ""
        console.print(
            f"{part}{points['kept']} of {points['of']} points  ->  {escape(result['folder'])}",
            soft_wrap=True,
        )
        return
    console.print(f"{result['backend']}  ->  {escape(result['file'])}", soft_wrap=True)


def _mean(said: dict) -> str:
    """A mean with its standard error, where there are numbers."""
    if said["mean"] != said["mean"]:
        return ""
    return f"{said['mean']:.6g}" + (f" ± {said['sem']:.2g}" if said["sem"] == said["sem"] else "")


def _diverged(said: dict) -> str:
    if not said["runs"]:
        return ""
    count = f"{said['runs']} of {said['of']}, " if said["of"] > 1 else ""
    steps = ", ".join(f"{at:g}" for at in said["at"][:3])
    return f"{count}seen at {steps}{', ...' if len(said['at']) > 3 else ''}"


def grid(result: dict) -> None:
    """A sweep: its points at the end."""
    rows = tuple(map(tuple, result["rows"]))
    points = "{kept} of {of} points".format(**result["points"])
    table = Table(
        tuple(result["columns"]),
        rows,
        result["folder"],
        source=f"{points}  {result['backend']}",
        below=tuple(result["below"]),
    )
    printed(table, paper())


def grid_comparison(result: dict) -> None:
    """A theory over the points of a sweep."""
    printed(results.grid_comparison(result, ROWS), paper())
    paper().print(f"->  {escape(result['file'])}", soft_wrap=True)


def ladder(result: dict) -> None:
    """What each axis was worth, alone and with those before it."""
    console = paper()
    for table in ladders.tables(result):
        printed(table, console)
        console.print()
    for file in result["files"]:
        console.print(f"figure: {escape(file)}", soft_wrap=True)


def budget(result: dict) -> None:
    """What the difference between a theory and a run is made of."""
    for table in budgets.tables(result):
        printed(table, paper())
    for file in result["files"]:
        paper().print(f"figure: {escape(file)}", soft_wrap=True)


def error_map(result: dict) -> None:
    """Where a theory holds over two knobs, and how far its conditions agree."""
    for table in maps.tables(result):
        printed(table, paper())
    for file in result["files"]:
        paper().print(f"figure: {escape(file)}", soft_wrap=True)


def limit(result: dict) -> None:
    """The error of a limit value by value, its slopes, the x10 check and the verdict."""
    console, fitted, declared = paper(), result["fitted"], result["declared"]
    count = f"{result['seeds']} seed{'s' if result['seeds'] > 1 else ''}"
    console.print(
        f"[bold]{result['theory']}[/]  the error of {escape(result['quantity'])} on"
        f" {escape(result['name'])}, {count}",
        soft_wrap=True,
    )
    table = columns(escape(result["along"]), "error", "local slope")
    for row in result["rows"]:
        slope, error = "", give_or_take(row["error"], row["standard_error"])
        if row["slope"] is not None:
            slope = give_or_take(row["slope"], row["slope_standard_error"])
        table.add_row(number_of(row["value"]), error, slope)
    console.print(table)
    faster = further = ""
    if declared["bound"]:
        faster, further = " or faster", " or more" if declared["order"] > 0 else " or less"
    said = (
        f"slope {give_or_take(fitted['slope'], fitted['standard_error'])}  declared"
        f" {declared['order']:g}{faster}, allowed ± {fitted['allowed']:.2g}"
    )
    seeds = f", {fitted['from_seeds']:.1g} from the seeds" if result["seeds"] > 1 else ""
    parts = f"standard error {fitted['from_fit']:.1g} from the line{seeds}"
    console.print(f"{said}  [dim]{parts}[/]  {VERDICTS[result['verdict']]}", soft_wrap=True)
    if result["tenfold"] is None:
        console.print(
            "[yellow]the x10 check could not be made: the values span less than a factor of 10[/]",
            soft_wrap=True,
        )
    else:
        tenfold = result["tenfold"]
        seen = give_or_take(tenfold["factor"], tenfold["standard_error"])
        console.print(
            f"x10 check: ten times the knob multiplies the error by {seen}  declared"
            f" {tenfold['declared']:.3g}{further}",
            soft_wrap=True,
        )
    for note in result["outside"]:
        console.print(f"[yellow]outside the domain at {escape(note)}[/]", soft_wrap=True)
    console.print(f"->  {escape(result['file'])}", soft_wrap=True)
