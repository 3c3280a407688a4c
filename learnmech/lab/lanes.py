"""Lanes: what is asked of a lab is done one after another by a thread, and never by the one that
hears it."""

import collections
import threading
import time
from collections.abc import Callable
from typing import Any

MOST = 1000
"""Tasks that wait in a lane at most."""


class Lane:
    """One thread that does tasks in their order; of those that wait with one key, the last."""

    def __init__(self, name: str):
        self._tasks: collections.OrderedDict[Any, tuple[float, Callable[[], None]]]
        self._tasks = collections.OrderedDict()
        self._turned, self._serial, self._over, self._busy = threading.Condition(), 0, False, False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def ask(self, task: Callable[[], None], key: Any = None, after: float = 0.0) -> bool:
        """Let a task wait its turn, and so many seconds at least; False where too many do."""
        with self._turned:
            if len(self._tasks) >= MOST or self._over:
                return False
            self._serial += 1
            due = time.monotonic() + after
            self._tasks[self._serial if key is None else key] = due, task
            self._turned.notify_all()
            return True

    def end(self, wait: float = 0.0) -> None:
        """Do no more; wait for what is being done."""
        with self._turned:
            self._over = True
            self._tasks.clear()
            self._turned.notify_all()
        if wait and threading.current_thread() is not self._thread:
            self._thread.join(wait)

    def settled(self, seconds: float) -> bool:
        """Wait until nothing is left to do; False where that took longer."""
        with self._turned:
            return self._turned.wait_for(lambda: not self._tasks and not self._busy, seconds)

    def _work(self) -> None:
        while True:
            with self._turned:
                self._busy = False
                self._turned.notify_all()
                while not self._over and (key := self._ready()) is None:
                    self._turned.wait(self._until())
                if self._over:
                    return
                _, task = self._tasks.pop(key)
                self._busy = True
            task()

    def _ready(self):
        """The key of the first task whose time has come."""
        now = time.monotonic()
        return next((key for key, (due, _) in self._tasks.items() if due <= now), None)

    def _until(self):
        """Seconds until the next; None where none waits."""
        if not self._tasks:
            return None
        return max(min(due for due, _ in self._tasks.values()) - time.monotonic(), 0.0)
