"""The squared loss, on which most theories stand."""

from typing import ClassVar

from learnmech.language.parts import structure
from learnmech.losses.base import CONSTANTS, Scaled


class Squared(Scaled):
    """c sum_i |f_i - y_i|^2 + (ridge/2)|params|^2, summed over outputs.

    c = 1/(2n) for `half-mean`, 1/n for `mean`, 1/2 for `half-sum`, 1 for `sum`; n counts the
    samples of the batch in a batch. A ridge of None costs nothing, not even the sum. An (n, k)
    weight of the data multiplies each squared error (a mask is a weight of zeros and ones).
    """

    words: ClassVar[str] = "c sum_i |f_i - y_i|^2"
    scaling: str = structure(
        default="half-mean",
        choices=tuple(CONSTANTS),
        meaning="constant c: 1/(2n), 1/n, 1/2 or 1, n the samples of the batch",
    )

    def prices(self, outputs, Y):
        return (outputs - Y) ** 2
