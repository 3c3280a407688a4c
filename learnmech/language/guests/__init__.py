"""Guests: a user's own code, what of it an experiment runs, how its source travels and is found
again."""

from learnmech.language.guests.carried import Carried
from learnmech.language.guests.code import (
    FOLDER,
    Classes,
    Code,
    changed,
    code_of,
    digests_of,
    own,
    summoned,
)

__all__ = [
    "FOLDER",
    "Carried",
    "Classes",
    "Code",
    "changed",
    "code_of",
    "digests_of",
    "own",
    "summoned",
]
