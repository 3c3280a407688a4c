"""Forms: what the facts of a run folder look like, so that a folder of another make is told apart
before anything is read from it.

A form is a type, a set of words, a tuple of forms of which one has to fit, `[form]` for a list,
`{str: form}` for a dictionary of any keys, or `{"key": form, "key?": form}` for one that has those
keys (with `?` may have them) among others.
"""

from learnmech.record.bounds import is_inside

# More marks than any run of ours has; what counts rows must not be asked for more.
MARKS = 10**9


class Name(str):
    """The form of a name below a folder."""


class Count(int):
    """The form of a whole number of marks."""


class Size(int):
    """The form of a whole number of marks that is not 0."""


NUMBER = (float, int, str, bool, None)
ROW: dict[str, object] = {
    "quantity": str,
    "measured": NUMBER,
    "predicted": NUMBER,
    "time": NUMBER,
    "error": (float, int, None),
}
ROW |= {"tolerance": (float, int, None), "verdict": str}
CONDITION: dict[str, object] = {"claim": str, "value": NUMBER, "bound": NUMBER, "holds": bool}
COMPARISON: dict[str, object] = {
    "theory": str,
    "source": str,
    "verdict": str,
    "rows": [ROW],
    "conditions": [CONDITION],
}
RESULT = {"comparisons?": [COMPARISON]}
PARENT = {"fingerprint": str, "made": str, "place": Count, "at": (float, int), "folder?": str}
PROVENANCE: dict[str, object] = {
    name: str for name in ("fingerprint", "learnmech", "jax", "device", "precision", "made")
}
GUEST = {name: str for name in ("family", "kind", "name", "digest", "module")}
CODE = {"python": str, "guests": [GUEST], "files": {Name: str}}
PROVENANCE |= {
    "cores": (int, None),
    "parent?": (PARENT, None),
    "code?": CODE,
    "data?": [{"knob": str, "file": str, "sha256": str}],
}
GUEST = {name: str for name in ("family", "kind", "name", "digest", "module")}
PROVENANCE |= {
    "data_read?": str,
    "products?": str,
    "data?": [{"knob": str, "file": str, "sha256": str}],
    "code?": {"python": str, "guests": [GUEST], "files": {Name: str}},
}
RUN: dict[object, object] = {
    "format": int,
    "provenance": PROVENANCE,
    "experiment": str,
    "watch": [str],
    "names": {Size: [str]},
    "until": (str, None),
}
RUN |= {"first": Count, "block": Size, "crc32": {Name: str}}
PROGRESS: dict[str, object] = {
    "marks": Count,
    "status": str,
    "notes": [str],
    "wall_seconds": (float, int),
}
PROGRESS |= {
    "run?": str,
    "sums?": {Size: {str: [int]}},
    "mending?": Count,
    "final?": str,
    "result?": dict,
}


def misfit(value, form, where: str = "") -> str | None:
    """Where a value is not of a form, None where all of it is."""
    if isinstance(form, tuple):
        return (
            None if any(misfit(value, one, where) is None for one in form) else where or "all of it"
        )
    if isinstance(form, dict):
        return (
            _misfit_in_keys(value, form, where) if isinstance(value, dict) else where or "all of it"
        )
    if isinstance(form, list):
        parts = (
            ((f"{where}[{i}]", one) for i, one in enumerate(value))
            if isinstance(value, list)
            else None
        )
        return (
            (where or "all of it")
            if parts is None
            else next((bad for at, one in parts if (bad := misfit(one, form[0], at))), None)
        )
    if isinstance(form, set):
        fits = isinstance(value, str) and value in form
    elif form in (Name, Count, Size, None):
        fits = {
            Name: _is_name,
            Count: _is_count,
            Size: lambda one: _is_count(one) and one,
            None: lambda one: one is None,
        }[form](value)
    else:
        fits = isinstance(value, form) and (form is bool or not isinstance(value, bool))
    return None if fits else where or "all of it"


def _misfit_in_keys(value, form, where):
    if all(isinstance(key, type) for key in form):
        ((kind, inner),) = form.items()
        for key, one in value.items():
            bad = misfit(
                int(key) if kind is Size and key.isdecimal() and len(key) < 10 else key,
                kind,
                f"{where}.{key}",
            )
            if bad or (bad := misfit(one, inner, f"{where}.{key}")):
                return bad.removeprefix(".")
        return None
    for key, inner in form.items():
        name = key.removesuffix("?")
        at = f"{where}.{name}".removeprefix(".")
        if name not in value:
            if name == key:
                return at
        elif bad := misfit(value[name], inner, at):
            return bad
    return None


def _is_name(value) -> bool:
    return isinstance(value, str) and is_inside(value)


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MARKS
