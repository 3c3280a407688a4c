"""Errors: the one shape in which learnmech refuses, and the nearest name to a mistyped one."""

import difflib


class Refused(ValueError):
    """A request that cannot be met, in one sentence and a remedy: `<Who> needs <what>, but got <value>. <Remedy>.`"""


def refused(who: str, what: str, got: object, remedy: str) -> Refused:
    """The error itself, to be raised by the caller: `raise refused("GradientDescent", "rate > 0", -1, "Give a positive rate")`."""
    return Refused(f"{who} needs {what}, but got {got}. {remedy if remedy.endswith('?') else remedy.rstrip('.') + '.'}")


def nearest(name: str, names) -> str:
    """The remedy for an unknown name: the closest known ones, or all of them when none is close."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return "Did you mean " + " or ".join(close) + "?"
    return "Choose from " + ", ".join(names) if names else "There is none to choose from"
