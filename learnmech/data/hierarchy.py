"""The semantic hierarchy: items on the leaves of a tree, and the features that they share."""

import numpy as np

from learnmech.data.base import Data, Drawn, View
from learnmech.errors import refused
from learnmech.language.parts import structure

FEATURES = ("grow", "move", "roots", "fly", "swim", "leaves", "petals")


class Hierarchy(Data):
    """Items on the leaves of a binary tree of `levels` levels; one feature per node, 1 for the
    items under it and 0 for the others.

    Inputs are one-hot items times sqrt(n), n = 2^levels, so that S_xx = I. The singular modes of
    S_yx are the splits of the tree, the broadest the strongest. With two levels the items are
    canary, salmon, oak and rose.  Source: Saxe et al. 2019.
    """

    levels: int = structure(
        default=2,
        at_least=1,
        meaning="levels of the binary tree, with 2^(levels - 1) items on its leaves",
    )

    def coherent(self):
        if self.levels > 12:
            raise refused(
                "Hierarchy", "levels <= 12, which is 4,096 items", self.levels, "Lower levels"
            )

    def strengths(self):
        """The singular values of S_yx in closed form: sqrt((2^(levels + 1) - 1)/n), and
        sqrt((2^(levels - p) - 1)/n) for each of the 2^p splits at depth p."""
        n = 2**self.levels
        return np.sqrt(
            np.array([2 * n - 1] + [n / 2**p - 1 for p in range(self.levels) for _ in range(2**p)])
            / n
        )

    def draw(self, rng):
        n = 2**self.levels
        under = np.concatenate(
            [np.kron(np.eye(2**m), np.ones((1, n >> m))) for m in range(self.levels + 1)]
        )
        nodes = tuple(
            f"level {m} node {i + 1}" for m in range(self.levels + 1) for i in range(2**m)
        )
        return Drawn(
            View(np.sqrt(n) * np.eye(n), under.T.copy()),
            labels=FEATURES if self.levels == 2 else nodes,
        )
