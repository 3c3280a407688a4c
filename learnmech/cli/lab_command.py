"""The command `lab` and what it accepts."""

import argparse
from collections.abc import Callable
from pathlib import Path


def lab(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The command, given what adds one to the parser."""
    seen = command(
        "lab",
        "see an experiment learn in the browser, take hold of it, lay theory over it",
    )
    seen.add_argument(
        "subject",
        nargs="?",
        metavar="NAME|FILE.toml|LESSON.toml|RUN",
        help="an exhibit, an experiment, a lesson or a run folder (default: the exhibits as cards)",
    )
    seen.add_argument(
        "changes", metavar="PATH=VALUE", nargs="*", help="knobs to change, as rule.rate=0.1"
    )
    seen.add_argument("--small", action="store_true", help="the seconds-long twin of an exhibit")
    seen.add_argument(
        "--host",
        default="127.0.0.1",
        help="where it listens (default: 127.0.0.1, which no other machine reaches)",
    )
    seen.add_argument(
        "--port", type=int, default=0, metavar="N", help="the port (default: one that is free)"
    )
    seen.add_argument("--no-browser", action="store_true", help="open no browser; give the link")
    seen.add_argument(
        "--out", type=Path, metavar="DIR", help="the folder of its run folders (default: runs)"
    )
