"""Start-up: what the command line costs before it does anything, and how soon the second run of
a structure is done."""

import itertools
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.base import Benchmark, Goal

EXPERIMENT = """
[architecture]
kind = "mlp"
hidden = [30, 30]

[data]
kind = "gaussian"
n = 20

[rule]
kind = "gradient-descent"
rate = 0.05

[clock]
steps = 10
"""


# The command up to where it would first show progress, which is after the first ten steps.
TO_FIRST_STEP = """
import os, sys
from learnmech.cli import app
from learnmech.verbs import works
perform = works.perform
def stopped(*given, progress=None, **knobs):
    return perform(*given, progress=lambda at: os._exit(0), **knobs)
works.perform = stopped
sys.exit(app.call(sys.argv[1:]) or 1)
"""


def done(words: list[str], folder: str | None = None) -> None:
    """Run a program to its end, in a folder that also keeps its compiled programs; its last
    words on failure."""
    ended = subprocess.run(
        words,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | ({"LEARNMECH_CACHE": folder} if folder else {}),
    )
    if ended.returncode:
        raise RuntimeError(
            (ended.stderr or ended.stdout or f"exit status {ended.returncode}")
            .strip()
            .splitlines()[-1]
        )


def cpu_seconds(call) -> float:
    """User and system seconds of the processes that one call starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def benchmarks() -> list[Benchmark]:
    """CPU seconds of `--help` and `list`; wall seconds of a second `run` of one structure to its
    first steps."""
    learnmech = str(Path(sys.executable).with_name("learnmech"))
    folder = tempfile.TemporaryDirectory()  # removed with the functions that use it
    (Path(folder.name) / "small.toml").write_text(EXPERIMENT)
    numbers = itertools.count(1)

    def run(*program):
        number = next(numbers)
        done(
            [
                *program,
                "run",
                "small.toml",
                f"rule.rate={0.01 * number}",
                "--json",
                "--out",
                f"run{number}",
            ],
            folder.name,
        )

    def beside_seconds(name, bound, call, what, timed=None):
        return Benchmark(
            name,
            Goal("seconds", bound),
            call,
            repetitions=3,
            says=lambda ours, peer: what,
            timed=timed,
        )

    return [
        beside_seconds(
            "startup-help", 0.5, lambda: done([learnmech, "--help"]), "CPU seconds", cpu_seconds
        ),
        beside_seconds(
            "startup-list", 0.5, lambda: done([learnmech, "list"]), "CPU seconds", cpu_seconds
        ),
        beside_seconds(
            "startup-step",
            5,
            lambda: run(sys.executable, "-c", TO_FIRST_STEP),
            "wall seconds of a second `learnmech run` to its first steps",
        ),
    ]
