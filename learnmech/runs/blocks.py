"""Blocks: a run in pieces of about a quarter of a second, each given as soon as it is whole."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from learnmech.errors import nearest as close
from learnmech.errors import refused
from learnmech.experiment.recipe import Start
from learnmech.instruments.base import Instrument
from learnmech.march.loop import Until
from learnmech.march.stages import Checkpoint, Course, laid, marched
from learnmech.march.watching import mark_bytes, watched
from learnmech.runs.estimates import seconds_of
from learnmech.system.state import State

BLOCK_BYTES, SECONDS = 64 * 2**20, 0.25
ROUNDED = 256
"""Marks of a block up to which they are rounded down to a power of two."""


class Progress(NamedTuple):
    """How far a run is: marks reached of all, the last step and time, and the last training loss
    where it is watched."""

    reached: int
    marks: int
    step: int | None
    time: float
    loss: float | None


class Block(NamedTuple):
    """One block of a run: its readings by cadence from mark `first` on, where the run can go on
    after it, whether it stopped here, and how far it is."""

    first: int
    readings: dict[int, dict[str, np.ndarray]]
    checkpoint: Checkpoint
    halted: bool
    progress: Progress

    @property
    def state(self) -> State:
        """The state after the block."""
        return self.checkpoint.state


def parse_until(text: str, watch: tuple[Instrument, ...], start: Start) -> Until:
    """`loss<1e-6` as a stopping rule on a scalar quantity that is watched at every mark."""
    for sign in "<>":
        name, found, bound = text.partition(sign)
        if found:
            scalars = [
                q.name
                for i in watch
                if i.every == 1
                for q in i.quantities(start.system, start.state.params)
                if not q.axes
            ]
            if name.strip() not in scalars:
                raise refused(
                    "until",
                    "a scalar quantity watched at every mark",
                    repr(name.strip()),
                    close(name.strip(), scalars),
                )
            try:
                if np.isnan(float(bound)):
                    raise ValueError
                return Until(name.strip(), sign == "<", np.asarray(float(bound)))
            except ValueError:
                raise refused(
                    "until", "a number to compare with", repr(bound), "Write for example loss<1e-6"
                ) from None
    raise refused("until", "a comparison", repr(text), "Write for example loss<1e-6")


def stream(
    start: Start | Course,
    watch: tuple[Instrument | str, ...] | None = None,
    until: str | None = None,
    seconds: float = SECONDS,
    room: int = BLOCK_BYTES,
    after: Checkpoint | None = None,
) -> Iterator[Block]:
    """The run as blocks, each of about so many seconds and at most so many bytes, yielded as
    soon as it is whole; from a checkpoint where one is given."""
    course = start if isinstance(start, Course) else Course(start)
    start = course.start
    watch = watched(watch, start, course.later())
    stop = parse_until(until, watch, start) if until else None
    stage = course.begin() if after is None else course.resumed(after)
    place, state = (0, start.state) if after is None else (after.place, after.state)
    size = _block_size(course, watch, seconds, room)
    stride, mark = _stride(course, size), int(np.searchsorted(course.places, place))
    while True:
        while stage.done < len(course.events) and course.end_of(stage) == place:
            stage, state = course.enter(stage, state)
            if stage.done == len(course.events) or course.end_of(stage) != place:
                yield Block(
                    mark,
                    {},
                    Checkpoint(place, stage.done, stage.anchors, state),
                    False,
                    _progress(course, mark, {}),
                )
        if stop is None:
            course.programs[stage.done] = watch, size
        end = min(course.end_of(stage), place + stride)
        began = time.perf_counter()
        stretch = laid(course, stage, place, end, mark, size)
        block = marched(course, stage, state, watch, stretch, stop)
        state, here, halted = block.state, int(block.reached), bool(block.halted)
        readings = {}
        for every, values in block.readings.items():
            # multiples of `every` from mark to mark + here - 1
            due = -(-(mark + here) // every) + -mark // every
            readings[every] = {name: np.asarray(value)[:due] for name, value in values.items()}
        first, mark, place = mark, mark + here, stretch.end
        yield Block(
            first,
            readings,
            Checkpoint(place, stage.done, stage.anchors, state),
            halted,
            _progress(course, mark, readings),
        )
        if halted or mark == len(course.places):
            return
        # the first block compiles; from then on a block is made as long as its time was planned
        if first:
            stride = int(
                np.clip(
                    stride * seconds / max(time.perf_counter() - began, 1e-9),
                    max(stride // 4, 1),
                    stride * 4,
                )
            )


def _progress(course, mark, readings):
    last, marks = max(mark - 1, 0), course.marks
    loss = readings.get(1, {}).get("loss", ())
    step = None if marks.steps is None else int(marks.steps[last])
    return Progress(
        mark,
        len(course.places),
        step,
        float(marks.times[last]),
        float(loss[-1]) if len(loss) else None,
    )


def gaps_of(start: Start) -> np.ndarray:
    """Steps (rules that step) or spans of time (flows) from each mark to the next, 0 at the
    last."""
    return np.append(
        np.diff(start.marks.times if start.marks.steps is None else start.marks.steps), 0
    )


def _stride(course, size):
    """Places in a first block that holds about `size` marks."""
    return max(1, -(-course.last * size // len(course.places)))


def block_size(course: Course, watch: tuple[Instrument, ...]) -> int:
    """Marks of the program that a run compiles: as many as it walks between two blocks."""
    return _block_size(course, watch)


def _block_size(course, watch, seconds=SECONDS, room=BLOCK_BYTES):
    """Marks per block, by what a step is estimated to cost and by the bytes of a mark's readings.

    Two blocks at least (of one compiled program): a full disk, or a loss beyond its bound, is met
    half way, not at the end.
    """
    blocks = np.clip(seconds_of(course.start) / seconds, 2, 40)
    wanted = int(np.ceil(len(course.places) / blocks))
    # so that runs on clocks that are somewhat longer or finer share a program
    if wanted <= ROUNDED:
        wanted = 1 << wanted.bit_length() >> 1
    return int(np.clip(room // max(mark_bytes(course.start, watch), 1), 1, wanted))
