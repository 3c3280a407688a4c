"""Recording: what it costs to watch, to keep every weight on disk, to keep checkpoints, to bring
what is committed to the disk, and to go back to any step."""

import resource
import shutil
import tempfile
import unittest.mock
from pathlib import Path

import numpy as np

import learnmech as lm
from benchmarks.base import Benchmark, Goal, wall
from learnmech import architectures, data, rules
from learnmech.record import sealed

STEPS = 900


def experiment(clock):
    """Width 128, four layers of weights, n = 1,024 of the handwritten digits, float32."""
    net = architectures.Mlp(hidden=(128, 128, 128))
    return lm.Experiment(
        net, data.Digits(train=1024), rules.GradientDescent(rate=0.05), clock, precision="float32"
    )


def benchmarks() -> list[Benchmark]:
    """Each beside a run that reads the loss at its last mark alone, in memory; `random-access`
    in seconds of the run it goes back in."""
    every, bare = (lm.prepare(experiment(lm.Clock(steps=STEPS, every=k))) for k in (1, STEPS))
    home = Path(tempfile.mkdtemp(prefix="learnmech-recording-"))

    def on_disk(watch, start=every, budget=2**30):
        shutil.rmtree(home / "run", ignore_errors=True)
        return lm.run(start, watch, folder=home / "run", budget=budget)

    def unhurried():
        """The same with nothing waited for: a power cut may take it all."""
        with unittest.mock.patch.object(sealed.os, "fsync", lambda handle: None):
            on_disk(("loss", "norms"))

    def plain():
        return lm.run(bare, ("loss",))

    def weighed(record, _):
        size = sum(file.stat().st_size for file in record.folder.rglob("*") if file.is_file())
        return (
            f"{size / 1e6:.0f} MB written, at most"
            f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB of memory in this"
            " process"
        )

    kept = on_disk(("loss",), lm.prepare(experiment(lm.Clock(steps=5 * STEPS, marks=101))))
    kept.at(1)
    rng, seconds = np.random.default_rng(0), kept.provenance["wall_seconds"]
    shutil.move(home / "run", home / "kept")
    kept = lm.load(home / "kept")
    steps = rng.integers(0, 5 * STEPS, 1000).tolist()

    def the_run_itself():
        """Timed when it was made."""

    access = Benchmark(
        "random-access",
        Goal("overhead", 0.02),
        lambda: kept.at(steps.pop()),
        the_run_itself,
        repetitions=41,
        timed=lambda call: seconds if call is the_run_itself else wall(call),
        says=lambda ours, peer: (
            f"of a run of {seconds:.1f} s with {len(kept.kept.positions())} checkpoints"
        ),
    )
    return [
        Benchmark(
            "record-norms",
            Goal("overhead", 1.15),
            lambda: lm.run(every, ("loss", "norms")),
            plain,
            repetitions=5,
        ),
        Benchmark(
            "record-weights",
            Goal("overhead", 2.0),
            lambda: on_disk(("loss", "weights")),
            plain,
            repetitions=3,
            says=weighed,
        ),
        Benchmark(
            "checkpoints",
            Goal("overhead", 1.05),
            lambda: on_disk(("loss",)),
            lambda: on_disk(("loss",), budget=1),
            repetitions=5,
        ),
        Benchmark(
            "lasting",
            Goal("overhead", 1.05),
            lambda: on_disk(("loss", "norms")),
            unhurried,
            repetitions=3,
        ),
        access,
    ]
