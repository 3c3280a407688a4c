"""The lab without a browser: what it costs a run to be looked at, and how long hands and eyes
take."""

import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from learnmech import architectures, data, instruments, rules
from learnmech.lab import openings
from learnmech.lab.clients import Client
from learnmech.lab.session import Session

STEPS, MARKS, PICTURE = 3000, 100_000, 1 / 31
PANELS = ("loss", "test_loss", "weight_norm", "gradient_norm", "update_norm")


def experiment(steps=STEPS, every=10, train=512, hidden=(64, 64)):
    """The handwritten digits, float32."""
    net, clock = architectures.Mlp(hidden=hidden), lm.Clock(steps=steps, every=every)
    rule = rules.GradientDescent(rate=0.05)
    return lm.Experiment(net, data.Digits(train=train), rule, clock, precision="float32")


class Viewer(Client):
    """Somebody who takes what waits 31 times a second."""

    def __init__(self, session):
        self.something = threading.Event()
        super().__init__(self.something.set)
        self.session, self.pictures, self.said = session, 0, []
        session.join(self)

    def ask(self, do, **fields):
        """The answer to a command."""
        self.session.hear(self, {"do": do, "id": do, **fields})
        return self.until(lambda said: said.get("id") == do)

    def until(self, fits):
        """The first message that fits; those before it are gone, those behind it wait."""
        while True:
            self.said += [said for said, _ in self.drain(self.session.branches)]
            while self.said:
                said = self.said.pop(0)
                self.pictures += said["is"] == "block" and bool(said["series"])
                if said["is"] == "error":
                    raise RuntimeError(said["said"])
                if fits(said):
                    return said
            self.something.wait(0.1)
            self.something.clear()

    def watch(self, branch):
        """Take pictures until a branch is over."""
        while not branch.over:
            time.sleep(PICTURE)
            for said, _ in self.drain(self.session.branches):
                self.pictures += said["is"] == "block" and bool(said["series"])


def looked_at(start, watch, folder):
    """A run that is looked at: five curves and the weights at the newest state."""
    session = Session(folder)
    branch = session.add(openings.of_experiment(start, watch, ()))
    viewer = Viewer(session)
    for name in PANELS:
        viewer.ask("panel", panel=name, kind="curves", spec={"quantity": name})
    viewer.ask("panel", panel="w", kind="weights", spec={"address": "layer2.weight"})
    began = time.perf_counter()
    branch.play(playing=True)
    viewer.watch(branch)
    spent = time.perf_counter() - began
    session.end()
    return spent, viewer.pictures


def benchmarks() -> list[Benchmark]:
    """`lab-training` beside the same run by `lm.run`; a dial from the turn to the first numbers
    of the new branch; a place of the past in a run of 100,000 marks; that run opened."""
    home = Path(tempfile.mkdtemp(prefix="learnmech-lab-"))
    start = lm.prepare(experiment())
    watch = (instruments.Loss(), instruments.TestLoss(), instruments.Norms())

    def emptied(name):
        shutil.rmtree(home / name, ignore_errors=True)
        return home / name

    def viewed():
        return looked_at(start, watch, emptied("viewed"))

    def plain():
        return lm.run(start, watch, folder=emptied("plain"))

    hands = Session(home / "hands")
    parent = hands.add(openings.of_experiment(start, watch, ()))
    viewer, rates = Viewer(hands), iter(np.linspace(0.01, 0.05, 100_000))
    viewer.ask("step", count=STEPS // 3)
    viewer.until(lambda said: said.get("status") == "paused")
    parent.pacer.playing = True  # so that a branch goes on by itself, as of a run that is played

    def turned():
        at, path = STEPS // 3, "rule.rate"
        parent.pacer.playing = True
        made = viewer.ask("turn", branch=parent.name, at=at, path=path, value=next(rates))["branch"]
        spec = {"quantity": "loss"}
        panel = {"do": "panel", "panel": "p", "kind": "curves", "branch": made, "spec": spec}
        hands.hear(viewer, panel)
        viewer.until(
            lambda said: said.get("branch") == made and (said.get("count") or said.get("series"))
        )
        return made

    def timed(call):
        began = time.perf_counter()
        made = call()
        spent = time.perf_counter() - began
        viewer.ask("undo", branch=made)
        return spent

    long = lm.prepare(experiment(MARKS, 1, 64, (8,)))
    eyes = Session(None)
    whole = eyes.add(openings.of_experiment(long, (instruments.Loss(),), ()))
    seer, rng = Viewer(eyes), np.random.default_rng(0)
    whole.play(playing=True)
    seer.watch(whole)
    seer.ask("panel", panel="w", kind="weights", spec={"address": "layer1.weight"})

    def scrubbed():
        return seer.ask("seek", branch=whole.name, position=int(rng.integers(0, MARKS)))

    def opened():
        again = Viewer(eyes)
        again.ask("hello")
        again.ask("panel", panel="p", kind="curves", spec={"quantity": "loss"})
        return again.until(lambda said: said["is"] == "series")["count"]

    def pictures(ours, _):
        return f"{ours[1] / ours[0]:.0f} pictures a second"

    return [
        Benchmark(
            "lab-training", Goal("overhead", 1.25), viewed, plain, repetitions=3, says=pictures
        ),
        Benchmark("lab-dial", Goal("seconds", 0.07), turned, repetitions=41, timed=timed),
        Benchmark("lab-scrub", Goal("seconds", 0.05), scrubbed, repetitions=41),
        Benchmark("lab-open", Goal("seconds", 1.0), opened, repetitions=5),
    ]
