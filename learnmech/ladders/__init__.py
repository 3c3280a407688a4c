"""Ladders: which axes of an experiment matter, each turned off alone and all one after another."""

from learnmech.ladders.climb import ladder
from learnmech.ladders.distances import Distance
from learnmech.ladders.rungs import Ladder, Rung

__all__ = ["Distance", "Ladder", "Rung", "ladder"]
