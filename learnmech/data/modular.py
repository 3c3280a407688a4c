"""Modular arithmetic: the table of an operation on ids, of which a share is shown."""

import numpy as np

from learnmech.data.base import Data, Drawn, View
from learnmech.errors import refused
from learnmech.language.parts import Knob, knob, structure
from learnmech.language.spaces import Space

OPERATIONS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
}


class ModularArithmetic(Data):
    """The p^2 pairs of ids (a, b), a and b from 0 to p - 1, and the id of a + b mod p; or of a - b,
    or ab.

    A `share` of the pairs, drawn at random, is trained on; the rest are the test set. Targets are
    ids: use losses.CrossEntropy.  Source: Power et al. 2022.
    """

    p: int = structure(
        default=97, at_least=2, meaning="ids, and the number that results are taken modulo"
    )
    share: Knob = knob(
        default=0.5, above=0, at_most=1, meaning="share of the pairs that is trained on"
    )
    operation: str = structure(
        default="add", choices=tuple(OPERATIONS), meaning="what is done with the two ids"
    )

    def coherent(self):
        if self.p > 10_000:
            raise refused(
                "ModularArithmetic", "p <= 10,000, which is 10^8 pairs", self.p, "Lower p"
            )

    def draw(self, rng):
        pairs = np.stack(
            np.meshgrid(np.arange(self.p), np.arange(self.p), indexing="ij"), axis=-1
        ).reshape(-1, 2)
        answers = OPERATIONS[self.operation](pairs[:, 0], pairs[:, 1]) % self.p
        order = rng.permutation(len(pairs))
        count = max(1, round(float(self.share) * len(pairs)))
        shown, rest = order[:count], order[count:]
        test = View(pairs[rest], answers[rest]) if len(rest) else None
        inputs, targets = Space((2,), ("position",), self.p), Space((), (), self.p)
        return Drawn(
            View(pairs[shown], answers[shown]),
            test,
            tuple(map(str, range(self.p))),
            inputs=inputs,
            targets=targets,
        )

    @classmethod
    def example(cls):
        return cls(p=5, share=0.6)
