"""Curvature: the shape of the landscape around a point, seen through products of its curvature
with vectors."""

from learnmech.language.catalog import lazy_files

__getattr__, __dir__ = lazy_files(__name__, __file__)
