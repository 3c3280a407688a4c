"""Reading: 60,000 images with their labels from packed files, beside NumPy's own reading of the
same bytes."""

import gzip

import numpy as np

from benchmarks.base import Benchmark, Goal
from learnmech import data
from learnmech.data import images

FILES = {"train-images-idx3-ubyte.gz": 16, "train-labels-idx1-ubyte.gz": 8}
"""{file: bytes in front of its numbers}."""


def benchmarks() -> list[Benchmark]:
    """Fashion-MNIST as its Debian package lays it; the sha256 of the content is held against the
    identity at each reading, which NumPy does not do."""
    folder = images.SETS / "fashion-mnist"
    source = data.Images(folder / "train-images-idx3-ubyte.gz")

    def by_numpy():
        held = []
        for name, front in FILES.items():
            with gzip.open(folder / name) as opened:
                held.append(np.frombuffer(opened.read(), np.uint8, offset=front))
        return held[0].reshape(-1, 784), held[1]

    def apart(ours, peer):
        same = np.array_equal(ours[0].X, peer[0])
        return f"{len(ours[0].X)} images, {'equal' if same else 'NOT equal'} to the byte"

    return [
        Benchmark(
            "read-images",
            Goal("overhead", 1.5),
            source.samples,
            by_numpy,
            repetitions=7,
            says=apart,
        )
    ]
