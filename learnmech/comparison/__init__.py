"""Comparison: what was seen beside what theory said, and runs beside one another."""

from learnmech.language.doors import offered

__getattr__ = offered("learnmech.comparison.verdicts")
