# What __init__.py gives when asked; written by `python -m learnmech.language.stubs`.
from . import duals as duals
from . import functions as functions
