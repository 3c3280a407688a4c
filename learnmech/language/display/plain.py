"""Plain: comparisons, conditions and checks as data that JSON knows; whatever has their names
and numbers."""

import numpy as np


def value(one):
    """A number as Python's own."""
    return one.item() if isinstance(one, (np.generic, np.ndarray)) and np.ndim(one) == 0 else one


def conditions(found) -> list[dict]:
    """Conditions as plain data."""
    return [
        {"claim": c.claim, "value": value(c.value), "bound": value(c.bound), "holds": bool(c.holds)}
        | {"decided": bool(getattr(c, "decided", True))}
        for c in found
    ]


def comparison(one) -> dict:
    """A comparison as plain data."""
    names = ("quantity", "measured", "predicted", "time", "error", "tolerance", "verdict")
    rows = [{name: value(getattr(row, name)) for name in names} for row in one.rows]
    facts = {"theory": one.theory, "source": one.source, "verdict": one.verdict, "rows": rows}
    return facts | {"conditions": conditions(one.conditions)}


def checks(found) -> list[dict]:
    """Checks as plain data."""
    plain = []
    for c in found:
        numbers = {
            name: value(getattr(c, name))
            for name in ("measured", "predicted", "error", "tolerance")
        }
        verdict = getattr(c, "verdict", "holds" if c.holds else "fails")
        words = {"verdict": verdict, "words": getattr(c, "words", verdict)}
        plain.append(
            {
                "claim": c.claim,
                **numbers,
                "bound": c.bound,
                "reason": c.reason,
                "holds": bool(c.holds),
                **words,
            }
        )
    return plain


def theories(found) -> dict[str, dict]:
    """{kind: what it says of itself, and its conditions} of (kind, summary, theory, conditions)."""
    said = {}
    for kind, summary, theory, held in found:
        said[kind] = {
            "summary": summary,
            "source": theory.source,
            "applies": all(c.holds for c in held),
            "predicts": list(theory.predicts),
            "limits": [
                {"knob": one.knob, "order": one.order, "bound": one.bound} for one in theory.limits
            ],
            "over_seeds": bool(theory.over_seeds),
            "conditions": conditions(held),
        }
    return said


def difference(found) -> dict:
    """What two sides differ in, as plain data."""
    groups = {
        name: [{"what": o.what, "one": o.one, "other": o.other} for o in getattr(found, name)]
        for name in DIFFERENT
    }
    names = ("quantity", "marks", "differ", "first", "largest", "relative", "words")
    numbers = [{name: value(getattr(one, name)) for name in names} for one in found.numbers]
    return {
        "one": found.one,
        "other": found.other,
        "same": found.same,
        **groups,
        "numbers": numbers,
    }


DIFFERENT = {
    "knobs": "knob",
    "data": "data",
    "code": "own code",
    "made": "made by",
    "only": "seen by one",
    "notes": "note",
}
