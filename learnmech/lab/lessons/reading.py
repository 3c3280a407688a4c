"""Reading lessons: a text in TOML as a frozen value, refused in one sentence where it is none."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from learnmech.errors import nearest, refused
from learnmech.language import catalog, text

SHIPPED = Path(__file__).parent
# in the order in which a course takes them
ORDER = (
    "linear-regression",
    "width-one",
    "deep-linear-stages",
    "lazy-and-rich",
    "edge-of-stability",
    "which-axes-matter",
)
MOST_STEPS, MOST_BYTES = 50, 2**20


class Predicted(NamedTuple):
    """What is to be drawn before the run: a quantity, and of one with axes which entry, as
    {axis: place from 0}."""

    quantity: str
    entry: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a lesson: a text (Markdown, formulas as $..$), what is run, and what to see.

    Either `experiment`, a table as in an experiment's file, or `exhibit`, the name of one, and
    `changes`, knobs by their dotted paths that are turned then: a step that names neither goes on
    with that of the step before, changes and all. `watch` and `theories` are as in an experiment's
    file; None: those of the exhibit, of the step before, or what a run watches by itself and the
    theories that apply. `predict` is what the reader draws before the run.
    """

    title: str
    text: str
    experiment: dict | None
    exhibit: str | None
    changes: dict[str, object]
    watch: tuple | None
    theories: tuple | None
    predict: Predicted | None
    see: str


@dataclasses.dataclass(frozen=True)
class Lesson:
    """A lesson: its name in links, its title, what it is about, and its steps."""

    name: str
    title: str
    about: str
    steps: tuple[Step, ...]


def lessons() -> dict[str, Lesson]:
    """{name: lesson} of those that come with learnmech, in the order of a course."""
    return {name: read(SHIPPED / f"{name.replace('-', '_')}.toml") for name in ORDER}


def lesson_of(path: str | Path) -> Lesson:
    """The lesson in a file of one's own, or one of those that come with learnmech by its name;
    every step's experiment is made ready, nothing is run.

    Refused: a file that is not there or no TOML, a missing title, text or step, an unknown key,
    exhibit, part or knob, an experiment that cannot be prepared, a prediction of what is not
    watched.
    """
    from learnmech.lab.lessons.subjects import check

    if str(path) in ORDER:
        return lessons()[str(path)]
    found = read(Path(path))
    for place, step in enumerate(found.steps, 1):
        check(step, Path(path).parent, place)
    return found


def read(path: Path) -> Lesson:
    """A lesson from its file: its form alone, without making anything of it."""
    if not path.is_file():
        remedy = nearest(str(path), ORDER) if path.suffix != ".toml" else "Give its path"
        raise refused("A lesson", "a TOML file that is there", str(path), remedy)
    try:
        size = path.stat().st_size
        words = path.read_text(encoding="utf-8") if size <= MOST_BYTES else ""
    except UnicodeDecodeError:
        raise refused("A lesson", "a file in UTF-8", str(path), "Save it as UTF-8") from None
    except OSError as error:
        said = error.strerror or str(error)
        raise refused("A lesson", f"to read {path}", said, "Give it permission") from None
    if size > MOST_BYTES:
        remedy = "Give data their own files, and name those"
        raise refused("A lesson", f"{MOST_BYTES} bytes at most", size, remedy)
    return lesson(text.parse(words, "A lesson"), path.stem.replace("_", "-"))


def lesson(table: dict, name: str) -> Lesson:
    """A lesson from its table."""
    _known(table, ("title", "about", "steps"), "A lesson")
    steps = table.get("steps")
    if not isinstance(steps, list) or not steps or not all(isinstance(one, dict) for one in steps):
        remedy = "Write [[steps]] before each, with its title and text"
        raise refused("A lesson", "steps, a list of tables", _shown(steps), remedy)
    if len(steps) > MOST_STEPS:
        raise refused("A lesson", f"{MOST_STEPS} steps at most", len(steps), "Make two of it")
    found: list[Step] = []
    for place, one in enumerate(steps, 1):
        found.append(_step(one, f"Step {place}", found[-1] if found else None))
    words = {key: _words(table, key, "A lesson") for key in ("title", "about")}
    return Lesson(name, words["title"], words["about"], tuple(found))


_KEYS = tuple(field.name for field in dataclasses.fields(Step))


def _step(table: dict, who: str, before: Step | None) -> Step:
    _known(table, _KEYS, who)
    experiment, exhibit = table.get("experiment"), table.get("exhibit")
    changes = _table(table, "changes", who) or {}
    watch, theories = (_list(table, word, who) for word in ("watch", "theories"))
    if experiment is not None and exhibit is not None:
        raise refused(who, "an experiment or an exhibit", "both", "Drop one of them")
    if exhibit is not None and (not isinstance(exhibit, str) or exhibit not in catalog.exhibits()):
        remedy = nearest(str(exhibit), catalog.exhibits())
        raise refused(who, "an exhibit of the gallery", repr(exhibit), remedy)
    if experiment is None and exhibit is None:
        if before is None:
            remedy = "Write exhibit = 'saxe-modes', or a table [steps.experiment]"
            raise refused(who, "an experiment or an exhibit", "neither", remedy)
        experiment, exhibit = before.experiment, before.exhibit
        changes = {**before.changes, **changes}
        watch = before.watch if watch is None else watch
        theories = before.theories if theories is None else theories
    else:
        experiment = _table(table, "experiment", who)
    title, said, see = (_words(table, key, who) for key in ("title", "text", "see"))
    predict = _predicted(table, who)
    return Step(title, said, experiment, exhibit, changes, watch, theories, predict, see)


def _predicted(table: dict, who: str) -> Predicted | None:
    said = _table(table, "predict", who)
    if said is None:
        return None
    _known(said, ("quantity", "entry"), f"{who}, predict")
    quantity, entry = said.get("quantity"), said.get("entry", {})
    if not isinstance(quantity, str):
        remedy = "Write predict = { quantity = 'loss' }"
        raise refused(f"{who}, predict", "the name of a quantity", _shown(quantity), remedy)
    if not isinstance(entry, dict) or not all(
        isinstance(at, int) and not isinstance(at, bool) and at >= 0 for at in entry.values()
    ):
        remedy = "Write entry = { mode = 0 }"
        raise refused(f"{who}, predict", "an entry as axis = place from 0", repr(entry), remedy)
    return Predicted(quantity, dict(entry))


def _known(table: dict, keys: tuple[str, ...], who: str) -> None:
    for key in table:
        if key not in keys:
            raise refused(who, "keys that it knows", repr(key), nearest(key, keys))


def _words(table: dict, key: str, who: str) -> str:
    said = table.get(key)
    if not isinstance(said, str) or not said.strip():
        raise refused(who, f"a text as its {key}", _shown(said), f"Write {key} = '...'")
    return said.strip()


def _table(table: dict, key: str, who: str) -> dict | None:
    said = table.get(key)
    if said is not None and not isinstance(said, dict):
        raise refused(who, f"a table as its {key}", repr(said), f"Write [steps.{key}]")
    return said


def _list(table: dict, key: str, who: str) -> tuple | None:
    said: Any = table.get(key)
    if said is not None and (
        not isinstance(said, list) or not all(isinstance(one, (str, dict)) for one in said)
    ):
        raise refused(who, f"a list of kinds as its {key}", repr(said), f"Write {key} = ['loss']")
    return None if said is None else tuple(said)


def _shown(said: object) -> str:
    return "none" if said is None else repr(said)
