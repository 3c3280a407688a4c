"""A sweep of 64 theory-scale runs, beside PyTorch doing one after the other."""

import numpy as np

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from benchmarks.theory_scale import experiment, farthest
from benchmarks.torch_training import Trained
from learnmech import instruments

STEPS, SEEDS, PEER_RUNS = 2_000, 4, 2
RATES = [float(rate) for rate in np.geomspace(0.005, 0.1, 16)]


def benchmarks() -> list[Benchmark]:
    """16 rates and 4 seeds, 2,000 steps each, loss and weights at 11 marks, on all cores, by
    each backend; the peer does 2 of the 64 runs."""
    base = experiment(lm.Clock(steps=STEPS, marks=11))
    starts = [lm.prepare(base.with_value("seed", seed)) for seed in range(PEER_RUNS)]
    watch = (instruments.Loss(), instruments.Weights())

    peer = Trained(starts, RATES[-1], STEPS)

    def says(grid, _):
        mine = [
            [grid[f"layer{i}.weight"].values[-1, seed, -1] for i in (1, 2, 3)]
            for seed in range(PEER_RUNS)
        ]
        apart = max(farthest(a, b) for a, b in zip(mine, peer.weights(), strict=True))
        return (
            f"{grid.attrs['backend']}; peer {PEER_RUNS} of 64 runs, scaled; last weights differ by"
            f" {apart:.1e}"
        )

    def ours(backend):
        return lm.sweep(base, {"rule.rate": RATES}, seeds=SEEDS, watch=watch, backend=backend)

    share = PEER_RUNS / (len(RATES) * SEEDS)
    return [
        Benchmark(
            f"sweep64-{backend}",
            Goal("speed-up", 40),
            lambda backend=backend: ours(backend),
            peer,
            peer_share=share,
            says=says,
        )
        for backend in ("fastest", "vmap", "map")
    ]
