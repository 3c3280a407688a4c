"""Lanes: what is asked of a lab is done one after another by a thread, and never by the one that
hears it."""

import collections
import threading
from collections.abc import Callable
from typing import Any

MOST = 1000
"""Tasks that wait in a lane at most."""


class Lane:
    """One thread that does tasks in their order; of those that wait with one key, the last."""

    def __init__(self, name: str):
        self._tasks: collections.OrderedDict[Any, Callable[[], None]] = collections.OrderedDict()
        self._turned, self._serial, self._over, self._busy = threading.Condition(), 0, False, False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def ask(self, task: Callable[[], None], key: Any = None) -> bool:
        """Let a task wait its turn; False where too many do."""
        with self._turned:
            if len(self._tasks) >= MOST or self._over:
                return False
            self._serial += 1
            self._tasks[self._serial if key is None else key] = task
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
                while not self._tasks and not self._over:
                    self._turned.wait()
                if self._over:
                    return
                _, task = self._tasks.popitem(last=False)
                self._busy = True
            task()
