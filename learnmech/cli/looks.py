"""How results look in a terminal."""

import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from learnmech.cli.folders import branches


class _Verdicts(dict):
    """Verdicts in their colors; one that is none of ours stays as it is."""

    def __missing__(self, verdict):
        return escape(str(verdict))


VERDICTS = _Verdicts(
    {
        "holds": "[green]holds[/]",
        "fails": "[red]FAILS[/]",
        "outside domain": "[dim]outside domain[/]",
        "undecided": "[yellow]undecided[/]",
        "not reached": "[yellow]not reached[/]",
        "within": "[green]within[/]",
        "beyond": "[red]beyond[/]",
    }
)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 120)


def _number(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, (int, float)) else escape(str(value))


def _short(value) -> str:
    return "" if value is None else f"{value:.2g}"


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    numeric = {"measured", "predicted", "at time", "error", "tolerance", "value", "bound", "size", "start", "end", "entries", "every"}
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left")
    return table


def comparison(result: dict) -> None:
    """Theory against record: rows, conditions, verdict."""
    console = _console()
    title = f"{escape(result['theory'])}: {VERDICTS[result['verdict']]}  [dim]{escape(result['source'])}[/]"
    table = _table("quantity", "measured", "predicted", "at time", "error", "tolerance", "", title=title)
    for row in result["rows"]:
        table.add_row(
            escape(row["quantity"]),
            _number(row["measured"]),
            _number(row["predicted"]),
            _number(row["time"]),
            _short(row["error"]),
            _short(row["tolerance"]),
            VERDICTS[row["verdict"]],
        )
    console.print(table)
    conditions(result["conditions"])


def conditions(rows: list[dict]) -> None:
    """Conditions and whether each holds."""
    if not rows:
        return
    table = _table("condition", "value", "bound", "holds")
    for c in rows:
        table.add_row(escape(c["claim"]), _number(c["value"]), _number(c["bound"]), "[green]yes[/]" if c["holds"] else "[red]no[/]")
    _console().print(table)


def checks(rows: list[dict]) -> None:
    """Further checks."""
    if not rows:
        return
    table = _table("check", "measured", "predicted", "error", "tolerance", "")
    signs = {"below": "< ", "above": "> ", "within": ""}
    for c in rows:
        within = c["bound"] == "within"
        table.add_row(
            escape(c["claim"]),
            _number(c["measured"]),
            signs[c["bound"]] + _number(c["predicted"]),
            f"{c['error']:.2g}" if within else "",
            f"{c['tolerance']:.2g}" if within else "",
            VERDICTS[c["verdict"]],
        )
    _console().print(table)
    # one premise is often missing from all of them
    for words in dict.fromkeys(c["words"] for c in rows if c["words"] != c["verdict"]):
        _console().print(f"[yellow]{escape(words)}[/]", soft_wrap=True)


def description(result: dict) -> None:
    """One member of a family and its knobs."""
    console = _console()
    console.print(f"[bold]{result['family']}: {result['kind']}[/]")
    console.print(result["text"], markup=False)
    table = _table("knob", "default", "choices", "bounds")
    for name, knob in result["knobs"].items():
        table.add_row(name, knob["default"], knob["choices"], knob["bounds"])
    console.print(table)


def run(result: dict) -> None:
    """A run and the theories laid over it."""
    console = _console()
    console.print(f"[bold]{escape(result['name'])}[/]" + (f"  {escape(result['claim'])}" if result["claim"] != result["name"] else ""))
    if result["source"]:
        console.print(f"[dim]{escape(result['source'])}[/]")
    for one in result["comparisons"]:
        comparison(one)
    checks(result["checks"])
    if result["reason"]:
        console.print(f"[dim]tolerance: {escape(result['reason'])}[/]")
    if "layers" in result.get("twins", {}):
        twins(result)
    for note in result["notes"]:
        console.print(f"[yellow]{escape(note)}[/]")
    console.print(f"{result['wall_seconds']:.3g} s  ->  {escape(result['folder'])}/report.html", soft_wrap=True)


