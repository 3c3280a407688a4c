"""Engines: what Dask costs beside processes, and how soon a grid of 10,000 points is there."""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from benchmarks.theory_scale import experiment

STEPS, POINTS, STORED = 2_000, 2_000, 10_000


def _cluster():
    """Two workers of one thread each, as `dask worker --nworkers 2 --nthreads 1` begins them."""
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    return Client(cluster).get_executor(pure=False, retries=0)


def _stored(folder: Path) -> Path:
    """10,000 points of 21 marks in a folder."""
    small = experiment(lm.Clock(steps=20, every=1))
    rates = list(np.geomspace(0.01, 0.1, STORED // 10))
    lm.sweep(small, {"rule.rate": rates}, seeds=10, backend="vmap", folder=folder)
    return folder


def benchmarks() -> list[Benchmark]:
    """2,000 points of theory scale, 2,000 steps each, the loss at 11 marks, on two Dask workers
    beside two processes, both begun and warm; and `lm.gather` of 10,000 points."""
    made = experiment(lm.Clock(steps=STEPS, marks=11))
    rates = [float(rate) for rate in np.geomspace(0.005, 0.1, POINTS // 10)]
    dask, processes = _cluster(), ProcessPoolExecutor(2, mp_context=get_context("spawn"))

    def swept(on, count=None):
        return lm.sweep(made, {"rule.rate": rates[:count]}, seeds=10, watch=("loss",), on=on)

    for one in (dask, processes):  # each compiles once
        swept(one, 2)
    folder = _stored(Path(tempfile.mkdtemp()) / "store")
    return [
        Benchmark(
            "engine-dask",
            Goal("speed-up", 0.85),
            lambda: swept(dask),
            lambda: swept(processes),
            repetitions=3,
            says=lambda one, other: f"{POINTS} points, equal: {bool((one == other).all()['loss'])}",
        ),
        Benchmark(
            "gather",
            Goal("seconds", 2.0),
            lambda: lm.gather(folder),
            says=lambda grid, _: f"{STORED} points, {len(grid.data_vars)} quantity",
        ),
    ]
