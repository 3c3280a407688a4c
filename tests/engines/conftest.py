"""Engines as they are: processes, a Dask cluster of two workers, Ray, and a SLURM of one node."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

NEEDED = {"dask": "distributed", "ray": "ray", "slurm": "submitit"}


def ready(command: str) -> bool:
    """Whether SLURM's controller answers."""
    return shutil.which(command) is not None and (
        subprocess.run([command, "--noheader"], capture_output=True, timeout=30).returncode == 0
    )


@pytest.fixture(scope="module")
def dask_address(tmp_path_factory):
    """Two workers of one thread, each under a nanny that begins another where it dies."""
    pytest.importorskip("distributed", reason="learnmech[dask] is not installed")
    room = tmp_path_factory.mktemp("dask")
    file = room / "scheduler.json"
    begun = []

    def begin(*words):
        begun.append(
            subprocess.Popen(
                [sys.executable, "-m", "dask", *words, "--scheduler-file", str(file)],
                cwd=room,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    begin("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    begin("worker", "--nworkers", "2", "--nthreads", "1", "--no-dashboard")
    until = time.monotonic() + 60
    while not file.is_file() and time.monotonic() < until:
        time.sleep(0.05)
    yield str(file)
    for one in begun[::-1]:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()


@pytest.fixture(scope="module")
def ray_here():
    """Two cores of a Ray that begins and ends with these tests."""
    ray = pytest.importorskip("ray", reason="learnmech[ray] is not installed")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield "auto"
    ray.shutdown()


@pytest.fixture(scope="module", params=["processes", "dask", "ray", "slurm"])
def engine(request):
    """The name of each engine, ready to be used."""
    if request.param == "processes":
        return "processes:2"
    if request.param == "dask":
        return f"dask:{request.getfixturevalue('dask_address')}"
    if request.param == "ray":
        return f"ray:{request.getfixturevalue('ray_here')}"
    pytest.importorskip("submitit", reason="learnmech[slurm] is not installed")
    if not ready("sinfo"):
        pytest.skip("no SLURM here: bash tests/engines/one_node_slurm.sh makes one (needs root)")
    return "slurm:jobs=2,time=5"
