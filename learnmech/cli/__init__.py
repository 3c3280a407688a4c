"""The command line."""

from learnmech.cli.app import main

__all__ = ["main"]
