"""Theory scale: a small network, recorded at every step, beside PyTorch recording nothing."""

import numpy as np

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from benchmarks.torch_training import Trained
from learnmech import architectures, data, instruments, rules

STEPS, PEER_STEPS, RATE = 20_000, 2_000, 0.05


def experiment(clock: lm.Clock) -> lm.Experiment:
    """20 samples of 10 inputs, a tanh network of two hidden layers of 30, full-batch gradient
    descent, float32."""
    return lm.Experiment(
        architecture=architectures.Mlp(hidden=(30, 30)),
        data=data.Gaussian(n=20, d=10),
        rule=rules.GradientDescent(rate=RATE),
        clock=clock,
        precision="float32",
    )


def farthest(ours, peer) -> float:
    """The largest difference between any two entries of two lists of weights."""
    return max(
        float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(ours, peer, strict=True)
    )


def benchmarks() -> list[Benchmark]:
    """The loss at each of 20,000 steps, then all weights as well; the peer, usual and leanest,
    does a tenth of them and records nothing."""
    start, marked = (
        lm.prepare(experiment(lm.Clock(steps=STEPS, every=1))),
        lm.prepare(experiment(lm.Clock(steps=PEER_STEPS))),
    )
    there = [
        lm.run(marked, watch=(instruments.Loss(),)).final[f"layer{i}.weight"] for i in (1, 2, 3)
    ]

    usual, lean = (Trained([start], RATE, PEER_STEPS, how=how) for how in ("usual", "lean"))

    def says(peer):
        return lambda *_: (
            f"peer {PEER_STEPS} of {STEPS} steps, scaled; weights there differ by"
            f" {farthest(there, peer.weights()[0]):.1e}"
        )

    def ours(*watch):
        return lambda: lm.run(start, watch=watch)

    loss, weights = instruments.Loss(), instruments.Weights()
    rows = {
        "theory-scale": (ours(loss), usual),
        "theory-all-weights": (ours(loss, weights), usual),
        "theory-lean-peer": (ours(loss), lean),
    }
    share = PEER_STEPS / STEPS
    return [
        Benchmark(name, Goal("speed-up", 25), mine, peer, peer_share=share, says=says(peer))
        for name, (mine, peer) in rows.items()
    ]
