"""Engines: every point is there, none is made twice, and its numbers are those of a run here, also
where a worker is killed in the midst of it."""

import dataclasses
import json
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, rules
from learnmech.language import catalog

# It writes down who draws it, and takes long enough to be killed in.
SOURCE = '''
import os
import time

import numpy as np

from learnmech.data.base import Data, Drawn, View
from learnmech.language.parts import Knob, knob, structure


class Slow(Data):
    """Samples of a Gaussian, drawn slowly."""

    book: str = structure(default="")
    pause: Knob = knob(default=0.0)

    def draw(self, rng):
        if self.book:
            with open(self.book, "a") as book:
                book.write(f"{os.getpid()}\\n")
        time.sleep(float(self.pause))
        X = rng.normal(size=(12, 3))
        return Drawn(View(X, X[:, :2] @ np.array([[1.0], [0.5]])), None)

    @classmethod
    def example(cls):
        return cls()
'''
RATES = tuple(np.geomspace(0.01, 0.1, 9))


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    room = tmp_path_factory.mktemp("own")
    (room / "slow.py").write_text(SOURCE)
    before = list(catalog.GUESTS)
    member = catalog.add_source(room / "slow.py")[0]
    yield catalog.load(member)
    catalog.GUESTS[:] = before


def experiment(source):
    return lm.Experiment(
        architecture=architectures.Mlp(hidden=(4,)),
        data=source,
        rule=rules.GradientDescent(rate=0.05),
        clock=lm.Clock(steps=40, every=10),
    )


def workers(book: Path) -> list[int]:
    """Who has drawn, one for each time, without this process."""
    drawn = map(int, book.read_text().split()) if book.is_file() else ()
    return [pid for pid in drawn if pid != os.getpid()]


def killed(book: Path, found: list):
    """Kill the worker that is at the fourth point, in the midst of it."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        at = workers(book)
        if len(at) >= 4:
            os.kill(at[-1], signal.SIGKILL)
            found.append(at[-1])
            return
        time.sleep(0.01)


def test_a_sweep_loses_nothing_where_a_worker_is_killed(engine, slow, tmp_path):
    book = tmp_path / "book"
    asked = experiment(slow(book=str(book), pause=0.3))
    victim: list[int] = []
    watcher = threading.Thread(target=killed, args=(book, victim))
    watcher.start()
    grid = lm.sweep(
        asked, {"rule.rate": RATES}, watch=("loss", "norms"), on=engine, folder=tmp_path / "s"
    )
    watcher.join()
    assert victim, "no worker was killed: the test says nothing"
    here = lm.sweep(asked, {"rule.rate": RATES}, watch=("loss", "norms"))
    for name in here.data_vars:
        np.testing.assert_array_equal(grid[name].values, here[name].values)
    assert len(list((tmp_path / "s" / "points").glob("*.point"))) == len(RATES)
    # what was in flight was made again: at most what each of two workers was at
    assert len(RATES) < len(workers(book)) <= len(RATES) + 2
    # and the same given again makes nothing
    before = len(workers(book))
    again = lm.sweep(
        asked, {"rule.rate": RATES}, watch=("loss", "norms"), folder=tmp_path / "s", on=engine
    )
    np.testing.assert_array_equal(again["loss"].values, here["loss"].values)
    assert len(workers(book)) == before


def test_ladder_and_map_are_those_of_runs_here(engine, tmp_path):
    if engine.startswith("slurm"):
        pytest.skip("a job begins for seconds, and a map asks for few nodes at a time: not here")
    small = lm.Experiment(
        architecture=architectures.Dialed(architectures.Mlp((8,), activation="tanh"), alpha=2.0),
        data=lm.data.Gaussian(n=8, d=3, k=1),
        rule=rules.GradientDescent(rate=0.05),
        clock=lm.Clock(steps=20, every=10),
    )
    here = lm.ladder(small, ["nonlinearity"], seeds=2, keep="loss within 5%")
    there = lm.ladder(
        small, ["nonlinearity"], seeds=2, keep="loss within 5%", on=engine, folder=tmp_path / "kept"
    )
    assert json.dumps(here.plain(), default=str) == json.dumps(there.plain(), default=str)
    over = {"architecture.alpha": (0.5, 4.0), "rule.rate": (0.01, 0.1)}
    seen, sent = (
        lm.map_error("lazy", small, over, size=2, **where) for where in ({}, {"on": engine})
    )
    np.testing.assert_array_equal(seen.g, sent.g)


TRACED = '''
import os

from learnmech.language.parts import structure
from learnmech.losses.base import Scaled


class Noted(Scaled):
    """Half the squared distance, which writes down each time that it is traced."""

    words = "c sum_i (f_i - y_i)^2"
    book: str = structure(default="")

    def prices(self, outputs, Y):
        if self.book:
            with open(self.book, "a") as book:
                book.write(f"{os.getpid()}\\n")
        return (outputs - Y) ** 2

    @classmethod
    def example(cls):
        return cls()
'''


def test_points_of_one_shape_are_compiled_once_by_a_worker(tmp_path):
    (tmp_path / "noted.py").write_text(TRACED)
    before, book = list(catalog.GUESTS), tmp_path / "book"
    try:
        noted = catalog.load(catalog.add_source(tmp_path / "noted.py")[0])
        asked = dataclasses.replace(
            experiment(lm.data.Gaussian(n=8, d=2)), loss=noted(book=str(book))
        )
        spawned = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawned) as pool:
            lm.sweep(asked, {"rule.rate": [0.01]}, on=pool)
            once = len(workers(book))
            lm.sweep(asked, {"rule.rate": list(np.geomspace(0.01, 0.1, 32))}, seeds=2, on=pool)
    finally:
        catalog.GUESTS[:] = before
    assert once > 0 and len(workers(book)) == once
