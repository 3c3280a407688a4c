"""The diff command: what two runs, or the experiments that two texts say, differ in."""

from pathlib import Path

from learnmech.comparison.differences import diff as between
from learnmech.errors import refused
from learnmech.language import catalog
from learnmech.language.display import plain
from learnmech.verbs.subjects import changed_experiment
from learnmech.verbs.works import ready, whole


def diff(one: str, other: str, small: bool) -> dict:
    """What differs between two sides, each a run folder, a text or an exhibit; as plain data,
    with the value that is shown."""
    ready()
    names = (one, other) if one != other else (f"{one} (one)", f"{other} (other)")
    said = plain.difference(between(_side(one, small), _side(other, small), names))
    return said | {"holds": said["same"]}


def _side(name: str, small: bool):
    if Path(name).is_dir():
        return whole(name)
    if not name.endswith(".toml") and name not in catalog.exhibits():
        remedy = "See learnmech runs and learnmech list gallery"
        raise refused(
            "diff", "a run folder, an experiment's TOML file or an exhibit", repr(name), remedy
        )
    return changed_experiment(name, {}, small)[2]
