"""Runs every benchmark, or those named, each in a process of its own, and prints one table. The
exit status is always 0: performance is not a test."""

import concurrent.futures
import importlib.metadata
import multiprocessing
import os
import platform
import sys

from benchmarks.base import Row, measure

# Whether a benchmark is pinned to one core; what spreads over the cores by itself is not.
MODULES = {
    "theory_scale": True,
    "overhead": True,
    "widths": False,
    "recording": False,
    "reading": False,
    "linear_reduced": True,
    "sweep64": False,
    "flow": True,
    "startup": False,
}
MODULES |= {
    "infinite_kernel": False,
    "empirical_kernel": False,
    "learning_curves": False,
    "curvature": False,
    "rule_steps": True,
    "ladders": False,
    "engines": False,
    "fresh_batches": True,
    "lab": False,
    "lab_browser": False,
}
SHOWN = ("learnmech", "jax", "diffrax", "numpy", "scipy")
COLUMNS = ("benchmark", "ours s", "peer s", "ratio", "goal", "met", "spread of ratio")
LINE = "{:<16} {:>9} {:>9} {:>8} {:>9} {:>4}  {:<17} {}"


def version(package: str) -> str:
    """The installed version, or that there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def load() -> str:
    """The machine's load over 1, 5 and 15 minutes."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def in_a_process(module: str, pinned: bool) -> list[Row]:
    """The rows of one module from a fresh process, so that threads, memory and compiled programs
    of one do not touch the next."""
    core = max(os.sched_getaffinity(0)) if pinned and hasattr(os, "sched_setaffinity") else None
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure, module, core).result()
        except Exception as error:
            return [Row(module, note=f"failed: {type(error).__name__}: {error}")]


def line(row: Row) -> str:
    """A row as one line of the table."""
    shown = ["-" if value is None else f"{value:.4g}" for value in (row.ours, row.peer)]
    if row.value is None:
        return LINE.format(row.name, *shown, "-", str(row.goal or "-"), "-", "-", row.note).rstrip()
    ratio = f"{row.value:.3g}x" if row.goal.unit == "x" else "-"
    spread = (
        f"{row.spread[0]:.3g} .."
        f" {row.spread[1]:.3g}{'' if row.goal.unit == 'x' else ' '}{row.goal.unit}"
    )
    return LINE.format(
        row.name,
        *shown,
        ratio,
        str(row.goal),
        "yes" if row.goal.met(row.value) else "NO",
        spread,
        row.note,
    ).rstrip()


def main(names: list[str]) -> None:
    """The table of these benchmarks, or of all."""
    asked = [name.replace("-", "_") for name in names] or list(MODULES)
    unknown = [name for name in asked if name not in MODULES]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(MODULES)}")
    print(
        f"Python {platform.python_version()}, "
        + ", ".join(f"{package} {version(package)}" for package in SHOWN)
    )
    print(
        f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}"
        f" cores; load before {load()}"
    )
    print(LINE.format(*COLUMNS, "note"), flush=True)
    alone = 0
    for module in asked:
        if module in MODULES:
            for row in in_a_process(module, MODULES[module]):
                alone += row.note.startswith("not compared")
                print(line(row), flush=True)
    if alone:
        print(
            f"{alone} rows have nothing to be held against: make peers sets up what they want (or"
            " name where that is: LEARNMECH_PEERS=DIR)."
        )
    print(
        f"load after {load()}. Ratio is peer/ours where the goal is >=, ours/peer where it is <=;"
        " medians; differences under 15% are noise."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
