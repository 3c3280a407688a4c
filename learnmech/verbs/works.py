"""What the commands do: each gives its result as plain data, ready for a table or for JSON."""

import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from learnmech import report
from learnmech.comparison import verdicts as comparison
from learnmech.comparison.domains import survey
from learnmech.engines import opened, performed
from learnmech.errors import nearest, refused
from learnmech.experiment.recipe import prepare
from learnmech.gallery import contracts
from learnmech.gallery.base import perform
from learnmech.language import catalog
from learnmech.language.display import plain
from learnmech.language.display.results import ends
from learnmech.language.parts import SAYS, meaning_of, show_value
from learnmech.language.parts import told as without_knobs
from learnmech.machine.backend import relieve, remember_compilations
from learnmech.record.base import Record
from learnmech.record.folder import is_sweep, load
from learnmech.record.sealed import check_new
from learnmech.record.writing import conclude
from learnmech.runs import blocks
from learnmech.verbs import folders, sweeping
from learnmech.verbs.expected import checked_aloud, expected, uncounted
from learnmech.verbs.folders import dataset_out, kept_compilations
from learnmech.verbs.foretelling import brief
from learnmech.verbs.phases import Phasing, silent
from learnmech.verbs.subjects import changes_of, subject_of, theory_of


def ready() -> None:
    """Compiled programs are kept from here on."""
    folder = kept_compilations()
    if folder is not None:
        remember_compilations(folder)
    try:
        Path.home()
    except (RuntimeError, KeyError):  # matplotlib looks for its settings there when it is imported
        os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())


comparison_of, conditions_of, _checks_of = plain.comparison, plain.conditions, plain.checks


def describe(family: str, kind: str) -> dict:
    """One member of a family: what it says of itself, and its knobs with their defaults."""
    if family not in catalog.FAMILIES:
        raise refused(
            "list", "a family of the catalogue", repr(family), nearest(family, catalog.FAMILIES)
        )
    cls = catalog.find(family, kind)
    knobs = {}
    for field in dataclasses.fields(cls):
        wanted = field.metadata.get("choices") or ""
        default = (
            "to be given" if field.default is dataclasses.MISSING else show_value(field.default)
        )
        bounds = " ".join(
            f"{SAYS[name]} {bound:g}" for name, bound in field.metadata.get("bounds", {}).items()
        )
        meaning = meaning_of(cls, field.name)
        knobs[field.name] = {
            "default": default,
            "choices": ", ".join(map(str, wanted)),
            "bounds": bounds,
            "meaning": meaning,
        }
    return {"family": family, "kind": kind, "text": without_knobs(cls), "knobs": knobs}


def run(subject, changes, until, out, small, keep_data=None, phases: Phasing = silent) -> dict:
    """Run, compare, and write the run folder; what was found is said at the end."""
    began = time.perf_counter()
    ready()
    with phases(str(subject)) as told:
        told.enter("preparing")
        name, exhibit, knobs = subject_of(subject, changes_of(changes), small)
        start = prepare(exhibit.changed(knobs))
        if until is not None:
            blocks.parse_until(until, exhibit.watch, start)
        target = (
            folders.free(folders.RUNS / f"{name}-{start.experiment.fingerprint[:8]}")
            if out is None
            else Path(out)
        )
        check_new(target)
        foretold = expected(name, exhibit, knobs, start, until, target, told)
        told.tell(f"{name}: {foretold}{uncounted(name, exhibit)}")
        told.enter("running")
        shown = perform(
            checked_aloud(exhibit),
            changes=knobs,
            until=until,
            progress=told.show,
            start=start,
            folder=target,
            keep_data=keep_data,
        )
        told.enter("looking which theories apply", "which theories apply")
        surveyed = survey(shown.record.start)
        result = {
            "name": name,
            "claim": exhibit.claim,
            "source": exhibit.source,
            "folder": str(target),
            "holds": shown.holds,
            "verdict": getattr(shown, "verdict", "holds" if shown.holds else "fails"),
            "comparisons": [comparison_of(c) for c in shown.comparisons],
            "checks": _checks_of(shown.checks),
            "reason": exhibit.reason,
            "notes": list(shown.record.notes),
            "data": shown.record.provenance.get("data_read", ""),
            "interrupted": any(note.startswith("interrupted") for note in shown.record.notes),
            "wall_seconds": shown.record.provenance["wall_seconds"],
            "quantities": quantities_of(shown.record),
        }
        conclude(target, result)
        told.enter("writing the report", "report")
        report.write(shown, target, surveyed)
        told.leave()
    seconds = {
        "all": time.perf_counter() - began,
        "estimated": foretold.seconds,
        "parts": told.spent,
        "foretold": dict(foretold.parts),
    }
    return result | {"domain": brief(surveyed), "seconds": seconds}


