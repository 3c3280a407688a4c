"""Terminal: what others wrote (names, notes, texts from elsewhere) is shown, and never obeyed."""

import logging
import sys

from learnmech.errors import plain


def shown(value):
    """A result as plain data whose texts have no effect on a terminal; keys too."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {shown(name): shown(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(one) for one in value]
    return value


def tell(words: object, end: str = "\n") -> None:
    """A line on stderr."""
    print(plain(words), file=sys.stderr, end=end, flush=True)


class _ToldHandler(logging.Handler):
    """The log as lines on stderr."""

    def emit(self, record):
        tell(f"{record.levelname.lower()}: {record.getMessage()}")


def told() -> logging.Handler:
    """A handler that tells what is logged, for as long as one command runs."""
    handler = _ToldHandler()
    handler.setLevel(logging.INFO)
    return handler


def any_letter() -> None:
    """A letter that the terminal's encoding has not (a pipe on Windows, an ASCII locale) is
    replaced instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
