"""Commands: what may be asked of a lab, checked before anything is done about it."""

import math
from typing import Any

from learnmech.errors import nearest, refused

WHOLE, NUMBER, TEXT, FLAG, TABLE, LIST = "whole", "number", "text", "flag", "table", "list"
ANY = "value"
LONGEST_TEXT = 60_000

ASKED: dict[str, dict[str, str]] = {
    "hello": {},
    "open": {"subject?": TEXT, "text?": TEXT, "changes?": TABLE, "small?": FLAG},
    "play": {"branch?": TEXT},
    "pause": {"branch?": TEXT},
    "step": {"count?": WHOLE, "branch?": TEXT},
    "mark": {"count?": WHOLE, "branch?": TEXT},
    "speed": {"marks_per_second?": NUMBER, "branch?": TEXT},
    "seek": {"branch": TEXT, "position": NUMBER},
    "live": {"branch": TEXT},
    "event": {"branch": TEXT, "at": NUMBER, "event": TABLE},
    "turn": {"branch": TEXT, "at": NUMBER, "path": TEXT, "value": ANY},
    "undo": {"branch": TEXT},
    "select": {"branch": TEXT},
    "beside": {"branches": LIST},
    "panel": {"panel": TEXT, "kind": TEXT, "spec?": TABLE, "branch?": TEXT},
    "close": {"panel": TEXT},
    "theory": {"branch": TEXT, "theory": TEXT, "on": FLAG},
    "simplify": {"branch": TEXT, "axis": TEXT},
    "draw": {"branch": TEXT, "quantity": TEXT, "entry?": ANY, "points": LIST},
    "export": {"branch": TEXT, "as": TEXT},
    "lesson": {"name": TEXT, "step": WHOLE},
    "leave": {},
}
"""{command: {field: what it is}}; a field that ends in ? may be left out."""

EYES = {"seek", "live", "beside", "panel", "theory", "export"}
"""Commands that only look. They are done in an order of their own, so that what is dear to look at
holds up no hand."""


def checked(said: Any) -> dict[str, Any]:
    """A command with its fields as they should be; refuses anything else in a sentence."""
    if not isinstance(said, dict):
        raise refused("The lab", "a command, as a JSON object", type(said).__name__, "Send one")
    name = said.get("do")
    if not isinstance(name, str) or name not in ASKED:
        raise refused("The lab", "a known command", repr(name)[:80], nearest(str(name)[:80], ASKED))
    found: dict[str, Any] = {"do": name}
    if isinstance(said.get("id"), (int, str)):
        found["id"] = said["id"] if isinstance(said["id"], int) else said["id"][:80]
    for field, kind in ASKED[name].items():
        field, optional = field.removesuffix("?"), field.endswith("?")
        value = said.get(field)
        if value is None and (optional or kind == ANY):
            found[field] = None
            continue
        if not _fits(kind, value):
            got = "nothing" if value is None else f"{type(value).__name__} {value!r}"[:80]
            raise refused(f"The command {name}", f"{field}, a {kind}", got, f"Give {field}")
        found[field] = value
    return found


def _fits(kind: str, value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == WHOLE:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    if kind == NUMBER:
        return number and abs(value) < 2**53 and math.isfinite(value)
    if kind == TEXT:
        return isinstance(value, str) and len(value) <= LONGEST_TEXT
    if kind == FLAG:
        return isinstance(value, bool)
    if kind == TABLE:
        return isinstance(value, dict)
    if kind == LIST:
        return isinstance(value, list)
    return True
