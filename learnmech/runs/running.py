"""The run: an experiment marched from mark to mark, streamed block by block, kept as a record."""

import contextlib
import contextvars
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, Start, given, prepare
from learnmech.instruments.base import Instrument
from learnmech.interventions.base import Intervention
from learnmech.machine.logs import LOG
from learnmech.march.timeline import Checkpoint, Timeline
from learnmech.march.watching import shapes_in, watched
from learnmech.record.base import Record, final_of, tabulated
from learnmech.record.checkpoints import BUDGET, InMemory, Schedule, nearest
from learnmech.record.finished import finished_before
from learnmech.record.folder import facts, load
from learnmech.record.given import recorded
from learnmech.record.identity import check_code
from learnmech.record.provenance import provenance
from learnmech.record.replay import Way, checkpoint_at, position_of, walk
from learnmech.record.writing import Writer
from learnmech.runs import bars
from learnmech.runs.blocks import Progress, block_size, parse_until, stream
from learnmech.runs.endings import climbing, ending
from learnmech.runs.estimates import check_room, room
from learnmech.runs.later import Later
from learnmech.runs.sinks import (
    Checkpoints,
    Folder,
    Losses,
    Memory,
    Sink,
    Stopped,
    Told,
    pace_of,
)

SURELY_FITS = 2**26
GATHERED = 0.25
"""Seconds whose short blocks are committed together, of a run that is paced."""


_HEARD: contextvars.ContextVar[Callable[[Progress], None] | None] = contextvars.ContextVar(
    "progress", default=None
)


@contextlib.contextmanager
def heard(progress: Callable[[Progress], None]) -> Iterator[None]:
    """Within it every run that is given no `progress` of its own tells this one: runs that a
    check or a sweep makes."""
    token = _HEARD.set(progress)
    try:
        yield
    finally:
        _HEARD.reset(token)


def _on_bar(progress: Progress) -> tuple[int, int, str]:
    """How far a run is, as a bar shows it."""
    where = f"time {progress.time:.4g}" if progress.step is None else f"step {progress.step}"
    return (
        progress.reached,
        progress.marks,
        where + ("" if progress.loss is None else f", loss {progress.loss:.4g}"),
    )


def run(
    experiment: Experiment | Start | str | Path,
    watch: tuple[Instrument | str, ...] | None = None,
    until: str | None = None,
    progress: bool | Callable[[Progress], None] | None = None,
    folder: str | Path | None = None,
    budget: int = BUDGET,
    keep_data: bool | None = None,
    sinks: Sequence[Sink] = (),
) -> Record:
    """Run an experiment and keep what was seen, and checkpoints of at most `budget` bytes from
    which every state can be replayed.

    With a `folder` all is written there while it runs: what is committed survives whatever happens,
    and `resume(folder)` goes on. A folder that holds this very run, finished (`finished_before`),
    is read instead, and the record's notes say so: a notebook can be run again from its top. The
    folder carries a copy of the data files that are read (`keep_data`; None: where they are under
    10 MB) and of the user's own code, so that it is read back when these are gone or changed.
    Ctrl-C keeps the blocks that are whole and says so in the record's notes. `progress=True` shows
    a bar in a terminal or a notebook; a function is told how far it is after each block.

    Each of `sinks` is given every block (`sinks.Sink`), after it was kept: to draw it, to send it
    elsewhere, or as `sinks.Stop` to end the run from another thread, which is as if by Ctrl-C.
    """
    meant, watch = given(experiment, watch)
    timeline = Timeline(meant if isinstance(meant, Start) else prepare(meant))
    watch = watched(watch, timeline.start, timeline.later())
    with bars.told(progress, "run", _on_bar, paced=False) as tell:
        own = _sinks(tell, sinks)
        return perform(timeline, watch, None, None, until, own, folder, budget, keep_data)


def fork(
    record: Record | str | Path,
    at: float,
    events: tuple[Intervention, ...],
    watch: tuple[Instrument | str, ...] | None = None,
    until: str | None = None,
    progress: bool | Callable[[Progress], None] | None = None,
    folder: str | Path | None = None,
    budget: int = BUDGET,
    changes: dict[str, object] | None = None,
    keep_data: bool | None = None,
    sinks: Sequence[Sink] = (),
) -> Record:
    """A twin that leaves a run (a record, or its folder) at a step (for flows at the time of a
    mark) and goes on with these events; the parent stays as it is.

    Its experiment is the parent's with the events added, and with `changes` of the clock; run from
    the start it is the same to the bit (a flow on other marks: to the tolerance of its solver). An
    event that says no step happens where they part. What happens to the parent later happens to the
    twin too.
    """
    leaving = leave(recorded("fork", record), at, events, watch, changes)
    with bars.told(progress, "fork", _on_bar, paced=False) as tell:
        own = _sinks(tell, sinks)
        return perform(*leaving, until, own, folder, budget, keep_data)


