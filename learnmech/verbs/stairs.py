"""The staircase command: when each mode of the data was learned in a run."""

from pathlib import Path

from learnmech.comparison.staircases import staircase
from learnmech.errors import refused
from learnmech.verbs.forks import DRAWN, drawn_out
from learnmech.verbs.works import ready, whole


def stairs(run: Path, count: int, out: Path | None) -> dict:
    """When each of the strongest modes was learned, as plain data; the figure in a file where one
    is named."""
    ready()
    if out is not None and (out.suffix not in DRAWN or out.exists()):
        what = f"a new file ending in {', '.join(DRAWN)}"
        raise refused("--out", what, str(out), "Choose another name")
    found = staircase(whole(run), count)
    if out is not None:
        drawn_out(found.figure(), out)
    return found.plain() | {"file": None if out is None else str(out)}
