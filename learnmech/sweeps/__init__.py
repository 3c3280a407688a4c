"""Sweeps: a grid over knobs and seeds, gathered in one Dataset; finished points are kept, sealed, and shared between processes."""

from learnmech.sweeps.grid import error_bars, sweep
from learnmech.sweeps.kept import identity_of

__all__ = ["error_bars", "identity_of", "sweep"]
