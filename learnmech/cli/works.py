"""What the commands do: each gives its result as plain data, ready for a table or for JSON."""

import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from learnmech import report
from learnmech.cli import folders, sweeping
from learnmech.cli.expected import checked_aloud, expected, uncounted
from learnmech.cli.folders import kept_compilations
from learnmech.cli.phases import phases
from learnmech.comparison import verdicts as comparison
from learnmech.comparison.domains import applying, survey
from learnmech.errors import Refused, nearest, refused
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.gallery import contracts
from learnmech.gallery.base import Exhibit, perform
from learnmech.language import catalog, text
from learnmech.language.display import plain
from learnmech.language.display.results import ends, failing_conditions, nearest_theories
from learnmech.language.parts import SAYS, meaning_of, show_value
from learnmech.language.parts import told as without_knobs
from learnmech.machine.backend import relieve, remember_compilations
from learnmech.march.stages import Course
from learnmech.march.watching import watched
from learnmech.record.base import Record
from learnmech.record.folder import is_sweep, load
from learnmech.record.sealed import appear, check_new
from learnmech.record.writing import conclude
from learnmech.runs import blocks
from learnmech.runs.estimates import check_room, room
from learnmech.theories.base import Condition, Theory


def ready() -> None:
    """Compiled programs are kept from here on."""
    folder = kept_compilations()
    if folder is not None:
        remember_compilations(folder)
    try:
        Path.home()
    except (RuntimeError, KeyError):  # matplotlib looks for its settings there when it is imported
        os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())


def assignment(change: str) -> tuple[str, str]:
    """(path, value) of `path=value`."""
    path, found, value = change.partition("=")
    if not found or not path:
        raise refused(
            "The command line",
            "knobs as path=value",
            repr(change),
            "Write for example rule.rate=0.1",
        )
    return path, value


def _changes(changes) -> dict:
    return {path: text.value_of(value) for path, value in map(assignment, changes)}


def subject_of(name: str, changes: dict, small: bool) -> tuple[str, Exhibit, dict]:
    """(short name, exhibit, its knobs to change): one of the gallery, or a plain one made of a
    TOML file."""
    if name.endswith(".toml") or Path(name).is_file():
        return Path(name).stem, _from_file(Path(name), changes), {}
    if name not in catalog.exhibits():
        raise refused(
            "learnmech", "an exhibit or a TOML file", repr(name), nearest(name, catalog.exhibits())
        )
    exhibit = catalog.exhibit(name)
    return name, exhibit, {**(exhibit.twin if small else {}), **changes}


def changed_experiment(subject: str, changes: dict, small: bool) -> tuple[str, Exhibit, Experiment]:
    """(short name, exhibit, its experiment with knobs changed)."""
    name, exhibit, changes = subject_of(subject, changes, small)
    return name, exhibit, exhibit.changed(changes)


