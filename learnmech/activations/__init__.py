"""Activations, and the Gaussian averages of them (duals) of which kernels are made."""

from learnmech.language.catalog import lazy_files
from learnmech.language.doors import offered

_file, __dir__ = lazy_files(__name__, __file__)
_named = offered("learnmech.activations.functions")


def __getattr__(name):
    try:
        return _file(name)
    except AttributeError:
        return _named(name)