def quantities_of(record: Record) -> dict[str, dict]:
    """What was watched, each from its first to its last value."""
    found = {}
    for every, table in record.tables.items():
        for name, variable in table.data_vars.items():
            shape = {str(axis): int(size) for axis, size in variable.sizes.items()}
            found[str(name)] = {"every": every, "shape": shape, **ends(variable)}
    return found


def whole(folder) -> Record:
    """The record in a run folder of which nothing is damaged."""
    if is_sweep(folder):
        remedy = f"Run a point of it: learnmech run {folder}/experiment.toml, with its knobs"
        raise refused("learnmech", "a run folder", f"{folder}, that of a sweep", remedy)
    found: Any = load(folder)
    if found.damaged:
        broken = next(note for note in found.notes if note.startswith("damaged: ")).split("; ")[0]
        raise refused(
            "learnmech",
            "a whole run folder",
            f"{folder}, {broken}",
            f"Run learnmech resume {folder}, which reads it again, or lm.load what is whole",
        )
    return found


def compare(folder, other, tolerance) -> dict:
    """A run against a theory or another run."""
    if tolerance is not None and not tolerance > 0:
        raise refused("compare", "tolerance > 0", tolerance, "Give for example 1e-6")
    seen = whole(folder)
    against = whole(other) if Path(other).is_dir() else theory_of(other)
    return comparison_of(comparison.compare(seen, against, tolerance))


def show(folder) -> dict:
    """What a run folder holds."""
    seen = whole(folder)
    tables = quantities_of(seen)
    said = {"notes": list(seen.notes), "provenance": seen.provenance, "result": seen.result}
    return {"folder": str(folder), "experiment": seen.experiment.text, "quantities": tables} | said


def export(folder, file) -> dict:
    """A record as NetCDF or CSV."""
    dataset_out(whole(folder).dataset, Path(file))
    return {"file": str(file), "bytes": Path(file).stat().st_size}


def runs(out, delete) -> dict:
    """The folders of runs and sweeps, or one deleted."""
    if delete is not None:
        places = (Path(delete), Path(out) / delete) if delete else ()
        folder = next(
            (one for one in places if (one / "run.json").is_file() or is_sweep(one)), None
        )
        if folder is None:
            raise refused(
                "runs",
                "the folder of a run or a sweep to delete",
                str(delete),
                nearest(delete, [f.name for f in folders.found(out)]),
            )
        (sweeping.delete if is_sweep(folder) else folders.delete)(folder)
        return {"deleted": str(folder)}
    if not Path(out).is_dir() and Path(out) != folders.RUNS:
        raise refused(
            "runs",
            "a folder of run folders",
            str(out),
            "Give the folder in which runs were written",
        )
    entries = [
        sweeping.entry(folder) if is_sweep(folder) else folders.entry(folder)
        for folder in folders.found(out)
    ]
    return {"runs": entries, "folder": str(Path(out).resolve())}


def _held(checks) -> dict:
    held = all(c.holds for c in checks)
    return {"holds": held, "verdict": "holds" if held else "fails"}


def check(names, small, on=None, phases: Phasing = silent) -> dict:
    """Exhibits performed, here or by an engine, or a user's own parts put through their
    contracts."""
    ready()
    results: dict[str, dict] = {}
    names = list(names or catalog.exhibits())
    for name in names:  # what is no exhibit is refused before anything is run
        if not name.endswith(".py"):
            subject_of(name, {}, small)
    with opened(on, "check") as engine:
        away = [] if engine is None else [one for one in names if not one.endswith(".py")]
        if engine is not None and away:
            with phases("check", points=True) as told:
                told.settle()
                told.enter("running")

                def done(name, found):
                    results[name] = found
                    told.counted(len(results), len(away))

                groups = [[name] for name in away]
                given = {name: (name, small) for name in away}
                performed(engine, checked, groups, given.__getitem__, done, None, "check")
        for name in (one for one in names if one not in away):
            relieve()
            if name.endswith(".py"):
                for title, checks in contracts.of_file(name).items():
                    results[title] = {
                        "claim": "keeps its contracts",
                        "checks": _checks_of(checks),
                        "comparisons": [],
                    } | _held(checks)
                continue
            with phases(name) as told:
                told.settle()
                told.enter("running")
                results[name] = checked(name, small, told.show)
    ordered = {name: results[name] for name in names if name in results}
    results = ordered | results
    return {"results": results, "holds": all(r["holds"] for r in results.values())}


def checked(name: str, small: bool, progress=None) -> dict:
    """One exhibit performed, in whatever process this is, as plain data."""
    _, exhibit, knobs = subject_of(name, {}, small)
    shown = perform(checked_aloud(exhibit), changes=knobs, progress=progress)
    return {
        "claim": exhibit.claim,
        "comparisons": [comparison_of(c) for c in shown.comparisons],
        "checks": _checks_of(shown.checks),
        "notes": list(shown.record.notes),
        "holds": shown.holds,
        "verdict": shown.verdict,
    }
