"""Spaces: what one sample is on a side, an array of real numbers or of ids, and what its axes
are called."""

import dataclasses
import math

import numpy as np
from jaxtyping import Shaped

from learnmech.errors import refused
from learnmech.language.trees import Array


@dataclasses.dataclass(frozen=True)
class Space:
    """One sample: an array of this shape over these axes, of real numbers, or of ids 0 to
    `vocabulary` - 1.

    Derived from what a source draws, never written: it is in neither the text nor the fingerprint.
    """

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    vocabulary: int | None = None

    def __post_init__(self):
        if len(self.shape) != len(self.axes):
            raise refused(
                "Space",
                f"a name for each of {len(self.shape)} axes",
                f"{self.axes}",
                "Name every axis once",
            )
        if self.vocabulary is not None and self.vocabulary < 1:
            raise refused(
                "Space",
                "a vocabulary of 1 or more",
                self.vocabulary,
                "Count the ids that there are",
            )

    @property
    def size(self) -> int:
        """Numbers, or ids, to a sample."""
        return math.prod(self.shape)

    @property
    def is_vector(self) -> bool:
        """Whether a sample is a vector of real numbers, on which linear theory stands."""
        return self.vocabulary is None and len(self.shape) == 1

    @property
    def scores(self) -> "Space":
        """What a network gives where this is its target: real numbers of this shape, or for ids
        a score of each over one more axis, `class`."""
        return (
            self
            if self.vocabulary is None
            else Space((*self.shape, self.vocabulary), (*self.axes, "class"))
        )

    def __str__(self):
        what = "real numbers" if self.vocabulary is None else f"ids below {self.vocabulary}"
        if not self.shape:
            return f"one of {what}"
        return f"{' x '.join(map(str, self.shape))} {what} over {', '.join(self.axes)}"

    def check(self, who: str, side: str, values: Shaped[Array, "n ..."]) -> None:
        """Refuse samples (n, *shape) that are not of this space."""
        if np.shape(values)[1:] != self.shape:
            raise refused(
                who,
                f"{side} of shape (n, {', '.join(map(str, self.shape))})",
                f"{np.shape(values)}",
                "Reshape them",
            )
        if self.vocabulary is None:
            return
        values = np.asarray(values)
        if values.dtype.kind not in "iu":
            raise refused(
                who,
                f"{side} that are ids, whole numbers",
                str(values.dtype),
                "Give an array of integers",
            )
        if values.size and (values.min() < 0 or values.max() >= self.vocabulary):
            wrong = values.min() if values.min() < 0 else values.max()
            raise refused(
                who,
                f"{side} that are ids from 0 to {self.vocabulary - 1}",
                int(wrong),
                "Raise the vocabulary, or mend the ids",
            )


GRIDS = {2: ("position", "channel"), 3: ("row", "column", "channel")}
"""What the axes of a sample on a grid are called, by their number; the channels come last."""


def grid(shape: tuple[int, ...]) -> Space:
    """Real numbers at the places of a line, (positions, channels), or of an image, (rows, columns,
    channels)."""
    if len(shape) not in GRIDS:
        raise refused(
            "A grid",
            "two axes, (positions, channels), or three, (rows, columns, channels)",
            f"{len(shape)}: {shape}",
            "Name the channels too: (28, 28, 1) for images of one channel",
        )
    return Space(tuple(shape), GRIDS[len(shape)])


def vector(size: int, axis: str) -> Space:
    """So many real numbers over one axis."""
    return Space((size,), (axis,))
