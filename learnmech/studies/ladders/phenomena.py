"""Phenomena: what a person calls the thing that a simplification must not lose, as a question put
to a record."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from learnmech.comparison.plateaus import plateaus
from learnmech.errors import nearest, refused

if TYPE_CHECKING:
    from learnmech.record.base import Record

MOSTLY, SELDOM = 0.8, 0.2
NEAR = 0.1  # of the edge
LEARNED, LATER = 0.9, 10.0
RULE = (
    "kept: there in 80 % of the seeds or more; lost: in 20 % or fewer; wavers: between them. What"
    " is to be within a bound goes by its distance"
)


class Phenomenon(NamedTuple):
    """A thing that a run shows or does not: its name, the instruments it is read from, and the
    question put to a record, answered by yes, no or None (it cannot be said).

    `within` (quantity, tolerance) asks instead how far a quantity is from the full experiment's,
    `same` whether two records, the full experiment's and a simpler one's at the same seed, show the
    same.
    """

    name: str
    watch: tuple[str, ...]
    there: Callable[["Record"], bool | None] | None = None
    within: tuple[str, float] | None = None
    same: "Callable[[Record, Record], bool | None] | None" = None


def _rests(record, times) -> bool:
    return len(plateaus(np.asarray(record["time"].values), record["loss"].values)) >= times


def edge_of_stability(record: "Record") -> bool | None:
    """Whether the sharpness comes to the rule's edge and stays: over the last quarter of the marks
    rate x sharpness is within 10% of what the rule stands, and it was once below 90% of it."""
    rule = record.experiment.rule
    unit = None if rule.flows or not rule.plain else rule.edge(1.0)
    if unit is None:
        return None
    share = np.asarray(record["sharpness"].values) * float(rule.rate) / unit[1]
    last = share[-max(1, len(share) // 4) :]
    return bool(abs(last.mean() - 1) <= NEAR and share.min() < 1 - NEAR)


def grokking(record: "Record") -> bool | None:
    """Whether test samples are learned ten times later than training samples, or later still: the
    first marks after which the accuracy stays above 90%."""
    found = []
    for name in ("accuracy", "test_accuracy"):
        if name not in record:
            return None
        below = np.nonzero(~(np.asarray(record[name].values) > LEARNED))[0]
        first = int(below[-1]) + 1 if len(below) else 0
        times = np.asarray(record["time"].values)
        found.append(float(times[first]) if first < len(times) else np.inf)
    train, test = found
    if not np.isfinite(train):
        return False
    return bool(np.isfinite(test) and test >= LATER * max(train, np.finfo(float).tiny))


def half_rises(record: "Record") -> np.ndarray:
    """The mark at which each mode of the data is first half learned; NaN for one that never is."""
    fractions = np.asarray(record["mode_fraction"].values)
    there = fractions >= 0.5
    return np.where(there.any(0), there.argmax(0).astype(float), np.nan)


def order_of_modes(full: "Record", rung: "Record") -> bool | None:
    """Whether modes come to half of their strength in the same order: no two that the full
    experiment learns one after another come the other way round. Modes that are half learned at
    neighboring marks are a tie. It cannot be said where fewer than two are learned in both."""
    one, other = half_rises(full), half_rises(rung)
    if one.shape != other.shape:  # other data have other modes
        return None
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < 2:
        return None
    a, b = one[known], other[known]
    before = a[:, None] - a[None, :] < -1
    after = b[:, None] - b[None, :] > 1
    return not bool((before & after).any())


def _drift(record) -> float:
    return float(record["kernel_drift"].values[-1])


KNOWN = {
    "plateau": Phenomenon("plateau", ("loss",), lambda record: _rests(record, 1)),
    "staircase": Phenomenon("staircase", ("loss",), lambda record: _rests(record, 2)),
    "edge of stability": Phenomenon("edge of stability", ("sharpness",), edge_of_stability),
    "grokking": Phenomenon("grokking", ("accuracy",), grokking),
    "lazy": Phenomenon("lazy", ("kernel-drift",), lambda record: _drift(record) <= 0.1),
    "order of modes": Phenomenon("order of modes", ("mode-fractions",), same=order_of_modes),
    "rich": Phenomenon("rich", ("kernel-drift",), lambda record: _drift(record) >= 1.0),
}
WITHIN = re.compile(r"^(\w+) within ([0-9.]+) ?%$")


def phenomenon(keep: "str | Callable[[Record], Any] | Phenomenon") -> Phenomenon:
    """The phenomenon of a name ("staircase", "edge of stability", ...), of a bound ("test_loss
    within 5%"), or of a function of a record that says whether it is there."""
    if isinstance(keep, Phenomenon):
        return keep
    if callable(keep):
        return Phenomenon(getattr(keep, "__name__", "own"), (), keep)
    words = " ".join(str(keep).replace("-", " ").split()) if isinstance(keep, str) else ""
    bound = WITHIN.match(str(keep).strip()) if words else None
    if bound is not None and float(bound[2]) > 0:
        return Phenomenon(str(keep), (), within=(bound[1], float(bound[2]) / 100))
    if words not in KNOWN:
        raise refused(
            "ladder",
            'a phenomenon to keep, or "QUANTITY within 5%"',
            repr(keep),
            nearest(words, KNOWN),
        )
    return KNOWN[words]


def judged(full: tuple, rung: tuple) -> str:
    """kept, lost, wavers or cannot say, of the answers at each seed of the full experiment and of
    a simpler one."""
    if any(one is None for one in (*full, *rung)):
        return "cannot say"
    share = sum(map(bool, rung)) / len(rung)
    return "kept" if share >= MOSTLY else "lost" if share <= SELDOM else "wavers"
