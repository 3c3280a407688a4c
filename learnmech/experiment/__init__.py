"""The experiment: the recipe, its clock, and how readings lie on the marks of it."""

from learnmech.language.doors import offered

__getattr__ = offered("learnmech.experiment.recipe")
