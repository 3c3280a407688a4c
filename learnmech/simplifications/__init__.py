"""Simplifications: axes of complexity turned off, an experiment become a simpler one that asks the
same question."""

from typing import TYPE_CHECKING

from learnmech.language.catalog import lazy_family

if TYPE_CHECKING:
    from learnmech.simplifications.base import Simplification as Simplification
    from learnmech.simplifications.facts import facts_of as facts_of

__getattr__, __dir__ = lazy_family(
    __name__,
    __file__,
    {
        "Simplification": "learnmech.simplifications.base",
        "facts_of": "learnmech.simplifications.facts",
        "simplified": "learnmech.simplifications.orders",
    },
)
