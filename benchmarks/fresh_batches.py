"""Fresh batches: SGD on a linear layer of 1,000 inputs where every step sees 32 samples that no
step saw, beside a PyTorch loop that draws its batches."""

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from benchmarks.foreign import Peer
from benchmarks.torch_training import TORCH
from learnmech import architectures, data, instruments, rules

D, BATCH, STEPS, RATE, NOISE = 1000, 32, 4000, 1e-3, 0.1


def start_of(sampling: str):
    """The experiment, made ready: isotropic inputs, one output, float32, looked at twice."""
    return lm.prepare(
        lm.Experiment(
            architectures.DeepLinear(),
            data.Gaussian(n=2, d=D, noise=NOISE),
            rules.SGD(rate=RATE, batch=BATCH, sampling=sampling),
            lm.Clock(steps=STEPS, marks=2),
            precision="float32",
        )
    )


class Drawing:
    """The peer's loop, made ready at the first call; `how` is `usual`, with autograd and an
    optimizer, or `lean`, with the gradient by hand."""

    def __init__(self, how: str):
        self.task = {"kind": "drawing", "how": how, "d": D, "batch": BATCH, "steps": STEPS}
        self.task |= {"rate": RATE, "noise": NOISE}
        self.peer = None

    def __call__(self) -> float:
        """Do it once."""
        if self.peer is None:
            self.peer = Peer(TORCH, "drawing.py").ready(**self.task)
        return self.peer.call()


def benchmarks() -> list[Benchmark]:
    """The gradients of fresh batches drawn by their law, and the samples themselves, over 4,000
    steps; the loss of the population at the end is said of both sides."""
    watch = (instruments.PopulationLoss(),)
    rows = (("fresh-gradient", "usual", 10), ("fresh-gradient", "lean", 5), ("fresh", "usual", 1))

    def row(sampling, how, least):
        start = start_of(sampling)

        def says(record, _):
            return f"population loss at the end {float(record['population_loss'][-1]):.4g}"

        name = f"{sampling}-{how}"
        goal = Goal("speed-up", least)
        return Benchmark(name, goal, lambda: lm.run(start, watch), Drawing(how), says=says)

    return [row(*one) for one in rows]