class Leaving(NamedTuple):
    """A run that is laid out and not begun: its timeline, what is watched, and for a fork the
    checkpoint at which it leaves its parent and what is said of that."""

    timeline: Timeline
    watch: tuple[Instrument, ...]
    after: Checkpoint | None = None
    parent: dict | None = None


def leave(
    record: Record,
    at: float,
    events: tuple[Intervention, ...],
    watch: tuple[Instrument | str, ...] | None = None,
    changes: dict[str, object] | None = None,
) -> Leaving:
    """The twin that `fork` makes, before its first step."""
    events = tuple(
        dataclasses.replace(event, at=at) if float(event.at) == 0 else event for event in events
    )
    early = [event for event in events if float(event.at) < at]
    if early:
        raise refused(
            "fork", f"events at {at:g} or later", f"{early[0]!r}", "Fork earlier, or move the event"
        )
    experiment = dataclasses.replace(record.experiment, events=(*record.experiment.events, *events))
    for path, value in (changes or {}).items():
        if not path.startswith("clock."):
            raise refused(
                "fork",
                "changes of the clock beside its events",
                path,
                "Turn the knob in an event (interventions.Change)",
            )
        experiment = experiment.with_value(path, value)
    timeline = Timeline(prepare(experiment, like=record.timeline.start if not changes else None))
    leaving = position_of(record, at)
    begun = _position_on(timeline, at) if changes else leaving
    after = checkpoint_at(record, leaving)._replace(position=begun)
    parent = {
        "fingerprint": record.experiment.fingerprint,
        "made": record.provenance["made"],
        "place": after.position,
        "at": float(at),
    }
    parent |= {"folder": str(record.folder)} if record.folder else {}
    watch = watched(
        (record.watch or None) if watch is None else watch, timeline.start, timeline.later()
    )
    return Leaving(timeline, watch, after, parent)


def _position_on(timeline, at):
    """The position at which a fork begins on a clock of its own."""
    if not timeline.flows:
        if at > timeline.last:
            raise refused(
                "fork",
                f"a clock of at least {at:g} steps",
                f"{timeline.last}",
                "Lengthen clock.steps, or fork earlier",
            )
        return int(at)
    times = timeline.marks.times
    position = int(np.argmin(np.abs(times - at)))
    if abs(times[position] - at) > 1e-9 * times[-1]:
        raise refused(
            "fork",
            f"a clock with a mark at {at:g}, where it begins",
            f"one at {times[position]:g}",
            "Choose clock.time and clock.marks so that one falls there",
        )
    return position


def resume(
    folder: str | Path,
    progress: bool | Callable[[Progress], None] | None = None,
    budget: int = BUDGET,
    sinks: Sequence[Sink] = (),
) -> Record:
    """Go on with a run that was stopped, from its last whole checkpoint; read again what is
    damaged. It ends as if it had never stopped."""
    found = facts(folder, "resume")
    if found.progress["status"] == "finished" and not load(folder).damaged:
        raise refused(
            "resume",
            "a run that is not finished",
            f"{folder}, finished at mark {found.progress['marks']}",
            "Fork it to go on from any step",
        )
    experiment, watch = found.experiment, found.watch
    check_code(found.said["provenance"], experiment, *watch)
    timeline = Timeline(prepare(experiment))
    shapes = shapes_in(timeline.start, watch)
    with Writer(Path(folder), found.said, timeline, watch) as writer:
        sound = writer.mended(found, shapes)
        after = nearest(
            writer.kept,
            int(timeline.positions[min(sound, len(timeline.positions) - 1)]),
            len(timeline.events),
            timeline,
        )
        if after is None and "parent" in found.said["provenance"]:
            raise refused(
                "resume",
                "the checkpoint at which it was forked",
                "none that is whole",
                "Fork again from its parent",
            )
        with bars.told(progress, "resume", _on_bar, paced=False) as tell:
            return _streamed(
                timeline,
                watch,
                found.said["until"],
                _sinks(tell, sinks),
                writer,
                budget,
                after,
                found.said["provenance"],
            )


def _sinks(tell, sinks) -> list[Sink]:
    tell = _HEARD.get() if tell is None else tell
    return [*([] if tell is None else [Told(tell)]), *sinks]


