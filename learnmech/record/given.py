"""Given records: what stands for a record wherever one is asked for."""

import os

from learnmech.errors import refused
from learnmech.record.base import Record
from learnmech.record.folder import load


def recorded(who: str, record: "Record | str | os.PathLike") -> Record:
    """A record as it is, or that in the run folder of a path; anything else is refused."""
    found = load(os.fspath(record)) if isinstance(record, (str, os.PathLike)) else record
    if not isinstance(found, Record):
        got = "the folder of a sweep" if found is not record else f"{type(record).__name__}"
        raise refused(
            who,
            "a record or its run folder",
            got,
            "Give what lm.run or lm.load gives, or the path of a run folder",
        )
    return found
