"""Strangers: folders, names and texts from elsewhere are told apart, shown and never obeyed;
nothing is written or deleted outside of a run folder."""

import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import learnmech as lm
from learnmech import architectures, data, rules
from learnmech.cli.app import call
from learnmech.errors import Refused, plain, refused
from learnmech.record import bounds, forms, locks, sealed
from learnmech.verbs import folders

TEXT = """
theories = []
watch = ["loss"]
[architecture]
kind = "mlp"
hidden = [4]
[data]
kind = "gaussian"
n = 12
d = 3
k = 1
[rule]
kind = "adam"
rate = 0.01
[clock]
steps = 40
every = 4
"""
posix = pytest.mark.skipif(os.name == "nt", reason="links and pipes as POSIX has them")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that the command line made, its report beside it."""
    home = tmp_path_factory.mktemp("strangers")
    (home / "e.toml").write_text(TEXT)
    assert call(["run", str(home / "e.toml"), "--quiet", "--out", str(home / "r")]) == 0
    return home / "r"


@pytest.fixture
def run(whole, tmp_path, monkeypatch):
    """A copy of it, in the folder where one is."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole, tmp_path / "r")
    return tmp_path / "r"


def said(folder, name="run.json"):
    return json.loads((folder / name).read_text())["said"]


def unfinished(folder, marks=5):
    """The run as it was when it had come to a mark."""
    kept = {key: said(folder, "progress.json")[key] for key in ("run", "sums")}
    sealed.write(
        folder,
        "progress.json",
        kept | {"marks": marks, "status": "running", "notes": [], "wall_seconds": 1.0},
    )
    (folder / "final.npz").unlink()