def perform(
    timeline: Timeline,
    watch: tuple[Instrument, ...],
    after: Checkpoint | None = None,
    parent: dict | None = None,
    until: str | None = None,
    sinks: Sequence[Sink] = (),
    folder: str | Path | None = None,
    budget: int = BUDGET,
    keep_data: bool | None = None,
) -> Record:
    """A run that is laid out, run as `run` and `fork` do."""
    if until:
        parse_until(until, watch, timeline.start)
    first = _first(timeline, after)
    readings, _, checkpoints = room(timeline, watch, budget, first)
    if folder is not None or readings > SURELY_FITS:
        check_room("run", readings + checkpoints, None if folder is None else Path(folder))
    made = provenance(timeline.start.experiment, 0.0, parent, watch, timeline.start.data.said)
    if (
        folder is not None
        and parent is None
        and finished_before(folder, timeline.start.experiment, watch, until)
    ):
        found: Any = load(folder)
        return dataclasses.replace(
            found,
            notes=(
                *found.notes,
                f"not run again: {folder} holds this very run, made {found.provenance['made']}",
            ),
        )
    if folder is None:
        return _streamed(timeline, watch, until, sinks, None, budget, after, made)
    shapes, size = shapes_in(timeline.start, watch), block_size(timeline, watch)

    def create() -> Writer:
        return Writer.create(
            folder, timeline, watch, shapes, made, until, first, size, keep_data, after
        )

    with create() if pace_of(sinks) is None else Later(folder, create) as writer:
        return _streamed(timeline, watch, until, sinks, writer, budget, after, made)


def _streamed(timeline, watch, until, sinks, writer, budget, after, made):
    began, kept = time.perf_counter(), InMemory() if writer is None else writer.kept
    notes, last, status = [timeline.marks.note] if timeline.marks.note else [], None, "finished"
    first = _first(timeline, after)
    pace = pace_of(sinks)
    readings = (
        Memory(timeline, shapes_in(timeline.start, watch), first)
        if writer is None
        else Folder(writer, 0.0 if pace is None else GATHERED)
    )
    for sink in sinks:
        if (begin := getattr(sink, "begin", None)) is not None:
            begin(timeline, watch, made, readings.flush)
    # a run that goes on is told of as one that never stopped
    losses = Losses(np.zeros(0) if writer is None else writer.committed_values("loss", first))
    checkpoints = Checkpoints(timeline, Schedule(timeline, budget, time.perf_counter), kept)
    if after is not None and writer is None:
        checkpoints.begin(after)
    kept_in = "in memory" if writer is None else str(writer.folder)
    LOG.info(
        "run %.16s %s at position %d, %s",
        made["fingerprint"],
        "begun" if after is None else "goes on",
        after.position if after else 0,
        kept_in,
    )
    try:
        for block in stream(timeline, watch, until, after=after, pace=pace):
            readings.take(block)
            losses.take(block)
            # only now: a Ctrl-C that falls into the writing of a block leaves the one before as the
            # last
            last = block
            for sink in (checkpoints, *sinks):
                sink.take(block)
    except (KeyboardInterrupt, Stopped):
        if last is None or last.progress.reached <= _first(timeline, after):
            raise
        status = "interrupted"
        kept.keep(last.checkpoint)
        notes.append(
            f"interrupted after {last.progress.reached} of {len(timeline.positions)} marks"
        )
    readings.flush()
    if last.halted:
        where = (
            f"time {last.progress.time:.6g}"
            if last.progress.step is None
            else f"step {last.progress.step}"
        )
        notes.append(ending(timeline.start, last.state.params, where, until))
    if status == "finished" and not any(note.startswith("diverged") for note in notes):
        way = Way(timeline, kept, made)
        notes += climbing(
            timeline,
            last.checkpoint,
            losses.values,
            lambda positions: (here.state for _, here, _ in walk(way, positions, ())),
        )
    final, reached = final_of(last.state), last.progress.reached
    LOG.info(
        "run %.16s %s at mark %d of %d, %s",
        made["fingerprint"],
        status,
        reached,
        len(timeline.positions),
        kept_in,
    )
    for note in notes:
        LOG.warning("run %.16s: %s", made["fingerprint"], note)
    if writer is not None:
        writer.finish(final, notes, status, reached)
        return load(writer.folder, sound=True)
    tables = tabulated(timeline, watch, readings.readings(reached), first, reached)
    made = made | {"wall_seconds": round(time.perf_counter() - began, 3)}
    return Record(
        timeline.start.experiment,
        tables,
        final,
        made,
        tuple(notes),
        watch=watch,
        reached=reached,
        kept=kept,
        prepared=[timeline],
    )


def _first(timeline, after):
    """The first mark that is read."""
    return 0 if after is None else int(np.searchsorted(timeline.positions, after.position))
