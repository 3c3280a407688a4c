"""Faults of a user's own code: which of its lines did not run, and which of its methods gave what
nobody can go on with."""

import re
import traceback
from pathlib import Path
from types import CodeType
from typing import NamedTuple

from learnmech.errors import Refused, refused, saying
from learnmech.language.origins import LIBRARIES, in_library

HOUSE = ("learnmech", "learnmech_tangents")
_ROOT = Path(__file__).resolve().parents[1]
_WAY = re.compile(r'^\s*File "(.+)", line (\d+), in (.+)$', re.MULTILINE)


class Line(NamedTuple):
    """A line of the user's own code, within a function or a class, and what went wrong there."""

    file: str
    number: int
    within: str
    said: str


def own_line(error: BaseException) -> Line | None:
    """The last line of the user's own code that an error came through on its way; None where it
    came through none.

    What a library raised on the way from there is laid to the line that called it, and so is what
    learnmech raised: it was given what it could not take.
    """
    found = _told(error)
    if found is not None:
        return found
    for frame, number in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if _is_own(str(frame.f_globals.get("__name__")), code.co_filename):
            file = Path(code.co_filename).name
            within = code.co_qualname.partition(".<locals>")[0]
            found = Line(file, number, within, saying(error))
    return found


def _told(error):
    """That line where the error only tells of it: what a compiled program called (a callback of
    JAX) has its own way here, which the error holds as text."""
    said, found = saying(error), None
    for file, number, within in _WAY.findall(said):
        if Path(file).is_file() and _is_own("", file):
            found = Line(Path(file).name, int(number), within, said.strip().splitlines()[-1])
        elif Path(file).is_relative_to(_ROOT):
            found = None  # it went on through learnmech, as every way here begins
    return found


def _is_own(module, file):
    # names in <brackets> are those of functions that were made from a text, mostly by libraries
    if module.split(".")[0] in HOUSE or file.startswith("<") or (module and in_library(module)):
        return False
    place = Path(file).resolve()
    return not any(place.is_relative_to(root.resolve()) for root in (*LIBRARIES, _ROOT))


def blamed(error: BaseException) -> Refused | None:
    """The sentence for an error that the user's own code raised; None where it is not to blame."""
    line = own_line(error)
    if line is None:
        return None
    where = "" if line.within == "<module>" else f", in {line.within},"
    return refused(
        line.file,
        f"line {line.number}{where} to run",
        line.said,
        f"Mend {line.file}; with --traceback the command shows how it came to that line",
    )


def unfit(part: object, method: str, what: str, got: object) -> Exception:
    """What a part is told whose method gave something of another form than its family asks for; a
    fault of learnmech's own where the part is."""
    cls = type(part)
    if in_library(cls.__module__):
        return TypeError(f"{cls.__name__}.{method} gave {got} in place of {what}")
    made = getattr(getattr(cls, method, None), "__code__", None)
    at = (
        f"{method} in {Path(made.co_filename).name}, line {made.co_firstlineno}"
        if isinstance(made, CodeType) and _is_own("", made.co_filename)
        else cls.__name__
    )
    return refused(cls.__name__, f"{what} from its `{method}`", got, f"Mend {at}")
