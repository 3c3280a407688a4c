"""The disk: one that fails in mid-run is a sentence and loses nothing that is committed; what is
finished is on it; a report can be made again."""

import errno
import logging
import os
import re
import shutil
import subprocess
import sys

import pytest

import learnmech as lm
from learnmech import architectures, data, interventions, rules
from learnmech.cli.app import call
from learnmech.errors import Refused
from learnmech.machine.version import VERSION
from learnmech.record import checkpoints, sealed
from learnmech.runs import blocks
from learnmech.verbs import works

SENTENCE = re.compile(r"^\S.* needs \S.*, but got .+\. [A-Z].*[.?]$")
FAILING = {"folder": "/nowhere/", "left": 0, "error": errno.ENOSPC, "opened": 0}


def fails(event, args):
    """Every opening for writing below a folder fails once so many were made."""
    if (
        event == "open"
        and isinstance(args[0], (str, os.PathLike))
        and FAILING["folder"] in str(args[0])
    ):
        if isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
            FAILING["opened"] += 1
            if FAILING["opened"] > FAILING["left"]:
                raise OSError(FAILING["error"], os.strerror(FAILING["error"]), str(args[0]))


@pytest.fixture(scope="module")
def experiment():
    """A run of 11 marks."""
    made = {
        "architecture": architectures.Mlp(hidden=(4,)),
        "data": data.Gaussian(n=12, d=3),
        "rule": rules.Adam(rate=0.01),
    }
    return lm.Experiment(**made, clock=lm.Clock(steps=40, every=4))


@pytest.fixture
def small_blocks(monkeypatch):
    """A commit and a checkpoint every few marks."""
    monkeypatch.setattr(blocks, "MARKS", 3)
    monkeypatch.setattr(checkpoints, "PATIENCE", 0)


@pytest.fixture(scope="module")
def hook():
    """The hook, which stays and does nothing outside of these tests."""
    sys.addaudithook(fails)


def bits(record):
    return [record[name].values.tobytes() for name in record.names] + [
        leaf.tobytes() for leaf in record.final.values()
    ]


@pytest.mark.exact
@pytest.mark.parametrize(
    "error", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT]
)
def test_a_disk_that_fails_at_any_moment_is_a_sentence_and_the_run_goes_on_later(
    experiment, tmp_path, monkeypatch, small_blocks, hook, error
):
    whole = bits(lm.run(experiment, folder=tmp_path / "whole"))
    folder, reached = tmp_path / "run", []
    for left in range(0, 99, 4):
        for name, value in (
            ("folder", str(folder)),
            ("left", left),
            ("error", error),
            ("opened", 0),
        ):
            monkeypatch.setitem(FAILING, name, value)
        try:
            lm.run(experiment, folder=folder)
            break  # it opens no more files than that
        except Refused as refusal:
            assert SENTENCE.match(str(refusal)) and os.strerror(error) in str(refusal)
        monkeypatch.setitem(FAILING, "folder", "/nowhere/")
        if not folder.exists():
            continue
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".run")]
        seen = lm.load(folder)
        reached.append(seen.reached)
        assert not seen.damaged
        assert bits(lm.resume(folder)) == whole and lm.load(folder).notes == ()
        shutil.rmtree(folder)
    assert left > 8 and max(reached) > 0


def test_a_full_disk_ends_a_command_with_a_sentence(
    experiment, tmp_path, monkeypatch, capsys, hook
):
    experiment.save(tmp_path)
    for name, value in (
        ("folder", "/r/record"),
        ("left", 0),
        ("error", errno.ENOSPC),
        ("opened", 0),
    ):
        monkeypatch.setitem(FAILING, name, value)
    assert (
        call(["run", str(tmp_path / "experiment.toml"), "--quiet", "--out", str(tmp_path / "r")])
        == 2
    )
    said = capsys.readouterr().err
    assert (
        "No space left on device" in said
        and f"learnmech resume {tmp_path / 'r'}" in said
        and "Traceback" not in said
    )


@pytest.mark.skipif(os.name == "nt", reason="knows files by their numbers")
def test_what_is_finished_is_on_the_disk_and_no_mark_before_what_it_commits(
    experiment, tmp_path, monkeypatch, small_blocks
):
    brought, commits, fsync, place = set(), [], os.fsync, sealed.place
    monkeypatch.setattr("learnmech.record.writing.FIRST_WAIT", 0)
    monkeypatch.setattr("learnmech.record.writing.PATIENCE", 0)

    def number(path):
        return path.stat().st_ino

    def waiting(handle):
        fsync(handle)
        brought.add(os.fstat(handle).st_ino)

    def placing(part, target):
        if target.name == "progress.json":
            assert number(part) in brought
            left = [
                path
                for path in (target.parent / "record").rglob("*")
                if number(path) not in brought
            ]
            assert not left and number(target.parent / "run.json") in brought
            commits.append(target)
        place(part, target)

    monkeypatch.setattr(os, "fsync", waiting)
    monkeypatch.setattr(sealed, "place", placing)
    lm.run(experiment, folder=tmp_path / "r")
    assert len(commits) > 4
    for path in [tmp_path, tmp_path / "r", *(tmp_path / "r").rglob("*")]:
        assert path.name == ".lock" or number(path) in brought, path


