"""Widths: 1,024 samples through two hidden layers of 32, 128 and 512, the loss recorded at every
step, beside PyTorch recording nothing; both on all cores."""

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from benchmarks.theory_scale import farthest
from benchmarks.torch_training import Trained
from learnmech import architectures, data, instruments, rules

RATE = 0.05
GOALS = {32: 2.0, 128: 1.4, 512: 1.1}
STEPS = {32: 2000, 128: 1000, 512: 200}


def experiment(width: int, steps: int) -> lm.Experiment:
    """A tanh network on 1,024 of the handwritten digits, full-batch gradient descent, float32."""
    return lm.Experiment(
        architecture=architectures.Mlp(hidden=(width, width)),
        data=data.Digits(train=1024),
        rule=rules.GradientDescent(rate=RATE),
        clock=lm.Clock(steps=steps, every=1),
        precision="float32",
    )


def benchmarks() -> list[Benchmark]:
    """The same steps on both sides."""

    def beside(width):
        start = lm.prepare(experiment(width, STEPS[width]))
        peer = Trained([start], RATE, STEPS[width])

        def says(record, _):
            mine = [record.final[f"layer{i}.weight"] for i in (1, 2, 3)]
            return f"weights at the end differ by {farthest(mine, peer.weights()[0]):.1e}"

        return Benchmark(
            f"width-{width}",
            Goal("speed-up", GOALS[width]),
            lambda: lm.run(start, watch=(instruments.Loss(),)),
            peer,
            says=says,
        )

    return [beside(width) for width in GOALS]
