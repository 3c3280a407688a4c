"""Workers of a Ray cluster."""

import os

from learnmech.engines.base import Engine, needed
from learnmech.errors import refused

HERE = ("auto", "local")


class OnRay(Engine):
    """The cores of a Ray cluster, one task each: `auto` (the cluster that this machine belongs to,
    or the one that this process has begun), `local` (one begun here, for as long as it is needed)
    or the address of its head."""

    def __init__(self, name: str, address: str):
        # it tells its makers of every use unless it is told not to
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray = self._ray = needed("ray", "ray", name)
        self._mine = not ray.is_initialized()
        if self._mine:
            where = {} if address == "local" else {"address": address}
            try:
                ray.init(**where, include_dashboard=None if where else False, log_to_driver=False)
            except (ConnectionError, ValueError, RuntimeError, OSError) as error:
                raise refused(
                    f"The engine {name}",
                    "a Ray cluster that answers",
                    f"{type(error).__name__} at {address}",
                    "Start one: ray start --head, and on every other node ray start --address=HEAD",
                ) from None
        super().__init__(name, max(1, int(ray.cluster_resources().get("CPU", 1))))
        self.lost = (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.RaySystemError,
            ray.exceptions.ObjectLostError,
        )
        self._begun: dict = {}

    def start(self, work, given):
        """One task each. What is lost is given again by us, who know what of it is there."""
        task = self._ray.remote(max_retries=0)(work)
        found = []
        for one in given:
            reference = task.remote(*one)
            found.append(reference.future())
            self._begun[found[-1]] = reference
        return found

    def stop(self, running):
        """Cancel what waits, and what runs."""
        for future in running:
            reference = self._begun.pop(future, None)
            if reference is not None:
                self._ray.cancel(reference, force=True)

    def close(self):
        """Leave the cluster, which ends with us where we began it."""
        self._begun.clear()
        if self._mine:
            self._ray.shutdown()