def twins(result: dict) -> None:
    """How far twins are apart where they first are, and at the end."""
    said = result["twins"]
    first, last = (f"{said['axis']} {said[name]:g}" for name in ("first", "last"))
    table = _table("layer", f"|dw| at {first}", f"at {last}", "share of |dw|^2", f"|dg| at {first}", f"at {last} ")
    for layer, far in said["layers"].items():
        numbers = (far[name] for name in ("weight_distance_first", "weight_distance_last", "share", "gradient_distance_first", "gradient_distance_last"))
        table.add_row(escape(layer), *(f"{number:.3g}" for number in numbers))
    console = _console()
    console.print(table)
    weights, outputs = (f"{said[name][0]:.3g} -> {said[name][1]:.3g}" for name in ("distance", "function_distance"))
    console.print(f"apart from the parent: parameters {weights}, outputs {outputs}; growth rate {said['growth_rate']:.3g} {said['growth_units']}")


def reading(result: dict) -> None:
    """What was replayed, each quantity at its steps."""
    console = _console()
    for name, said in result["quantities"].items():
        console.print(f"[bold]{escape(name)}[/]  {escape(said['units'])}  {said['entries']} entries", soft_wrap=True)
        for at, value in zip(result["at"], said["values"] or [], strict=False):
            console.print(f"  {at:g}  {value}", markup=False, soft_wrap=True)
        if said["values"] is None:
            console.print(f"  norm {said['start']:.6g} -> {said['end']:.6g}; write it to a file with --out")
    if result["file"]:
        console.print(f"->  {escape(result['file'])}", soft_wrap=True)


def predict(result: dict) -> None:
    """Predictions at the first and the last mark."""
    for name, said in result["theories"].items():
        table = _table("quantity", "entries", "start", "end", "units", title=f"{name}  [dim]{said['source']}[/]")
        for quantity, ends in said["quantities"].items():
            table.add_row(escape(quantity), str(ends["entries"]), _number(ends["start"]), _number(ends["end"]), escape(ends["units"]))
        _console().print(table)
        conditions(said["conditions"])


def sweep(result: dict) -> None:
    """The last mark of each point of a sweep."""
    axes = list(result["rows"][0]["at"])
    quantities = [q for q in result["rows"][0] if q != "at"]
    table = _table(*map(escape, (*axes, *quantities)))
    for row in result["rows"]:
        cells = [f"{row[q]['mean']:.6g}" + (f" ± {row[q]['sem']:.2g}" if row[q]["sem"] == row[q]["sem"] else "") for q in quantities]
        table.add_row(*(_number(v) for v in row["at"].values()), *cells)
    _console().print(table)
    _console().print(f"{result['backend']}  ->  {escape(result['file'])}", soft_wrap=True)


def limit(result: dict) -> None:
    """The error of a limit value by value, its slopes, the x10 check and the verdict."""
    console, fitted, declared = _console(), result["fitted"], result["declared"]
    count = f"{result['seeds']} seed{'s' if result['seeds'] > 1 else ''}"
    console.print(f"[bold]{result['theory']}[/]  the error of {escape(result['quantity'])} on {escape(result['name'])}, {count}", soft_wrap=True)
    table = _table(escape(result["along"]), "error", "local slope")
    for row in result["rows"]:
        slope = "" if row["slope"] is None else _give_or_take(row["slope"], row["slope_standard_error"])
        table.add_row(_number(row["value"]), _give_or_take(row["error"], row["standard_error"]), slope)
    console.print(table)
    faster, further = (" or faster", " or more" if declared["order"] > 0 else " or less") if declared["bound"] else ("", "")
    said = f"slope {_give_or_take(fitted['slope'], fitted['standard_error'])}  declared {declared['order']:g}{faster}, allowed ± {fitted['allowed']:.2g}"
    seeds = f", {fitted['from_seeds']:.1g} from the seeds" if result["seeds"] > 1 else ""
    parts = f"standard error {fitted['from_fit']:.1g} from the line{seeds}"
    console.print(f"{said}  [dim]{parts}[/]  {VERDICTS[result['verdict']]}", soft_wrap=True)
    if result["tenfold"] is None:
        console.print("[yellow]the x10 check could not be made: the values span less than a factor of 10[/]", soft_wrap=True)
    else:
        tenfold = result["tenfold"]
        seen = _give_or_take(tenfold["factor"], tenfold["standard_error"])
        console.print(f"x10 check: ten times the knob multiplies the error by {seen}  declared {tenfold['declared']:.3g}{further}", soft_wrap=True)
    for note in result["outside"]:
        console.print(f"[yellow]outside the domain at {escape(note)}[/]", soft_wrap=True)
    console.print(f"->  {escape(result['file'])}", soft_wrap=True)


