"""Crashes: runs killed at any moment, bits that flip on the disk, two who write one run, and
requests that cannot be met."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import jax
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, interventions, rules
from learnmech.errors import Refused
from learnmech.record import checkpoints, sealed, tables
from learnmech.record.base import due_marks
from learnmech.runs import blocks
from learnmech.runs import running as runs

pytestmark = [
    pytest.mark.exact,
    pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning", "ignore:.*fork:DeprecationWarning"),
]
SENTENCE = re.compile(r"^\S.* needs \S.*, but got .+\. [A-Z].*[.?]$")
WATCH = (instruments.Loss(), instruments.Norms(every=2), instruments.Outputs(every=3))
RULES = {"sgd": rules.SGD.example(), "adam": rules.Adam.example()}
CHANGING = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.chmod")
RUN_KILLS, RESUME_KILLS, TIMED_KILLS, MENDING_KILLS, LIVE_KILLS = 14, 7, 5, 16, 2
FLIPS, CUTS, PARTS = 112, 40, 4
each_rule = pytest.mark.parametrize("rule", RULES)


def experiment(rule):
    """A run of 21 marks; that of Adam has an event between two marks, whose values are a file of
    their own."""
    event = interventions.Transplant(
        at=25, path="layer1.weight", values=np.linspace(-1, 1, 20).reshape(5, 4)
    )
    made = {
        "architecture": architectures.Mlp(hidden=(5,)),
        "data": data.Gaussian(n=12, d=4, k=2),
        "rule": RULES[rule],
        "clock": lm.Clock(steps=60, every=3),
    }
    return lm.Experiment(**made, events=(event,) if rule == "adam" else ())


def cut_small(patch):
    """Blocks of 4 marks, a checkpoint after each, chunks of 8 marks and fewer: files are written
    all the time, also within a chunk."""
    patch(blocks, "MARKS", 4)
    patch(tables, "CHUNK_BYTES", 64)
    patch(checkpoints, "PATIENCE", 0)


@pytest.fixture(scope="module", autouse=True)
def small():
    """The same in this process, while these tests run."""
    with pytest.MonkeyPatch.context() as patch:
        cut_small(patch.setattr)
        yield


class Whole:
    """A run that nothing happened to, on disk, and its blocks."""

    def __init__(self, home, rule):
        self.folder, self.start = home / "whole" / rule, lm.prepare(experiment(rule))
        self.record = lm.run(self.start, WATCH, folder=self.folder)
        self.timeline, self._states = self.record.timeline, {}
        self.blocks = [
            block._replace(
                checkpoint=block.checkpoint._replace(state=jax.tree.map(np.asarray, block.state))
            )
            for block in runs.stream(self.timeline, WATCH)
        ]

    def state(self, step):
        """The true bits of the state at a step."""
        if step not in self._states:
            self._states[step] = bits(self.record.at(step))
        return self._states[step]

    def begin(self, folder):
        """The run, in a forked process."""
        self._replay()
        lm.run(self.start, WATCH, folder=folder)

    def go_on(self, folder):
        """Its resumption, in a forked process."""
        self._replay()
        lm.resume(folder)

    def _replay(self):
        # JAX computes with threads, which a fork does not inherit: a forked process writes blocks
        # that were computed before, all else is the run itself
        def stream(timeline, watch, until=None, after=None, pace=None):
            return (
                b
                for b in self.blocks
                if after is None
                or (b.checkpoint.position, b.checkpoint.done) > (after.position, after.done)
            )

        runs.stream, runs.Timeline, runs.prepare = (
            stream,
            lambda _: self.timeline,
            lambda _: self.start,
        )


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    """Both runs, uninterrupted."""
    home = tmp_path_factory.mktemp("crash")
    return {rule: Whole(home, rule) for rule in RULES}


def bits(tree):
    """Every bit of the arrays of a tree."""
    return [
        (leaf.dtype.str, leaf.shape, leaf.tobytes())
        for leaf in map(np.asarray, jax.tree.leaves(tree))
    ]


def agrees(record, whole, rng):
    """Whether every number in a record, and a state replayed from it, is the true one; what is
    not is NaN, or left out, and named."""
    damaged = " ".join(note for note in record.notes if note.startswith("damaged: "))
    assert record.experiment == whole.record.experiment
    record.prepared.append(whole.timeline)
    for every, true in whole.record.tables.items():
        if every not in record.tables:
            assert f"the description of table every-{every}" in damaged
            continue
        seen, rows = record.tables[every], len(due_marks(every, 0, record.reached))
        assert seen.variables.keys() == true.variables.keys()
        for name, column in true.variables.items():
            values, expected = (
                seen[name].values,
                column.values[: rows if "time" in column.dims else None],
            )
            assert (values.dtype, values.shape, seen[name].attrs) == (
                expected.dtype,
                expected.shape,
                column.attrs,
            )
            if values.tobytes() != expected.tobytes():
                lost = np.isnan(values)
                assert name in damaged and values[~lost].tobytes() == expected[~lost].tobytes(), (
                    name,
                    record.notes,
                )
    if record.final or not damaged + str(record.notes).partition("unfinished: ")[1]:
        assert list(record.final) == list(whole.record.final) and bits(record.final) == bits(
            whole.record.final
        )
    if record.reached:
        step = rng.randint(0, record.position)
        assert bits(record.at(step)) == whole.state(step)
        assert record.read("layer1.weight", step)["layer1.weight"].values.tobytes() in {
            held for *_, held in whole.state(step)
        }


def complete(record, whole, rng):
    """Whether a record is the whole of the run that nothing happened to."""
    assert (record.notes, record.reached, sorted(record.tables)) == (
        whole.record.notes,
        len(whole.timeline.positions),
        sorted(whole.record.tables),
    )
    agrees(record, whole, rng)
    assert bits(record.final) == bits(whole.record.final)


def gone_on(folder, whole, rng, record=None):
    """Resume and look whether it ends as if nothing had been; what load (`record`) calls whole
    must be so without."""
    record = record or lm.load(folder)
    if record.damaged or any(note.startswith("unfinished: ") for note in record.notes):
        complete(lm.resume(folder), whole, rng)
        record = lm.load(folder)
    complete(record, whole, rng)


def forked(work, *given, at=None, after=None, torn=None, log=None):
    """The exit status of a process that works until it is killed: before its `at`-th change to the
    disk, or `after` so many seconds.

    With `torn` bytes the file that was about to be written is left with those in it. `log` is a
    file to which a survivor writes what each of its changes was.
    """
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(60)
            made, there = [], at is None

            def change(event, args):
                nonlocal there
                opens = (
                    event == "open"
                    and isinstance(args[2], int)
                    and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
                )
                if opens or event in CHANGING:
                    made.append(f"{event} {[str(a) for a in args[:2]]}")
                if not there and len(made) == at:
                    there = True  # what follows is no change of the worker's
                    if torn is not None and opens and args[2] & os.O_TRUNC:
                        os.write(os.open(args[0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), torn)
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(change)
            work(*given)
            if log is not None:
                log.write_text("\n".join(made))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if after is not None:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def changes(tmp_path, work, *given):
    """What changes to the disk a piece of work makes, in order."""
    log = tmp_path / "log"
    assert forked(work, *given, log=log) == 0
    return log.read_text().splitlines()


def moments(rng, last, number):
    """(change, bytes left in the file it was about to write) at random, one in each of `number`
    equal parts."""
    return [
        (1 + int((part + rng.random()) * last / number), rng.choice([None, b"", rng.randbytes(30)]))
        for part in range(number)
    ]


def survives(folder, whole, rng, before=0):
    """The marks committed by a process that was killed, which are never fewer than before; what
    they say is true."""
    if not folder.exists():
        with pytest.raises(Refused, match=SENTENCE):
            lm.load(folder)
        assert before == 0 and all(
            path.name.startswith(".") or path.name == "log" for path in folder.parent.iterdir()
        )
        return 0
    record = lm.load(folder)
    assert record.reached >= before
    assert all(
        note.startswith(("unfinished: ", "damaged: progress.json")) for note in record.notes
    ), record.notes
    agrees(record, whole, rng)
    return record.reached


# --- killed


@each_rule
def test_a_run_killed_at_any_change_to_the_disk_ends_as_if_it_had_not_been(wholes, tmp_path, rule):
    whole, rng, reached = wholes[rule], random.Random(rule), set()
    last = len(changes(tmp_path, whole.begin, tmp_path / "run"))
    complete(lm.load(tmp_path / "run"), whole, rng)
    for number, (at, torn) in enumerate(moments(rng, last, RUN_KILLS)):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        assert forked(whole.begin, tmp_path / "run", at=at, torn=torn) == -signal.SIGKILL
        marks = survives(tmp_path / "run", whole, rng)
        reached.add(marks)
        if not (tmp_path / "run").exists():
            whole_again = lm.run(whole.start, WATCH, folder=tmp_path / "run")
            complete(whole_again, whole, rng)
        elif number % 2 == 0:
            for at, torn in moments(rng, last // 2, 1):
                forked(whole.go_on, tmp_path / "run", at=at, torn=torn)
            survives(tmp_path / "run", whole, rng, marks)
        gone_on(tmp_path / "run", whole, rng)
    assert len(reached) > 4, reached


@each_rule
def test_a_run_killed_at_any_time_ends_as_if_it_had_not_been(wholes, tmp_path, rule):
    whole, rng = wholes[rule], random.Random(f"times {rule}")
    began = time.perf_counter()
    assert forked(whole.begin, tmp_path / "timed") == 0
    takes = time.perf_counter() - began
    for number in range(TIMED_KILLS):
        folder = tmp_path / str(number) / "run"
        folder.parent.mkdir()
        forked(whole.begin, folder, after=rng.random() * takes)
        marks = survives(folder, whole, rng)
        if folder.exists():
            forked(whole.go_on, folder, after=rng.random() * takes)
            survives(folder, whole, rng, marks)
            gone_on(folder, whole, rng)


def test_a_run_killed_in_its_first_commit_is_not_called_damaged(wholes, tmp_path):
    whole = wholes["sgd"]
    made = changes(tmp_path, whole.begin, tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    named = next(
        at
        for at, change in enumerate(made, 1)
        if change.startswith("os.rename") and change.endswith("/progress.json']")
    )
    forked(whole.begin, tmp_path / "run", at=named + 1)
    names = {path.name for path in (tmp_path / "run").glob("*progress*")}
    assert (
        "progress.json" in names
        and ".progress.json.copy" not in names
        and not lm.load(tmp_path / "run").damaged
    ), lm.load(tmp_path / "run").notes


def test_a_fork_that_is_killed_as_soon_as_it_is_there_goes_on(wholes, tmp_path, monkeypatch):
    """It begins at a checkpoint, without which it could not: that is there before the folder is."""
    whole, event = wholes["sgd"], (interventions.Noise(at=20, size=0.1),)
    there = lm.fork(whole.record, 20, event, folder=tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(
            runs, "_streamed", lambda *_: shutil.copytree(tmp_path / "fork", tmp_path / "killed")
        )
        lm.fork(whole.record, 20, event, folder=tmp_path / "fork")
    again = lm.resume(tmp_path / "killed")
    assert bits(again.final) == bits(there.final) and again["loss"].equals(there["loss"])


def test_a_copy_of_what_was_stopped_is_no_finished_run_and_goes_on(wholes, tmp_path):
    def stop(progress):
        if progress.reached >= 8:
            raise KeyboardInterrupt

    record = lm.run(experiment("adam"), WATCH, progress=stop)
    copy = record.save(tmp_path / "copy")
    assert record.reached < 21 and lm.load(copy).notes == record.notes
    complete(lm.resume(copy), wholes["adam"], random.Random("copy"))


def test_a_damaged_checkpoint_is_not_saved_and_a_damaged_record_is_refused(wholes, tmp_path):
    folder, rng = shutil.copytree(wholes["sgd"].folder, tmp_path / "run"), random.Random("saved")
    flip(sorted((folder / "checkpoints").iterdir())[1], rng)
    complete(lm.load(lm.load(folder).save(tmp_path / "saved")), wholes["sgd"], rng)
    assert (
        len(list((tmp_path / "saved" / "checkpoints").iterdir()))
        == len(list((folder / "checkpoints").iterdir())) - 1
    )
    flip(folder / "record" / "every-1.zarr" / "loss" / "c.1", rng)
    with pytest.raises(
        Refused, match="save needs a whole record, but got damaged: loss in rows 4-7"
    ):
        lm.load(folder).save(tmp_path / "damaged")
    assert not (tmp_path / "damaged").exists()


def live(folder, rule):
    """A run that computes and writes and takes its time, in an interpreter of its own; it begins
    when it is told to, so that it is not over while another is looked at."""
    cut_small(setattr)
    while not Path(f"{folder}.go").exists():
        time.sleep(0.01)
    lm.run(experiment(rule), WATCH, folder=folder, progress=lambda _: time.sleep(0.1))


def test_an_interpreter_killed_at_any_time_leaves_a_run_that_ends_as_if_it_had_not_been(
    wholes, tmp_path
):
    rng, kept = random.Random("live"), str(jax.config.jax_compilation_cache_dir)
    cache = {
        "JAX_COMPILATION_CACHE_DIR": kept,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    killed = []
    for number in range(LIVE_KILLS):
        rule, folder = list(RULES)[number % 2], tmp_path / str(number)
        command = [
            sys.executable,
            "-c",
            f"import test_crash; test_crash.live({str(folder)!r}, {rule!r})",
        ]
        killed.append(
            (
                rule,
                folder,
                subprocess.Popen(command, cwd=Path(__file__).parent, env=os.environ | cache),
            )
        )
    for rule, folder, process in killed:
        Path(f"{folder}.go").touch()
        while not folder.exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.7)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        survives(folder, wholes[rule], rng)
        gone_on(folder, wholes[rule], rng)


# --- damaged


def flip(file, rng):
    """Flip one bit of a file."""
    stored = bytearray(file.read_bytes())
    stored[rng.randrange(len(stored))] ^= 1 << rng.randrange(8)
    file.write_bytes(stored)


def files_of(folder):
    """Every file of a run folder that holds something."""
    return [
        path.relative_to(folder)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_size
    ]


def stands(folder, whole, rng):
    """A damaged folder is refused in a sentence, or says which of its numbers are lost and is
    mended by resuming."""
    try:
        record = lm.load(folder)
    except Refused as refusal:
        assert SENTENCE.match(str(refusal)), str(refusal)
        with pytest.raises(Refused, match=SENTENCE):
            lm.resume(folder)
        return "refused"
    agrees(record, whole, rng)
    gone_on(folder, whole, rng, record)
    return "damaged" if record.damaged else "whole"


def each_of(files, number, seed, part):
    """One of the parts of so many files, every file in its turn, in an order of chance."""
    rng = random.Random(seed)
    return [
        file for _ in range(-(-number // len(files))) for file in rng.sample(files, len(files))
    ][:number][part::PARTS]


# so that they go to whoever has nothing to do
each_part = pytest.mark.parametrize("part", range(PARTS))


@each_part
def test_a_flipped_bit_is_never_read_as_a_number_and_resuming_mends_it(wholes, tmp_path, part):
    whole, rng = wholes["adam"], random.Random(f"bits {part}")
    # an array that an event names; what there are two of, or can be computed again; all that was
    # seen
    outcomes = {".npy": "refused", ".copy": "whole", "checkpoints": "whole"}
    for number, name in enumerate(each_of(files_of(whole.folder), FLIPS, "bits", part)):
        folder = shutil.copytree(whole.folder, tmp_path / str(number))
        flip(folder / name, rng)
        seen = stands(folder, whole, rng)
        assert seen == outcomes.get(name.suffix, outcomes.get(name.parts[0], "damaged")), (
            name,
            seen,
        )
        shutil.rmtree(folder)


@each_part
def test_a_cut_or_missing_file_is_never_read_as_numbers_and_resuming_mends_it(
    wholes, tmp_path, part
):
    whole, rng = wholes["adam"], random.Random(f"cuts {part}")
    files = each_of(files_of(whole.folder), CUTS, "cuts", part)
    gone = [
        ("record",),
        ("checkpoints",),
        ("progress.json", ".progress.json.copy"),
        ("run.json",),
        ("run.json", ".run.json.copy"),
        ("final.npz",),
    ]
    for number, names in enumerate([*((name,) for name in files), *gone[part::PARTS]]):
        folder = shutil.copytree(whole.folder, tmp_path / str(number))
        for name in names:
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
            elif number % 2 or names in gone:
                (folder / name).unlink()
            else:
                os.truncate(folder / name, rng.randrange((folder / name).stat().st_size))
        stands(folder, whole, rng)
        shutil.rmtree(folder)


@each_rule
def test_mending_that_is_killed_loses_no_number_without_saying_so(wholes, tmp_path, rule):
    whole, rng = wholes[rule], random.Random(f"mending {rule}")
    hurts = [
        "record/every-1.zarr/loss/c.1",
        "record/every-2.zarr/weight_norm/c.2.0",
        "record/every-1.zarr/zarr.json",
        "record/every-1.zarr/loss/c.0",
    ]
    for number, name in enumerate(hurts):
        hurt = shutil.copytree(whole.folder, tmp_path / "hurt")
        if number % 2:
            flip(hurt / name, rng)
        else:
            (hurt / name).unlink()
        healed = shutil.copytree(hurt, tmp_path / "healed")
        last = len(changes(tmp_path, whole.go_on, healed))
        for at, torn in moments(rng, last, MENDING_KILLS // len(hurts)):
            folder = shutil.copytree(hurt, tmp_path / "run")
            assert forked(whole.go_on, folder, at=at, torn=torn) == -signal.SIGKILL
            agrees(lm.load(folder), whole, rng)
            gone_on(folder, whole, rng)
            shutil.rmtree(folder)
        shutil.rmtree(hurt)
        shutil.rmtree(healed)


# --- at one time, and asked for what is not there


def contents(folder):
    """The bytes of every file below a folder."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_a_run_is_written_by_one_process_at_a_time_and_free_when_that_is_killed(wholes, tmp_path):
    whole, rng = wholes["sgd"], random.Random("lock")
    folder = shutil.copytree(whole.folder, tmp_path / "run")
    flip(folder / "final.npz", rng)
    holding = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'a'); fcntl.flock(file, fcntl.LOCK_EX);"
        " print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(folder / ".lock")], stdout=subprocess.PIPE
    ) as other:
        try:
            other.stdout.readline()
            before = contents(tmp_path)
            with pytest.raises(Refused, match="one process at a time") as refusal:
                lm.resume(folder)
            assert SENTENCE.match(str(refusal.value)) and contents(tmp_path) == before
        finally:
            other.kill()
    gone_on(folder, whole, rng)


