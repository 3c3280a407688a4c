"""The map command: where over two knobs a theory holds, and where its conditions say it does."""

from pathlib import Path
from typing import Any

from learnmech.errors import refused
from learnmech.record import sealed
from learnmech.studies.maps import map_error
from learnmech.studies.maps.errors import SIZE
from learnmech.verbs.forks import DRAWN, drawn_out
from learnmech.verbs.grids import axis_values
from learnmech.verbs.phases import Phasing, silent
from learnmech.verbs.subjects import assignment, changed_experiment
from learnmech.verbs.works import ready

ENDS = ".."


def mapped(
    theory: str,
    subject: str,
    words: list[str],
    quantity: str | None,
    size: int | None,
    seeds: int,
    tolerance: float | None,
    islands: bool,
    out: Path | None,
    small: bool,
    on: str | None = None,
    store: Path | None = None,
    phases: Phasing = silent,
) -> dict:
    """The error of a theory over two knobs, as plain data; its figure in a file where one is
    named. Words are knobs to vary, path=low..high or path=geom(low,high,n), and knobs to change."""
    ready()
    knobs: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for word in words:
        path, _, written = word.partition("=")
        if ENDS in written:
            ends = written.split(ENDS)
            knobs[path] = tuple(_number(word, one) for one in ends)
        elif "(" in written or "," in written:
            knobs[path] = axis_values(written)
        else:
            name, value = assignment(word)
            changes[name] = value
    if len(knobs) != 2:
        got = ", ".join(knobs) or "none"
        raise refused("map", "two knobs as path=low..high", got, "Write rule.rate=0.01..1")
    if out is not None:
        if out.suffix not in DRAWN:
            what = f"a file ending in {', '.join(DRAWN)}"
            raise refused("--out", what, str(out), "Choose another name")
        sealed.check_absent("--out", out)
    name, _, experiment = changed_experiment(subject, changes, small)
    with phases(f"{name} map", points=True) as told:
        told.enter("running")
        found = map_error(
            theory,
            experiment,
            knobs,
            quantity,
            SIZE if size is None else size,
            seeds,
            tolerance,
            islands,
            on,
            store,
            progress=told.possible,
        )
    if out is not None:
        drawn_out(found.show(), out)
    return found.plain() | {"name": name, "files": [] if out is None else [str(out)]}


def _number(word, written) -> float:
    try:
        return float(written)
    except ValueError:
        raise refused("map", "numbers as path=low..high", repr(word), "") from None
