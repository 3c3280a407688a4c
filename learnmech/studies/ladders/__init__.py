"""Ladders: which axes of an experiment matter, which lead to a theory, and what each adds to how
far off it is."""

from learnmech.studies.ladders.budget import Budget, explain
from learnmech.studies.ladders.climb import ladder
from learnmech.studies.ladders.designs import Design
from learnmech.studies.ladders.distances import Distance
from learnmech.studies.ladders.paths import Path
from learnmech.studies.ladders.rungs import Ladder, Rung

__all__ = ["Budget", "Design", "Distance", "Ladder", "Path", "Rung", "explain", "ladder"]
