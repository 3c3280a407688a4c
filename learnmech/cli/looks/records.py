"""How runs look in a terminal, and what is read of them."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from learnmech.cli.looks.console import VERDICTS, columns, paper, size
from learnmech.cli.looks.domains import conditions, domain
from learnmech.language.display import learning_curves, results
from learnmech.language.display.table import Table, printed
from learnmech.record.identity import contents
from learnmech.runs.estimates import duration, in_parts
from learnmech.verbs.folders import branches

APART = (
    "weight_distance_first",
    "weight_distance_last",
    "share",
    "gradient_distance_first",
    "gradient_distance_last",
)
"""What is told of each layer of twins."""


def comparison(result: dict) -> None:
    """Theory against record: rows, conditions, verdict."""
    printed(results.comparison(result), paper())
    conditions(result["conditions"])


def checks(rows: list[dict]) -> None:
    """Further checks."""
    if rows:
        table = results.checks(rows)
        rows_shown = tuple(row[:-1] for row in table.rows)
        printed(table._replace(columns=table.columns[:-1], rows=rows_shown), paper())


def run(result: dict) -> None:
    """A run and the theories laid over it."""
    console = paper()
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
        domain(result["domain"], console)
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

    def of_another(name: str) -> bool:
        ends = ("_residual", "_error")
        return any(name.endswith(end) and name.removesuffix(end) in found for end in ends)

    return whole._replace(rows=tuple(row for row in whole.rows if not of_another(str(row[0]))))


def twins(result: dict) -> None:
    """How far twins are apart where they first are, and at the end."""
    said = result["twins"]
    first, last = (f"{said['axis']} {said[name]:g}" for name in ("first", "last"))
    table = columns(
        "layer",
        f"|dw| at {first}",
        f"at {last}",
        "share of |dw|^2",
        f"|dg| at {first}",
        f"at {last} ",
    )
    for layer, far in said["layers"].items():
        table.add_row(escape(layer), *(f"{far[name]:.3g}" for name in APART))
    console = paper()
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
    console = paper()
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


def diff(result: dict) -> None:
    """What two sides differ in."""
    for table in results.difference(result):
        printed(table, paper())


def show(result: dict) -> None:
    """A run folder."""
    console = paper()
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
        printed(table, paper())
    if result["file"]:
        paper().print(f"->  {escape(result['file'])}", soft_wrap=True)


def learning_curve(result: dict) -> None:
    """Errors over n and ridge, measured and predicted, with the certificates."""
    for table in learning_curves.tables(result):
        printed(table, paper())
    if result["file"]:
        paper().print(f"->  {escape(result['file'])}", soft_wrap=True)


def written(result: dict) -> None:
    """A file that was written."""
    paper().print(f"{escape(result['file'])}  {size(result['bytes'])}", soft_wrap=True)


def runs(result: dict) -> None:
    """The runs and sweeps there are."""
    if "deleted" in result:
        paper().print(f"deleted {escape(result['deleted'])}", soft_wrap=True)
        return
    if not result["runs"]:
        paper().print(f"no runs in {escape(result['folder'])}", soft_wrap=True)
        return
    table = columns("folder", "made", "size", "kind", "verdicts")
    for depth, entry in branches(result["runs"]):
        points, forked = entry.get("points"), ""
        if depth and entry["parent"].get("folder"):
            parent = entry["parent"]
            forked = f"  (from {Path(parent['folder']).name} at {parent['at']:g})"
        table.add_row(
            "  " * depth + ("└ " if depth else "") + escape(entry["folder"] + forked),
            escape(entry["made"][:19]),
            size(entry["bytes"]),
            "sweep, {kept} of {of} points".format(**points) if points else entry["kind"],
            escape(", ".join(entry["verdicts"])),
        )
    paper().print(table)
    words = []
    for kind in ("run", "sweep"):
        count = sum(entry["kind"] == kind for entry in result["runs"])
        if count:
            words.append(f"{count} {kind}{'' if count == 1 else 's'}")
    words.append(size(sum(entry["bytes"] for entry in result["runs"])))
    paper().print(f"{', '.join(words)} in {escape(result['folder'])}", soft_wrap=True)


def check(result: dict) -> None:
    """Exhibits or parts, each with what was measured."""
    for name, said in result["results"].items():
        paper().print(f"[bold]{name}[/]  {escape(said['claim'])}  {VERDICTS[said['verdict']]}")
        for one in said["comparisons"]:
            comparison(one)
        checks(said["checks"])
    held = sum(said["holds"] for said in result["results"].values())
    paper().print(f"{held} of {len(result['results'])} hold")
