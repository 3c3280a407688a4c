"""Blocks: a run in pieces of about a quarter of a second, each given as soon as it is whole."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from learnmech.errors import nearest as close
from learnmech.errors import refused
from learnmech.experiment.recipe import Start
from learnmech.instruments.base import Instrument
from learnmech.march.loop import Until
from learnmech.march.timeline import Checkpoint, Timeline
from learnmech.march.watching import mark_bytes, watched
from learnmech.record.base import tabulated
from learnmech.runs.estimates import seconds_of
from learnmech.system.state import State

if TYPE_CHECKING:
    import xarray as xr

BLOCK_BYTES, SECONDS = 64 * 2**20, 0.25
MARKS: int | None = None
"""Marks of every block; None: as many as take SECONDS. No number of a run depends on it."""
ROUNDED = 256
"""Marks of a block up to which they are rounded down to a power of two."""


class Wish(NamedTuple):
    """What somebody who looks on wishes of the next block: that it lasts about so many seconds,
    and goes over at most so many positions. No number of a run depends on it."""

    seconds: float
    most: int | None = None


Pace = Callable[[int], Wish]
"""From the position of a run to what is wished of its next block. It may take its time to answer,
and the run waits as long."""


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
    timeline: Timeline
    watch: tuple[Instrument, ...]

    @property
    def state(self) -> State:
        """The state after the block."""
        return self.checkpoint.state

    @property
    def tables(self) -> "dict[int, xr.Dataset]":
        """{every: what was read at each so many marks, on named axes}, made when it is asked
        for."""
        reached = self.progress.reached
        return tabulated(self.timeline, self.watch, self.readings, self.first, reached)


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
    start: Start | Timeline,
    watch: tuple[Instrument | str, ...] | None = None,
    until: str | None = None,
    seconds: float = SECONDS,
    room: int = BLOCK_BYTES,
    after: Checkpoint | None = None,
    pace: Pace | None = None,
) -> Iterator[Block]:
    """The run as blocks, each of about so many seconds and at most so many bytes, yielded as
    soon as it is whole; from a checkpoint where one is given. `pace`, where given, is asked before
    each block what is wished of it."""
    timeline = start if isinstance(start, Timeline) else Timeline(start)
    start = timeline.start
    watch = watched(watch, start, timeline.later())
    stop = parse_until(until, watch, start) if until else None
    stage = timeline.begin() if after is None else timeline.resumed(after)
    position, state = (0, start.state) if after is None else (after.position, after.state)
    size = _block_size(timeline, watch, seconds, room)
    stride, mark = _stride(timeline, size), int(np.searchsorted(timeline.positions, position))
    wish, begun = Wish(seconds), False
    while True:
        if pace is not None:
            wish = pace(position)
            if not begun:
                stride = max(1, int(stride * min(wish.seconds / seconds, 1)))
        while stage.done < len(timeline.events) and timeline.end_of(stage) == position:
            stage, state = timeline.enter(stage, state)
            if stage.done == len(timeline.events) or timeline.end_of(stage) != position:
                yield Block(
                    mark,
                    {},
                    Checkpoint(position, stage.done, stage.anchors, state),
                    False,
                    _progress(timeline, mark, {}),
                    timeline,
                    watch,
                )
        if stop is None:
            timeline.programs[stage.done] = watch, size
        ahead = stride if wish.most is None else max(min(stride, wish.most), 1)
        end = min(timeline.end_of(stage), position + ahead)
        began = time.perf_counter()
        segment = timeline.segment(stage, position, end, mark, size)
        walked = timeline.march(stage, state, watch, segment, stop)
        state, here, halted = walked.state, int(walked.reached), bool(walked.halted)
        readings = {}
        for every, values in walked.readings.items():
            # multiples of `every` from mark to mark + here - 1
            due = -(-(mark + here) // every) + -mark // every
            readings[every] = {name: np.asarray(value)[:due] for name, value in values.items()}
        first, mark = mark, mark + here
        gone = stride if pace is None else int(segment.end) - position
        position = int(segment.end)
        yield Block(
            first,
            readings,
            Checkpoint(position, stage.done, stage.anchors, state),
            halted,
            _progress(timeline, mark, readings),
            timeline,
            watch,
        )
        if halted or mark == len(timeline.positions):
            return
        # the first block compiles; from then on a block is made as long as its time was planned
        if first or (pace is not None and begun):
            planned = gone * wish.seconds / max(time.perf_counter() - began, 1e-9)
            stride = int(np.clip(planned, max(stride // 4, 1), stride * 4))
        begun = True


def _progress(timeline, mark, readings):
    last, marks = max(mark - 1, 0), timeline.marks
    loss = readings.get(1, {}).get("loss", ())
    step = None if marks.steps is None else int(marks.steps[last])
    return Progress(
        mark,
        len(timeline.positions),
        step,
        float(marks.times[last]),
        float(loss[-1]) if len(loss) else None,
    )


def _stride(timeline, size):
    """Places in a first block that holds about `size` marks."""
    return max(1, -(-timeline.last * size // len(timeline.positions)))


def block_size(timeline: Timeline, watch: tuple[Instrument, ...]) -> int:
    """Marks of the program that a run compiles: as many as it walks between two blocks."""
    return _block_size(timeline, watch)


def _block_size(timeline, watch, seconds=SECONDS, room=BLOCK_BYTES):
    """Marks per block, by what a step is estimated to cost and by the bytes of a mark's readings.

    Two blocks at least (of one compiled program): a full disk, or a loss beyond its bound, is met
    half way, not at the end.
    """
    if MARKS is not None:
        return MARKS
    blocks = np.clip(seconds_of(timeline.start) / seconds, 2, 40)
    wanted = int(np.ceil(len(timeline.positions) / blocks))
    # so that runs on clocks that are somewhat longer or finer share a program
    if wanted <= ROUNDED:
        wanted = 1 << wanted.bit_length() >> 1
    return int(np.clip(room // max(mark_bytes(timeline.start, watch), 1), 1, wanted))
