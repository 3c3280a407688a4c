"""Platforms: what only some systems have is not needed, and what is written is named as all of
them take it."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

import learnmech as lm
from learnmech import architectures, data, rules
from learnmech.errors import Refused
from learnmech.machine import memory
from learnmech.record import locks, sealed
from learnmech.record.tables import stored_as
from learnmech.verbs import folders

# What Windows has not: these modules and functions are taken away before anything of learnmech is
# imported. Its locks of bytes are played by the system's own. asyncio is not Windows' own here, and
# from Python 3.12 on reads os.sysconf when it is imported; process_cpu_count, of 3.13, is cpu_count
# where there is no sched_getaffinity.
WITHOUT = """
    import asyncio, os, sys, types
    import fcntl as real, resource, subprocess
    def locking(handle, mode, count):
        try:
            real.flock(handle, real.LOCK_EX | real.LOCK_NB)
        except BlockingIOError as error:
            raise PermissionError(13, "Permission denied") from error
    sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2) if sys.argv[2] == "msvcrt" else None
    for name in ("fcntl", "resource", "pwd", "grp", "termios"):
        sys.modules[name] = None
    for name in ("sysconf", "getuid", "fork", "sched_getaffinity", "sched_setaffinity", "getloadavg", "O_NOFOLLOW"):
        if hasattr(os, name):
            delattr(os, name)
    os.process_cpu_count = os.cpu_count
    import learnmech as lm
    from learnmech import architectures, data, rules
    from learnmech.errors import Refused
    made = {"architecture": architectures.Mlp(hidden=(4,)), "data": data.Gaussian(n=12, d=3)}
    e = lm.Experiment(**made, rule=rules.Adam(rate=0.01), clock=lm.Clock(steps=8, every=4))
    folder = sys.argv[1] + "/r"
    refusals = []
    def resume(progress):
        try:
            lm.resume(folder)
        except Refused as refusal:
            refusals.append(str(refusal))
    lm.run(e, folder=folder, progress=resume if sys.argv[2] == "msvcrt" else None)
    os.remove(folder + "/final.npz")
    assert lm.resume(folder).final and lm.load(folder).notes == ()
    assert lm.sweep(e, {"rule.rate": [0.1, 0.2]}, folder=sys.argv[1] + "/s").sizes["rule.rate"] == 2
    assert bool(refusals) == (sys.argv[2] == "msvcrt") and all("one process at a time" in said for said in refusals), refusals
    from learnmech.cli.app import call
    sys.exit(call(["list"]) or call(["show", folder]) or call(["runs", sys.argv[1], "--delete", folder]))
