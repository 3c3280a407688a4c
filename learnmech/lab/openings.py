"""Openings: what a subject is, an exhibit, a lesson, a text or a run, made ready and not begun."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from learnmech.comparison.domains import applying
from learnmech.comparison.readers import foretold, watching
from learnmech.errors import nearest, refused
from learnmech.experiment.recipe import Experiment, Start, landscape_of, prepare
from learnmech.gallery.base import fitting as fitting
from learnmech.instruments.base import Instrument
from learnmech.lab import lessons
from learnmech.lab.telling import lesson_said
from learnmech.language import catalog, text
from learnmech.march.timeline import Timeline
from learnmech.march.watching import asked, watched
from learnmech.record.base import Record
from learnmech.record.folder import is_sweep, load
from learnmech.runs.estimates import check_room, room
from learnmech.runs.running import Leaving
from learnmech.simplifications.base import Simplification
from learnmech.theories.base import Theory


class Opening(NamedTuple):
    """What was opened: laid out and not begun, or a record; with what is said of it."""

    name: str
    claim: str
    source: str
    laid: Leaving | None
    theories: tuple[Theory, ...]
    record: Record | None = None
    lesson: Any = None


def of_exhibit(name: str, changes: dict, small: bool) -> Opening:
    """An exhibit with its knobs changed, in full or as its twin."""
    if name not in catalog.exhibits():
        raise refused(
            "The lab", "an exhibit by name", repr(name), nearest(name, catalog.exhibits())
        )
    exhibit, entry = catalog.exhibit(name), catalog.exhibits()[name]
    whole = {**(exhibit.twin if small else {}), **changes}
    start = prepare(exhibit.changed(whole))
    watch = exhibit.watch if not whole else fitting(exhibit.watch, start)
    theories = tuple(one for one in exhibit.theories if not one.over_seeds)
    return Opening(name, entry.claim, entry.source, laid_out(start, watch), theories)


def of_text(written: str, folder: Path, changes: dict, name: str = "experiment") -> Opening:
    """The experiment of a text, with what it says beside: what is watched, which theories."""
    table = text.parse(written)
    return of_table(table, folder, changes, name)


def of_table(table: dict, folder: Path, changes: dict, name: str) -> Opening:
    """The experiment of a table, as a text is read."""
    table = dict(table)
    watch, theories = (_listed(table, word) for word in ("watch", "theories"))
    experiment = text.part_of(Experiment, text.arrays_in(table, folder))
    return of_experiment(experiment, watch, theories, changes, name)


def of_experiment(
    experiment: Experiment | Start,
    watch: "list | tuple | None" = None,
    theories: "list | tuple | None" = None,
    changes: dict | None = None,
    name: str = "experiment",
) -> Opening:
    """An experiment; what is watched where nothing is said: what the theories that apply speak of,
    and the loss."""
    for path, value in (changes or {}).items():
        if isinstance(experiment, Experiment):
            experiment = experiment.with_value(path, value)
    start = prepare(experiment)
    given = () if theories is None else tuple(_theory(one) for one in theories)
    chosen = given if theories is not None else applying(start)
    if watch is None:
        read = watching(chosen, start)
        kinds = {type(one) for one in read}
        seen = (*read, *(one for one in watched(None, start) if type(one) not in kinds))
    else:
        seen = watched(tuple(asked(one) for one in watch), start)
    speaking = tuple(
        one for one in chosen if not one.over_seeds and any(foretold(one, i, start) for i in seen)
    )
    return Opening(name, "", "", laid_out(start, seen), speaking)


def laid_out(start: Start, watch: tuple[Instrument, ...]) -> Leaving:
    """A run from its start, laid out; refused where what it reads does not fit into memory."""
    timeline = Timeline(start)
    seen = watched(watch, start, timeline.later())
    check_room("The lab", room(timeline, seen)[0], None)
    return Leaving(timeline, seen)


def of_folder(folder: Path) -> Opening:
    """A run that was made before."""
    if is_sweep(folder):
        raise refused(
            "The lab",
            "a run folder",
            f"{folder}, that of a sweep",
            "Open a point of it by its text",
        )
    record = load(folder)
    assert isinstance(record, Record)
    return of_record(record, folder.name)


def of_record(record: Record, name: str = "record") -> Opening:
    """A record, in its folder or in memory."""
    kinds = catalog.members("theories")
    laid = [
        catalog.kebab(str(one.get("theory", "")))
        for one in record.result.get("comparisons", ())
        if isinstance(one, dict)
    ]
    theories = tuple(text.part_of(Theory, one) for one in laid if one in kinds)
    claim = str(record.result.get("claim", "") or "")
    return Opening(name, claim, "", None, theories, record)


def of_lesson(lesson: Any, step: int, folder: Path = Path(".")) -> Opening:
    """A step of a lesson, whose files lie in a folder."""
    if not 0 <= step < len(lesson.steps):
        raise refused("The lesson", f"a step from 0 to {len(lesson.steps) - 1}", step, "Choose one")
    exhibit = lessons.subject_of(lesson.steps[step], folder)
    start = prepare(exhibit.experiment())
    theories = tuple(one for one in exhibit.theories if not one.over_seeds)
    laid, said = laid_out(start, exhibit.watch), lesson_said(lesson, step)
    return Opening(lesson.name, exhibit.claim, exhibit.source, laid, theories, None, said)


def prepared(experiment: Experiment, like: Start) -> Start:
    """An experiment made ready, with the data and the landscape of another start where both are on
    the same."""
    same = landscape_of(experiment) == landscape_of(like.experiment)
    return prepare(experiment, like=like if same else None)


def simplification(axis: str) -> Simplification:
    """The simplification that turns off an axis, by the axis or by its own kind."""
    axes: dict[str, type] = {}
    for kind, member in catalog.members("simplifications").items():
        cls = catalog.load(member)
        axes.setdefault(cls.axis, cls)
        axes[kind] = cls
    if axis not in axes:
        raise refused(
            "simplify", "an axis of complexity", repr(axis)[:80], nearest(axis[:80], axes)
        )
    return axes[axis]()


def is_lesson(table: dict) -> bool:
    """Whether a text is that of a lesson, and not of an experiment."""
    return isinstance(table.get("steps"), list)


def of_path(path: Path, changes: dict, small: bool = False) -> Opening:
    """What a path given on the command line holds: a run folder, or a text."""
    if path.is_dir():
        return of_folder(path)
    if not path.is_file():
        raise refused(
            "The lab",
            "an exhibit, a TOML file or a run folder",
            str(path),
            "Give one that is there",
        )
    try:
        written = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise refused(
            "The lab", "a TOML file in UTF-8", f"{path} ({error})", "Save it so"
        ) from None
    table = text.parse(written, str(path))
    if is_lesson(table):
        return of_lesson(lessons.lesson_of(path), 0, path.parent)
    return of_table(table, path.parent, changes, path.stem)


def _listed(table: dict, word: str) -> list | None:
    found = table.pop(word, None)
    if found is not None and not isinstance(found, list):
        raise refused(word, "a list of kinds", repr(found), 'Write for example ["loss"]')
    return found


def _theory(one) -> Theory:
    return one if isinstance(one, Theory) else text.part_of(Theory, one)


def changed(experiment: Experiment, path: str, value: Any) -> Experiment:
    """The experiment with one knob turned, as a dial says it: a part by its kind, with the knobs
    that both have kept; a list as it is written."""
    now = text.value_at(experiment, path)
    if isinstance(value, str) and (isinstance(now, tuple) or _is_list(value)):
        value = list(text.value_of(value.replace("(", "[").replace(")", "]").replace(",]", "]")))
    return dataclasses.replace(experiment.with_value(path, value))


def _is_list(value: str) -> bool:
    return value.startswith(("(", "[")) and value.endswith((")", "]"))
