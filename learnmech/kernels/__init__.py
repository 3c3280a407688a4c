"""Kernels: of networks of infinite width, of finite ones, and what learning with a kernel does."""

from learnmech.language.catalog import lazy_files

__getattr__, __dir__ = lazy_files(__name__, __file__)
