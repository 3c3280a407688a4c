"""The right variables: which rescaling lays curves on one another, which knobs leave them equal,
and whether a few variables move by themselves."""

from learnmech.studies.variables.closing import Closure, closure
from learnmech.studies.variables.rescaled import Collapse, collapse
from learnmech.studies.variables.universality import Universality, universal

__all__ = ["Closure", "Collapse", "Universality", "closure", "collapse", "universal"]
