"""Initial conditions: where the parameters start."""

from learnmech.language.catalog import lazy_family

__getattr__, __dir__ = lazy_family(__name__, __file__)
