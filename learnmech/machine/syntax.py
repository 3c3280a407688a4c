"""Syntax: Python source as a tree, read by one thread at a time."""

import ast
import threading
import time

_READING = threading.Lock()


def parsed(source: str | bytes) -> ast.Module:
    """A source as a tree; a SyntaxError for whatever cannot be read.

    Python 3.11 raises SystemError ("AST constructor recursion depth mismatch") where two threads
    make trees at once. Others make some too, as `inspect.signature` of what is written in C, which
    JAX asks for, so that it is tried again.
    """
    with _READING:
        try:
            return _tried(source)
        except (RecursionError, MemoryError):
            raise SyntaxError("nested too deep to be read") from None
        except ValueError as error:  # null bytes
            raise SyntaxError(str(error)) from None


def _tried(source, times: int = 100) -> ast.Module:
    while True:
        try:
            return ast.parse(source)
        except SystemError:
            times -= 1
            if not times:
                raise
            time.sleep(1e-4)  # the other thread's tree is made in the meantime
