"""Losses: what the learner pays for its outputs."""

from typing import TYPE_CHECKING

from learnmech.language.catalog import lazy_family

if TYPE_CHECKING:
    from learnmech.losses.base import Loss as Loss

__getattr__, __dir__ = lazy_family(__name__, __file__, {"Loss": "learnmech.losses.base"})
