"""Ladders: which axes of an experiment matter, which lead to a theory, and what each adds to how
far off it is."""

from learnmech.ladders.budget import Budget, explain
from learnmech.ladders.climb import ladder
from learnmech.ladders.designs import Design
from learnmech.ladders.distances import Distance
from learnmech.ladders.paths import Path
from learnmech.ladders.rungs import Ladder, Rung

__all__ = ["Budget", "Design", "Distance", "Ladder", "Path", "Rung", "explain", "ladder"]
