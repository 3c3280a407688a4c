"""Jobs of a SLURM cluster."""

import contextlib
import logging
import os
import shutil
import subprocess
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from learnmech.engines.base import Engine, needed
from learnmech.errors import refused
from learnmech.machine.logs import LOG

JOBS, MINUTES = 8, 60
# Seconds between two looks at the queue, and for which a result may be on its way to this node
# after its job has left the queue.
LOOK, GRACE = 2.0, 15.0
# How keys of `slurm:PARTITION,key=value` are called by submitit; any other goes to sbatch as it is.
WORDS = {
    "time": "time",
    "cpus": "cpus_per_task",
    "mem": "mem",
    "gpus": "gpus_per_node",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "exclude": "exclude",
    "nodelist": "nodelist",
}


class JobLost(Exception):
    """A job left the queue, and what it was to hand back is not there."""


class OnSlurm(Engine):
    """At most `jobs` jobs of one partition at a time, submitted as an array.

    Each is given a whole bundle, since a job begins for ten seconds before it computes. A job that
    was killed, or ran out of its time, is submitted again with what of it is not there yet.
    """

    lasting, lost = False, (JobLost,)

    def __init__(self, name: str, partition: str, settings: dict[str, str], folder: Path):
        submitit = needed("submitit", "slurm", name)
        missing = [one for one in ("sbatch", "squeue", "scancel") if shutil.which(one) is None]
        if missing:
            raise refused(
                f"The engine {name}",
                "SLURM's own commands",
                f"no {missing[0]} on the path",
                "Give the command where jobs of the cluster are submitted",
            )
        settings = dict(settings)
        jobs = settings.pop("jobs", str(JOBS))
        if not jobs.isdigit() or not int(jobs):
            raise refused(f"The engine {name}", "jobs=N, one or more", jobs, "Write jobs=8")
        super().__init__(name, int(jobs))
        # a client that died has left its own, in which its jobs still write
        self.folder = folder / f".slurm-{os.uname().nodename}-{os.getpid()}"
        logging.getLogger("submitit").setLevel(logging.ERROR)  # it warns where sacct is not there
        self._executor = submitit.SlurmExecutor(folder=str(self.folder), max_num_timeout=0)
        known: dict[str, Any] = {"job_name": "learnmech", "time": MINUTES}
        if partition:
            known["partition"] = partition
        if "setup" in settings:
            known["setup"] = [settings.pop("setup")]
        for key in WORDS.keys() & settings.keys():
            value = settings.pop(key)
            known[WORDS[key]] = int(value) if value.isdigit() else value
        self._executor.update_parameters(**known, additional_parameters=settings)
        self._failed = submitit.core.utils.UncompletedJobError
        self._jobs: dict[Future, Any] = {}
        self._gone: dict[Future, float] = {}
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def start(self, work, given):
        """One array job."""
        try:
            with contextlib.ExitStack() as batch:
                if len(given) > 1:
                    batch.enter_context(self._executor.batch())
                jobs = [self._executor.submit(work, *one) for one in given]
        except Exception as error:  # submitit's own, of several kinds; what sbatch said is in it
            said = str(error).strip().splitlines()
            raise refused(
                f"The engine {self.name}",
                "a job that sbatch takes",
                said[-1] if said else type(error).__name__,
                "Mend the partition or the settings",
            ) from None
        found: list[Future] = [Future() for _ in jobs]
        for future in found:
            future.set_running_or_notify_cancel()
        LOG.info("submitted %d jobs, %s and on", len(jobs), jobs[0].job_id)
        self._jobs |= dict(zip(found, jobs, strict=True))
        return found

    def _watch(self):
        while not self._ended.wait(LOOK):
            waiting = dict(self._jobs)
            queued = _queued() if waiting else None
            for future, job in waiting.items():
                if job.paths.result_pickle.exists():
                    self._settle(future, job)
                elif queued is not None and str(job.job_id) not in queued:
                    since = self._gone.setdefault(future, time.monotonic())
                    if time.monotonic() - since > GRACE:
                        self._end(future, JobLost(f"job {job.job_id}: {_last_words(job)}"))

    def _settle(self, future, job):
        try:
            found = job.result()
        except self._failed as error:
            self._end(future, JobLost(str(error)))
        except Exception as error:  # of whatever kind, the one who waits is to hear of it
            self._end(future, error)
        else:
            self._jobs.pop(future, None)
            future.set_result(found)

    def _end(self, future, error):
        self._jobs.pop(future, None)
        future.set_exception(error)

    def stop(self, running):
        """scancel what waits or runs."""
        for future in running:
            job = self._jobs.pop(future, None)
            if job is not None:
                job.cancel(check=False)

    def close(self):
        """Take away what jobs were handed over by."""
        self._ended.set()
        self._watcher.join(10 * LOOK)
        shutil.rmtree(self.folder, ignore_errors=True)


def _queued() -> set[str] | None:
    """The ids of this user's jobs that wait or run, array tasks each; None where SLURM does not
    answer. sacct, which submitit asks, is not on every cluster."""
    try:
        said = subprocess.run(
            ["squeue", "--me", "--noheader", "--array", "--format=%i"],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return set(said.stdout.split())


def _last_words(job) -> str:
    said = (job.stderr() or "").strip().splitlines()
    return said[-1] if said else "it left the queue without a word"
