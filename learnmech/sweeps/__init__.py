"""Sweeps: a grid over knobs and seeds, gathered in one Dataset; finished points are kept,
sealed, and shared between processes."""

from learnmech.sweeps.folder import load_grid as load
from learnmech.sweeps.gathered import by_mark, error_bars
from learnmech.sweeps.grid import sweep
from learnmech.sweeps.kept import identity_of
from learnmech.sweeps.laid import GridComparison, compare_grid
from learnmech.sweeps.lazy import gather
from learnmech.sweeps.means import compare_means
from learnmech.sweeps.points import point

__all__ = [
    "GridComparison",
    "by_mark",
    "compare_grid",
    "compare_means",
    "error_bars",
    "gather",
    "identity_of",
    "load",
    "point",
    "sweep",
]