def tree(folder):
    """What stands below a folder, links as links."""
    return {
        str(p): os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


def words(capsys, *argv):
    """(exit status, all that was said); never a traceback."""
    status = call([str(word) for word in argv])
    out = "".join(capsys.readouterr())
    assert "Traceback" not in out and status in (0, 1, 2), out
    return status, out


# --- links and devices

LINKED = [
    "record",
    "checkpoints",
    "record/every-1.zarr",
    "record/every-1.zarr/loss",
    "record/every-1.zarr/loss/c.0",
    ".lock",
    "progress.json",
]
LINKED += [
    ".progress.json.copy",
    "progress.json.part",
    "final.npz.part",
    "experiment.toml",
    "run.json.part",
]


@posix
@pytest.mark.parametrize("name", LINKED)
def test_nothing_is_written_or_deleted_through_a_link_in_a_run_folder(run, capsys, name):
    unfinished(run)
    elsewhere = run.parent / "elsewhere"
    here = run / name
    if here.is_dir():
        shutil.copytree(here, elsewhere)
        shutil.rmtree(here)
    else:
        elsewhere.write_bytes(here.read_bytes() if here.exists() else b"precious")
        here.unlink(missing_ok=True)
    here.symlink_to(elsewhere)
    before = tree(run.parent)
    status, out = words(capsys, "resume", run, "--quiet")
    assert status == 2 and "a link" in out
    assert tree(run.parent) == before
    assert words(capsys, "runs", "--delete", run)[0] == 2
    assert tree(run.parent) == before


@posix
def test_a_link_that_leads_nowhere_is_not_followed_either(run, capsys):
    unfinished(run)
    (run / "progress.json.part").symlink_to(run.parent / "new")
    assert words(capsys, "resume", run, "--quiet")[0] == 2 and not (run.parent / "new").exists()
    (run.parent / "q").symlink_to(run.parent / "nowhere")
    assert (
        words(capsys, "run", "e.toml", "--out", "q")[0] == 2
        and not (run.parent / "nowhere").exists()
    )


@posix
@pytest.mark.parametrize("name", ["figure.svg", "report.html", "report.html.part"])
def test_a_report_is_not_written_through_a_link(run, capsys, name):
    (run.parent / "mine").write_text("precious")
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(run.parent / "mine")
    assert words(capsys, "report", run)[0] == 2 and (run.parent / "mine").read_text() == "precious"


@posix
@pytest.mark.parametrize(
    "name",
    [
        "checkpoints/0-0-00000000.npz",
        "record/every-1.zarr/loss/c.0",
        "progress.json",
        "run.json",
        "experiment.toml",
    ],
)
def test_a_pipe_in_a_run_folder_is_never_waited_for(run, capsys, name):
    unfinished(run)
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    for command in ("show", "resume"):
        assert words(capsys, command, run)[0] == 2
    assert words(capsys, "runs", run.parent)[0] == 0


def test_a_folder_where_a_file_is_expected_is_a_sentence(run, capsys):
    for name in (
        "progress.json",
        "final.npz",
        "experiment.toml",
        "record/every-1.zarr/loss/c.0",
        "record/every-1.zarr/zarr.json",
    ):
        copy = run.with_name(name.replace("/", "-"))
        shutil.copytree(run, copy)
        (copy / name).unlink()
        (copy / name).mkdir()
        words(capsys, "show", copy)
        words(capsys, "resume", copy, "--quiet")


@posix
def test_a_hard_link_to_a_file_elsewhere_is_replaced_and_not_written_into(run):
    unfinished(run)
    kept = run.parent / "kept"
    shutil.copytree(run, kept, copy_function=os.link)
    before = tree(kept)
    lm.resume(run)
    assert tree(kept) == before


@pytest.mark.parametrize(
    "name", ["..", "../x", "/etc/x", "C:/x", "c:x", "a/../../x", "a\\b", "", "a//b", "./a", "a\0"]
)
def test_a_name_that_leads_out_of_a_folder_is_none(tmp_path, name):
    assert not bounds.is_inside(name)
    with pytest.raises(Refused):
        bounds.inside(tmp_path, name)


def test_sums_of_files_elsewhere_are_not_looked_at(run, capsys):
    for name in ("../e.toml", "/etc/passwd"):
        sealed.write(run, "run.json", said(run) | {"crc32": {name: "00000000"}})
        status, out = words(capsys, "show", run)
        assert status == 2 and "run.json has another crc32" in out


# --- deleted


def test_only_a_run_folder_of_ours_is_deleted_and_only_whole(run, capsys):
    thesis = run.parent / "thesis"
    (thesis / "chapters").mkdir(parents=True)
    (thesis / "chapters" / "1.tex").write_text("precious")
    for text in ('{"scripts": {}}', "[]", "", "\xff", json.dumps(said(run))):
        (thesis / "run.json").write_text(text, encoding="latin-1")
        assert (
            words(capsys, "runs", "--delete", thesis)[0] == 2
            and (thesis / "chapters" / "1.tex").exists()
        )
    for foreign in (
        "notes.md",
        "plots/a.png",
        "data/mine.csv",
        "parts/mine.py",
        "checkpoints/mine.txt",
        "record/mine.txt",
    ):
        there = (run / foreign).parent.exists()
        (run / foreign).parent.mkdir(exist_ok=True)
        (run / foreign).write_text("mine")
        status, out = words(capsys, "runs", "--delete", run)
        assert status == 2 and foreign.split("/")[0] in out and (run / "run.json").exists()
        (run / foreign).unlink()
        there or (run / foreign).parent.rmdir()
    assert words(capsys, "runs", "--delete", run)[0] == 0
    assert [path.name for path in run.parent.iterdir()] == ["thesis"]


@posix
def test_a_run_that_is_in_use_or_a_link_to_one_is_not_deleted(run, capsys):
    with locks.lock(run):
        status, out = words(capsys, "runs", "--delete", run)
        assert status == 2 and "one process at a time" in out and (run / "run.json").exists()
    (run.parent / "latest").symlink_to(run)
    assert words(capsys, "runs", "--delete", "latest")[0] == 2 and (run / "run.json").exists()
    assert words(capsys, "runs", "--delete", "")[0] == 2 and (run / "run.json").exists()


# --- of another make

ODD = {
    "no provenance": {"provenance": {}},
    "provenance of nothing": {"provenance": None},
    "made a number": {"provenance": {"made": 5}},
    "names a list": {"names": [1]},
    "a cadence of 0": {"names": {"0": ["loss"]}},
    "a quantity that is not there": {"names": {"1": ["loss", "../../../../e"]}},
    "watch a number": {"watch": 5},
    "experiment a number": {"experiment": 5},
    "experiment no experiment": {"experiment": "[rule]\nkind = 'adam'\n"},
    "blocks of nothing": {"block": 0},
    "a first mark below 0": {"first": -1},
    "format a text": {"format": "two"},
    "format missing": {"format": None},
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_a_run_folder_of_another_make_is_refused_and_hides_no_other(run, capsys, change):
    shutil.copytree(run, run.parent / "good")
    sealed.write(run, "run.json", said(run) | change)
    for command in (
        ["show", run],
        ["resume", run],
        ["export", run, "out.csv"],
        ["compare", run, "flow"],
    ):
        status, out = words(capsys, *command)
        assert status == 2 and " needs " in out, (command, out)
    status, out = words(capsys, "runs", ".")
    assert status == 0 and "good" in out and "2 runs" in out


@pytest.mark.parametrize(
    "change",
    [
        {"marks": 10**15},
        {"marks": 10**8},
        {"marks": -1},
        {"marks": "5"},
        {"notes": 5},
        {"status": None},
        {"mending": -3},
        {"result": {"comparisons": [{}]}},
        {"result": {"comparisons": 7}},
        {"result": []},
        {"wall_seconds": "long"},
    ],
    ids=str,
)
def test_progress_of_another_make_is_a_sentence_or_left_out(run, capsys, change):
    sealed.write(run, "progress.json", said(run, "progress.json") | change)
    for command in (["show", run], ["runs", run.parent], ["export", run, "out.csv"]):
        words(capsys, *command)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"[]",
        b"5",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"said": 1' + b"0" * 6000 + b"}",
        b'{"crc32": NaN, "said": NaN}',
        None,
    ],
)
def test_what_is_no_facts_file_is_as_if_it_were_damaged(run, capsys, stored):
    for form in sealed.COPIES:
        file = run / form.format(name="run.json")
        file.write_bytes(stored or b"")
        if stored is None:
            os.truncate(file, sealed.LARGEST + 1)
    status, out = words(capsys, "show", run)
    assert status == 2 and "damaged" in out
    assert "damaged" in words(capsys, "runs", run.parent)[1]