"""


@pytest.mark.exact
@pytest.mark.skipif(os.name == "nt", reason="takes away what Windows has not")
@pytest.mark.parametrize("locks", ["msvcrt", "none"])
def test_all_goes_without_what_windows_has_not(tmp_path, locks):
    command = [sys.executable, "-c", textwrap.dedent(WITHOUT), str(tmp_path), locks]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"LEARNMECH_CACHE": str(tmp_path / "cache")},
    )
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_a_disk_that_knows_no_locks_lets_everybody_in_and_says_so(tmp_path, monkeypatch, caplog):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "fcntl", SimpleNamespace(flock=flock, LOCK_EX=2, LOCK_NB=4))
    with locks.lock(tmp_path):
        assert "knows no locks" in caplog.text


def test_a_lock_dies_with_the_process_that_holds_it(tmp_path):
    holding = "import sys; from pathlib import Path; "
    holding += (
        "from learnmech.record import locks; held = locks.lock(Path(sys.argv[1])).__enter__();"
        " print(flush=True); input()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", holding, str(tmp_path)], **pipes) as other:
        other.stdout.readline()
        with pytest.raises(Refused, match="one process at a time"), locks.lock(tmp_path):
            pass
        other.kill()
        other.wait()
    with locks.lock(tmp_path):
        pass


@pytest.mark.parametrize(
    "failing, lasts",
    [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False), (errno.ENOSPC, False)],
)
def test_what_cannot_be_waited_for_is_left_to_the_system_and_what_fails_is_said(
    tmp_path, monkeypatch, failing, lasts
):
    def fsync(handle):
        raise OSError(failing, os.strerror(failing))

    (tmp_path / "a").touch()
    monkeypatch.setattr(os, "fsync", fsync)
    if lasts:
        sealed.bring_all([tmp_path, tmp_path / "a", tmp_path / "gone"])
    else:
        with pytest.raises(OSError):
            sealed.bring(tmp_path / "a")


def test_a_rename_waits_until_a_reader_on_windows_lets_go(tmp_path, monkeypatch):
    held, real = [1, 2], os.replace

    def replace(part, target):
        if held:
            held.pop()
            raise PermissionError(13, "Access is denied")
        real(part, target)

    monkeypatch.setattr(
        sealed,
        "os",
        SimpleNamespace(
            **{name: getattr(os, name) for name in dir(os)} | {"name": "nt", "replace": replace}
        ),
    )
    (tmp_path / "part").write_text("new")
    sealed.place(tmp_path / "part", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "new" and not held


STORED = {
    "loss": "loss",
    "layer1.weight[0,:]": "layer1.weight[0,%3A]",
    "a/b": "a%2Fb",
    "a\\b": "a%5Cb",
    "NUL": "%NUL",
    "con.x": "%con.x",
    "x.": "x%2E",
    "50%": "50%25",
}


@pytest.mark.parametrize("name", STORED)
def test_a_quantity_is_stored_under_a_name_that_every_system_takes(name):
    assert stored_as(name) == STORED[name]
    assert not set('<>:"/\\|?*') & set(stored_as(name)) and stored_as("console") == "console"


@pytest.fixture(scope="module")
def small():
    """A tiny experiment."""
    made = {"architecture": architectures.Mlp(hidden=(4,)), "data": data.Gaussian(n=12, d=3)}
    return lm.Experiment(**made, rule=rules.Adam(rate=0.01), clock=lm.Clock(steps=8, every=4))


def test_a_record_of_an_address_is_read_resumed_and_named_by_its_address(small, tmp_path):
    seen = lm.run(small, ("loss", "layer1.weight[0,:]"), folder=tmp_path / "r")
    os.remove(tmp_path / "r" / "final.npz")
    assert (
        lm.resume(tmp_path / "r").names
        == lm.load(tmp_path / "r").names
        == seen.names
        == ["loss", "layer1.weight[0,:]"]
    )
    assert lm.load(tmp_path / "r").notes == () and not list(
        (tmp_path / "r" / "record").rglob("*:*")
    )


def test_a_record_that_stores_names_as_they_are_is_read_too(small, tmp_path):
    seen = lm.run(small, ("loss", "layer1.weight[0,:]"), folder=tmp_path / "r")
    table = tmp_path / "r" / "record" / "every-1.zarr"
    os.replace(table / "layer1.weight[0,%3A]", table / "layer1.weight[0,:]")
    said = sealed.read(tmp_path / "r", "run.json")
    said["crc32"] = {name.replace("%3A", ":"): crc for name, crc in said["crc32"].items()}
    sealed.write(tmp_path / "r", "run.json", said)
    read = lm.load(tmp_path / "r")
    assert read.notes == () and read["layer1.weight[0,:]"].equals(seen["layer1.weight[0,:]"])


VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                                8210.
Pages active:                            403543.
Pages inactive:                          397263.
Pages speculative:                         5123.
"""


def test_free_memory_is_known_on_every_system_or_without_bound(monkeypatch):
    assert memory.free_memory() > 2**20
    said = SimpleNamespace(
        run=lambda *_, **__: SimpleNamespace(stdout=VM_STAT),
        SubprocessError=subprocess.SubprocessError,
    )
    monkeypatch.setattr(memory, "subprocess", said)

    def unknown():
        raise OSError

    monkeypatch.setattr(memory, "on_linux", unknown)
    assert memory.free_memory() == 16384 * (8210 + 397263 + 5123)
    for name in ("on_macos", "on_windows", "by_pages"):
        monkeypatch.setattr(memory, name, unknown)
    memory.check_memory("run", 2**60, "Lower it")


@pytest.mark.parametrize("set_", [{}, {"XDG_CACHE_HOME": "/x"}, {"LEARNMECH_CACHE": "/y"}])
def test_a_user_without_a_home_has_no_folder_of_programs_or_the_one_that_is_named(
    monkeypatch, set_
):
    def none():
        raise RuntimeError("Could not determine home directory.")

    for name in ("HOME", "XDG_CACHE_HOME", "LEARNMECH_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", none)
    for name, value in set_.items():
        monkeypatch.setenv(name, value)
    known = {
        (): None,
        ("XDG_CACHE_HOME",): Path("/x/learnmech/compiled"),
        ("LEARNMECH_CACHE",): Path("/y/compiled"),
    }
    assert folders.kept_compilations() == known[tuple(set_)]
