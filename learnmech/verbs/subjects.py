"""Subjects: what a command is about, an exhibit or the experiment of a text, with its knobs as they
are typed."""

from pathlib import Path

from learnmech.comparison.domains import applying
from learnmech.comparison.readers import foretold, watching
from learnmech.errors import nearest, refused
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.gallery.base import Exhibit
from learnmech.language import catalog, text
from learnmech.march.timeline import Timeline
from learnmech.march.watching import watched
from learnmech.runs.estimates import check_room, room
from learnmech.theories.base import Theory


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


def changes_of(changes) -> dict:
    """{path: value} of what was typed as path=value."""
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
    if watch is not None:
        # before theories look at it: the sharpness alone of a network of 9 million weights took
        # 25 s
        timeline, seen = Timeline(start), watched(tuple(watch), start)
        check_room("run", room(timeline, seen)[0], Path("."))
    chosen = (
        applying(start)
        if theories is None
        else tuple(text.part_of(Theory, one) for one in theories)
    )
    if watch is None:
        read = watching(chosen, start)
        kinds = {type(one) for one in read}
        seen = (*read, *(one for one in watched(None, start) if type(one) not in kinds))
    silent = [theory for theory in chosen if not any(foretold(theory, one, start) for one in seen)]
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


def theory_of(name: str) -> Theory:
    """The theory of that name, at its defaults."""
    return text.part_of(Theory, name)
