"""Errors: the one shape in which learnmech refuses, words that are safe to show, and the nearest
name to a mistyped one."""

import difflib
import re

# What a terminal or a page would obey instead of showing it: control characters (ESC among them),
# marks that turn the direction of writing, separators of lines, invisible tags, and halves of
# characters, which no encoding can write.
OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
# A value longer than this is shown by its two ends.
LONGEST, HEAD, TAIL = 400, 240, 80


class Refused(ValueError):
    """A request that cannot be met, in one sentence and a remedy: `<Who> needs <what>, but got
    <value>. <Remedy>.`"""


class RefusedKey(Refused, KeyError):
    """A name asked for that is not there: a `KeyError` too, as of any mapping, which says the
    same sentence."""

    __str__ = Refused.__str__  # a KeyError would show its repr


def plain(words: object) -> str:
    """The words with whatever is obeyed instead of shown written out, as `\\x1b`; new lines and
    tabs stay."""
    return OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), str(words))


def written(value: object) -> str:
    """Its repr; of a whole number of thousands of digits, which Python does not write, that it
    is one."""
    try:
        return repr(value)
    except ValueError:
        return "a number of thousands of digits"


def saying(error: BaseException) -> str:
    """An error as it is named and what it says; its name alone where it says nothing, or cannot:
    to ask it runs code of whoever wrote it."""
    name = type(error).__name__
    try:
        words = str(error).strip()
    except KeyboardInterrupt:
        raise
    except BaseException:
        return f"{name}, which cannot say what it is about"
    return f"{name}: {words}" if words else name


def _line(words: object) -> str:
    return plain(words).replace("\n", " ")


def _short(words: object) -> str:
    line = _line(words)
    return (
        line
        if len(line) <= LONGEST
        else f"{line[:HEAD]} ... {line[-TAIL:]} ({len(line)} characters)"
    )


def refused(
    who: str, what: str, got: object, remedy: str, kind: type[Refused] = Refused
) -> Refused:
    """The error itself, to be raised by the caller: `raise refused("GradientDescent", "rate > 0",
    -1, "Give a positive rate")`.

    Names and values come from whoever wrote them: they are shown on one line, without effect on a
    terminal, and a long value by its two ends. `kind`: the class of the error, where it is more
    than refused.
    """
    remedy = _line(remedy)
    ended = remedy if remedy.endswith("?") else remedy.rstrip(".") + "."
    return kind(f"{_short(who)} needs {_line(what)}, but got {_short(got)}. {ended}")


def nearest(name: str, names) -> str:
    """The remedy for an unknown name: the closest known ones, or all of them when none is close."""
    names = sorted(names)
    close = difflib.get_close_matches(name[:LONGEST], names, n=3, cutoff=0.5)
    if close:
        return "Did you mean " + " or ".join(close) + "?"
    return "Choose from " + ", ".join(names) if names else "There is none to choose from"


def unwritten(part: object, method: str) -> Refused:
    """What a part of one's own is told that lacks a method which its family asks for."""
    who = type(part).__name__
    return refused(who, f"a `{method}` of its own", "none", f"Write {method} in the class {who}")
