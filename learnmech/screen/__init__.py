"""The screen: one ES module for the lab, a notebook and a report, as it is built from `screen/`."""

from learnmech.screen.module import FOLDER, header, source, source_digest

__all__ = ["FOLDER", "header", "source", "source_digest"]