def test_runs_that_say_they_were_forked_from_each_other_are_all_listed():
    def entry(folder, parent):
        return {
            "folder": folder,
            "fingerprint": folder,
            "made": folder,
            "parent": {"fingerprint": parent, "made": parent, "folder": parent, "at": 1.0},
        }

    circle = [
        entry("a", "b"),
        entry("b", "a"),
        entry("c", "c"),
        *(entry(f"d{i + 1}", f"d{i}") for i in range(3000)),
    ]
    assert sorted(one["folder"] for _, one in folders.branches(circle)) == sorted(
        one["folder"] for one in circle
    )


def test_a_form_says_where_a_value_is_not_of_it(run):
    assert forms.misfit(said(run), forms.RUN) is None
    assert forms.misfit(said(run, "progress.json"), forms.PROGRESS) is None
    assert forms.misfit(said(run) | {"watch": ["loss", 5]}, forms.RUN) == "watch[1]"
    assert forms.misfit({"marks": True}, {"marks": int}) == "marks"


# --- shown and not obeyed

NASTY = "\x1b]0;title\x07\x1b[2J\u202egnirts\u2066\x9b31m\x85"


@pytest.mark.parametrize(
    "letter",
    ["\x1b", "\x07", "\r", "\x9b", "\u202e", "\u2066", "\u2028", "\ud800", "\U000e0041", "\ufeff"],
)
def test_what_a_terminal_would_obey_is_written_out(letter):
    assert plain(f"a{letter}b").isprintable() and plain("é 漢 \t\n") == "é 漢 \t\n"
    assert letter not in str(refused(letter, letter, letter, letter))


def test_notes_and_names_of_others_have_no_effect_on_a_terminal(run, capsys):
    sealed.write(
        run,
        "progress.json",
        said(run, "progress.json")
        | {
            "notes": [NASTY],
            "result": {"comparisons": [], "claim": NASTY},
        },
    )
    sealed.write(
        run,
        "run.json",
        said(run)
        | {"provenance": said(run)["provenance"] | {"made": NASTY, "device": f"[/b]{NASTY}"}},
    )
    (run.parent / "odd.toml").write_text(
        f'{json.dumps("[/x]" + NASTY)} = {{file = "a", sha256 = 1}}\n' + TEXT
    )
    for command in (
        ["show", run],
        ["runs", run.parent],
        ["run", "odd.toml"],
        ["theories", "odd.toml"],
        ["show", NASTY],
        ["list", NASTY],
        [NASTY],
    ):
        _, out = words(capsys, *command)
        assert plain(out) == out, command


def test_a_value_that_is_long_is_shown_by_its_ends():
    assert len(str(refused("X", "a number", "9" * 10**6, "Give one"))) < 1000


