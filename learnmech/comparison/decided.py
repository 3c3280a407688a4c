"""Decided: the conditions that only the record can decide."""

from typing import Any

import numpy as np

from learnmech.comparison.alignment import known_marks
from learnmech.record.base import Record
from learnmech.theories.base import Condition


def went_on(record, said, common) -> tuple[Condition, ...]:
    """That the run, and what was read of it, went on beyond the mark at which both sides begin,
    unless what is said is of the start alone."""
    if all(said[q].sizes.get("time", 2) < 2 for q in common):
        return ()
    reached = max(known_marks(record[q]) for q in common if said[q].sizes.get("time", 2) > 1)
    marks = len(record.timeline.positions)
    claim = "the run went on beyond its first mark"
    if marks < 2:
        return (Condition(claim, marks, "2 marks", False, decided=False),)
    return () if reached >= 2 else (Condition(claim, reached, f"2 of {marks} marks", False),)


def decided(condition: Condition, record: Record) -> Condition:
    """The condition with what the record says of it, where it is one that a record decides."""
    value: object
    holds: Any
    if condition.seen is None or not condition.holds:
        return condition
    try:
        with np.errstate(all="ignore"):
            value, holds = condition.seen(record.dataset)
    # a reading that the record lacks, or has nothing in
    except (KeyError, ArithmeticError, ValueError, IndexError) as missing:
        value = f"could not be decided from the record: {type(missing).__name__}: {missing}"
        holds = None
    return condition._replace(value=value, holds=holds).settled()
