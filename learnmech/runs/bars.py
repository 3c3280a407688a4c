"""Bars: how far a run or a sweep is, on a bar in a terminal or a notebook, for whoever asks with
`progress=True`."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def told(
    progress: bool | Callable[..., None] | None,
    what: str,
    read: Callable[..., tuple[int, int, str]],
    paced: bool = True,
) -> Iterator[Callable[..., None] | None]:
    """What is to be told of progress: the callable itself, None for None and False, and for True a
    bar.

    `read` makes what a callable would be told into (how many are done, of how many, words beside
    the bar); where what is counted is `paced`, as runs are and marks are not, how many come in a
    second stands behind them. The bar appears when something is first told, so that what was
    finished before shows none; where there is neither terminal nor notebook, it is not drawn.
    """
    if progress is not True:
        yield progress or None
        return
    with contextlib.ExitStack() as stack:
        tell: list[Callable[..., None]] = []

        def told_of(*arguments: Any) -> None:
            if not tell:
                tell.append(stack.enter_context(_bar(what, paced)))
            tell[0](*read(*arguments))

        yield told_of


@contextlib.contextmanager
def _bar(what: str, paced: bool) -> Iterator[Callable[[int, int, str], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)  # what is written on stdout may go into a pipe
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[said]}", markup=False),
    )
    drawn = console.is_terminal or console.is_jupyter
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not drawn
    ) as bar:
        task = bar.add_task(what, total=None, said="")
        pace = Pace()

        def update(done: int, of: int, said: str) -> None:
            said += pace.told(done) if paced else ""
            bar.update(task, completed=done, total=of, said=said)

        yield update


class Pace:
    """How many are done in a second, or in a minute where that is less than one, since the first
    that was told: those were there before."""

    def __init__(self) -> None:
        self.first: tuple[int, float] | None = None

    def told(self, done: int) -> str:
        """The words behind how many are done; none before there is something to say."""
        now = time.perf_counter()
        if self.first is None:
            self.first = done, now
        spent = now - self.first[1]
        count = done - self.first[0]
        if spent <= 0 or count <= 0:
            return ""
        rate = count / spent
        return f", {rate:.3g} a second" if rate >= 1 else f", {60 * rate:.3g} a minute"
