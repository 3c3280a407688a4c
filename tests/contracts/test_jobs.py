"""Jobs that any process performs to the bit, and sinks that are given every block."""

import dataclasses
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, interventions, rules, sinks
from learnmech.errors import Refused
from learnmech.language import catalog
from learnmech.machine.backend import compilations
from learnmech.runs import blocks

pytestmark = pytest.mark.exact

PART = '''
from learnmech.language.parts import Knob, knob
from learnmech.losses.base import Scaled


class Quartic(Scaled):
    """c sum of scale times fourth powers."""

    words = "c sum_i scale (f_i - y_i)^4"
    scale: Knob = knob(default=0.25, above=0)

    def prices(self, outputs, Y):
        return self.scale * (outputs - Y) ** 4

    @classmethod
    def example(cls):
        return cls()
'''
MODEL = """
import jax
import jax.numpy as jnp


def start(key, d, k):
    one, two = jax.random.split(key)
    return {"hidden": {"w": jax.random.normal(one, (5, d))}, "out": {"w": jax.random.normal(two, (k, 5))}}


def outputs(params, x):
    return params["out"]["w"] @ jnp.tanh(params["hidden"]["w"] @ x)


model = (start, outputs)
"""


def made(**parts):
    parts = {
        "architecture": architectures.Mlp(hidden=(5,)),
        "data": data.Gaussian(n=12, d=4, k=2),
        "rule": rules.Adam(rate=0.05),
        "clock": lm.Clock(steps=40, every=1),
    } | parts
    return lm.Experiment(**parts)


def same(one, other):
    return all(np.array_equal(one.final[name], other.final[name]) for name in one.final) and all(
        np.array_equal(one[name], other[name], equal_nan=True) for name in one.dataset.data_vars
    )


