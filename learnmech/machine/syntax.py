"""Syntax: Python source as a tree, read by one thread at a time."""

import ast
import threading

_READING = threading.Lock()


def parsed(source: str | bytes) -> ast.Module:
    """A source as a tree; a SyntaxError for whatever cannot be read.

    Python 3.11 raises SystemError ("AST constructor recursion depth mismatch") where two threads
    make trees at once.
    """
    with _READING:
        try:
            return ast.parse(source)
        except (RecursionError, MemoryError):
            raise SyntaxError("nested too deep to be read") from None
        except ValueError as error:  # null bytes
            raise SyntaxError(str(error)) from None
