"""What all tests share: shapes and types checked at every call of a room that computes, and a remembered compilation, so that a program is compiled once."""

import itertools
import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

COMPUTING = ("trees", "losses", "activations", "system", "instruments")
install_import_hook([f"learnmech.{room}" for room in COMPUTING], "beartype.beartype")

from learnmech.backend import relieve, remember_compilations  # noqa: E402  (the hook must stand before the first import)

# a fault of a command's own is seen where it stands
os.environ.setdefault("LEARNMECH_TRACEBACK", "1")
CACHE = Path(os.environ.get("LEARNMECH_TEST_CACHE", Path(__file__).parent.parent / ".cache" / "compiled"))
remember_compilations(CACHE)


TESTS = itertools.count(1)


@pytest.fixture(autouse=True)
def _relieved():
    """A worker goes through thousands of compiled programs, more than the system maps for one process; to count them takes a while, so now and then."""
    yield
    if next(TESTS) % 20 == 0:
        relieve()
