"""Logs: the logger `learnmech`, which is silent until a program or `learnmech --verbose` gives
it a handler."""

import logging

LOG = logging.getLogger("learnmech")
LOG.addHandler(logging.NullHandler())
