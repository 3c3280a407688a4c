"""What all tests share: shapes and types checked at every call of a room that computes, and a
remembered compilation, so that a program is compiled once."""

import atexit
import gc
import itertools
import os
import shutil
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

if os.environ.get("PYTEST_XDIST_WORKER"):
    # the last of all that is done at exit: to take a worker's modules and programs apart one by one
    # took 5 s, and nobody waits for that
    atexit.register(os._exit, 0)

COMPUTING = ("language.trees", "losses", "activations.functions", "system.landscape", "instruments")
install_import_hook([f"learnmech.{room}" for room in COMPUTING], "beartype.beartype")

from learnmech.machine.backend import relieve, remember_compilations  # noqa: E402  (the hook must stand before the first import)

# a fault of a command's own is seen where it stands
os.environ.setdefault("LEARNMECH_TRACEBACK", "1")
# Hundreds of run folders are written here, each brought to the disk: in memory, where there is such
# a place, that takes no time (a part of test_crash took 58 s on a disk and 34 s in memory, side by
# side). What fsync is called for is tested by itself.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
CACHE = Path(
    os.environ.get("LEARNMECH_TEST_CACHE", Path(__file__).parent.parent / ".cache" / "compiled")
)
remember_compilations(CACHE)


# Tracing makes millions of small objects that stay: looking through them for circles took 5% of the
# suite's time.
gc.freeze()
gc.set_threshold(50_000, 20, 20)


def pytest_sessionfinish():
    """At its end pytest looks for circles five times, through all that is there: some seconds in
    each worker, and nothing is to be found any more."""
    gc.freeze()


TESTS = itertools.count(1)


@pytest.fixture(autouse=True)
def _relieved():
    """A worker goes through thousands of compiled programs, more than the system maps for one
    process; to count them takes a while, so now and then."""
    yield
    if next(TESTS) % 20 == 0:
        relieve()
