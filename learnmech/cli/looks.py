"""How results look in a terminal."""

import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from learnmech.cli.folders import branches
from learnmech.language.display import results
from learnmech.language.display.results import give_or_take as _give_or_take
from learnmech.language.display.table import KINDS, STYLES, Table, number, printed
from learnmech.language.quantity import powers
from learnmech.record.identity import contents
from learnmech.runs.estimates import duration, in_parts

ROWS = 60
"""Points of a sweep that are told in a terminal, where their page tells all."""


class _Verdicts(dict):
    """Verdicts in their colors; one that is none of ours stays as it is."""

    def __missing__(self, verdict):
        return escape(str(verdict))


VERDICTS = _Verdicts({verdict: f"[{STYLES[kind]}]{verdict}[/]" for verdict, kind in KINDS.items()})


def _console() -> Console:
    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 120)


def _number(value) -> str:
    return escape(number(value))


def _table(*columns: str, title: str | None = None) -> Grid:
    table = Grid(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    numeric = {
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
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left")
    return table


def comparison(result: dict) -> None:
    """Theory against record: rows, conditions, verdict."""
    printed(results.comparison(result), _console())
    conditions(result["conditions"])


def conditions(rows: list[dict]) -> None:
    """Conditions and whether each holds."""
    if rows:
        printed(results.conditions(rows), _console())


def checks(rows: list[dict]) -> None:
    """Further checks."""
    if rows:
        table = results.checks(rows)
        printed(
            table._replace(columns=table.columns[:-1], rows=tuple(row[:-1] for row in table.rows)),
            _console(),
        )


def description(result: dict) -> None:
    """One member of a family and its knobs."""
    console = _console()
    console.print(f"[bold]{result['family']}: {result['kind']}[/]")
    console.print(result["text"], markup=False)
    table = _table("knob", "default", "range", "meaning")
    for name, knob in result["knobs"].items():
        table.add_row(
            name,
            escape(knob["default"]),
            escape(", ".join(filter(None, (knob["choices"], knob["bounds"])))),
            escape(knob["meaning"]),
        )
    console.print(table)


def exhibit(result: dict) -> None:
    """The page of one exhibit."""
    console = _console()

    def told(words, style=""):
        console.print(f"[{style}]{escape(words)}[/]" if style else escape(words))

    told(result["name"], "bold")
    told(result["claim"])
    told(f"{result['shows']}  Source: {result['source']}.", "dim")
    for one in result["theories"]:
        within = ", ".join(f"{name} within {bound:.2g}" for name, bound in one["tolerance"].items())
        console.print(
            f"theory: [bold]{escape(one['kind'])}[/]  {escape(one['summary'])}"
            + (f"  [dim]{escape(within)}[/]" if within else "")
        )
    if result["reason"]:
        told(f"tolerance: {result['reason']}", "dim")
    if result["premises"]:
        told("its checks speak where: " + "; ".join(result["premises"]))
    if result["checks"]:
        told(
            "knobs that may be turned with its checks still made: "
            + ", ".join(result["free"])
            + "; with any other turned they are outside their domain",
            "dim",
        )
    told(
        "watched: "
        + ", ".join(result["watched"])
        + (
            f"; its theory of the mean is laid over {result['seeds']} runs"
            if result["seeds"] > 1
            else ""
        )
    )
    took = result["seconds"]
    if took:
        parts = {
            word: took[key] for key, word in (("compiling", "compiling"), ("running", "running"))
        }
        parts["what follows"] = took["further_compiling"] + took["further"]
        told(
            f"its twin (--small) took {duration(sum(parts.values()))} of CPU where it was"
            f" measured{in_parts(parts)}"
        )
    knobs = Table(
        ("knob", "value", "in the twin"),
        tuple((one["path"], one["value"], one["twin"]) for one in result["knobs"]),
        "Knobs",
    )
    printed(knobs, console)
    for title, words in (("As text (TOML)", result["toml"]), ("In Python", result["python"])):
        told(title, "bold")
        console.print(words, markup=False, soft_wrap=True)


def diff(result: dict) -> None:
    """What two sides differ in."""
    for table in results.difference(result):
        printed(table, _console())


def run(result: dict) -> None:
    """A run and the theories laid over it."""
    console = _console()
    console.print(
        f"[bold]{escape(result['name'])}[/]"
        + (f"  {escape(result['claim'])}" if result["claim"] != result["name"] else "")
    )
    if result["source"]:
        console.print(f"[dim]{escape(result['source'])}[/]")
    for one in result["comparisons"]:
        comparison(one)
    checks(result["checks"])
    if result["reason"]:
        console.print(f"[dim]tolerance: {escape(result['reason'])}[/]")
    if "layers" in result.get("twins", {}):
        twins(result)
    if result.get("quantities"):
        printed(_last_values(result["quantities"]), console)
    _notes_and_data(result["notes"], result.get("data"), console)
    if result.get("domain"):
        _domain(result["domain"], console)
    said = result.get("seconds")
    took = (
        f"{result['wall_seconds']:.3g} s"
        if said is None
        else f"{duration(said['all'])}{in_parts(said['parts'])}"
    )
    console.print(f"{took}  ->  {escape(result['folder'])}/report.html", soft_wrap=True)


def _notes_and_data(notes: list[str], read: str | None, console: Console) -> None:
    """What a reader must know, and how the samples were read."""
    for note in notes:
        console.print(f"[yellow]{escape(note)}[/]")
    if read:
        console.print(f"[dim]data: {escape(read)}[/]", soft_wrap=True)


def _last_values(found: dict) -> Table:
    """Of all that was watched the first and the last value, without what is a residual or an
    error of another."""
    whole = results.quantities(found)
    kept = tuple(
        row
        for row in whole.rows
        if not any(
            str(row[0]).endswith(end) and str(row[0]).removesuffix(end) in found
            for end in ("_residual", "_error")
        )
    )
    return whole._replace(rows=kept)


def _domain(said: dict, console: Console) -> None:
    """Which theories apply, and what fails of the nearest."""
    console.print(f"theories that apply: {', '.join(said['applies']) or 'none'}", soft_wrap=True)
    for kind, failing in said["nearest"].items():
        word = results.counted(len(failing))
        console.print(
            f"[dim]nearest: {kind}, {word}:"
            f" {escape('; '.join(map(results.said_of, failing[:2])))}[/]",
            soft_wrap=True,
        )


def twins(result: dict) -> None:
    """How far twins are apart where they first are, and at the end."""
    said = result["twins"]
    first, last = (f"{said['axis']} {said[name]:g}" for name in ("first", "last"))
    table = _table(
        "layer",
        f"|dw| at {first}",
        f"at {last}",
        "share of |dw|^2",
        f"|dg| at {first}",
        f"at {last} ",
    )
    for layer, far in said["layers"].items():
        numbers = (
            far[name]
            for name in (
                "weight_distance_first",
                "weight_distance_last",
                "share",
                "gradient_distance_first",
                "gradient_distance_last",
            )
        )
        table.add_row(escape(layer), *(f"{number:.3g}" for number in numbers))
    console = _console()
    console.print(table)
    weights, outputs = (
        f"{said[name][0]:.3g} -> {said[name][1]:.3g}" for name in ("distance", "function_distance")
    )
    console.print(
        f"apart from the parent: parameters {weights}, outputs {outputs}; growth rate"
        f" {said['growth_rate']:.3g} {said['growth_units']}"
    )


def reading(result: dict) -> None:
    """What was replayed, each quantity at its steps."""
    console = _console()
    for name, said in result["quantities"].items():
        console.print(
            f"[bold]{escape(name)}[/]  {escape(said['units'])}  {said['entries']} entries",
            soft_wrap=True,
        )
        for at, value in zip(result["at"], said["values"] or [], strict=False):
            console.print(f"  {at:g}  {value}", markup=False, soft_wrap=True)
        if said["values"] is None:
            console.print(
                f"  norm {said['start']:.6g} -> {said['end']:.6g}; write it to a file with --out"
            )
    if result["file"]:
        console.print(f"->  {escape(result['file'])}", soft_wrap=True)


def predict(result: dict) -> None:
    """Predictions at the first and the last mark."""
    for name, said in result["theories"].items():
        table = _table(
            "quantity",
            "entries",
            "start",
            "end",
            "units",
            title=f"{name}  [dim]{said['source']}[/]",
        )
        for quantity, ends in said["quantities"].items():
            table.add_row(
                escape(quantity),
                str(ends["entries"]),
                _number(ends["start"]),
                _number(ends["end"]),
                powers(ends["units"]),
            )
        _console().print(table)
        conditions(said["conditions"])


def sweep(result: dict) -> None:
    """The last mark of each point of a sweep; where runs diverged, at which step."""
    console, rows = _console(), result["rows"]
    axes, quantities = (
        list(rows[0]["at"]),
        [q for q in rows[0] if q not in ("at", "diverged", "runs")],
    )
    gone = any(row["diverged"]["runs"] for row in rows)
    partly = result["file"] is None
    table = _table(
        *map(escape, (*axes, *quantities)),
        *(["diverged"] if gone else []),
        *(["runs"] if partly else []),
    )
    for row in rows:
        cells = [
            (
                ""
                if row[q]["mean"] != row[q]["mean"]
                else f"{row[q]['mean']:.6g}"
                + (f" ± {row[q]['sem']:.2g}" if row[q]["sem"] == row[q]["sem"] else "")
            )
            for q in quantities
        ]
        runs = ["{kept} of {of}".format(**row["runs"])] if partly else []
        table.add_row(
            *(_number(v) for v in row["at"].values()),
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
        part = (
            f"part {result['shard'][0]} of {result['shard'][1]} is done: "
            if result["shard"]
            else ""
        )
        console.print(
            f"{part}{points['kept']} of {points['of']} points  ->  {escape(result['folder'])}",
            soft_wrap=True,
        )
        return
    console.print(f"{result['backend']}  ->  {escape(result['file'])}", soft_wrap=True)


def _diverged(said: dict) -> str:
    if not said["runs"]:
        return ""
    count = f"{said['runs']} of {said['of']}, " if said["of"] > 1 else ""
    return (
        f"{count}seen at"
        f" {', '.join(f'{at:g}' for at in said['at'][:3])}{', ...' if len(said['at']) > 3 else ''}"
    )


def grid(result: dict) -> None:
    """A sweep: its points at the end."""
    rows = tuple(map(tuple, result["rows"]))
    points = "{kept} of {of} points".format(**result["points"])
    printed(
        Table(
            tuple(result["columns"]),
            rows,
            result["folder"],
            source=f"{points}  {result['backend']}",
            below=tuple(result["below"]),
        ),
        _console(),
    )


def grid_comparison(result: dict) -> None:
    """A theory over the points of a sweep."""
    printed(results.grid_comparison(result, ROWS), _console())
    _console().print(f"->  {escape(result['file'])}", soft_wrap=True)


def limit(result: dict) -> None:
    """The error of a limit value by value, its slopes, the x10 check and the verdict."""
    console, fitted, declared = _console(), result["fitted"], result["declared"]
    count = f"{result['seeds']} seed{'s' if result['seeds'] > 1 else ''}"
    console.print(
        f"[bold]{result['theory']}[/]  the error of {escape(result['quantity'])} on"
        f" {escape(result['name'])}, {count}",
        soft_wrap=True,
    )
    table = _table(escape(result["along"]), "error", "local slope")
    for row in result["rows"]:
        slope = (
            "" if row["slope"] is None else _give_or_take(row["slope"], row["slope_standard_error"])
        )
        table.add_row(
            _number(row["value"]), _give_or_take(row["error"], row["standard_error"]), slope
        )
    console.print(table)
    faster, further = (
        (" or faster", " or more" if declared["order"] > 0 else " or less")
        if declared["bound"]
        else ("", "")
    )
    said = (
        f"slope {_give_or_take(fitted['slope'], fitted['standard_error'])}  declared"
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
        seen = _give_or_take(tenfold["factor"], tenfold["standard_error"])
        console.print(
            f"x10 check: ten times the knob multiplies the error by {seen}  declared"
            f" {tenfold['declared']:.3g}{further}",
            soft_wrap=True,
        )
    for note in result["outside"]:
        console.print(f"[yellow]outside the domain at {escape(note)}[/]", soft_wrap=True)
    console.print(f"->  {escape(result['file'])}", soft_wrap=True)


def show(result: dict) -> None:
    """A run folder."""
    console = _console()
    printed(results.quantities(result["quantities"], result["folder"]), console)
    for one in result["result"].get("comparisons", []):
        comparison(one)
    said = result["provenance"]
    _notes_and_data(result["notes"], said.get("data_read"), console)
    where = (
        f"{said['precision']} on {said['device']}, {said['cores']} cores, learnmech"
        f" {said['learnmech']}, jax {said['jax']}"
    )
    console.print(
        f"[dim]{escape(said['made'])}  {escape(where)}  {escape(said['fingerprint'][:16])}[/]"
    )
    for what, sha in contents(said):
        console.print(f"[dim]{escape(what)}  sha256 {escape(sha[:16])}[/]", soft_wrap=True)


def staircase(result: dict) -> None:
    """When each mode of the data was learned, and the plateaus of the loss."""
    for table in results.staircase(result):
        printed(table, _console())
    if result["file"]:
        _console().print(f"->  {escape(result['file'])}", soft_wrap=True)


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
    """The runs and sweeps there are."""
    if "deleted" in result:
        _console().print(f"deleted {escape(result['deleted'])}", soft_wrap=True)
        return
    if not result["runs"]:
        _console().print(f"no runs in {escape(result['folder'])}", soft_wrap=True)
        return
    table = _table("folder", "made", "size", "kind", "verdicts")
    for depth, entry in branches(result["runs"]):
        forked = (
            f"  (from {Path(entry['parent']['folder']).name} at {entry['parent']['at']:g})"
            if depth and entry["parent"].get("folder")
            else ""
        )
        points = entry.get("points")
        table.add_row(
            "  " * depth + ("└ " if depth else "") + escape(entry["folder"] + forked),
            escape(entry["made"][:19]),
            _size(entry["bytes"]),
            "sweep, {kept} of {of} points".format(**points) if points else entry["kind"],
            escape(", ".join(entry["verdicts"])),
        )
    _console().print(table)
    counts = [sum(entry["kind"] == kind for entry in result["runs"]) for kind in ("run", "sweep")]
    words = [
        f"{count} {kind}{'' if count == 1 else 's'}"
        for count, kind in zip(counts, ("run", "sweep"), strict=True)
        if count
    ]
    _console().print(
        f"{', '.join(words)}, {_size(sum(e['bytes'] for e in result['runs']))} in"
        f" {escape(result['folder'])}",
        soft_wrap=True,
    )


def theories(result: dict) -> None:
    """Which theories apply, and the nearest of the others; condition by condition where all are
    asked for."""
    console, found = _console(), result["theories"]
    if not result.get("long"):
        printed(results.domain(found), console)
        others = len(found) - sum(one["applies"] for one in found.values()) - 3
        if others > 0:
            console.print(
                f"[dim]{others} more do not apply; --all shows each theory condition by"
                " condition[/]",
                soft_wrap=True,
            )
        return
    for kind in (
        *(k for k, one in found.items() if one["applies"]),
        *results.nearest_theories(found),
    ):
        said = found[kind]
        word = (
            "[green]applies[/]"
            if said["applies"]
            else f"[dim]does not apply, {results.counted(len(results.failing_conditions(said)))}[/]"
        )
        console.print(
            f"[bold]{kind}[/]  {word}  {escape(said['summary'])}  [dim]{escape(said['source'])}[/]"
        )
        for limit in said["limits"]:
            console.print(
                f"    a limit: error ~ {limit['knob']}^{limit['order']:g}"
                + (" at least" if limit["bound"] else "")
            )
        for c in said["conditions"]:
            mark = (
                "[green]+[/]"
                if c["holds"]
                else "[red]-[/]"
                if c.get("decided", True)
                else "[yellow]?[/]"
            )
            console.print(f"    {mark} {escape(results.said_of(c))}")


def check(result: dict) -> None:
    """Exhibits or parts, each with what was measured."""
    for name, said in result["results"].items():
        _console().print(f"[bold]{name}[/]  {escape(said['claim'])}  {VERDICTS[said['verdict']]}")
        for one in said["comparisons"]:
            comparison(one)
        checks(said["checks"])
    held = sum(said["holds"] for said in result["results"].values())
    _console().print(f"{held} of {len(result['results'])} hold")
