"""Somebody who looks on a lab without a browser: asks, and waits for what is said."""

import threading
import time

from learnmech.lab.clients import Client

EXPERIMENT = """
watch = ["loss", { kind = "weights", every = 5 }]
theories = ["regression"]
seed = 3

[architecture]
kind = "deep-linear"
hidden = []

[data]
kind = "gaussian"
n = 20
d = 4
k = 2
noise = 0.1
test = 5

[rule]
kind = "gradient-descent"
rate = 0.1

[clock]
steps = 60
every = 3
"""


class Looker(Client):
    """A client that keeps what it is told, and finds it again."""

    def __init__(self, session):
        self.said = threading.Event()
        super().__init__(self.said.set)
        self.session, self.number, self.got = session, 0, []
        session.join(self)

    def ask(self, do, **fields):
        """(answer, its buffers) of a command."""
        self.number += 1
        number = self.number
        self.session.hear(self, {"do": do, "id": number, **fields})
        return self.until(lambda said: said.get("id") == number)

    def until(self, fits, seconds=60):
        """The first message that fits, those that came before included."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.got += self.drain(self.session.branches)
            for place, (said, _) in enumerate(self.got):
                if fits(said):
                    return self.got.pop(place)
            self.said.wait(0.05)
            self.said.clear()
        raise AssertionError(f"not said: {[said.get('is') for said, _ in self.got]}")

    def ended(self, branch):
        """How a branch ended."""
        ends = ("finished", "interrupted", "diverged", "failed")
        return self.until(lambda s: s.get("branch") == branch and s.get("status") in ends)[0]

    def rests(self, branch):
        """Where a branch waits."""
        waits = ("paused", "finished")
        return self.until(lambda s: s.get("branch") == branch and s.get("status") in waits)[0]
