"""Peers that need an environment of their own: a process under another interpreter, which makes its
work ready and then does it when asked.

`make peers` sets them up: neural-tangents 0.6.5 with JAX 0.5.3 in .venv-nt, and in .venv-nt-old
with JAX 0.4.25, the last under which its structured derivatives run; PyTorch, with PyHessian 0.1
and curvlinops 3.0.1, in .venv-th.
"""

import atexit
import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


class NoPeer(RuntimeError):
    """The environment of a peer is not there."""


def pythons(environment: str) -> list[Path]:
    """Where the interpreter of an environment may be: beside the benchmarks, or in the folder
    that LEARNMECH_PEERS names."""
    folders = [ROOT, *([Path(named)] if (named := os.environ.get("LEARNMECH_PEERS")) else [])]
    return [
        folder / environment / inner
        for folder in folders
        for inner in ("bin/python", "Scripts/python.exe")
    ]


class Peer:
    """A process that runs benchmarks/peers/SCRIPT under the interpreter of an environment:
    ready(**task) prepares and warms up, call() does it once."""

    def __init__(self, environment: str, script: str):
        python = next((path for path in pythons(environment) if path.exists()), None)
        if python is None:
            raise NoPeer(f"there is no {environment}; run make peers")
        command = [str(python), str(Path(__file__).parent / "peers" / script)]
        quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=quiet,
            cwd="/",
        )
        atexit.register(self._process.kill)

    def _said(self, line: str) -> str:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer.startswith("ok"):
            raise RuntimeError(f"the peer failed: {answer or 'it ended'}")
        return answer.removeprefix("ok").strip()

    def told(self, line: str) -> str:
        """What it answers to a line."""
        return self._said(line)

    def ready(self, **task) -> "Peer":
        """Make this task the one that is done when called."""
        self._said(json.dumps(task))
        return self

    def call(self) -> float:
        """Do it once; gives a number of the result, to be held against ours."""
        return float(self._said("go"))
