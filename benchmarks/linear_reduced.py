"""Linear networks: learnmech on as many samples as there are inputs, beside PyTorch on all of
them."""

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from benchmarks.theory_scale import farthest
from benchmarks.torch_training import Trained
from learnmech import architectures, data, instruments, rules

STEPS, PEER_STEPS, RATE = 20_000, 200, 0.05


def experiment(steps: int) -> lm.Experiment:
    """10,000 samples of 64 inputs and 10 outputs, one hidden layer of 64, full-batch gradient
    descent, float32."""
    return lm.Experiment(
        architecture=architectures.DeepLinear(hidden=(64,)),
        data=data.Gaussian(n=10_000, d=64, k=10, noise=0.1),
        rule=rules.GradientDescent(rate=RATE),
        clock=lm.Clock(steps=steps),
        precision="float32",
    )


def benchmarks() -> list[Benchmark]:
    """20,000 steps with the loss at 201 marks, the reduction included; the peer does a hundredth
    of them."""
    whole = experiment(STEPS)
    start = lm.prepare(whole)
    peer = Trained([start], RATE, PEER_STEPS, bent=False)

    def says(*_):
        final = lm.run(experiment(PEER_STEPS), watch=(instruments.Loss(),)).final
        return (
            f"peer {PEER_STEPS} of {STEPS} steps, scaled; weights there differ by"
            f" {farthest(final.values(), peer.weights()[0]):.1e}"
        )

    return [
        Benchmark(
            "linear-reduced",
            Goal("speed-up", 50),
            lambda: lm.run(lm.prepare(whole), watch=(instruments.Loss(),)),
            peer,
            peer_share=PEER_STEPS / STEPS,
            says=says,
        )
    ]