@pytest.mark.parametrize(
    "text, run, fork",
    [
        ("<img src=x onerror=alert(1)>", "a$\\frac$", "[bold]"),
        ("\x1b[2J", "<img src=x onerror=alert(1)>", "$"),
        ("_x", "é漢", "<img src=x onerror=alert(1)>"),
        ("a&b", "\x1b[2J", "é漢"),
        ("a$\\frac$", "[bold]", "\x1b[2J"),
    ],
)
def test_any_name_of_a_folder_or_a_text_is_text_everywhere(
    tmp_path, monkeypatch, capsys, text, run, fork
):
    monkeypatch.chdir(tmp_path)
    Path(f"{text}.toml").write_text(TEXT)
    assert words(capsys, "run", f"{text}.toml", "--quiet", "--out", run)[0] == 0
    forked = ("fork", run, "--at", "20", "--freeze", "layer1", "--quiet", "--out", fork)
    assert words(capsys, *forked)[0] == 0
    _, out = words(capsys, "runs", ".")
    assert plain(out) == out
    for folder in (run, fork):
        page = (Path(folder) / "report.html").read_text(encoding="utf-8")
        assert "<img" not in page and plain(page) == page


# --- texts

DEEP = [
    f"x = {'[' * 10_000}",
    f"x = {'[' * 200}{']' * 200}",
    "x = " + "{a = " * 200 + "1" + "}" * 200,
    "x" + ".x" * 500 + " = 1",
    "[" + "a." * 2000 + "a]",
]
LONG = [
    "seed = " + "9" * 5000,
    "seed = 0x" + "f" * 5000,
    "seed = 99999999999999999999",
    "seed = " + "1_" * 3000 + "1",
    "k" * 10**6 + " = 1",
]


@pytest.mark.parametrize(
    "line",
    DEEP + LONG + ["seed = 1e999", "seed = nan", "seed = 2020-01-01", "seed = ''", "seed = -0"],
    ids=lambda line: line[:12],
)
def test_a_deep_or_long_text_is_a_sentence(tmp_path, capsys, line):
    file = tmp_path / "e.toml"
    file.write_text(f"{line}\n{TEXT}")
    status, out = words(capsys, "theories", file)
    assert (status == 0 and line == "seed = -0") or (
        status == 2 and " needs " in out and len(out) < 2000
    ), out
    with pytest.raises((Refused, SystemExit)) if status else pytest.MonkeyPatch.context():
        lm.Experiment.parse(f"{line}\n{TEXT.partition('[arch')[1]}{TEXT.partition('[arch')[2]}")


@pytest.mark.parametrize(
    "value",
    ["9" * 5000, "[" * 5000, "0x" + "f" * 5000, "9" * 20, "[[[[1]]]]", "{a={a=1}}"],
    ids=lambda v: v[:8],
)
def test_a_deep_or_long_value_of_a_knob_is_a_sentence(tmp_path, capsys, value):
    (tmp_path / "e.toml").write_text(TEXT)
    status, out = words(capsys, "theories", tmp_path / "e.toml", f"seed={value}")
    assert status == 2 and len(out) < 2000


@pytest.mark.parametrize(
    "stored", [b"\xef\xbb\xbf" + TEXT.encode(), TEXT.encode().replace(b"\n", b"\r\n")]
)
def test_a_text_with_a_byte_order_mark_or_windows_lines_is_read(tmp_path, capsys, stored):
    (tmp_path / "e.toml").write_bytes(stored)
    assert words(capsys, "theories", tmp_path / "e.toml")[0] == 0


@pytest.mark.parametrize(
    "stored", [TEXT.encode("utf-16"), b"\xff\xfe", b"\0" * 100, b"", b"watch = []"]
)
def test_bytes_that_are_no_experiment_are_a_sentence(tmp_path, capsys, stored):
    (tmp_path / "e.toml").write_bytes(stored)
    assert (
        words(capsys, "run", tmp_path / "e.toml", "--out", tmp_path / "r")[0] == 2
        and not (tmp_path / "r").exists()
    )


@pytest.mark.parametrize(
    "words_",
    [
        ["run"],
        ["theories"],
        ["show"],
        ["resume"],
        ["fork", "--at", "3"],
        ["report"],
        ["runs", "--delete"],
        ["compare", "flow"],
    ],
)
def test_a_name_longer_than_any_disk_takes_is_a_sentence(capsys, words_):
    status, out = words(capsys, *words_, "x" * 5000)
    assert status == 2 and " needs " in out and len(out) < 2000
    file = f'hidden = {{file = "{"a" * 5000}", sha256 = "0"}}'
    with pytest.raises(Refused, match="its array file"):
        lm.Experiment.parse(
            TEXT.partition("[arch")[1] + TEXT.partition("[arch")[2].replace("hidden = [4]", file)
        )


