"""Workers of a Dask cluster."""

from concurrent.futures import CancelledError

from learnmech.engines.base import Engine, needed
from learnmech.errors import refused
from learnmech.machine.logs import LOG

# Seconds to wait for the scheduler, and then for a first worker: those of a queue come late.
ANSWER, FIRST_WORKER = 10.0, 120.0


class OnDask(Engine):
    """The workers that a Dask scheduler has, `address` as `tcp://host:8786`, `host:8786` or the
    path of a scheduler file.

    Dask gives work of a lost worker to another by itself, three times, and then fails it.
    """

    tries = 0

    def __init__(self, name: str, address: str):
        distributed = needed("distributed", "dask", name)
        try:
            where = (
                {"scheduler_file": address} if address.endswith(".json") else {"address": address}
            )
            self._client = distributed.Client(**where, timeout=ANSWER, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise refused(
                f"The engine {name}",
                "a Dask scheduler that answers",
                f"{type(error).__name__} at {address}",
                "Start one: dask scheduler, and on every node dask worker ADDRESS --nthreads 1",
            ) from None
        try:
            self._client.wait_for_workers(1, timeout=FIRST_WORKER)
        except TimeoutError:
            self._client.close()
            raise refused(
                f"The engine {name}",
                "a worker",
                f"none within {FIRST_WORKER:g} s at {address}",
                f"Start one: dask worker {address} --nthreads 1",
            ) from None
        super().__init__(name, max(1, sum(self._client.ncores().values())))
        self.lost = (distributed.scheduler.KilledWorker, CancelledError)
        self._executor = self._client.get_executor(pure=False, retries=0)
        self._there = set(self._client.ncores())

    def start(self, work, given):
        """One submission each; a task asked for twice is performed twice (`pure=False`)."""
        return [self._executor.submit(work, *one) for one in given]

    def look(self):
        """Workers that are gone: what they had is with others."""
        now = set(self._client.ncores())
        for gone in sorted(self._there - now):
            LOG.warning("the worker %s is gone; what it was at is given to others", gone)
        for come in sorted(now - self._there):
            LOG.info("the worker %s has come", come)
        self.width, self._there = max(1, len(now)), now

    def close(self):
        """Leave the cluster as it is."""
        self._executor.shutdown(wait=False)
        self._client.close()
