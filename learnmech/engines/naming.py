"""Engines by their names, as `--on` takes them."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

from learnmech.engines.base import Engine, Given
from learnmech.errors import nearest, refused

KINDS = ("here", "processes", "dask", "slurm", "ray")
FORMS = "here, processes:N, dask:ADDRESS, slurm:PARTITION[,key=value] or ray:ADDRESS"


@contextlib.contextmanager
def opened(
    on: str | Executor | None, who: str = "sweep", folder: str | Path | None = None
) -> Iterator[Engine | None]:
    """The engine of this name, or around this executor; None for `here`, the threads of this
    process. It ends with the block, an executor of the caller's own does not.

    `here`, `processes:N` (None of them named: one for each core), `dask:ADDRESS` (of a scheduler,
    or the path of its file), `slurm:PARTITION,key=value,...` (`jobs` at a time, `time` in minutes,
    `cpus`, `mem`, `gpus`, `account`, `qos`, `setup` a line before; others as sbatch knows them),
    `ray:ADDRESS` (or `auto`, `local`). `folder` is where SLURM's jobs are handed over: all nodes
    see it.
    """
    found = _made(on, who, folder)
    try:
        yield found
    finally:
        if found is not None:
            found.close()


def _made(on, who, folder) -> Engine | None:
    if on is None:
        return None
    if not isinstance(on, str):
        if not callable(getattr(on, "submit", None)):
            raise refused(
                who, f"an engine as {FORMS}, or an Executor", type(on).__name__, "Give on='here'"
            )
        return Given(on)
    kind, _, rest = on.partition(":")
    if kind not in KINDS:
        raise refused(who, f"an engine as {FORMS}", repr(on), nearest(kind, KINDS))
    if kind == "here":
        if rest:
            raise refused(who, "here alone", repr(on), "Write here, or processes:2")
        return None
    if kind == "processes":
        from learnmech.engines.processes import Processes

        count = rest or str(os.cpu_count() or 1)
        if not count.isdigit() or not 1 <= int(count) <= 4096:
            raise refused(who, "processes:N with N from 1 on", repr(on), "Write processes:2")
        return Processes(on, int(count))
    if kind == "slurm":
        from learnmech.engines.on_slurm import OnSlurm

        partition, settings = _settings(on, rest, who)
        return OnSlurm(on, partition, settings, Path("runs" if folder is None else folder))
    if not rest:
        example = "dask:10.0.0.1:8786" if kind == "dask" else "ray:auto"
        raise refused(who, f"{kind}:ADDRESS", repr(on), f"Write for example {example}")
    if kind == "dask":
        from learnmech.engines.on_dask import OnDask

        return OnDask(on, rest)
    from learnmech.engines.on_ray import OnRay

    return OnRay(on, rest)


def _settings(on: str, rest: str, who: str) -> tuple[str, dict[str, str]]:
    """(partition, {key: value}) of `PARTITION,key=value,...`; without a partition the cluster's
    own default."""
    partition, settings = "", {}
    for place, one in enumerate(filter(None, rest.split(","))):
        key, equals, value = one.partition("=")
        if equals and key and value:
            settings[key.strip()] = value.strip()
        elif not equals and place == 0:
            partition = one.strip()
        else:
            raise refused(
                who, "slurm:PARTITION,key=value", repr(on), "Write slurm:cpu,jobs=8,time=60"
            )
    return partition, settings
