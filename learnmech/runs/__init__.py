"""Runs: an experiment marched from mark to mark, and what it will cost."""

from learnmech.language.doors import offered

__getattr__ = offered("learnmech.runs.running")
