"""Losses: what the learner pays for its outputs."""

from learnmech.language.catalog import lazy_family
from learnmech.losses.base import Loss

__getattr__, __dir__ = lazy_family(__name__, __file__, {"Loss": Loss})
