"""The peer of the training benchmarks: full-batch gradient descent in PyTorch eager, recording
nothing, in a process of its own."""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.foreign import Peer

TORCH = ".venv-th"


def written(folder: Path, number: int, params: dict, X, Y) -> str:
    """Weights and samples in float32 in a file for the peer."""
    file = folder / f"{number}.npz"
    weights = {
        f"weight{i}": np.asarray(params[f"layer{i + 1}"]["weight"], np.float32)
        for i in range(len(params))
    }
    np.savez(file, X=np.asarray(X, np.float32), Y=np.asarray(Y, np.float32), **weights)
    return str(file)


class Trained:
    """So many steps from each of these starts, one after the other, on |f - Y|^2 / 2n in float32:
    `how` is `usual` or `lean`, `bent` with tanh between.

    The process is made ready at the first call.
    """

    def __init__(
        self, starts: list, rate: float, steps: int, bent: bool = True, how: str = "usual"
    ):
        self.starts, self.peer, self.folder = starts, None, None
        self.task = {"kind": "training", "how": how, "rate": rate, "steps": steps, "bent": bent}

    def __call__(self) -> float:
        """Do it once."""
        if self.peer is None:
            peer = Peer(TORCH, "training.py")
            self.folder = tempfile.TemporaryDirectory()
            views = [(s.params, s.data.train.X, s.data.train.Y) for s in self.starts]
            files = [
                written(Path(self.folder.name), number, *view) for number, view in enumerate(views)
            ]
            self.peer = peer.ready(**self.task, files=files, layers=len(self.starts[0].params))
        return self.peer.call()

    def weights(self) -> list[list[np.ndarray]]:
        """The weights after the last call, of each start."""
        file = Path(self.folder.name) / "weights.npz"
        self.peer.told(f"keep {file}")
        with np.load(file) as held:
            layers = range(len(self.starts[0].params))
            return [[held[f"{run}-{layer}"] for layer in layers] for run in range(len(self.starts))]
