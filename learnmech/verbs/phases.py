"""Phases: what a verb is at, and how far; a face that shows them overrides what it hears."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from learnmech.machine.logs import LOG
from learnmech.runs.blocks import Progress
from learnmech.runs.running import heard


class Phases:
    """One verb's phases, as they begin, and the seconds that each has taken. Says nothing."""

    def __init__(self, name: str):
        self.name = name
        self.spent: dict[str, float] = {}
        self._now, self._since = "", time.perf_counter()

    def enter(self, phase: str, group: str | None = None) -> None:
        """A phase begins; its time is counted under its `group`, where many belong together."""
        self.leave()
        self._now = group or phase

    def leave(self) -> None:
        """The phase ends."""
        now = time.perf_counter()
        if self._now:
            self.spent[self._now] = self.spent.get(self._now, 0.0) + now - self._since
        self._since, self._now = now, ""

    def settle(self) -> None:
        """What was asked for is possible."""

    def tell(self, words: str) -> None:
        """A line of its own."""

    def show(self, progress: Progress) -> None:
        """How far a run is."""

    def further(self, progress: Progress) -> None:
        """How far one of further runs is, of which nobody knows how many come."""

    def counted(self, done: int, of: int) -> None:
        """How many of so many are done."""

    def possible(self, done: int, of: int) -> None:
        """The same of what is known to be possible once the first is done."""
        self.settle()
        self.counted(done, of)


Phasing = Callable[..., contextlib.AbstractContextManager[Phases]]
"""(name of what is done, points=False) -> the phases of it; where a verb counts `points`, each a
run, these are not told as further runs."""


@contextlib.contextmanager
def followed(phases: Phases, further: bool) -> Iterator[Phases]:
    """Phases that hear what lower floors say they are at and, where asked for, of `further` runs,
    those that are given no progress of their own."""
    handler, level = _Heard(phases), LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        with heard(phases.further) if further else contextlib.nullcontext():
            yield phases
    finally:
        phases.leave()
        LOG.removeHandler(handler)
        LOG.setLevel(level)


def silent(name: str, points: bool = False) -> contextlib.AbstractContextManager[Phases]:
    """Phases that are counted, and of which nobody wants to hear."""
    return followed(Phases(name), further=False)


class _Heard(logging.Handler):
    """What lower floors say they are at becomes a phase: laying a theory, drawing, writing."""

    def __init__(self, phases: Phases):
        super().__init__(logging.INFO)
        self.phases = phases

    def emit(self, record):
        said = record.getMessage()
        group = next((group for word, group in GROUPS.items() if said.startswith(word)), None)
        if group is not None and record.levelno == logging.INFO:
            self.phases.enter(said, group)


GROUPS = {
    "laying": "theories",
    "looking": "which theories apply",
    "drawing": "report",
    "writing": "report",
    "checking": "its checks",
}
