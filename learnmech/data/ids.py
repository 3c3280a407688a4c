"""Ids in hand: sequences of whole numbers below a vocabulary, and targets that are ids too."""

from typing import Any

import numpy as np

from learnmech.data.base import Data, Drawn, View
from learnmech.errors import refused
from learnmech.language.parts import array, structure
from learnmech.language.spaces import Space

Array = np.ndarray | None


class Ids(Data):
    """Samples of ids in hand: X (n, positions) below `vocabulary`, Y (n,) for one answer to a
    sample or (n, positions) for one to each, below `classes`.

    `mask` (n, positions), 1 or 0, says which answers are asked for; a mean over samples is one over
    those alone. Use losses.CrossEntropy.
    """

    X: Array = array(meaning="ids of the training inputs (n, positions)")
    Y: Array = array(meaning="ids of the training targets, (n,) or (n, positions)")
    vocabulary: int = structure(
        default=0,
        at_least=0,
        meaning="ids that inputs may have; 0: one more than the largest there is",
    )
    classes: int = structure(
        default=0,
        at_least=0,
        meaning="ids that targets may have; 0: one more than the largest there is",
    )
    mask: Array = array(
        default=None, meaning="1 where an answer is asked for and 0 elsewhere, of the shape of Y"
    )
    X_test: Array = array(default=None, meaning="ids of the test inputs")
    Y_test: Array = array(default=None, meaning="ids of the test targets")
    mask_test: Array = array(default=None, meaning="where an answer is asked for in the test set")

    def coherent(self):
        if (self.X_test is None) != (self.Y_test is None):
            raise refused(
                "Ids", "both of X_test and Y_test, or neither", "one of them", "Give both"
            )
        for name in ("X", "Y", "X_test", "Y_test"):
            values = getattr(self, name)
            if values is not None and (
                not np.all(np.isfinite(values))
                or np.any(values != np.round(values))
                or np.any(values < 0)
            ):
                raise refused(
                    "Ids",
                    f"whole numbers from 0 on in {name}",
                    "others",
                    "Map what they stand for to ids first",
                )
        sides: Any = (
            ("training", self.X, self.Y, self.mask),
            ("test", self.X_test, self.Y_test, self.mask_test),
        )
        for side, X, Y, mask in sides:
            if X is None:
                continue
            if X.ndim < 1 or len(X) != len(Y) or not len(X):
                raise refused(
                    "Ids",
                    f"a target for each {side} input",
                    f"X {X.shape} and Y {Y.shape}",
                    "Give as many of both",
                )
            if mask is not None and (
                mask.shape != Y.shape or np.any((mask != 0) & (mask != 1)) or not mask.any()
            ):
                raise refused(
                    "Ids",
                    f"a {side} mask of 0 and 1, of shape {Y.shape}, that asks for something",
                    f"shape {mask.shape}",
                    "Mend the mask",
                )

    def draw(self, rng):
        def space(first, second, size):
            largest = int(max(np.max(one, initial=0) for one in (first, second) if one is not None))
            axes = {0: (), 1: ("position",)}.get(
                first.ndim - 1, tuple(f"axis{place}" for place in range(1, first.ndim))
            )
            return Space(first.shape[1:], axes, size or largest + 1)

        def view(X, Y, mask):
            return View(
                X.astype(np.int64),
                Y.astype(np.int64),
                None,
                None if mask is None else mask.astype(bool),
            )

        test = None if self.X_test is None else view(self.X_test, self.Y_test, self.mask_test)
        inputs, targets = (
            space(self.X, self.X_test, self.vocabulary),
            space(self.Y, self.Y_test, self.classes),
        )
        return Drawn(view(self.X, self.Y, self.mask), test, inputs=inputs, targets=targets)

    @classmethod
    def example(cls):
        return cls(
            X=np.array([[0, 1, 2], [2, 1, 0], [1, 1, 2], [0, 0, 1]]),
            Y=np.array([[1, 2, 0], [1, 0, 2], [1, 2, 1], [0, 1, 2]]),
        )
