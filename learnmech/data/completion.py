"""Matrix completion: some entries of a matrix, of low rank or given."""

import numpy as np

from learnmech.data.arrays import array_with_gaps
from learnmech.data.base import Data, Drawn, View
from learnmech.errors import refused
from learnmech.language.parts import Numbers, structure


class Completion(Data):
    """Entries of a random (rows, columns) matrix of given `rank`, its nonzero singular values equal
    to `strength`; a share `seen` of them is trained on.

    Inputs are one-hot columns (n = d = columns), targets whole columns, and a weight of zeros and
    ones hides what is not seen. The test view weighs the hidden entries alone.  Source: Arora et
    al. 2019.
    """

    rows: int = structure(default=12, at_least=2, meaning="rows of the matrix")
    columns: int = structure(default=12, at_least=2, meaning="columns of the matrix")
    rank: int = structure(default=2, at_least=1, meaning="rank of the matrix")
    seen: float = structure(
        default=0.6, meaning="share of the entries that is trained on, between 0 and 1"
    )
    strength: float = structure(default=5.0, meaning="nonzero singular values of the matrix")

    def coherent(self):
        if self.rank > min(self.rows, self.columns):
            raise refused(
                "Completion",
                f"rank <= {min(self.rows, self.columns)}, the smaller side",
                self.rank,
                "Lower rank, or enlarge the matrix",
            )
        if not 0 < self.seen < 1:
            raise refused(
                "Completion", "0 < seen < 1", self.seen, "Give the share of entries to train on"
            )
        if not 1 <= round(self.seen * self.rows * self.columns) < self.rows * self.columns:
            raise refused(
                "Completion",
                "at least one entry seen and one hidden",
                f"seen={self.seen} of {self.rows * self.columns}",
                "Change seen, or enlarge the matrix",
            )
        if self.strength <= 0:
            raise refused(
                "Completion", "strength > 0", self.strength, "Give a positive singular value"
            )

    def draw(self, rng):
        U, V = (
            np.linalg.qr(rng.standard_normal((side, self.rank)))[0]
            for side in (self.rows, self.columns)
        )
        matrix = self.strength * U @ V.T
        order = rng.permutation(self.rows * self.columns)
        mask = np.zeros(self.rows * self.columns)
        mask[order[: round(self.seen * len(order))]] = 1
        weight, X = mask.reshape(self.columns, self.rows), np.eye(self.columns)
        return Drawn(View(X, matrix.T.copy(), weight), View(X, matrix.T.copy(), 1 - weight))

    @classmethod
    def example(cls):
        return cls(rows=4, columns=3, rank=1)


class GivenCompletion(Data):
    """Entries of a given `matrix` (rows, columns); `mask`, of the same shape, is 0 where an entry
    is not trained on and 1, or another weight, where it is.

    Entries that nobody knows are NaN. Without a mask all known ones are trained on. Inputs, targets
    and weights are those of `Completion`; the test view weighs the entries that are known and not
    trained on, and there is none where all are.
    """

    matrix: Numbers = array_with_gaps(
        meaning="the matrix (rows, columns) whose entries are the targets"
    )
    mask: Numbers | None = array_with_gaps(
        None,
        meaning=(
            "0 where an entry is not trained on, 1 or another weight where it is; of the shape of"
            " the matrix"
        ),
    )

    def coherent(self):
        shape = self.matrix.shape
        if len(shape) != 2 or min(shape) < 2:
            raise refused(
                "GivenCompletion",
                "a matrix of two rows and columns or more",
                f"shape {shape}",
                "Give a matrix",
            )
        if np.isinf(self.matrix).any():
            raise refused(
                "GivenCompletion",
                "a matrix of numbers, NaN where unknown",
                "infinity",
                "Remove or replace the bad entries",
            )
        if self.mask is not None and (
            self.mask.shape != shape or not ((self.mask >= 0) & np.isfinite(self.mask)).all()
        ):
            got = (
                f"shape {self.mask.shape}"
                if self.mask.shape != shape
                else "a negative or missing one"
            )
            raise refused(
                "GivenCompletion",
                f"a mask of numbers >= 0 of shape {shape}",
                got,
                "Write 1 where an entry is trained on, else 0",
            )
        if np.isnan(self.matrix[self._seen]).any():
            row, column = (
                int(place) for place in np.argwhere(self._seen & np.isnan(self.matrix))[0]
            )
            got = f"NaN in row {row}, column {column} (from 0)"
            raise refused(
                "GivenCompletion",
                "known entries where mask is not 0",
                got,
                "Give it, or set mask to 0 there",
            )
        if not self._seen.any():
            raise refused(
                "GivenCompletion",
                "at least one entry to train on",
                "none",
                "Give more entries, or change mask",
            )

    @property
    def _seen(self):
        return ~np.isnan(self.matrix) if self.mask is None else self.mask > 0

    def draw(self, rng):
        known, seen = ~np.isnan(self.matrix.T), self._seen.T
        X, Y, hidden = np.eye(len(seen)), np.where(known, self.matrix.T, 0.0), known & ~seen
        weight = seen.astype(np.float64) if self.mask is None else self.mask.T
        train, test = View(X, Y, weight.copy()), View(X, Y, hidden.astype(np.float64))
        return Drawn(train, test if hidden.any() else None, said=self.described())

    def described(self):
        known, seen = int((~np.isnan(self.matrix)).sum()), int(self._seen.sum())
        return (
            f"{self.matrix.size} entries, {known} known, {seen} for training, {known - seen} for"
            " the test"
        )

    @classmethod
    def example(cls):
        return cls(
            [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.5, 1.0, 1.5], [1.0, 2.0, 3.0]],
            [[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]],
        )