def test_a_running_run_is_not_resumed_by_another(wholes, tmp_path):
    whole, folder = wholes["sgd"], tmp_path / "run"
    refusals = []

    def resume(progress):
        with pytest.raises(Refused, match="one process at a time") as refusal:
            lm.resume(folder)
        refusals.append(str(refusal.value))
        assert lm.load(folder).reached == progress.reached

    complete(
        lm.run(whole.start, WATCH, folder=folder, progress=resume), whole, random.Random("two")
    )
    assert len(refusals) == len(whole.blocks) and all(map(SENTENCE.match, refusals))


@pytest.fixture(scope="module")
def shelf(wholes, tmp_path_factory):
    """Folders that cannot be gone on with, each for its reason, and records to ask."""
    home = tmp_path_factory.mktemp("shelf")
    shutil.copytree(wholes["sgd"].folder, home / "done")
    (home / "empty").mkdir()
    for name, said in (("future", {"format": 4}), ("past", {"format": 1})):
        shutil.copytree(home / "done", home / name)
        sealed.write(home / name, "run.json", sealed.read(home / name, "run.json") | said)
    shutil.copytree(home / "done", home / "older")
    (home / "older" / ".run.json.copy").unlink()
    (home / "older" / "run.json").write_text('{"provenance": {"learnmech": "0.1.0"}}')
    done = lm.load(home / "done")
    twin = lm.fork(done, 20, (interventions.Noise(at=20, size=0.1),), folder=home / "twin")
    shutil.copytree(home / "twin", home / "rootless")
    shutil.rmtree(home / "rootless" / "checkpoints")
    (home / "rootless" / "final.npz").unlink()
    gone = lm.load(shutil.copytree(home / "twin", home / "gone"))
    shutil.rmtree(home / "gone")
    flow = {
        "architecture": architectures.DeepLinear(),
        "data": data.Gaussian.example(),
        "rule": rules.GradientFlow(rtol=1e-6),
    }
    flow = lm.run(
        lm.Experiment(**flow, clock=lm.Clock(time=1.0, marks=5)),
        (instruments.Loss(),),
        folder=home / "flow",
    )
    return {"home": home, "done": done, "twin": twin, "gone": gone, "flow": flow}


