"""The curve command: how well a kernel learns from n samples, measured and predicted."""

from pathlib import Path

from learnmech.comparison.learning_curves import learning_curve
from learnmech.errors import refused
from learnmech.record import sealed
from learnmech.verbs.forks import DRAWN, drawn_out
from learnmech.verbs.grids import axis_values
from learnmech.verbs.subjects import changed_experiment, changes_of
from learnmech.verbs.works import ready, whole

WRITTEN = (*DRAWN, ".csv")


def curve(
    subject: str,
    changes: list[str],
    kernel: str,
    view: str,
    n: str | None,
    ridge: str,
    splits: int,
    at: float | None,
    out: Path | None,
    small: bool,
) -> dict:
    """The learning curve of an experiment's kernel, or of the tangent kernel in a run folder, as
    plain data; drawn, or written as .csv, where a file is named."""
    ready()
    if out is not None:
        if out.suffix not in WRITTEN:
            what = f"a file ending in {', '.join(WRITTEN)}"
            raise refused("--out", what, str(out), "Choose another name")
        sealed.check_absent("--out", out)
    sizes = None if n is None else [int(one) for one in _numbers("--n", n)]
    ridges = _numbers("--ridge", ridge)
    if Path(subject).is_dir():
        if changes:
            remedy = "Give the experiment in place of its run folder"
            raise refused("curve", "no knobs beside a run folder", changes[0], remedy)
        of: object = whole(subject)
    else:
        of = changed_experiment(subject, changes_of(changes), small)[2]
    found = learning_curve(
        of, view=view, n=sizes, ridge=ridges, splits=splits, kernel=kernel, at=at
    )
    if out is not None and out.suffix == ".csv":
        found.to_csv(out)
    elif out is not None:
        drawn_out(found.figure(), out)
    return found.plain() | {"file": None if out is None else str(out)}


def _numbers(option, written) -> list[float]:
    try:
        return [float(one) for one in axis_values(written)]
    except (TypeError, ValueError):
        remedy = "Write 0,1 or geom(20,1000,8)"
        raise refused(option, "numbers", repr(written), remedy) from None
