"""What all tests share: a remembered compilation, so that a program is compiled once."""

import os
from pathlib import Path

from learnmech.backend import remember_compilations

CACHE = Path(os.environ.get("LEARNMECH_TEST_CACHE", Path(__file__).parent.parent / ".cache" / "compiled"))
remember_compilations(CACHE)
