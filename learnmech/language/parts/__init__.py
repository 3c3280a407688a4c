"""Parts: frozen values with knobs, from which an experiment is put together."""

from learnmech.language.parts.base import KNOBS, Outside, Part, Shorthand, meaning_of, told
from learnmech.language.parts.checks import SAYS, show_value, unchanged, whole_number
from learnmech.language.parts.fields import (
    Knob,
    Numbers,
    array,
    is_traced,
    knob,
    part,
    plain,
    structure,
)

__all__ = [
    "KNOBS",
    "Knob",
    "Numbers",
    "Outside",
    "Part",
    "SAYS",
    "Shorthand",
    "array",
    "is_traced",
    "knob",
    "meaning_of",
    "part",
    "plain",
    "show_value",
    "structure",
    "told",
    "unchanged",
    "whole_number",
]