def _give_or_take(value: float, error: float) -> str:
    return f"{value:.4g}" + (f" ± {error:.2g}" if error == error else "")


def show(result: dict) -> None:
    """A run folder."""
    console = _console()
    table = _table("quantity", "every", "entries", "start", "end", "units", "meaning", title=escape(result["folder"]))
    for name, q in result["quantities"].items():
        table.add_row(escape(name), str(q["every"]), str(q["entries"]), _number(q["start"]), _number(q["end"]), escape(q["units"]), escape(q["meaning"]))
    console.print(table)
    for one in result["result"].get("comparisons", []):
        comparison(one)
    for note in result["notes"]:
        console.print(f"[yellow]{escape(note)}[/]")
    said = result["provenance"]
    where = f"{said['precision']} on {said['device']}, {said['cores']} cores, learnmech {said['learnmech']}, jax {said['jax']}"
    console.print(f"[dim]{escape(said['made'])}  {escape(where)}  {escape(said['fingerprint'][:16])}[/]")


def written(result: dict) -> None:
    """A file that was written."""
    _console().print(f"{escape(result['file'])}  {_size(result['bytes'])}", soft_wrap=True)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError


def runs(result: dict) -> None:
    """The runs there are."""
    if "deleted" in result:
        _console().print(f"deleted {escape(result['deleted'])}", soft_wrap=True)
        return
    if not result["runs"]:
        _console().print(f"no runs in {escape(result['folder'])}", soft_wrap=True)
        return
    table = _table("run", "made", "size", "verdicts")
    for depth, entry in branches(result["runs"]):
        forked = f"  (from {Path(entry['parent']['folder']).name} at {entry['parent']['at']:g})" if depth and entry["parent"].get("folder") else ""
        table.add_row(
            "  " * depth + ("└ " if depth else "") + escape(entry["folder"] + forked),
            escape(entry["made"][:19]),
            _size(entry["bytes"]),
            escape(", ".join(entry["verdicts"])),
        )
    _console().print(table)
    _console().print(f"{len(result['runs'])} runs, {_size(sum(e['bytes'] for e in result['runs']))}")


def theories(result: dict) -> None:
    """Which theories apply."""
    console = _console()
    for wanted, word in ((True, "[green]applies[/]"), (False, "[dim]does not apply[/]")):
        for kind, said in result["theories"].items():
            if said["applies"] == wanted:
                console.print(f"[bold]{kind}[/]  {word}  {said['summary']}  [dim]{said['source']}[/]")
                for limit in said["limits"]:
                    console.print(f"    a limit: error ~ {limit['knob']}^{limit['order']:g}" + (" at least" if limit["bound"] else ""))
                for c in said["conditions"]:
                    mark = "[green]+[/]" if c["holds"] else "[red]-[/]"
                    console.print(f"    {mark} {c['claim']}: {_number(c['value'])} (bound {_number(c['bound'])})")


def check(result: dict) -> None:
    """Exhibits or parts, each with what was measured."""
    for name, said in result["results"].items():
        _console().print(f"[bold]{name}[/]  {escape(said['claim'])}  {VERDICTS[said['verdict']]}")
        for one in said["comparisons"]:
            comparison(one)
        checks(said["checks"])
    held = sum(said["holds"] for said in result["results"].values())
    _console().print(f"{held} of {len(result['results'])} hold")
