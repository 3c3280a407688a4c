"""Activations, and the Gaussian averages of them (duals) of which kernels are made."""

from learnmech.language.catalog import lazy_files

__getattr__, __dir__ = lazy_files(__name__, __file__)
