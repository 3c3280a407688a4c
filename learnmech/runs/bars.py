"""Bars: how far a run or a sweep is, on a bar in a terminal or a notebook, for whoever asks with
`progress=True`."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def told(
    progress: bool | Callable[..., None] | None,
    what: str,
    read: Callable[..., tuple[int, int, str]],
) -> Iterator[Callable[..., None] | None]:
    """What is to be told of progress: the callable itself, None for None and False, and for True a
    bar.

    `read` makes what a callable would be told into (how many are done, of how many, words beside
    the bar). The bar appears when something is first told, so that what was finished before shows
    none; where there is neither terminal nor notebook, it is not drawn.
    """
    if progress is not True:
        yield progress or None
        return
    with contextlib.ExitStack() as stack:
        tell: list[Callable[..., None]] = []

        def told_of(*arguments: Any) -> None:
            if not tell:
                tell.append(stack.enter_context(_bar(what)))
            tell[0](*read(*arguments))

        yield told_of


@contextlib.contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
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
        yield lambda done, of, said: bar.update(task, completed=done, total=of, said=said)