@pytest.fixture(scope="module")
def elsewhere():
    """One other process, which has seen nothing of this one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_a_job_is_performed_in_another_process_to_the_bit(tmp_path, monkeypatch, elsewhere):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "GUESTS", [])
    (tmp_path / "mine.py").write_text(PART)
    (tmp_path / "net.py").write_text(MODEL)
    member = catalog.add_source(tmp_path / "mine.py")[0]
    model = architectures.Wrapped.of("net.py:model")
    asked = made(architecture=model, loss=catalog.load(member)(scale=0.5))
    job = pickle.loads(pickle.dumps(lm.Job.of(asked, ("loss", "norms"), until="loss<1e-3")))
    assert job.parcel.compiled == compilations() and len(pickle.dumps(job)) < 20_000
    here = lm.run(asked, ("loss", "norms"), until="loss<1e-3")
    assert elsewhere.submit(os.getpid).result() != os.getpid()
    for name in ("mine.py", "net.py"):  # it carries them: they need not be there
        (tmp_path / name).unlink()
    there = elsewhere.submit(job.into, tmp_path / "there").result()
    with catalog.trusting():
        found = lm.load(there)
        assert same(found, here) and found.notes == here.notes
        assert found.experiment.fingerprint == asked.fingerprint


def test_a_job_performed_here_is_the_run(tmp_path):
    job = lm.Job.of(made(), ("loss", "layer1.weight[2,1]"), budget=10_000)
    record = job.perform()
    assert same(record, lm.run(made(), ("loss", "layer1.weight[2,1]")))
    assert same(lm.load(job.into(tmp_path / "r")), record)


def test_jobs_side_by_side_leave_no_leave_behind():
    jobs = [lm.Job.of(made(clock=lm.Clock(steps=steps, every=1)), ("loss",)) for steps in (400, 20)]
    with ThreadPoolExecutor(2) as pool:
        long, short = pool.map(lm.Job.perform, jobs)
    np.testing.assert_array_equal(short["loss"].values, long["loss"].values[:21])
    assert not catalog.trusted()


def test_what_no_other_process_could_make_again_is_refused_before_anything_is_run():
    model = architectures.Wrapped(
        (lambda key, d, k: {"a": {"w": np.ones((k, d))}}, lambda params, x: params["a"]["w"] @ x)
    )
    with pytest.raises(Refused, match="A job needs an experiment that another process can make"):
        lm.Job.of(made(architecture=model))
    with pytest.raises(
        Refused, match="A job needs an Experiment or its TOML file, but got a Start"
    ):
        lm.Job.of(lm.prepare(made()))


class Gathering:
    """All blocks it was given."""

    def __init__(self):
        self.blocks = []

    def take(self, block):
        self.blocks.append(block)


def test_a_sink_is_given_every_block_in_order_with_all_that_was_read(monkeypatch, tmp_path):
    monkeypatch.setattr(blocks, "MARKS", 16)
    seen = Gathering()
    record = lm.run(made(), ("loss", "norms"), sinks=(seen,), folder=tmp_path / "r")
    assert [block.first for block in seen.blocks] == [0, 16, 32]
    losses = np.concatenate([block.tables[1]["loss"].values for block in seen.blocks])
    np.testing.assert_array_equal(losses, record["loss"].values)
    times = np.concatenate([block.tables[1]["time"].values for block in seen.blocks])
    np.testing.assert_array_equal(times, record["loss"]["time"].values)
    assert seen.blocks[0].tables[1]["weight_norm"].attrs == record["weight_norm"].attrs
    # a run that is there already is read, not made: no block of it is given
    again = Gathering()
    lm.run(made(), ("loss", "norms"), sinks=(again,), folder=tmp_path / "r")
    assert not again.blocks


def test_a_run_is_stopped_from_another_thread_and_ends_as_if_it_had_not_been(monkeypatch, tmp_path):
    monkeypatch.setattr(blocks, "MARKS", 8)
    whole, stop = lm.run(made(), ("loss",)), sinks.Stop()

    class Asking:
        def take(self, block):
            asker = threading.Thread(target=stop.ask)
            asker.start()
            asker.join()

    cut = lm.run(made(), ("loss",), sinks=(Asking(), stop), folder=tmp_path / "r")
    assert cut.reached == 8 and "interrupted after 8 of 41 marks" in cut.notes
    np.testing.assert_array_equal(cut["loss"].values, whole["loss"].values[:8])
    seen = Gathering()
    assert same(lm.resume(tmp_path / "r", sinks=(seen,)), whole)
    assert seen.blocks[0].first <= 8 and seen.blocks[-1].progress.reached == 41


def test_a_run_that_is_to_stop_at_an_event_stops_behind_the_first_marks(monkeypatch):
    monkeypatch.setattr(blocks, "MARKS", 8)
    stop = sinks.Stop()
    stop.ask()
    event = interventions.Perturb(path="layer1.weight[0,0]", value=0.1, at=0)
    record = lm.run(dataclasses.replace(made(), events=(event,)), ("loss",), sinks=(stop,))
    assert record.reached == 8 and record.notes == ("interrupted after 8 of 41 marks",)


def test_a_sink_that_fails_ends_the_run_and_its_folder_is_gone_on_with(monkeypatch, tmp_path):
    monkeypatch.setattr(blocks, "MARKS", 8)

    class Failing:
        def take(self, block):
            if block.first:
                raise ValueError("the socket is closed")

    with pytest.raises(ValueError, match="the socket is closed"):
        lm.run(made(), ("loss",), sinks=(Failing(),), folder=tmp_path / "r")
    assert lm.load(tmp_path / "r").reached == 16
    assert same(lm.resume(tmp_path / "r"), lm.run(made(), ("loss",)))


def test_a_fork_gives_its_blocks_too():
    seen = Gathering()
    parent = lm.run(made(), ("loss",))
    twin = lm.fork(parent, 20, (), sinks=(seen,))
    losses = np.concatenate([block.tables[1]["loss"].values for block in seen.blocks])
    np.testing.assert_array_equal(losses, twin["loss"].values)
