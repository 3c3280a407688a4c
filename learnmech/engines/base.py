"""An engine: something that performs a function elsewhere and hands back what it gives."""

import abc
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

from learnmech.errors import refused

# How often a bundle is given again whose worker died before it had finished anything of it.
TRIES = 3


class Engine(abc.ABC):
    """Where works are performed: `width` of them at a time.

    `lasting` workers take one bundle of work after another and keep what they have compiled; of
    others each bundle is a job of its own. A future raises one of `lost` where its worker died;
    `together` where the death of one ends the work of all.
    """

    lasting, together = True, False
    tries = TRIES
    lost: tuple[type[BaseException], ...] = (BrokenExecutor,)

    def __init__(self, name: str, width: int):
        self.name, self.width = name, width

    @abc.abstractmethod
    def start(self, work: Callable, given: Sequence[tuple]) -> list[Future]:
        """Begin `work(*one)` for each of these; the futures of what they give."""

    def look(self) -> None:  # noqa: B027  (an engine that knows nothing of its workers says nothing)
        """Say what has happened to workers since it was last looked."""

    def renew(self) -> None:  # noqa: B027  (most lose one worker and no other)
        """Make the engine work again after a worker was lost."""

    def stop(self, running: Sequence[Future]) -> None:
        """Cancel what was begun: nobody waits for it any more."""
        for future in running:
            future.cancel()

    def close(self) -> None:  # noqa: B027  (most hold nothing)
        """Give back what was taken to work with."""


class Given(Engine):
    """An executor of the caller's own, which stays open. What it has lost cannot be given again:
    only its owner can make it anew."""

    tries = 0

    def __init__(self, executor: Executor):
        width = getattr(executor, "_max_workers", None) or _cores_of(executor)
        super().__init__(type(executor).__name__, int(width))
        self.executor = executor

    def start(self, work, given):
        """One submission each."""
        return [self.executor.submit(work, *one) for one in given]


def _cores_of(executor: Any) -> int:
    """How many workers an executor of Dask has; one where it does not say."""
    try:
        return max(1, sum(executor._client.ncores().values()))
    except Exception:  # whatever it is, it need not be Dask's
        return 1


def needed(module: str, extra: str, name: str):
    """A module of an engine; refuses, with the extra to install, where it is not there."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise refused(
            f"The engine {name}",
            f"the package {module.partition('.')[0]}",
            f"{type(error).__name__}: {error}",
            f"Install it: pip install 'learnmech[{extra}]'",
        ) from None
