"""Theory scale: a small network, everything recorded at every step, beside PyTorch recording nothing."""

import numpy as np

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from learnmech import architectures, data, instruments, rules

STEPS, PEER_STEPS, RATE = 20_000, 2_000, 0.05


def experiment(clock: lm.Clock) -> lm.Experiment:
    """20 samples of 10 inputs, a tanh network of two hidden layers of 30, full-batch gradient descent, float32."""
    return lm.Experiment(
        architecture=architectures.Mlp(hidden=(30, 30)),
        data=data.Gaussian(n=20, d=10),
        rule=rules.GradientDescent(rate=RATE),
        clock=clock,
        precision="float32",
    )


def farthest(ours, peer) -> float:
    """The largest difference between any two entries of two lists of weights."""
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(ours, peer, strict=True))


def benchmarks() -> list[Benchmark]:
    """The loss and all weights at each of 20,000 steps; the peer, in its usual and in its leanest form, does a tenth of them."""
    import torch

    from benchmarks.torch_training import trained, trained_leanly

    torch.set_num_threads(1)
    start = lm.prepare(experiment(lm.Clock(steps=STEPS, every=1)))
    view = start.data.train

    def says(record, weights):
        mine = [record[f"layer{i}.weight"].values[PEER_STEPS] for i in (1, 2, 3)]
        return f"peer {PEER_STEPS} of {STEPS} steps, scaled; weights there differ by {farthest(mine, weights):.1e}"

    def ours():
        return lm.run(start, watch=(instruments.Loss(), instruments.Weights()))

    peers = {
        "theory-scale": lambda: trained(start.params, view.X, view.Y, RATE, PEER_STEPS, torch.nn.Tanh),
        "theory-lean-peer": lambda: trained_leanly(start.params, view.X, view.Y, RATE, PEER_STEPS),
    }
    return [Benchmark(name, Goal("speed-up", 25), ours, peer, peer_share=PEER_STEPS / STEPS, says=says) for name, peer in peers.items()]
