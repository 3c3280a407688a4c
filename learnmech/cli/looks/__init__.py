"""How results look in a terminal."""

from learnmech.cli.looks.catalogue import description, exhibit
from learnmech.cli.looks.data import data
from learnmech.cli.looks.domains import predict, theories
from learnmech.cli.looks.records import (
    check,
    comparison,
    diff,
    learning_curve,
    reading,
    run,
    runs,
    show,
    staircase,
    twins,
    written,
)
from learnmech.cli.looks.sweeps import (
    budget,
    error_map,
    grid,
    grid_comparison,
    ladder,
    limit,
    sweep,
)

__all__ = [
    "check",
    "comparison",
    "data",
    "description",
    "diff",
    "exhibit",
    "grid",
    "grid_comparison",
    "budget",
    "error_map",
    "ladder",
    "learning_curve",
    "limit",
    "predict",
    "reading",
    "run",
    "runs",
    "show",
    "staircase",
    "sweep",
    "theories",
    "twins",
    "written",
]