def perturbed(s, **given):
    return lm.fork(
        s["done"], 20, (interventions.Perturb(at=20, **given),), folder=s["home"] / "new"
    )


NOT_THERE = {
    "resume finished": lambda s: lm.resume(s["home"] / "done"),
    **{
        f"{work.__name__} {name}": lambda s, work=work, name=name: work(s["home"] / name)
        for work in (lm.load, lm.resume)
        for name in ("empty", "none", "done/run.json", "future", "past", "older")
    },
    "resume a fork without its checkpoint": lambda s: lm.resume(s["home"] / "rootless"),
    "run to a folder that is there": lambda s: lm.run(
        s["done"].experiment, folder=s["home"] / "done"
    ),
    "fork a parent that is missing": lambda s: lm.fork(
        lm.load(s["home"] / "none"), 20, (), folder=s["home"] / "new"
    ),
    "fork a fork that was deleted": lambda s: lm.fork(s["gone"], 30, (), folder=s["home"] / "new"),
    **{
        f"at {when}": lambda s, when=when: s["done"].at(when)
        for when in (7.5, -1, 10**9, float("nan"), float("inf"), -float("inf"))
    },
    **{
        f"fork at {when}": lambda s, when=when: lm.fork(
            s["done"], when, (), folder=s["home"] / "new"
        )
        for when in (7.5, -1, 10**9, float("nan"))
    },
    **{
        f"read at {when}": lambda s, when=when: s["done"].read("loss", when)
        for when in ([], [4, 61], [0.5])
    },
    "at before a fork": lambda s: s["twin"].at(19),
    "fork before a fork": lambda s: lm.fork(s["twin"], 19, (), folder=s["home"] / "new"),
    **{
        f"flow at {when}": lambda s, when=when: s["flow"].at(when)
        for when in (0.3, -1, 1e9, float("nan"), float("inf"))
    },
    "flow forked off a mark": lambda s: lm.fork(s["flow"], 0.3, (), folder=s["home"] / "new"),
    **{
        f"read {what}": lambda s, what=what: s["done"].read(what, 4)
        for what in (
            "layer9.weight",
            "layer1.weight[99,0]",
            "layer1.weight[0,0,0]",
            "layer1.weight[",
            "layer1.weight[unti=1]",
            "",
            "lss",
        )
    },
    "a quantity that was not watched": lambda s: s["done"]["balance"],
    **{
        f"values of shape {shape}": lambda s, shape=shape: perturbed(
            s, path="layer1.weight", values=np.ones(shape)
        )
        for shape in ((4, 5), (3,), (0,), (5, 4, 1))
    },
    "values at an address that is not there": lambda s: perturbed(
        s, path="layer9.weight", value=1.0
    ),
    "an event before the fork": lambda s: lm.fork(
        s["done"], 20, (interventions.Noise(at=10),), folder=s["home"] / "new"
    ),
    "an event after the end": lambda s: lm.fork(
        s["done"], 20, (interventions.Noise(at=100),), folder=s["home"] / "new"
    ),
}


@pytest.mark.parametrize("request_", NOT_THERE.values(), ids=NOT_THERE)
def test_what_is_not_there_is_refused_in_one_sentence_and_nothing_on_disk_changes(shelf, request_):
    before = contents(shelf["home"])
    with pytest.raises(Refused) as refusal:
        request_(shelf)
    assert SENTENCE.match(str(refusal.value)), str(refusal.value)
    assert contents(shelf["home"]) == before
