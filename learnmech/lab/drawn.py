"""What was drawn before the run was seen: predictions by hand, kept with the run and scored when it
has covered them.

The score of a drawn curve is 1 - r, at least 0: r is the root mean square over the marks from its
first to its last point of |drawn - seen|, relative to the range of what was seen over the whole
curve that it covers. Where what was seen is positive and spans more than a factor of 30 both are
logarithms, as a panel draws them. 1 is exact; to draw a level line through the mean of what moves
evenly scores about 0.7.
"""

import contextlib
import dataclasses
import json
from typing import Any

import numpy as np

from learnmech.errors import Refused, refused
from learnmech.lab.branches import Branch
from learnmech.lab.frames import Message, spoken
from learnmech.record import sealed

POINTS_MOST, DRAWN_MOST = 2000, 100
SPAN = 30.0
FILE = "predictions.json"


def keep(branch: Branch, quantity: str, entry: Any, points: list) -> None:
    """Keep a prediction: points (time, value) of one entry of a quantity that is watched."""
    if quantity not in branch.course.names:
        raise refused(
            "A prediction", "a quantity that is watched", repr(quantity)[:80], "Choose one"
        )
    try:
        line = np.asarray(points, float)
    except (TypeError, ValueError):
        line = np.zeros(0)
    if line.ndim != 2 or line.shape[1:] != (2,) or not 2 <= len(line) <= POINTS_MOST:
        got = f"{len(points)} of another form"
        raise refused("A prediction", f"2 to {POINTS_MOST} points (time, value)", got, "Draw again")
    if not np.isfinite(line).all():
        raise refused("A prediction", "points that are numbers", "others", "Draw again")
    if len(branch.drawn) >= DRAWN_MOST:
        raise refused(
            "A prediction", f"at most {DRAWN_MOST} of a run", "one more", "Begin a new run"
        )
    line = line[np.argsort(line[:, 0], kind="stable")]
    place(branch, quantity, entry)
    said = {"quantity": quantity, "entry": entry, "points": line.tolist(), "score": None}
    branch.drawn.append(said | {"drawn_at_mark": branch.course.reached})
    put(branch)


def place(branch: Branch, quantity: str, entry: Any) -> int:
    """The place of an entry among all of its quantity: of none the first, of a number itself, of
    {axis: place from 0} where that is."""
    shape = branch.course.readings(quantity).values.shape[1:]
    size = int(np.prod(shape, dtype=int))
    if entry is None:
        return 0
    if isinstance(entry, int) and not isinstance(entry, bool) and 0 <= entry < size:
        return entry
    if isinstance(entry, list) and len(entry) == 1:
        return place(branch, quantity, entry[0])
    if isinstance(entry, dict) and all(isinstance(one, int) for one in entry.values()):
        with contextlib.suppress(ValueError):
            return int(np.ravel_multi_index(tuple(entry.values()), shape)) if shape else 0
    raise refused(
        "A prediction", f"an entry of {quantity}, below {size}", repr(entry)[:80], "Choose one"
    )


def settle(branch: Branch) -> list[Message]:
    """The messages `scored` of what the run has covered now."""
    if not branch.drawn:
        return []
    found: list[Message] = []
    where = _kept_in(branch)
    for said in branch.drawn:
        if said["score"] is None:
            with contextlib.suppress(Refused):
                said["score"] = score(branch, said)
            if said["score"] is not None:
                found.append(scored(branch, said))
    if found or where != branch.drawn_in:
        put(branch)
    return found


def _kept_in(branch: Branch) -> tuple[bool, bool]:
    """Whether there is a run folder by now, and a record."""
    folder = branch.folder is not None and (branch.folder / "run.json").is_file()
    return folder, branch.record is not None


def scored(branch: Branch, said: dict) -> Message:
    """A score as a message."""
    return {
        "is": "scored",
        "branch": branch.name,
        "quantity": said["quantity"],
        "entry": said["entry"],
        "score": said["score"],
        "words": words_of(said["score"]),
    }


def words_of(score: float) -> str:
    """A score in words."""
    if score >= 0.95:
        return f"{score:.2f}: as it came"
    if score >= 0.8:
        return f"{score:.2f}: close"
    if score >= 0.5:
        return f"{score:.2f}: the shape of it"
    return f"{score:.2f}: it came otherwise"


def score(branch: Branch, said: dict) -> float | None:
    """1 - r of a prediction; None where the run has not come to its end yet."""
    line = np.asarray(said["points"], float)
    readings = branch.course.readings(said["quantity"])
    if not len(readings.values):
        return None
    times = branch.timeline.marks.times[readings.marks]
    over = branch.over or branch.course.reached == len(branch.timeline.positions)
    if times[-1] < line[-1, 0] and not over:
        return None
    values = readings.values.reshape(len(readings.values), -1)
    seen = values[:, place(branch, said["quantity"], said["entry"])].astype(float)
    within = (times >= line[0, 0]) & (times <= line[-1, 0]) & np.isfinite(seen)
    if not within.any():
        return None
    drawn, seen = np.interp(times[within], line[:, 0], line[:, 1]), seen[within]
    if seen.min() > 0 and seen.max() > SPAN * seen.min():
        drawn, seen = np.log(np.maximum(drawn, seen.min() * 1e-3)), np.log(seen)
    reach = float(seen.max() - seen.min()) or abs(float(seen[0])) or 1.0
    return float(max(0.0, 1 - np.sqrt(np.mean((drawn - seen) ** 2)) / reach))


def put(branch: Branch) -> None:
    """Keep what was drawn with the run: sealed beside it in its folder, and in its record."""
    held = json.loads(json.dumps(spoken({"predictions": branch.drawn})))
    branch.drawn_in = _kept_in(branch)
    if branch.folder is not None and branch.drawn_in[0]:
        with contextlib.suppress(OSError):
            sealed.write(branch.folder, FILE, held, lasting=False)
    if branch.record is not None:
        result = branch.record.result | {"predictions": held["predictions"]}
        branch.record = dataclasses.replace(branch.record, result=result)
