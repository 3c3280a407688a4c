"""Branches: runs of a lab, each a run like any other in a thread of its own, which waits between
its blocks while it is not played."""

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from learnmech.errors import Refused, saying
from learnmech.experiment.recipe import Experiment
from learnmech.instruments.base import Instrument
from learnmech.lab.courses import Course, Kept
from learnmech.march.timeline import Timeline
from learnmech.record.base import Record, final_of, tabulated
from learnmech.record.checkpoints import InMemory, OnDisk
from learnmech.record.provenance import provenance
from learnmech.record.replay import Way
from learnmech.runs import running
from learnmech.runs.blocks import Block, Wish
from learnmech.runs.sinks import Stopped
from learnmech.theories.base import Theory

PICTURE = 1 / 30
"""Seconds of a block: from one picture of a screen to the next."""
RESTED = 0.3
"""Seconds of rest after which what waits to be written is written."""
LONGEST = 0.1
"""Seconds of a block where nobody looks on."""


class Pacer:
    """The sink by which a branch is played: it makes the run wait, and says how far a block goes.

    `playing` until it is paused, or for `left` positions or up to the mark `until`, and at most
    `speed` marks a second.
    """

    def __init__(self, branch: "Branch"):
        self.branch, self.turned = branch, threading.Condition()
        self.playing, self.stopping = False, False
        self.left: int | None = None
        self.until: int | None = None
        self.speed: float | None = None
        self.watched: Callable[[], bool] = lambda: True
        self.rate, self._due = 0.0, 0.0
        self._began, self._fresh = time.perf_counter(), True
        self._flush: Callable[[], None] = lambda: None

    def turn(self, **changed: Any) -> None:
        """Change what is asked for, from any thread."""
        with self.turned:
            for name, value in changed.items():
                setattr(self, name, value)
            self._due = 0.0
            self.turned.notify_all()

    @property
    def goes(self) -> bool:
        """Whether the run is to go on now."""
        return self.playing or bool(self.left) or self.until is not None

    def begin(
        self,
        timeline: Timeline,
        watch: tuple[Instrument, ...],
        made: dict,
        flush: Callable[[], None],
    ) -> None:
        """What is run, before its first block."""
        self.branch.begun(timeline, made)
        self._flush, self._fresh = flush, True

    def wish(self, position: int) -> Wish:
        """How far the next block goes; waits while the branch is not played."""
        with self.turned:
            rested = False
            while not self.stopping:
                now = time.perf_counter()
                if self.goes and now >= self._due:
                    break
                if not self.goes and self.branch.status == "running":
                    self.branch.tell("paused")
                if self.goes:
                    self.turned.wait(self._due - now)
                elif not self.turned.wait(None if rested else RESTED):
                    rested = True
                    self._flush()
            if self.stopping:
                raise Stopped
            most = self._most(position)
        if self.branch.status != "running":
            self.branch.tell("running")
        self._began = time.perf_counter()
        return Wish(PICTURE if self.watched() else LONGEST, most)

    def _most(self, position: int) -> int | None:
        """Positions of the next block at most."""
        bounds, positions = [], self.branch.timeline.positions
        if self.left:
            bounds.append(self.left)
        mark = self.branch.course.reached
        if self.until is not None:
            bounds.append(int(positions[min(self.until, len(positions)) - 1]) + 1 - position)
        if self.speed is not None:
            some = max(1, int(self.speed * PICTURE))
            bounds.append(int(positions[min(mark + some, len(positions)) - 1]) + 1 - position)
            self._due = max(self._due, time.perf_counter() - 0.5) + some / self.speed
        elif self._fresh:  # something is to be seen soon; the first block of all compiles besides
            some = mark + max(1, min(8, int(self.rate * PICTURE / 2)))
            bounds.append(int(positions[min(some, len(positions)) - 1]) + 1 - position)
        self._fresh = False
        return max(1, min(bounds)) if bounds else None

    def take(self, block: Block) -> None:
        """Keep a block, and say that there is news."""
        branch = self.branch
        before, marks = branch.position, block.progress.reached - block.first
        branch.took(block)
        if self.left is not None:
            left = self.left - max(branch.position - before, 0)
            self.left = left if left > 0 else None
        if self.until is not None and block.progress.reached >= self.until:
            self.until = None
        spent = max(time.perf_counter() - self._began, 1e-6)
        if marks:
            self.rate = marks / spent if not self.rate else 0.8 * self.rate + 0.2 * marks / spent
        branch.news()


