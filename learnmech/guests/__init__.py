"""Guests: a user's own code, what of it an experiment runs, how its source travels and is found again."""

from learnmech.guests.code import FOLDER, Classes, Code, beside, changed, code_of, digests_of, own, summoned

__all__ = ["FOLDER", "Classes", "Code", "beside", "changed", "code_of", "digests_of", "own", "summoned"]
