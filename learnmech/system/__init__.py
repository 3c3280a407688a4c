"""The system: a landscape at rest, what moves on it, and the symmetries it has."""

from learnmech.language.doors import offered

__getattr__ = offered("learnmech.system.landscape")
