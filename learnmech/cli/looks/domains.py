"""How theories look in a terminal: their conditions, which apply, what they predict."""

from rich.console import Console
from rich.markup import escape

from learnmech.cli.looks.console import columns, number_of, paper
from learnmech.language.display import results
from learnmech.language.display.table import printed
from learnmech.language.quantity import powers


def conditions(rows: list[dict]) -> None:
    """Conditions and whether each holds."""
    if rows:
        printed(results.conditions(rows), paper())


def predict(result: dict) -> None:
    """Predictions at the first and the last mark."""
    for name, said in result["theories"].items():
        title = f"{name}  [dim]{said['source']}[/]"
        table = columns("quantity", "entries", "start", "end", "units", title=title)
        for quantity, ends in said["quantities"].items():
            table.add_row(
                escape(quantity),
                str(ends["entries"]),
                number_of(ends["start"]),
                number_of(ends["end"]),
                powers(ends["units"]),
            )
        paper().print(table)
        conditions(said["conditions"])


def theories(result: dict) -> None:
    """Which theories apply, and the nearest of the others; condition by condition where all are
    asked for."""
    console, found = paper(), result["theories"]
    if not result.get("long"):
        printed(results.domain(found), console)
        others = len(found) - sum(one["applies"] for one in found.values()) - 3
        if others > 0:
            console.print(
                f"[dim]{others} more do not apply; --all shows each theory condition by"
                " condition[/]",
                soft_wrap=True,
            )
        _paths(result["paths"], console)
        return
    applying = [kind for kind, one in found.items() if one["applies"]]
    for kind in (*applying, *results.nearest_theories(found)):
        said = found[kind]
        failing = results.counted(len(results.failing_conditions(said)))
        word = "[green]applies[/]" if said["applies"] else f"[dim]does not apply, {failing}[/]"
        console.print(
            f"[bold]{kind}[/]  {word}  {escape(said['summary'])}  [dim]{escape(said['source'])}[/]"
        )
        for limit in said["limits"]:
            console.print(
                f"    a limit: error ~ {limit['knob']}^{limit['order']:g}"
                + (" at least" if limit["bound"] else "")
            )
        for c in said["conditions"]:
            missing = "[red]-[/]" if c.get("decided", True) else "[yellow]?[/]"
            mark = "[green]+[/]" if c["holds"] else missing
            console.print(f"    {mark} {escape(results.said_of(c))}")
    _paths(result["paths"], console)


def _paths(found: list[dict], console: Console, most: int = 8) -> None:
    """Which axes lead to theories that do not apply, the shortest paths first."""
    for one in found[:most]:
        console.print(f"{one['theory']}: {one['words']}", soft_wrap=True)
    if found:
        console.print("[dim]explain --theory NAME says what each step costs[/]", soft_wrap=True)


def domain(said: dict, console: Console) -> None:
    """Which theories apply, and what fails of the nearest."""
    console.print(f"theories that apply: {', '.join(said['applies']) or 'none'}", soft_wrap=True)
    for kind, failing in said["nearest"].items():
        word, first = results.counted(len(failing)), "; ".join(map(results.said_of, failing[:2]))
        console.print(f"[dim]nearest: {kind}, {word}: {escape(first)}[/]", soft_wrap=True)
