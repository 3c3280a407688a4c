"""Matrix completion: some entries of a low-rank matrix."""

import numpy as np

from learnmech.data.base import Data, Drawn, View
from learnmech.errors import refused
from learnmech.parts import structure


class Completion(Data):
    """Entries of a random (rows, columns) matrix of given `rank`, its nonzero singular values equal to `strength`; a share `seen` of them is trained on.

    Inputs are one-hot columns (n = d = columns), targets whole columns, and a weight of zeros and ones hides what is not seen. The test view
    weighs the hidden entries alone.  Source: Arora et al. 2019.
    """

    rows: int = structure(12, at_least=2)
    columns: int = structure(12, at_least=2)
    rank: int = structure(2, at_least=1)
    seen: float = structure(0.6)
    strength: float = structure(5.0)

    def coherent(self):
        if self.rank > min(self.rows, self.columns):
            raise refused("Completion", f"rank <= {min(self.rows, self.columns)}, the smaller side", self.rank, "Lower rank, or enlarge the matrix")
        if not 0 < self.seen < 1:
            raise refused("Completion", "0 < seen < 1", self.seen, "Give the share of entries to train on")
        if not 1 <= round(self.seen * self.rows * self.columns) < self.rows * self.columns:
            raise refused(
                "Completion", "at least one entry seen and one hidden", f"seen={self.seen} of {self.rows * self.columns}", "Change seen, or enlarge the matrix"
            )
        if self.strength <= 0:
            raise refused("Completion", "strength > 0", self.strength, "Give a positive singular value")

    def draw(self, rng):
        U, V = (np.linalg.qr(rng.standard_normal((side, self.rank)))[0] for side in (self.rows, self.columns))
        matrix = self.strength * U @ V.T
        order = rng.permutation(self.rows * self.columns)
        mask = np.zeros(self.rows * self.columns)
        mask[order[: round(self.seen * len(order))]] = 1
        weight, X = mask.reshape(self.columns, self.rows), np.eye(self.columns)
        return Drawn(View(X, matrix.T.copy(), weight), View(X, matrix.T.copy(), 1 - weight))

    @classmethod
    def example(cls):
        return cls(rows=4, columns=3, rank=1)
