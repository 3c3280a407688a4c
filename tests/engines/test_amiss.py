"""What is amiss with an engine is one sentence, and nothing is lost."""

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, engines, rules
from learnmech.engines import on_slurm
from learnmech.errors import Refused
from learnmech.record import sealed
from learnmech.runs.parcels import Parcel
from learnmech.sweeps import elsewhere
from learnmech.sweeps.jobs import perform

RATES = {"rule.rate": [0.01, 0.02, 0.03]}


@pytest.fixture(scope="module")
def small():
    return lm.Experiment(
        architecture=architectures.Mlp(hidden=(3,)),
        data=data.Gaussian(n=6, d=2),
        rule=rules.GradientDescent(rate=0.05),
        clock=lm.Clock(steps=10, every=5),
    )


@pytest.mark.parametrize(
    ("on", "sentence"),
    [
        ("dsk:a:1", "sweep needs an engine as here, .*'dsk:a:1'. Did you mean dask?"),
        ("here:2", "needs here alone"),
        ("processes:0", "needs processes:N with N from 1 on"),
        ("processes:two", "needs processes:N with N from 1 on"),
        ("dask", "needs dask:ADDRESS, but got 'dask'. Write for example dask:10.0.0.1:8786"),
        ("ray:", "needs ray:ADDRESS"),
        ("slurm:cpu,jobs", "needs slurm:PARTITION,key=value"),
        ("slurm:cpu,jobs=none", "needs jobs=N, one or more, but got none"),
        (7, "needs an engine as here.* or an Executor, but got int"),
    ],
)
def test_a_name_that_is_no_engine_is_refused(small, on, sentence, monkeypatch):
    monkeypatch.setattr(on_slurm.shutil, "which", lambda command: f"/usr/bin/{command}")
    with pytest.raises(Refused, match=sentence):
        lm.sweep(small, RATES, on=on)


@pytest.mark.parametrize(
    ("on", "module"), [("dask:a:1", "distributed"), ("ray:auto", "ray"), ("slurm:cpu", "submitit")]
)
def test_an_engine_that_is_not_installed_says_what_to_install(small, on, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        Refused, match=rf"needs the package {module}.*pip install 'learnmech\[{on.split(':')[0]}\]'"
    ):
        lm.sweep(small, RATES, on=on)


def test_a_cluster_that_does_not_answer_is_refused(small, monkeypatch):
    pytest.importorskip("distributed")
    from learnmech.engines import on_dask

    monkeypatch.setattr(on_dask, "ANSWER", 0.5)
    with pytest.raises(Refused, match=r"needs a Dask scheduler that answers.*dask scheduler"):
        lm.sweep(small, RATES, on="dask:127.0.0.1:9")


def test_slurm_where_there_is_none_is_refused(small, monkeypatch, tmp_path):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="needs SLURM's own commands, but got no sbatch on the path"):
        lm.sweep(small, RATES, on="slurm:cpu")


def test_what_an_engine_cannot_do_is_refused_before_anything_is_run(small):
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(Refused, match="needs backend map on an engine, but got 'vmap'"):
            lm.sweep(small, RATES, backend="vmap", on=pool)
        model = architectures.Wrapped(
            (
                lambda key, d, k: {"a": {"w": np.ones((k, d))}},
                lambda params, x: params["a"]["w"] @ x,
            )
        )
        mine = dataclasses.replace(small, architecture=model)
        with pytest.raises(Refused, match="sweep on an engine needs an experiment that another"):
            lm.sweep(mine, RATES, on=pool)


def test_a_worker_of_another_version_or_another_content_is_refused(small):
    parcel = Parcel.of(small)
    other = dataclasses.replace(parcel, made_by=parcel.made_by | {"jax": "0.0.1"})
    with pytest.raises(
        Refused, match=r"The worker on .* needs the versions.*JAX 0.0.1 there, .* here"
    ):
        perform(other, False, None, None)
    with pytest.raises(
        Refused, match="A worker needs the point that it was given, but got another"
    ):
        perform(parcel, False, "0" * 64, None)


def test_a_second_client_is_told_who_holds_the_folder(small, tmp_path):
    with elsewhere.landing_in(tmp_path), ThreadPoolExecutor(1) as pool:
        # the lock is of a file that is opened anew, so that one process holds it against itself too
        with pytest.raises(Refused, match=rf"held by process {os.getpid()} on .* since 20"):
            lm.sweep(small, RATES, folder=tmp_path, on=pool)
    with ThreadPoolExecutor(1) as pool:
        assert lm.sweep(small, RATES, folder=tmp_path, on=pool).sizes["rule.rate"] == 3


def test_a_disk_that_is_full_on_a_worker_loses_nothing_of_what_was_kept(
    small, tmp_path, monkeypatch
):
    put, kept = sealed.put, []

    def filling(folder, name, stored, lasting=True):
        if name.endswith(".point") and len(kept) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        kept.extend([name] if name.endswith(".point") else [])
        return put(folder, name, stored, lasting)

    monkeypatch.setattr(sealed, "put", filling)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(Refused, match="No space left on device"):
            lm.sweep(small, RATES, folder=tmp_path, on=pool)
        monkeypatch.setattr(sealed, "put", put)
        assert len(list((tmp_path / "points").glob("*.point"))) == 2
        grid = lm.sweep(small, RATES, folder=tmp_path, on=pool)
    np.testing.assert_array_equal(grid["loss"].values, lm.sweep(small, RATES)["loss"].values)


def _dies(at):
    if at == 2:
        os._exit(9)
    return at


def test_a_work_that_kills_its_worker_is_named_and_takes_no_other_with_it():
    found = {}
    with engines.opened("processes:2") as engine:
        with pytest.raises(
            Refused,
            match=r"needs workers that live until they have finished, but got 4 lost in the midst of work 2",
        ):
            engines.performed(engine, _dies, [[0, 1, 2, 3]], lambda at: (at,), found.__setitem__)
    assert 2 not in found and set(found) <= {0, 1, 3}


# what a shell begins behind itself ignores the interrupt, and all that it begins in turn
SCRIPT = """
import signal

import learnmech as lm
from learnmech import architectures, data, rules

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    small = lm.Experiment(
        architecture=architectures.Mlp(hidden=(3,)),
        data=data.Gaussian(n=6, d=2),
        rule=rules.GradientDescent(rate=1e-6),
        clock=lm.Clock(steps=300_000, every=100_000),
    )
    print("begun", flush=True)
    lm.sweep(small, {"rule.rate": [i * 1e-6 for i in range(1, 200)]}, folder="s", on="processes:2")
"""


def test_an_interrupt_ends_the_workers_and_keeps_what_they_had_finished(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    client = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    points, until = tmp_path / "s" / "points", time.monotonic() + 120
    while time.monotonic() < until and len(list(points.glob("*.point"))) < 2:
        time.sleep(0.05)
    os.kill(client.pid, signal.SIGINT)  # the client alone, as a scheduler would
    assert client.wait(60) != 0
    until = time.monotonic() + 20
    while time.monotonic() < until and _of_session(client.pid):
        time.sleep(0.1)
    assert not _of_session(client.pid), "workers outlive their client"
    kept = list(points.glob("*.point"))
    assert 2 <= len(kept) < 199
    assert lm.load(tmp_path / "s").attrs["note"].startswith(f"{len(kept)} of 199 points")


def _of_session(leader: int) -> list[str]:
    found = subprocess.run(["pgrep", "-s", str(leader)], capture_output=True, text=True)
    return found.stdout.split()
