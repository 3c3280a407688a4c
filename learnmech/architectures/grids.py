"""Grids: what layers at the positions of a line or an image do to kernels as widths go to
infinity, step by step."""

from typing import NamedTuple

import equinox as eqx

Grid = tuple[int, ...]


class Windows(NamedTuple):
    """Windows on a grid of positions, along each of its axes: of `sizes`, `strides` apart.

    The grid goes on by so many positions `before` and `after` it, around in a circle where it
    `wraps`, else by signals that are 0.
    """

    grid: Grid
    sizes: Grid
    strides: Grid
    before: Grid
    after: Grid
    wraps: bool = False

    @property
    def padded(self) -> Grid:
        """The grid with what goes on around it."""
        return tuple(sum(sides) for sides in zip(self.before, self.grid, self.after, strict=True))

    @property
    def out(self) -> Grid:
        """One position for each window."""
        return tuple(
            (side - size) // stride + 1
            for side, size, stride in zip(self.padded, self.sizes, self.strides, strict=True)
        )

    @classmethod
    def whole(cls, grid: Grid) -> "Windows":
        """One window over all of it."""
        nothing = (0,) * len(grid)
        return cls(grid, grid, (1,) * len(grid), nothing, nothing)


class OnGrid(eqx.Module):
    """A step on kernels K(p, p') between position p of an input and p' of another.

    Kernels are `full`, of all pairs of positions, or of each position with its like alone, p = p'.
    """


class Positions(OnGrid):
    """Inputs x (n, positions in reading order x channels): K(p, p') = x(p).x'(p')/channels."""

    grid: Grid = eqx.field(static=True)
    full: bool = eqx.field(static=True, default=False)


class Convolve(OnGrid):
    """What a convolution reads: K(p, p') -> mean over offsets o of K(s p + o, s p' + o), T
    likewise.

    The weights of unlike offsets are independent. The affine map behind it is an `Affine` of its
    own.
    """

    windows: Windows = eqx.field(static=True)


class Pool(OnGrid):
    """Means over windows, full kernels alone: K(P, P') -> mean over p in P, p' in P' of K(p, p').

    `edges`: of the positions that are there, where a window reaches beyond the grid.
    """

    windows: Windows = eqx.field(static=True)
    edges: bool = eqx.field(static=True, default=False)


class Centers(OnGrid):
    """Full kernels -> those of each position with its like."""


class Read(OnGrid):
    """What a dense layer on all positions at once reads: K -> mean over p of K(p, p)."""


class Normed(OnGrid):
    """h -> (h - mean)/sqrt(variance + eps) over the channels and along `axes` of the grid.

    K(p, p') -> K(p, p')/(r(p) r'(p')), T likewise, r^2 = eps + mean along the axes of K of a
    position with itself. Signals have no mean over infinitely many channels.
    """

    eps: float = eqx.field(static=True, default=0.0)
    axes: tuple[int, ...] = eqx.field(static=True, default=())


def on_grid(steps: tuple) -> bool:
    """Whether some step is one of these."""
    return any(isinstance(step, OnGrid) for step in steps)
