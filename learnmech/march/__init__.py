"""The march: the only room that steps. The loop, the stages between events, and what is read on
the way."""

from learnmech.language.doors import offered

__getattr__ = offered("learnmech.march.loop")
