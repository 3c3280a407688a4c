"""What a benchmark is, and the interleaved timing that all of them share."""

import importlib
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.foreign import NoPeer


class Goal(NamedTuple):
    """What is to be reached: a speed-up (peer/ours, at least), an overhead (ours/peer, at most),
    or seconds, MB, kernels or results (of ours, at most)."""

    kind: str
    bound: float

    def value(self, ours: float, peer: float | None) -> float:
        """The number that is held against the bound."""
        return {"speed-up": lambda: peer / ours, "overhead": lambda: ours / peer}.get(
            self.kind, lambda: ours
        )()

    def met(self, value: float) -> bool:
        """Whether that number is good enough."""
        return value >= self.bound if self.kind == "speed-up" else value <= self.bound

    def __str__(self):
        return {"speed-up": f">= {self.bound:g}x", "overhead": f"<= {self.bound:g}x"}.get(
            self.kind, f"<= {self.bound:g} {self.unit}"
        )

    @property
    def unit(self) -> str:
        """What the value is in."""
        return {"speed-up": "x", "overhead": "x", "seconds": "s"}.get(self.kind, self.kind)


class Benchmark(NamedTuple):
    """Two ways to do the same work, and the goal.

    `peer` is None where a command is held against seconds alone. `peer_share` is the part of the
    work that the peer is timed on; its seconds are divided by it. `says` makes a note of the two
    results, such as how far apart they are. `timed` measures one call in seconds.
    """

    name: str
    goal: Goal
    ours: Callable[[], Any]
    peer: Callable[[], Any] | None = None
    peer_share: float = 1.0
    repetitions: int = 5
    says: Callable[[Any, Any], str] = lambda ours, peer: ""
    timed: Callable[[Callable[[], Any]], float] | None = None


class Row(NamedTuple):
    """One line of the table: medians in seconds, the value held against the goal with its range
    over the repetitions, and a note."""

    name: str
    ours: float | None = None
    peer: float | None = None
    value: float | None = None
    goal: Goal | None = None
    spread: tuple[float, float] | None = None
    note: str = ""


def peak() -> int:
    """The most memory this process has held since it began, in kB (Linux)."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def wall(call: Callable[[], Any]) -> float:
    """Seconds on the clock that one call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measured(benchmark: Benchmark) -> Row:
    """Medians of the two sides, warmed up and then timed in turn, so that a busy machine slows
    both."""
    timed, goal = benchmark.timed or wall, benchmark.goal
    try:
        beside = None if benchmark.peer is None else benchmark.peer()
    except NoPeer as missing:
        benchmark.ours()
        return Row(
            benchmark.name,
            statistics.median(timed(benchmark.ours) for _ in range(3)),
            goal=goal,
            note=f"not compared: {missing}",
        )
    note = benchmark.says(benchmark.ours(), beside)
    ours, peers = [], []
    for _ in range(benchmark.repetitions):
        ours.append(timed(benchmark.ours))
        peers.append(
            None if benchmark.peer is None else timed(benchmark.peer) / benchmark.peer_share
        )
    values = [goal.value(a, b) for a, b in zip(ours, peers, strict=True)]
    middle = statistics.median(ours), None if benchmark.peer is None else statistics.median(peers)
    return Row(benchmark.name, *middle, goal.value(*middle), goal, (min(values), max(values)), note)


def measure(module: str, core: int | None) -> list[Row]:
    """Every benchmark of one module, in this process, on one core where one is given; a
    benchmark that cannot be run says why."""
    if core is not None:
        os.sched_setaffinity(
            0, {core}
        )  # before JAX or PyTorch start their threads, which inherit it
    try:
        made = importlib.import_module(f"benchmarks.{module}").benchmarks()
    except ModuleNotFoundError as error:
        return [Row(module, note=f"skipped: {error.name} is not installed")]
    rows = []
    for benchmark in made:
        try:
            rows.append(measured(benchmark))
        except Exception as error:  # the other benchmarks are still worth their time
            rows.append(
                Row(
                    benchmark.name,
                    goal=benchmark.goal,
                    note=f"failed: {type(error).__name__}: {error}",
                )
            )
    return rows
