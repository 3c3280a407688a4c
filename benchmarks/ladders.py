"""Ladders: what turning axes off costs beside the runs that it takes, and a whole design."""

import dataclasses

import numpy as np

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from learnmech import architectures, data, rules
from learnmech.studies.maps.lattice import refined

AXES, SEEDS, WATCH = ("nonlinearity", "data", "depth", "batches"), (0, 1, 2), ("loss", "test-loss")
SIZE = 65


def _experiment(steps: int) -> lm.Experiment:
    return lm.Experiment(
        architecture=architectures.Mlp(hidden=(64, 64), activation="tanh"),
        data=data.Digits(train=500),
        rule=rules.SGD(rate=0.1, batch=32),
        clock=lm.Clock(steps=steps, marks=21),
        precision="float32",
    )


def _runs(made: lm.Experiment, cells) -> int:
    """The same runs, one by one over the cores as the ladder makes them, without anything else."""
    from concurrent.futures import ThreadPoolExecutor

    tasks = [
        dataclasses.replace(made, seed=seed) if not cell else cell[seed]
        for cell in cells
        for seed in SEEDS
    ]
    with ThreadPoolExecutor(2) as pool:
        return len(list(pool.map(lambda one: lm.run(one, watch=WATCH), tasks)))


def _share() -> float:
    """Of a lattice of 65 x 65 the share that is asked for the line of a circle and a wave."""
    shares = []
    for function in (
        lambda x, y: (x - 0.5) ** 2 + (y - 0.45) ** 2 - 0.09,
        lambda x, y: y - 0.5 - 0.25 * np.sin(7 * x),
    ):
        found = refined(
            lambda nodes, f=function: [f(i / (SIZE - 1), j / (SIZE - 1)) for i, j in nodes],
            (SIZE, SIZE),
        )
        shares.append(found.share)
    return max(shares)


def benchmarks() -> list[Benchmark]:
    """A ladder of four axes, three seeds, beside its runs alone; the 2^4 design of 48 runs; and
    how much of a map's lattice is run. Compiled programs are those of earlier repetitions."""
    long, short = _experiment(2_000), _experiment(200)
    found = lm.ladder(long, AXES, WATCH, SEEDS)
    rungs = [one.axes for one in (*found.alone, *found.together)]
    chosen = {kind.axis: kind for kind in _simplifications()}
    cells = [{}] + [
        {
            seed: lm.simplified(
                dataclasses.replace(long, seed=seed), *(chosen[axis]() for axis in axes)
            ).experiment
            for seed in SEEDS
        }
        for axes in dict.fromkeys(rungs)
    ]
    return [
        Benchmark(
            "ladder",
            Goal("overhead", 1.2),
            lambda: lm.ladder(long, AXES, WATCH, SEEDS),
            lambda: _runs(long, cells),
            repetitions=3,
            says=lambda _, count: f"{count} runs of 2,000 steps",
        ),
        Benchmark(
            "ladder-design",
            Goal("seconds", 15),
            lambda: lm.ladder(short, AXES, WATCH, SEEDS, combinations=True),
            repetitions=3,
            says=lambda found, _: f"{len(found.design.cells) * len(SEEDS)} runs of 200 steps",
        ),
        Benchmark(
            "map-share",
            Goal("results", 0.25),
            _share,
            repetitions=1,
            says=lambda share, _: f"{share:.1%} of 65 x 65 nodes are run",
        ),
    ]


def _simplifications():
    from learnmech.language import catalog

    return [catalog.load(one) for one in catalog.members("simplifications").values()]
