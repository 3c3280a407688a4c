# What __init__.py gives when asked; written by `python -m learnmech.language.stubs`.
from . import base as base
from . import classes as classes
from . import squared as squared
from .base import Loss as Loss
from .classes import CrossEntropy as CrossEntropy
from .classes import Hinge as Hinge
from .classes import Logistic as Logistic
from .squared import Squared as Squared
