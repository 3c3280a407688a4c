"""Phases on a terminal: a bar there, lines elsewhere; always on stderr."""

import contextlib
import sys
import time
from collections.abc import Iterator

from learnmech.runs.bars import Pace
from learnmech.verbs.phases import Phases, followed

# Where stderr is no terminal a run says how far it is after so many seconds, each time after twice
# as many more.
FIRST_WORD = 5.0


class Lines(Phases):
    """Phases as they are said on stderr: by a bar, or by lines."""

    def __init__(self, name: str, bar=None):
        super().__init__(name)
        self.bar, self.task = bar, None
        # a mistake is answered by one sentence: lines wait until what was asked for is known to be
        # possible
        self._held: list[str] | None = []
        self._next, self._runs, self._reached, self._last = FIRST_WORD, 0, 0, ""
        self._pace: Pace | None = None
        if bar is not None:
            self.task = bar.add_task(name, total=None, said="")

    def enter(self, phase, group=None):
        before = self._now
        super().enter(phase, group)
        self._next, self._runs, self._pace = FIRST_WORD, 0, None
        if self.bar is not None:
            self.bar.update(self.task, description=self.name, total=None, completed=0, said=phase)
        elif phase != self._last and (
            self._now != before or phase.startswith("laying")
        ):  # lines are not many: one where it was looked for many theories
            self._say(f"{self.name}: {phase}")
        self._last = phase

    def settle(self):
        held, self._held = self._held or [], None
        for words in held:
            _line(words)

    def _say(self, words: str) -> None:
        _line(words) if self._held is None else self._held.append(words)

    def tell(self, words):
        if self.bar is not None:
            self.bar.console.print(words, markup=False, soft_wrap=True, highlight=False)
        else:
            self._say(words)

    def show(self, progress):
        self._far(progress.reached, progress.marks, _where(progress))

    def further(self, progress):
        if progress.reached <= self._reached or not self._runs:
            self._runs += 1
        self._reached = progress.reached
        self._far(
            progress.reached,
            progress.marks,
            f"further run {self._runs}: {_where(progress)}",
            last=False,
        )

    def counted(self, done, of):
        self._pace = self._pace or Pace()
        self._far(done, of, f"{done} of {of}{self._pace.told(done)}")

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


@contextlib.contextmanager
def on_stderr(name: str, points: bool = False) -> Iterator[Phases]:
    """The phases of a command, said on stderr."""
    with contextlib.ExitStack() as stack:
        bar = None
        if sys.stderr.isatty():
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
        yield stack.enter_context(followed(Lines(name, bar), further=not points))
