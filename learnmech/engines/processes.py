"""Processes of this machine, each with a Python of its own."""

import multiprocessing
from concurrent.futures import BrokenExecutor, CancelledError, ProcessPoolExecutor

from learnmech.engines.base import Engine


class Processes(Engine):
    """So many processes, begun anew (a fork would not survive JAX) and kept until the end."""

    lost, together = (BrokenExecutor, CancelledError), True

    def __init__(self, name: str, count: int):
        super().__init__(name, count)
        self._pool = self._made()

    def _made(self):
        return ProcessPoolExecutor(self.width, mp_context=multiprocessing.get_context("spawn"))

    def start(self, work, given):
        """One submission each."""
        found = []
        for one in given:
            try:
                found.append(self._pool.submit(work, *one))
            except BrokenExecutor:  # since it was last looked: what was begun is told of it
                self.renew()
                found.append(self._pool.submit(work, *one))
        return found

    def renew(self):
        """A pool of which one process was killed is broken as a whole."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._made()

    def stop(self, running):
        """What runs is ended: a run of hours would be waited for otherwise."""
        super().stop(running)
        for process in list((self._pool._processes or {}).values()):
            process.terminate()

    def close(self):
        """Wait for the processes to end."""
        self._pool.shutdown(wait=True, cancel_futures=True)
