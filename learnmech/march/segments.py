"""Segments: the stretches of a run that are compiled as one, laid out beforehand.

A segment is arrays alone, of a size that its program fixes, so that a run of many segments compiles
once. The numbers that stand for *no mark here* are written in this file and nowhere else.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from learnmech.experiment.recipe import Start

NO_MARK = -1
"""The turn at which a slot that holds no mark is met: never."""


class Steps(NamedTuple):
    """A segment of a rule that steps.

    `first` is the index of its first mark in the run, which decides what every k-th mark is;
    `turns` (m,) how many steps lie before each mark; `steps` how many are taken. `reads_last` where
    the last mark stands at the end, and is read without a step after it. `end` is the position at
    which the segment ends.
    """

    first: Int[np.ndarray, ""]
    turns: Int[np.ndarray, " m"]
    steps: Int[np.ndarray, ""]
    reads_last: Int[np.ndarray, ""]
    end: Int[np.ndarray, ""]


class Spans(NamedTuple):
    """A segment of a flow, which goes from mark to mark.

    `first` as in `Steps`; `spans` (m,) the time from each mark to the next, `before` (m,) that from
    the segment's begin to each; `marks` how many of them are met. `end` is the position (the index
    of a mark) at which the segment ends.
    """

    first: Int[np.ndarray, ""]
    spans: Float[np.ndarray, " m"]
    before: Float[np.ndarray, " m"]
    marks: Int[np.ndarray, ""]
    end: Int[np.ndarray, ""]


Segment = Steps | Spans


def stepped(
    position: int, end: int, marks: Int[np.ndarray, " c"], size: int, first: int = 0
) -> Steps:
    """Steps from a position to another, with c marks on the way, the last perhaps at the end."""
    turns = np.full(size, NO_MARK, np.int64)
    turns[: len(marks)] = np.asarray(marks) - position
    return Steps(
        _whole(first),
        turns,
        _whole(end - position),
        _whole(len(marks) > 0 and marks[-1] == end),
        _whole(end),
    )


def flowed(spans: Float[np.ndarray, " c"], end: int, size: int, first: int = 0) -> Spans:
    """A flow over c marks, by the time from each to the next: 0 after the last mark of a run."""
    ahead = np.zeros(size)
    ahead[: len(spans)] = spans
    return Spans(_whole(first), ahead, np.cumsum(ahead) - ahead, _whole(len(spans)), _whole(end))


def without_marks(position: int, end: int, size: int) -> Steps:
    """Steps over which nothing is read, by a program that has room for `size` marks."""
    return stepped(position, end, np.zeros(0, np.int64), size)


def whole_run(start: Start) -> Segment:
    """A run without events as one segment."""
    times, steps = start.marks.times, start.marks.steps
    if steps is None:
        return flowed(np.append(np.diff(times), 0.0), len(times) - 1, len(times))
    return stepped(0, int(steps[-1]), np.asarray(steps, np.int64), len(times))


def none_of(segment: Segment) -> Segment:
    """A segment of that size which goes nowhere: its program is compiled by it, and no more."""
    if isinstance(segment, Spans):
        return flowed(np.zeros(0), 0, len(segment.spans))
    return without_marks(0, 0, len(segment.turns))


def _whole(number) -> Int[np.ndarray, ""]:
    return np.asarray(number, np.int64)
