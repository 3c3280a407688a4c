"""The record: what was seen, with provenance and checkpoints, from which any state can be
replayed."""

from learnmech.record.base import Record
from learnmech.record.folder import load

__all__ = ["Record", "load"]
