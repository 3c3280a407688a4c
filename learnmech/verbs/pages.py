"""The report command: the page of a run, made again from its folder."""

import dataclasses
from pathlib import Path

from learnmech import report
from learnmech.comparison import verdicts as comparison
from learnmech.comparison.checks import Check
from learnmech.comparison.domains import applying
from learnmech.gallery.base import Exhibit, Shown
from learnmech.language import catalog, text
from learnmech.record.base import Record
from learnmech.theories.base import Theory
from learnmech.verbs.works import ready, whole


def report_again(folder: Path, out: Path | None) -> dict:
    """report.html (and figure.svg) of a run folder, or the page in a file of its own.

    The theories that were laid over the run are laid over it again, those that apply where none
    was: what its folder holds is enough, so that it does not matter whether the first report was
    ever written, or is whole.
    """
    ready()
    if out is not None:
        report.check_page(out)
    shown = shown_of(whole(folder), Path(folder).name)
    if out is None:
        report.write(shown, Path(folder))
        out = Path(folder) / "report.html"
    else:
        report.save(shown, out)
    return {"file": str(out), "bytes": out.stat().st_size}


def shown_of(record: Record, name: str) -> Shown:
    """A run as it is shown: with what was concluded from it, or with the theories that apply."""
    said = record.result
    if "comparisons" in said:
        compared = [compared_again(record, one) for one in said["comparisons"]]
    else:
        compared = [
            comparison.compare(record, theory) for theory in applying(record.start, record.watch)
        ]
    fields = {field.name for field in dataclasses.fields(Check)}
    checks = tuple(
        Check(**{key: value for key, value in one.items() if key in fields})
        for one in said.get("checks", ())
    )
    texts = {key: str(said.get(key) or "") for key in ("claim", "source", "reason")}
    texts["claim"] = texts["claim"] or name
    exhibit = Exhibit(
        texts["claim"],
        texts["source"],
        lambda: record.experiment,
        watch=record.watch,
        reason=texts["reason"],
    )
    return Shown(
        exhibit,
        record.experiment,
        record,
        tuple(one for one in compared if one is not None),
        checks,
    )


def compared_again(record: Record, said: dict) -> comparison.Comparison | None:
    """A theory laid over a run as it was before; None for a theory of the mean of many runs,
    which one run does not hold."""
    found = {member.name: member for member in catalog.members("theories").values()}.get(
        said["theory"]
    )
    theory = text.part_of(Theory, found.kind) if found is not None else None
    if theory is None or theory.over_seeds:
        return None
    return comparison.compare(
        record,
        theory,
        {row["quantity"]: row["tolerance"] for row in said["rows"] if row["tolerance"]} or None,
    )