def _from_file(path: Path, changes: dict) -> Exhibit:
    if not path.is_file():
        raise refused(
            "learnmech",
            "an experiment's TOML file",
            f"no file {path}",
            "Give the path of an existing file",
        )
    try:
        table = text.parse(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise refused("learnmech", "a TOML file in UTF-8", str(path), "Save it as UTF-8") from None
    except OSError as error:
        raise refused(
            "learnmech", f"to read {path}", error.strerror or str(error), "Give it permission"
        ) from None
    watch, theories = (_named(table, word) for word in ("watch", "theories"))
    experiment = text.part_of(Experiment, text.arrays_in(table, path.parent))
    for where, value in changes.items():
        experiment = experiment.with_value(where, value)
    start = prepare(experiment)
    if (
        watch is not None
        # before theories look at it: the sharpness alone of a network of 9 million weights took 25
        # s
    ):
        course, seen = Course(start), watched(tuple(watch), start)
        check_room("run", room(course, seen)[0], Path("."))
    chosen = (
        applying(start)
        if theories is None
        else tuple(text.part_of(Theory, one) for one in theories)
    )
    if watch is None:
        read = comparison.watching(chosen, start)
        seen = (
            *read,
            *(one for one in watched(None, start) if type(one) not in {type(i) for i in read}),
        )
    silent = [
        theory
        for theory in chosen
        if not any(comparison.foretold(theory, one, start) for one in seen)
    ]
    for theory in chosen if theories is not None else ():
        if theory.over_seeds:
            raise refused(
                type(theory).__name__,
                "a mean over many seeds",
                "one run",
                "Leave it out of theories; sweep over seeds, and lay it over that: learnmech"
                " compare SWEEP THEORY",
            )
        if theory in silent:
            raise refused(
                type(theory).__name__,
                f"a quantity it predicts to be watched ({', '.join(theory.predicts)})",
                watch,
                "Watch one of them",
            )
    chosen = tuple(theory for theory in chosen if theory not in silent)
    return Exhibit(
        claim=path.stem, source="", experiment=lambda: experiment, watch=seen, theories=chosen
    )


def _named(table: dict, word: str) -> list | None:
    """The list of parts under a word beside the experiment, taken out of its table."""
    found = table.pop(word, None)
    if found is not None and not isinstance(found, list):
        raise refused(
            word,
            "a list of kinds",
            repr(found),
            f'Write for example {word} = ["{"loss" if word == "watch" else "decoupled"}"]',
        )
    return found


def _theory(name: str):
    return text.part_of(Theory, name)


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


def run(subject, changes, until, out, small, quiet, keep_data=None) -> dict:
    """Run, compare, and write the run folder; what was found is said at the end."""
    began = time.perf_counter()
    ready()
    with phases(quiet, str(subject)) as told:
        told.enter("preparing")
        name, exhibit, knobs = subject_of(subject, _changes(changes), small)
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
        surveyed = survey(shown.record.course.start)
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


def brief(surveyed: dict[str, dict], nearest_few: int = 3) -> dict:
    """Which theories apply, and the nearest of the others with what fails."""
    near = nearest_theories(surveyed)[:nearest_few]
    return {
        "applies": [kind for kind, one in surveyed.items() if one["applies"]],
        "nearest": {kind: failing_conditions(surveyed[kind]) for kind in near},
    }


def dataset_out(dataset, file: Path) -> None:
    """A Dataset as .nc or .csv, which must not exist yet."""
    if file.exists():
        raise refused(
            "export",
            "a file that does not exist yet",
            str(file),
            "Choose another name, or delete it first",
        )
    if file.suffix not in (".nc", ".csv"):
        raise refused("export", "a file ending in .nc or .csv", str(file), "Choose one of them")
    try:
        appear(
            lambda part: (
                dataset.to_netcdf(part, engine="netcdf4")
                if file.suffix == ".nc"
                else folders.write_csv(dataset, part)
            ),
            file,
        )
    except (OSError, RuntimeError) as error:  # netCDF says what fails below it as a RuntimeError
        raise refused(
            "export",
            f"a place to write {file}",
            getattr(error, "strerror", None) or str(error),
            "Choose another place",
        ) from None


def predict(subject, changes, names, out, small) -> dict:
    """Predictions of the named theories, or of all that apply."""
    name, exhibit, experiment = changed_experiment(subject, _changes(changes), small)
    start = prepare(experiment)
    theories = [_theory(n) for n in names] or list(exhibit.theories) or list(applying(start))
    if not theories:
        raise refused(
            "predict",
            "a theory that applies",
            "none",
            f"See learnmech theories {subject}, or name one by --theory",
        )
    said = {}
    for theory in theories:
        conditions, dataset = theory.conditions(start), None
        try:
            dataset = theory.predict(start)
        except Exception as refusal:
            if len(theories) == 1:
                raise
            # one of several does not end the others
            words = (
                str(refusal)
                if isinstance(refusal, Refused)
                else f"{type(refusal).__name__}: {refusal}"
            )
            conditions += (
                Condition(
                    "it can say something here",
                    words,
                    "so",
                    False,
                    decided=isinstance(refusal, Refused),
                ),
            )
        said[type(theory).__name__] = {
            "source": theory.source,
            "conditions": conditions_of(conditions),
            "quantities": (
                {} if dataset is None else {str(q): ends(dataset[q]) for q in dataset.data_vars}
            ),
        }
        if dataset is None:
            continue
        if out is not None:
            out = Path(out)
            dataset_out(
                dataset,
                (
                    out
                    if len(theories) == 1
                    else out.with_stem(f"{out.stem}-{catalog.kebab(type(theory).__name__)}")
                ),
            )
    return {"name": name, "theories": said}


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
    against = whole(other) if Path(other).is_dir() else _theory(other)
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


def theories(subject, changes, small) -> dict:
    """Every theory with its conditions here."""
    name, exhibit, experiment = changed_experiment(subject, _changes(changes), small)
    return {"name": name, "theories": survey(prepare(experiment))}


def _held(checks) -> dict:
    held = all(c.holds for c in checks)
    return {"holds": held, "verdict": "holds" if held else "fails"}


def check(names, small, quiet) -> dict:
    """Exhibits performed, or a user's own parts put through their contracts."""
    ready()
    results = {}
    for name in names or list(catalog.exhibits()):
        relieve()
        if name.endswith(".py"):
            for title, checks in contracts.of_file(name).items():
                results[title] = {
                    "claim": "keeps its contracts",
                    "checks": _checks_of(checks),
                    "comparisons": [],
                } | _held(checks)
            continue
        _, exhibit, knobs = subject_of(name, {}, small)
        with phases(quiet, name) as told:
            told.settle()
            told.enter("running")
            shown = perform(checked_aloud(exhibit), changes=knobs, progress=told.show)
        results[name] = {
            "claim": exhibit.claim,
            "comparisons": [comparison_of(c) for c in shown.comparisons],
            "checks": _checks_of(shown.checks),
            "notes": list(shown.record.notes),
            "holds": shown.holds,
            "verdict": shown.verdict,
        }
    return {"results": results, "holds": all(r["holds"] for r in results.values())}