def test_a_mark_that_a_power_cut_tore_is_read_from_the_copy_that_lasts(
    experiment, tmp_path, monkeypatch, small_blocks
):
    monkeypatch.setattr("learnmech.record.writing.FIRST_WAIT", 0)

    class Cut(Exception):
        pass

    def stop(progress):
        if progress.reached >= 9:
            raise Cut

    with pytest.raises(Cut):
        lm.run(experiment, folder=tmp_path / "r", progress=stop)
    (tmp_path / "r" / "progress.json").write_bytes(b"")
    seen = lm.load(tmp_path / "r")
    assert 0 < seen.reached <= 9 and "damaged: progress.json, read from its copy" in " ".join(
        seen.notes
    )
    assert (
        bits(lm.resume(tmp_path / "r")) == bits(lm.run(experiment))
        and lm.load(tmp_path / "r").notes == ()
    )


# --- reports made again


def test_a_report_is_made_again_from_what_a_run_folder_holds(experiment, tmp_path, capsys):
    experiment.save(tmp_path)
    folder = tmp_path / "r"
    assert call(["run", str(tmp_path / "experiment.toml"), "--quiet", "--out", str(folder)]) == 0
    first = (folder / "report.html").read_text()
    for torn in (None, b"half a pa"):
        (folder / "report.html").unlink() if torn is None else (folder / "report.html").write_bytes(
            torn
        )
        assert call(["report", str(folder)]) == 0
        again = (folder / "report.html").read_text()
        assert again.endswith("</html>\n") and experiment.fingerprint in again
        assert re.findall("<h1>.*</h1>", again) == re.findall("<h1>.*</h1>", first)
    assert call(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 0
    assert re.findall("<h[12]>.*?</h", (tmp_path / "page.html").read_text()) == re.findall(
        "<h[12]>.*?</h", again
    )
    capsys.readouterr()
    for out in (tmp_path / "page.html", tmp_path / "page.txt", tmp_path / "none" / "page.html"):
        assert call(["report", str(folder), "--out", str(out)]) == 2
        assert SENTENCE.match(capsys.readouterr().err.strip())


def test_a_run_that_was_killed_before_anything_was_concluded_has_its_report_too(
    experiment, tmp_path
):
    lm.run(experiment, folder=tmp_path / "r")
    assert (
        call(["report", str(tmp_path / "r")]) == 0
        and "r</h1>" in (tmp_path / "r" / "report.html").read_text()
    )


# --- versions, the log, faults of its own


def test_the_version_is_one_and_told_wherever_it_is_looked_for(experiment, capsys):
    assert lm.__version__ == VERSION and "__version__" in dir(lm)
    assert lm.run(experiment).provenance["learnmech"] == VERSION
    with pytest.raises(SystemExit) as ended:
        call(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"learnmech {VERSION}\n"
    told = subprocess.run(
        [sys.executable, "-m", "learnmech", "--version"], capture_output=True, text=True, check=True
    )
    assert told.stdout == f"learnmech {VERSION}\n"


def test_the_log_tells_of_runs_and_is_silent_by_default(experiment, tmp_path, caplog, capsys):
    with caplog.at_level(logging.INFO, "learnmech"):
        lm.run(experiment, folder=tmp_path / "r")
        os.remove(tmp_path / "r" / "final.npz")
        lm.resume(tmp_path / "r")
        lm.sweep(experiment, {"rule.rate": [0.1, 1e9]}, folder=tmp_path / "s")
    said = caplog.text
    assert all(
        words in said
        for words in (
            "begun at position 0",
            "finished at mark 11 of 11",
            "goes on at position",
            "sweep of 2 points",
            str(tmp_path / "r"),
        )
    )
    experiment.save(tmp_path)
    capsys.readouterr()
    for options in ([], ["--verbose"]):
        assert (
            call(
                [
                    "run",
                    str(tmp_path / "experiment.toml"),
                    "--quiet",
                    "--out",
                    str(tmp_path / f"v{len(options)}"),
                    *options,
                ]
            )
            == 0
        )
        assert ("begun at position 0" in capsys.readouterr().err) == bool(options)
    assert logging.getLogger("learnmech").level == logging.NOTSET


def test_a_fault_of_its_own_is_a_sentence_that_hides_nothing(monkeypatch, capsys):
    # raised by a line of the house: one of this file would be taken for the user's own code
    monkeypatch.setattr(works, "whole", {}.__getitem__)
    monkeypatch.delenv("LEARNMECH_TRACEBACK", raising=False)
    assert call(["show", "r"]) == 3
    said = capsys.readouterr().err
    assert (
        SENTENCE.match(said.strip())
        and "KeyError: " in said
        and "(works.py, line " in said
        and "--traceback" in said
        and "Traceback" not in said
    )
    assert call(["show", "r", "--traceback"]) == 3 and "Traceback" in capsys.readouterr().err
    assert (
        call(["show", "r", "--json"]) == 3
        and '{"error": "learnmech needs' in capsys.readouterr().out
    )

    def none(folder):
        raise MemoryError

    monkeypatch.setattr(works, "show", none)
    assert call(["show", "r"]) == 2 and SENTENCE.match(capsys.readouterr().err.strip())


def test_letters_that_a_terminal_has_not_do_not_end_a_command(experiment, tmp_path):
    lm.run(experiment, folder=tmp_path / "r")
    lm.fork(lm.load(tmp_path / "r"), 20, (interventions.Noise(at=20),), folder=tmp_path / "f")
    command = [sys.executable, "-m", "learnmech", "runs", str(tmp_path)]
    ended = subprocess.run(
        command,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert ended.returncode == 0 and b"2 runs" in ended.stdout
