"""Data: where samples come from."""

from learnmech.language.catalog import lazy_family

__getattr__, __dir__ = lazy_family(__name__, __file__)
