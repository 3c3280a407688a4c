"""Lattices: the zero line of a function on a lattice, asked only where it runs."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

STRIDE = 4
# A cell whose corners have one sign, but come so near to 0 beside their range, may hide an island.
NEAR = 0.25
Node = tuple[int, int]
Ask = Callable[[list[Node]], Iterable[float]]


class Lattice(NamedTuple):
    """What was asked: `values` (m, n), NaN where it was not asked or has no value; `asked` where it
    was; and the cells that were not divided further, (row, column, stride)."""

    values: Float[np.ndarray, "m n"]
    asked: np.ndarray
    leaves: tuple[tuple[int, int, int], ...]

    @property
    def share(self) -> float:
        """Of all nodes the share that was asked."""
        return float(self.asked.mean())

    def crossings(self) -> Float[np.ndarray, "c 2"]:
        """Where the zero line crosses edges between neighboring nodes that were asked, in steps of
        the lattice, by linear interpolation."""
        found = []
        for row, column, stride in self.leaves:
            corners = _corners(row, column, stride)
            for one, other in zip(corners, (*corners[1:], corners[0]), strict=True):
                a, b = self.values[one], self.values[other]
                if np.isfinite(a) and np.isfinite(b) and (a > 0) != (b > 0):
                    share = a / (a - b)
                    found.append(
                        tuple(p + share * (q - p) for p, q in zip(one, other, strict=True))
                    )
        return np.unique(np.round(np.array(found).reshape(-1, 2), 9), axis=0)

    def filled(self) -> Float[np.ndarray, "m n"]:
        """The values at all nodes: those that were not asked by linear interpolation between those
        that were, for drawing."""
        from scipy.interpolate import griddata

        known = np.isfinite(self.values)
        if known.sum() < 4 or known.all():
            return self.values
        every = np.argwhere(np.ones(self.values.shape, bool))
        there = np.argwhere(known)
        found = griddata(there, self.values[known], every, method="linear")
        # where it has no value there is none between either
        holes = np.argwhere(self.asked & ~known)
        found = found.reshape(self.values.shape)
        for hole in holes:
            found[tuple(hole)] = np.nan
        return found


def _corners(row: int, column: int, stride: int) -> tuple[Node, Node, Node, Node]:
    return (
        (row, column),
        (row, column + stride),
        (row + stride, column + stride),
        (row + stride, column),
    )


def stride_of(count: int) -> int:
    """The coarsest stride with which so many nodes can be begun: 4, 2 or 1."""
    return next(stride for stride in (STRIDE, 2, 1) if (count - 1) % stride == 0)


def refined(
    ask: Ask,
    shape: tuple[int, int],
    islands: bool = False,
    blurred: Callable[[Node], float] | None = None,
) -> Lattice:
    """The zero line of a function on a lattice: every fourth node is asked, and a cell is divided
    where signs differ among the nodes on it, until no cell of more than one step has two signs.

    A finer node on the side of a coarser cell counts for it too, so that the line is followed from
    cell to cell wherever it leaves the first. With `islands` a cell is divided also where its
    corners come near 0 beside their range: islands smaller than four steps are missed without.
    Cells of which every corner is within two of its `blurred` (a standard error) are not divided:
    nothing finer is known there.
    """
    values, asked = np.full(shape, np.nan), np.zeros(shape, bool)
    start = min(stride_of(count) for count in shape)
    cells = [
        (row, column, start)
        for row in range(0, shape[0] - 1, start)
        for column in range(0, shape[1] - 1, start)
    ]

    def known(nodes):
        new = sorted({node for node in nodes if not asked[node]})
        for node, value in zip(new, ask(new) if new else (), strict=True):
            values[node], asked[node] = value, True

    known([corner for cell in cells for corner in _corners(*cell)])
    while True:
        divided: list[tuple[int, int, int]] = []
        kept: list[tuple[int, int, int]] = []
        for cell in cells:
            wide = cell[2] > 1 and _crossed(values, asked, cell, islands, blurred)
            (divided if wide else kept).append(cell)
        if not divided:
            return Lattice(values, asked, tuple(cells))
        new = [
            (row + i * half, column + j * half, half)
            for row, column, stride in divided
            for half in (stride // 2,)
            for i in (0, 1)
            for j in (0, 1)
        ]
        known([corner for cell in new for corner in _corners(*cell)])
        cells = kept + new


def _crossed(values, asked, cell, islands, blurred) -> bool:
    """Whether the zero line may run through a cell, by all nodes on it that were asked."""
    row, column, stride = cell
    block = (slice(row, row + stride + 1), slice(column, column + stride + 1))
    seen = values[block][asked[block]]
    seen = seen[np.isfinite(seen)]
    if not len(seen):
        return False
    if blurred is not None:
        corners = [one for one in _corners(*cell) if np.isfinite(values[one])]
        if all(abs(values[one]) < 2 * blurred(one) for one in corners):
            return False
    if (seen > 0).any() and (seen <= 0).any():
        return True
    return islands and np.abs(seen).min() < NEAR * np.ptp(seen)
