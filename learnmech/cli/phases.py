"""Phases: what a command is at, and how far: a bar on a terminal, lines elsewhere; always on
stderr."""

import contextlib
import logging
import sys
import time

from learnmech.machine.logs import LOG
from learnmech.runs.running import heard

# Where stderr is no terminal a run says how far it is after so many seconds, each time after twice
# as many more.
FIRST_WORD = 5.0


class Phases:
    """One command's phases, as they begin, and the seconds that each has taken."""

    def __init__(self, name: str, bar=None):
        self.name, self.bar, self.task = name, bar, None
        self.spent: dict[str, float] = {}
        # a mistake is answered by one sentence: lines wait until what was asked for is known to be
        # possible
        self._held: list[str] | None = []
        self._now, self._since, self._next = "", time.perf_counter(), FIRST_WORD
        self._runs, self._reached, self._last = 0, 0, ""
        if bar is not None:
            self.task = bar.add_task(name, total=None, said="")

    def enter(self, phase: str, group: str | None = None) -> None:
        """A phase begins; its time is counted under its `group`, where many belong together."""
        before = self._now
        self.leave()
        self._now, self._next, self._runs = group or phase, FIRST_WORD, 0
        if self.bar is not None:
            self.bar.update(self.task, description=self.name, total=None, completed=0, said=phase)
        elif phase != self._last and (
            self._now != before or phase.startswith("laying")
        ):  # lines are not many: one where it was looked for many theories
            self._say(f"{self.name}: {phase}")
        self._last = phase

    def settle(self) -> None:
        """What was asked for is possible: lines that waited are said, and all others as they
        come."""
        held, self._held = self._held or [], None
        for words in held:
            _line(words)

    def _say(self, words: str) -> None:
        _line(words) if self._held is None else self._held.append(words)

    def leave(self) -> None:
        """The phase ends."""
        now = time.perf_counter()
        if self._now:
            self.spent[self._now] = self.spent.get(self._now, 0.0) + now - self._since
        self._since, self._now = now, ""

    def tell(self, words: str) -> None:
        """A line of its own."""
        if self.bar is not None:
            self.bar.console.print(words, markup=False, soft_wrap=True, highlight=False)
        else:
            self._say(words)

    def show(self, progress) -> None:
        """How far a run is."""
        self._far(progress.reached, progress.marks, _where(progress))

    def further(self, progress) -> None:
        """How far one of further runs is, of which nobody knows how many come."""
        if progress.reached <= self._reached or not self._runs:
            self._runs += 1
        self._reached = progress.reached
        self._far(
            progress.reached,
            progress.marks,
            f"further run {self._runs}: {_where(progress)}",
            last=False,
        )

    def counted(self, done: int, of: int) -> None:
        """How many of so many are done."""
        self._far(done, of, f"{done} of {of}")

    def possible(self, done: int, of: int) -> None:
        """The same of what is known to be possible once the first is done."""
        self.settle()
        self.counted(done, of)

    def _far(self, reached, of, words, last=True):
        if self.bar is not None:
            self.bar.update(self.task, total=of, completed=reached, said=words)
            return
        spent = time.perf_counter() - self._since
        if spent >= self._next and reached:
            left = f"  about {spent * (of - reached) / reached:.2g} s left" if last else ""
            self._say(f"{self.name}: {reached / of:.0%}  {words}{left}")
            self._next = 3 * spent


def _where(progress) -> str:
    at = f"t = {progress.time:.4g}" if progress.step is None else f"step {progress.step}"
    return at + ("" if progress.loss is None else f"  loss {progress.loss:.4g}")


def _line(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


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


@contextlib.contextmanager
def phases(quiet: bool, name: str, points: bool = False):
    """The phases of a command, said on stderr unless it is to be quiet; they are counted either
    way.

    Runs that are given no progress of their own are told as further runs; where the command counts
    `points`, each a run, they are not.
    """
    with contextlib.ExitStack() as stack:
        bar = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            share = TextColumn("{task.percentage:3.0f}%  {task.fields[said]}", markup=False)
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                share,
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            bar = stack.enter_context(
                Progress(*columns, console=Console(stderr=True), transient=True)
            )
        said = _Silent(name) if quiet else Phases(name, bar)
        handler, level = _Heard(said), LOG.level
        LOG.addHandler(handler)
        LOG.setLevel(min(level or logging.INFO, logging.INFO))
        try:
            with contextlib.nullcontext() if points or quiet else heard(said.further):
                yield said
        finally:
            said.leave()
            LOG.removeHandler(handler)
            LOG.setLevel(level)


class _Silent(Phases):
    """Phases of which nobody wants to hear."""

    def enter(self, phase, group=None):
        self.leave()
        self._now = group or phase

    def tell(self, words):
        pass

    def show(self, progress):
        pass

    further = show

    def counted(self, done, of):
        pass