def test_a_file_of_parts_that_cannot_be_parsed_is_a_sentence(tmp_path, capsys):
    for text in ("x = " + "(" * 10_000, "\0", "class A(", "x = " + "-" * 100_000 + "1"):
        (tmp_path / "mine.py").write_text(text)
        assert words(capsys, "--with", tmp_path / "mine.py", "list")[0] == 2


def test_an_anchor_of_another_size_is_refused_in_a_teacher_too(tmp_path, capsys):
    teacher = (
        'kind = "network-teacher"\nteacher = {kind = "linearized", anchor = [0.0], of = {kind ='
        ' "residual"}}'
    )
    (tmp_path / "e.toml").write_text(TEXT.replace('kind = "gaussian"', teacher))
    status, out = words(capsys, "theories", tmp_path / "e.toml")
    assert status == 2 and "an anchor of" in out


# --- nothing watched


def test_a_run_that_watches_nothing_has_an_empty_table_of_its_marks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("e.toml").write_text(TEXT.replace('watch = ["loss"]', "watch = []"))
    assert words(capsys, "run", "e.toml", "--quiet", "--out", "r")[0] == 0
    swept = ["sweep", "e.toml", "rule.rate=0.01,0.02", "--quiet", "--out", "s"]
    of_sweep = [["show", "s"], ["export", "s", "s.csv"], ["export", "s", "s.nc"], ["runs", "."]]
    for command in (
        ["export", "r", "r.csv"],
        ["export", "r", "r.nc"],
        ["show", "r"],
        ["report", "r"],
        swept,
        *of_sweep,
    ):
        assert words(capsys, *command)[0] == 0, command
    assert (
        Path("r.csv").read_text().splitlines()[:2] == ["step,time", "0,0.0"]
        and len(Path("r.csv").read_text().splitlines()) == 12
    )
    assert list(lm.load("r").dataset.data_vars) == [] and lm.load("r").dataset.sizes["time"] == 11


def test_a_run_of_which_no_mark_is_committed_yet_is_shown_and_compared(run, capsys):
    shutil.copytree(run, run.parent / "whole")
    unfinished(run, marks=0)
    for command in (
        ["report", run],
        ["compare", run, run.parent / "whole"],
        ["export", run, "none.csv"],
    ):
        assert words(capsys, *command)[0] == 0, command
    lm.show(lm.compare(lm.load(run), lm.load(run.parent / "whole")))


# --- one place each


@posix
@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002])
def test_a_run_folder_is_as_open_to_others_as_the_user_lets_new_files_be(tmp_path, mask):
    before = os.umask(mask)
    try:
        with sealed.whole_folder(tmp_path / "r") as work:
            sealed.write(work, "run.json", {"a": 1})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o777 & ~mask
    assert stat.S_IMODE((tmp_path / "r" / "run.json").stat().st_mode) == 0o666 & ~mask


def test_two_runs_that_begin_in_a_new_folder_do_not_stand_in_each_others_way(tmp_path):
    def begin():
        with sealed.whole_folder(tmp_path / "runs" / "one") as work:
            sealed.check_new(tmp_path / "runs" / "two")
            assert work.exists()

    begin()
    assert (tmp_path / "runs" / "one").is_dir()
    for name in ("x" * 300, "a\0b", "e.toml/r"):
        (tmp_path / "e.toml").touch()
        with pytest.raises(Refused, match="needs"):
            sealed.check_new(tmp_path / name)


FIRST_USE = """
    import sys
    from concurrent.futures import ThreadPoolExecutor
    sys.setswitchinterval(1e-6)
    import learnmech as lm
    from learnmech import architectures, data, rules
    kinds = ["Adam", "Muon", "HeavyBall", "Lion"]
    def one(i):
        rule = getattr(rules, kinds[i])(rate=0.01)
        e = lm.Experiment(architecture=architectures.Mlp(hidden=(4 + i,)), data=data.Gaussian(n=20, d=4, k=2), rule=rule, clock=lm.Clock(steps=8, every=4))
        return lm.run(e, folder=sys.argv[1] + f"/r{i}").reached
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [3] * 4
"""


@pytest.mark.exact
def test_the_first_use_of_a_process_may_come_from_many_threads(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FIRST_USE), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_a_number_too_large_for_a_knob_is_refused():
    with pytest.raises(Refused):
        lm.Experiment(
            architectures.Mlp(hidden=(4,)),
            data.Gaussian(n=12, d=3),
            rules.Adam(rate=0.01),
            lm.Clock(steps=4),
            seed=10**30,
        )
