"""The experiment: the recipe, its clock, and how readings lie on the marks of it."""
