"""Theories: what can be said without running."""

from learnmech.language.catalog import lazy_family

__getattr__, __dir__ = lazy_family(__name__, __file__)