class Branch:
    """One run of a lab: how it came to be, what was read, and from where it is replayed.

    `status` is `ready`, `running`, `paused`, `finished`, `diverged`, `interrupted` or `failed`;
    `position` the step at which it stands, for flows the index of the mark.
    """

    def __init__(
        self,
        name: str,
        title: str,
        laid: running.Leaving,
        folder: Path | None,
        news: Callable[["Branch"], None],
        parent: "Branch | None" = None,
        at: int = 0,
        theories: tuple[Theory, ...] = (),
        about: dict | None = None,
    ):
        self.name, self.title, self.parent, self.at = name, title, parent, at
        self.laid, self.folder, self.theories = laid, folder, theories
        self.about = about or {}
        self.timeline, self.watch = laid.timeline, laid.watch
        self.position = 0 if laid.after is None else laid.after.position
        self.checkpoint = laid.after
        first = int(np.searchsorted(self.timeline.positions, self.position))
        self.course = Course(self.timeline, self.watch, first)
        self.kept: InMemory | OnDisk = Kept()
        if laid.after is not None:
            self.kept.keep(laid.after)
        self.made: dict | None = None
        self.record: Record | None = None
        self.status, self.note = "ready", ""
        self.pacer, self._news = Pacer(self), news
        self._thread: threading.Thread | None = None
        self.drawn: list[dict] = []
        self.drawn_in: tuple[bool, bool] = (False, False)

    @classmethod
    def of(cls, name: str, title: str, record: Record, news, theories=(), about=None) -> "Branch":
        """A run that was made before."""
        laid = running.Leaving(record.timeline, record.watch)
        made = cls.__new__(cls)
        made.name, made.title, made.parent, made.at = name, title, None, 0
        made.laid, made.folder, made.theories, made.about = (
            laid,
            record.folder,
            theories,
            about or {},
        )
        made.timeline, made.watch, made.record = record.timeline, record.watch, record
        made.made, made.position, made.checkpoint = record.provenance, record.position, None
        made.course, made.kept = Course.of(record), record.kept
        ended = any(note.startswith("diverged") for note in record.notes)
        stopped = record.reached < len(record.timeline.positions)
        made.status = "diverged" if ended else "interrupted" if stopped else "finished"
        made.note = "; ".join(record.notes)
        made.pacer, made._news, made._thread = Pacer(made), news, None
        made.drawn, made.drawn_in = [], (True, True)
        return made

    @property
    def experiment(self) -> Experiment:
        """What is run."""
        return self.timeline.start.experiment

    @property
    def begins(self) -> int:
        """The position at which it begins: 0, or where it left its parent."""
        if self.laid.after is not None:
            return self.laid.after.position
        return int(((self.made or {}).get("parent") or {}).get("place", 0))

    @property
    def over(self) -> bool:
        """Whether it has ended, however."""
        return self.status in ("finished", "diverged", "failed", "interrupted")

    @property
    def way(self) -> Way:
        """What is walked over to replay it, also while it is being made."""
        made = self.made
        if made is None:
            made = self.made = provenance(
                self.experiment, 0.0, self.laid.parent, self.watch, self.timeline.start.data.said
            )
        return Way(self.timeline, self.kept, made)

    def so_far(self) -> Record:
        """Its record, as far as it is."""
        if self.record is not None:
            return self.record
        timeline, made = self.way.timeline, dict(self.way.provenance)
        reached = self.course.reached
        readings = self.course.memory.readings(reached)
        tables = tabulated(timeline, self.watch, readings, self.course.first, reached)
        state = timeline.start.state if self.checkpoint is None else self.checkpoint.state
        return Record(
            self.experiment,
            tables,
            final_of(state),
            made,
            watch=self.watch,
            reached=reached,
            kept=self.kept,
            folder=self.folder,
            prepared=[timeline],
        )

    def parting(self) -> "Standing":
        """What a fork of it is made of: its record, without the tables, which a fork does not ask
        for."""
        return Standing(
            self.experiment,
            {},
            {},
            self.way.provenance,
            watch=self.watch,
            reached=self.course.reached,
            kept=self.kept,
            folder=self.folder,
            prepared=[self.timeline],
            here=self.position,
        )

    def play(self, **asked: Any) -> None:
        """Go on, until paused or for as far as is asked."""
        if self.status in ("finished", "diverged", "failed"):
            return
        self.pacer.turn(**asked)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"lab {self.name}", daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """Wait behind the block that is being made."""
        self.pacer.turn(playing=False, left=None, until=None)

    def stop(self, wait: float = 0.0) -> None:
        """End it behind its block; its folder keeps what is whole, and can be gone on with."""
        self.pacer.turn(stopping=True)
        if self._thread is not None and wait:
            self._thread.join(wait)

    def begun(self, timeline: Timeline, made: dict) -> None:
        """It begins, or goes on after it was stopped: with the arrays that it fills."""
        self.made = made
        if timeline is not self.timeline:
            before, self.timeline = self.course, timeline
            self.course = Course(timeline, self.watch, before.first)
            self.course.fill(before)

    def took(self, block: Block) -> None:
        """Keep what a block has read, and where it can be gone on from."""
        self.course.take(block)
        self.checkpoint, self.position = block.checkpoint, block.checkpoint.position
        if isinstance(self.kept, Kept):
            self.kept.see(block.checkpoint)

    def tell(self, status: str, note: str = "") -> None:
        """Say how it is with the run."""
        self.status, self.note = status, note or self.note
        self.news()

    def news(self) -> None:
        """Say that there is something new."""
        self._news(self)

    def _run(self) -> None:
        try:
            if self.status == "interrupted" and self.folder is not None:
                made = running.resume(self.folder, False, sinks=(self.pacer,))
            else:
                made = running.perform(*self.laid, None, (self.pacer,), self.folder)
            notes = "; ".join(made.notes)
            if any(note.startswith("interrupted") for note in made.notes):
                self.tell("interrupted", notes)
                return
            kept = self.kept if isinstance(self.kept, Kept) else made.kept
            # read back from its folder it would have to be made ready anew
            self.record = dataclasses.replace(made, prepared=[self.timeline], kept=kept)
            self.news()
            ended = any(note.startswith("diverged") for note in made.notes)
            self.tell("diverged" if ended else "finished", notes)
        except Stopped:
            self.tell("interrupted")
        except Refused as refusal:
            self.tell("failed", str(refusal))
        except BaseException as error:
            self.tell("failed", saying(error))
        finally:
            self.pacer.turn(playing=False, left=None, until=None)
            self.news()


class Standing(Record):
    """A record of a run that is being made, which stands at the position `here`: in the middle
    between two marks, perhaps."""

    here: int = 0

    def __init__(self, *given, here: int = 0, **named):
        super().__init__(*given, **named)
        object.__setattr__(self, "here", here)

    @property
    def position(self) -> int:
        """Where it stands."""
        return self.here
