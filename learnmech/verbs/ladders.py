"""The commands ladder and explain: which axes of an experiment matter, and what they add to how far
off a theory is."""

from pathlib import Path

from learnmech.errors import refused
from learnmech.record import sealed
from learnmech.studies.ladders import explain, ladder
from learnmech.verbs.forks import DRAWN, drawn_out
from learnmech.verbs.phases import Phasing, silent
from learnmech.verbs.subjects import changed_experiment, changes_of
from learnmech.verbs.works import ready


def climb(
    subject: str,
    changes: list[str],
    axes: str | None,
    seeds: int,
    tolerance: float,
    keep: list[str],
    combinations: bool,
    theories: bool,
    out: Path | None,
    small: bool,
    on: str | None = None,
    store: Path | None = None,
    phases: Phasing = silent,
) -> dict:
    """The ladder of an exhibit's experiment, or of a text's, as plain data; its figure in a file
    where one is named."""
    ready()
    name, _, experiment = changed_experiment(subject, changes_of(changes), small)
    if seeds < 1:
        raise refused("ladder", "one seed or more", seeds, "Give for example --seeds 3")
    if out is not None:
        _drawable(out)
        if combinations:
            sealed.check_absent("--out", _beside(out))
    wanted = None if axes is None else [one.strip() for one in axes.split(",")]
    with phases(f"{name} ladder", points=True) as told:
        told.enter("running")
        found = ladder(
            experiment,
            wanted,
            None,
            seeds,
            tolerance,
            keep,
            combinations,
            theories,
            on,
            store,
            told.possible,
        )
    files = [] if out is None else [str(out)]
    if out is not None:
        drawn_out(found.show(), out)
        if found.design is not None:
            drawn_out(found.design.show(), _beside(out))
            files.append(str(_beside(out)))
    return found.plain() | {"name": name, "files": files}


def explained(
    subject: str,
    changes: list[str],
    theory: str | None,
    quantity: str | None,
    seeds: int,
    near: bool,
    out: Path | None,
    small: bool,
    on: str | None = None,
    store: Path | None = None,
    phases: Phasing = silent,
) -> dict:
    """Why a theory is as far from an experiment as it is, as plain data; its figure in a file where
    one is named."""
    ready()
    name, _, experiment = changed_experiment(subject, changes_of(changes), small)
    if seeds < 1:
        raise refused("explain", "one seed or more", seeds, "Give for example --seeds 3")
    if out is not None:
        _drawable(out)
    with phases(f"{name} explain", points=True) as told:
        told.enter("running")
        found = explain(
            experiment, theory, quantity, seeds, None, not near, on, store, told.possible
        )
    if out is not None:
        drawn_out(found.show(), out)
    return found.plain() | {"name": name, "files": [] if out is None else [str(out)]}


def _drawable(out: Path) -> None:
    """Refuse a file that is no picture, or is there."""
    if out.suffix not in DRAWN:
        what = f"a file ending in {', '.join(DRAWN)}"
        raise refused("--out", what, str(out), "Choose another name")
    sealed.check_absent("--out", out)


def _beside(out: Path) -> Path:
    """Where the figure of all combinations is, beside that of the ladder."""
    return out.with_name(f"{out.stem}-combinations{out.suffix}")
