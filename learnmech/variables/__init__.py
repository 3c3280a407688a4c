"""The right variables: which rescaling lays curves on one another, which knobs leave them equal,
and whether a few variables move by themselves."""

from learnmech.variables.closing import Closure, closure
from learnmech.variables.rescaled import Collapse, collapse
from learnmech.variables.universality import Universality, universal

__all__ = ["Closure", "Collapse", "Universality", "closure", "collapse", "universal"]
