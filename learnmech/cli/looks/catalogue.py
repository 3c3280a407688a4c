"""How members of the catalogue look in a terminal, and the pages of exhibits."""

from rich.markup import escape

from learnmech.cli.looks.console import columns, paper
from learnmech.language.display.table import Table, printed
from learnmech.runs.estimates import duration, in_parts


def description(result: dict) -> None:
    """One member of a family and its knobs."""
    console = paper()
    console.print(f"[bold]{result['family']}: {result['kind']}[/]")
    console.print(result["text"], markup=False)
    table = columns("knob", "default", "range", "meaning")
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
    console = paper()

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
    mean = f"; its theory of the mean is laid over {result['seeds']} runs"
    told("watched: " + ", ".join(result["watched"]) + (mean if result["seeds"] > 1 else ""))
    took = result["seconds"]
    if took:
        parts = {word: took[word] for word in ("compiling", "running")}
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
