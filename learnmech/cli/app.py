"""The commands and what they accept. Nothing heavy is imported until a command needs it."""

import argparse
import json
import logging
import math
import os
import sys
import traceback
from pathlib import Path

from learnmech.cli.terminal import any_letter, shown, tell, told
from learnmech.errors import Refused, nearest, plain, refused
from learnmech.language import catalog
from learnmech.machine.logs import LOG
from learnmech.machine.version import VERSION

VERBOSE = (
    "tell on stderr what is logged: runs begun, gone on with and ended, points of sweeps that were"
    " kept, notes"
)
TRACEBACK = (
    "where learnmech fails by a fault of its own, show where (LEARNMECH_TRACEBACK=1 does so too)"
)
REPORT_TO = "the maintainers of learnmech"
TRUST = "run the Python code that a text names, as mine.py:model; look at it first"


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints have the shape of every other error."""

    def error(self, message):
        raise refused(
            "The command line", f"what {self.prog} accepts", message, f"See {self.prog} --help"
        )


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    whole = _Parser(
        prog="learnmech",
        description="A laboratory for learning mechanics: run an experiment, lay theory over it.",
    )
    whole.add_argument(
        "--with",
        dest="guests",
        metavar="FILE.py",
        action="append",
        default=[],
        help="a Python file of your own parts; repeatable",
    )
    whole.add_argument("--trust", action="store_true", help=TRUST)
    whole.add_argument("--version", action="version", version=f"learnmech {VERSION}")
    whole.add_argument("--verbose", action="store_true", help=VERBOSE)
    whole.add_argument("--traceback", action="store_true", help=TRACEBACK)
    commands = whole.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )

    def command(name, says, subject=False, changes=None):
        one = commands.add_parser(name, help=says, description=says)
        if subject:
            one.add_argument(
                "subject",
                metavar="NAME|FILE.toml",
                help="an exhibit of the gallery, or an experiment",
            )
        if changes:
            one.add_argument("changes", metavar="PATH=VALUE", nargs="*", help=changes)
            one.add_argument(
                "--small", action="store_true", help="the seconds-long twin of an exhibit"
            )
        one.add_argument(
            "--with",
            dest="more_guests",
            metavar="FILE.py",
            action="append",
            default=[],
            help="a Python file of your own parts; repeatable",
        )
        one.add_argument("--trust", dest="more_trust", action="store_true", help=TRUST)
        one.add_argument(
            "--json", action="store_true", help="give the result as one JSON document on stdout"
        )
        one.add_argument("--quiet", action="store_true", help="no progress bar")
        one.add_argument("--verbose", dest="more_verbose", action="store_true", help=VERBOSE)
        one.add_argument("--traceback", dest="more_traceback", action="store_true", help=TRACEBACK)
        return one

    listed = command("list", "everything in the catalogue, one line each")
    listed.add_argument("family", nargs="?", help="one family, or gallery (exhibits)")
    listed.add_argument(
        "kind",
        nargs="?",
        help="one member of the family with its knobs, or the page of one exhibit",
    )

    ran = command(
        "run",
        "run an exhibit or an experiment, lay theory over it and write a run folder",
        True,
        "knobs to change, as rule.rate=0.1",
    )
    ran.add_argument(
        "--until",
        metavar="QUANTITY<BOUND",
        help='stop at the first mark where this holds, as in "loss<1e-6"',
    )
    ran.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="the run folder to write; it must not exist (default: a new one in runs/)",
    )

    _keep(ran)

    said = command("predict", "what theory says, without running", True, "knobs to change")
    said.add_argument(
        "--theory",
        action="append",
        default=[],
        help="a theory by name; repeatable (default: the exhibit's, or all that apply)",
    )
    said.add_argument(
        "--out", type=Path, metavar="FILE", help="write the predictions to this .nc or .csv file"
    )

    swept = command(
        "sweep",
        "a grid over knobs and seeds, gathered in one Dataset",
        True,
        "axes as rule.rate=0.1,0.2 or lin(0,1,5) or geom(0.01,1,5); one value changes a knob",
    )
    swept.add_argument("--seeds", type=int, default=1, metavar="N", help="how many seeds")
    swept.add_argument("--backend", default="map", help="map, vmap or fastest")
    swept.add_argument(
        "--shard",
        metavar="i/n",
        help=(
            "run the i-th of n parts of the points, counted from 1, as the tasks of an array"
            " job are"
        ),
    )
    swept.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the sweep; an unfinished one goes on"
    )

    near = command(
        "limit",
        "how fast a theory that is a limit becomes exact, held against the order it declares; exit"
        " status 1 if it is not that",
    )
    near.add_argument("theory", metavar="THEORY", help="a theory by name")
    near.add_argument(
        "words",
        metavar="[SUBJECT] PATH=VALUE",
        nargs="*",
        help="an exhibit or experiment (default: the theory's example); knobs to change",
    )
    near.add_argument(
        "--along",
        metavar="PATH=VALUES",
        help="the knob, as rule.rate=0.1,0.05 or geom(64,1024,5) (default: from its own value on)",
    )
    near.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="how many seeds (default: 4, and 32 where the knob goes to infinity, as a width)",
    )
    near.add_argument(
        "--quantity", help="whose error (default: that of the declared limit, else the loss)"
    )
    near.add_argument("--small", action="store_true", help="the seconds-long twin of an exhibit")
    near.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=(
            "the .png, .svg or .pdf file of the plot, or .nc or .csv (default:"
            " runs/limit-THEORY.png)"
        ),
    )

    laid = command(
        "compare",
        "a run against a theory, or against another run; a sweep against a theory, point by point",
    )
    laid.add_argument(
        "run", type=Path, metavar="RUN|SWEEP", help="a run folder, or that of a sweep"
    )
    laid.add_argument("other", metavar="THEORY|RUN", help="a theory by name, or another run folder")
    laid.add_argument("--tolerance", type=float, help="the largest relative error that holds")

    _fork(
        command(
            "fork", "a twin of a run that goes on with interventions; its parent stays as it is"
        )
    )

    again = command(
        "resume",
        "go on with a run that was stopped, or mend a damaged one; it ends as if it had never"
        " stopped",
    )
    again.add_argument("run", type=Path, metavar="RUN", help="a run folder")

    looked = command("read", "what was not watched, replayed from the nearest checkpoint")
    looked.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    looked.add_argument(
        "what",
        metavar="PATH|INSTRUMENT",
        help="the address of an array, as layer1.weight[2,5], or an instrument by name",
    )
    looked.add_argument(
        "--steps",
        metavar="STEPS",
        help="steps (for flows times of marks) as 10,20,30 or 0:100:10 (default: the last)",
    )
    looked.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write it to this .nc or .csv file, or draw it to a .png, .svg or .pdf file",
    )

    beside = command("twins", "how far two runs are apart, layer by layer over time")
    beside.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    beside.add_argument("other", type=Path, metavar="RUN", help="another, such as a fork of it")
    beside.add_argument(
        "--steps",
        metavar="STEPS",
        help=(
            "steps (for flows times of marks) as 10,20,30 or 0:100:10 (default: up to 200 common"
            " marks)"
        ),
    )
    beside.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write it to this .nc or .csv file, or draw it to a .png, .svg or .pdf file",
    )

    risen = command(
        "staircase",
        "when each mode of the data was learned in a run, in which order, and whether in a"
        " staircase",
    )
    risen.add_argument(
        "run", type=Path, metavar="RUN", help="a run folder; what was not watched in it is replayed"
    )
    risen.add_argument(
        "--modes", type=int, default=0, metavar="N", help="of the N strongest modes (default: all)"
    )
    risen.add_argument(
        "--out", type=Path, metavar="FILE", help="draw it to this .png, .svg or .pdf file"
    )
    apart = command(
        "diff",
        "what differs between two runs, two experiments, or one of each; exit status 1 if anything"
        " that makes their numbers does",
    )
    for name, meta in (("one", "RUN|FILE.toml|NAME"), ("other", "RUN|FILE.toml|NAME")):
        apart.add_argument(
            name,
            metavar=meta,
            help="a run folder, an experiment's TOML file, or an exhibit by name",
        )
    apart.add_argument("--small", action="store_true", help="the seconds-long twins of exhibits")

    command("show", "what a run folder holds").add_argument(
        "run", type=Path, metavar="RUN", help="a run folder, or that of a sweep"
    )

    out = command("export", "a record as NetCDF, or as CSV with a column per entry; a sweep too")
    out.add_argument("run", type=Path, metavar="RUN|SWEEP", help="a run folder, or that of a sweep")
    out.add_argument("file", type=Path, metavar="out.nc|out.csv", help="the file to write")

    kept = command("runs", "the runs and sweeps there are and their sizes on disk; or delete one")
    kept.add_argument(
        "folder",
        type=Path,
        nargs="?",
        metavar="DIR",
        help="the folder of run folders (default: runs)",
    )
    kept.add_argument("--out", type=Path, metavar="DIR", help="the same")
    kept.add_argument(
        "--delete",
        metavar="RUN|SWEEP",
        help=(
            "delete this folder of a run or a sweep, which no process may be using and which holds"
            " nothing else"
        ),
    )

    paged = command("report", "the page of a run or a sweep, made again from its folder")
    paged.add_argument(
        "run", type=Path, metavar="RUN|SWEEP", help="a run folder, or that of a sweep"
    )
    paged.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the .html file to write; it must not exist (default: report.html of the run folder)",
    )

    which = command(
        "theories",
        "which theories apply here, and which of the others are nearest",
        True,
        "knobs to change",
    )
    which.add_argument(
        "--all",
        "--long",
        dest="long",
        action="store_true",
        help="every theory, condition by condition",
    )

    checked = command("check", "run exhibits, or a user's own parts; exit status 1 if one fails")
    checked.add_argument(
        "names",
        nargs="*",
        metavar="NAME|mine.py",
        help="exhibits, or Python files of your own parts (default: every exhibit)",
    )
    checked.add_argument("--small", action="store_true", help="the seconds-long twins")
    return whole


INTERVENTIONS = {
    "perturb": (
        "PATH=VALUE",
        "add (+0.1, -0.1), scale (*2) or set (0.1) weights or memory: 'layer3.weight[2,5]=+0.1'",
    ),
    "set": (
        "PATH=VALUE",
        (
            "turn a knob: rule.rate=0.2, data.noise=0.1, clock.steps=2000; or swap rule, loss or"
            " data: rule={kind='adam'}"
        ),
    ),
    "freeze": ("PATH", "a layer, an array or a slice stands still"),
    "thaw": ("PATH", "it moves again"),
    "noise": (
        "PATH=SIZE",
        "Gaussian noise of that norm on what is there (all=SIZE: on all parameters)",
    ),
    "push": ("DIRECTION=SIZE", "move all parameters along top-hessian or gradient"),
    "transplant": ("PATH=RUN@STEP", "the weights of another run (self@STEP: of this one)"),
    "rescale": ("UP,DOWN=FACTOR", "rescale along a symmetry: layer1,layer2.weight=2"),
    "reset-memory": ("PATH", "the rule forgets: memory, or a part of it as memory.mu.layer1"),
    "ablate": ("PATH", "hold a signal at 0: 'layer2.post[unit=7]'"),
    "patch": ("PATH=VALUE", "hold a signal at a value"),
    "relabel": ("SEED", "deal the training targets anew among the samples"),
    "event": (
        "TABLE",
        'any intervention as an inline table, as {kind = "noise", at = 520, size = 0.1}',
    ),
}


class _Event(argparse.Action):
    """Interventions of all kinds in one list, in the order they were typed."""

    def __call__(self, parser, namespace, value, option=None):
        namespace.events = [
            *(getattr(namespace, "events", None) or []),
            (option.removeprefix("--"), value or ""),
        ]


def _keep(one) -> None:
    says = (
        "copy the data files into the run folder, or do not (default: where they are under 10 MB)"
    )
    one.add_argument("--keep-data", action=argparse.BooleanOptionalAction, default=None, help=says)


def _fork(one) -> None:
    one.add_argument("run", type=Path, metavar="RUN", help="the run folder to fork")
    one.add_argument(
        "--at",
        type=float,
        required=True,
        metavar="STEP",
        help="the step (for flows the time of a mark) at which it leaves its parent",
    )
    for name, (value, says) in INTERVENTIONS.items():
        one.add_argument(
            f"--{name}",
            action=_Event,
            metavar=value,
            help=f"{says}; repeatable".replace("%", "%%"),
            dest="events",
        )
    one.add_argument(
        "--linearize",
        action=_Event,
        nargs=0,
        dest="events",
        help="go on with the tangent of the network here",
    )
    one.add_argument(
        "--memory",
        choices=("hold", "reset"),
        default="hold",
        help="what a thawed array's memory is: as it was held, or begun anew",
    )
    _keep(one)
    one.add_argument(
        "--watch",
        action="append",
        default=[],
        metavar="PATH|INSTRUMENT",
        help="watch this too; repeatable",
    )
    one.add_argument(
        "--until", metavar="QUANTITY<BOUND", help="stop at the first mark where this holds"
    )
    one.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="the run folder to write; it must not exist (default: RUN-fork)",
    )


def _understood(argv) -> argparse.Namespace:
    arguments, rest = parser().parse_known_args(argv)
    options = [word for word in rest if word.startswith("-")]
    many = next((name for name in ("changes", "names", "words") if hasattr(arguments, name)), None)
    if options or (rest and many is None):
        raise refused(
            f"learnmech {arguments.command}",
            "arguments it knows",
            repr((options or rest)[0]),
            f"See learnmech {arguments.command} --help",
        )
    if rest and many is not None:
        setattr(arguments, many, [*getattr(arguments, many), *rest])
    return arguments


GALLERY = ("gallery", "exhibits")


def _list(family: str | None) -> dict:
    families, family = [*catalog.FAMILIES, "gallery"], "gallery" if family in GALLERY else family
    if family is not None and family not in families:
        raise refused("list", "a family of the catalogue", repr(family), nearest(family, families))
    found = {}
    for name in [family] if family else families:
        if name == "gallery":
            found[name] = {entry.name: entry.claim for entry in catalog.exhibits().values()}
        else:
            found[name] = {kind: member.summary for kind, member in catalog.members(name).items()}
    return found


def _print_list(found: dict) -> None:
    width = max((len(kind) for entries in found.values() for kind in entries), default=0)
    for name, entries in found.items():
        print(name)
        for kind, summary in entries.items():
            print(f"  {kind:<{width}}  {summary}")


def _perform(a: argparse.Namespace):
    """(result as plain data, how it looks)."""
    if a.command == "list" and a.kind is None:
        return _list(a.family), _print_list
    from learnmech.cli import diffs, exhibits, forks, grids, limits, looks, pages, stairs, works

    quiet = a.quiet or a.json
    calls = {
        "list": lambda: (
            (exhibits.exhibit(a.kind), looks.exhibit)
            if a.family in GALLERY
            else (works.describe(a.family, a.kind), looks.description)
        ),
        "run": lambda: (
            works.run(a.subject, a.changes, a.until, a.out, a.small, quiet, a.keep_data),
            looks.run,
        ),
        "predict": lambda: (
            works.predict(a.subject, a.changes, a.theory, a.out, a.small),
            looks.predict,
        ),
        "sweep": lambda: (
            grids.sweep(a.subject, a.changes, a.seeds, a.backend, a.out, a.small, quiet, a.shard),
            looks.sweep,
        ),
        "limit": lambda: (
            limits.limit(a.theory, a.words, a.along, a.seeds, a.quantity, a.out, a.small, quiet),
            looks.limit,
        ),
        "compare": lambda: _compared(a, quiet),
        "fork": lambda: (
            forks.fork(
                a.run, a.events or [], a.at, a.memory, a.until, a.watch, a.out, quiet, a.keep_data
            ),
            looks.run,
        ),
        "resume": lambda: (forks.resume(a.run, quiet), looks.run),
        "read": lambda: (forks.read(a.run, a.what, a.steps, a.out), looks.reading),
        "twins": lambda: (forks.twins(a.run, a.other, a.steps, a.out), looks.twins),
        "diff": lambda: (diffs.diff(a.one, a.other, a.small), looks.diff),
        "show": lambda: (
            (grids.show(a.run), looks.grid)
            if grids.is_sweep(a.run)
            else (works.show(a.run), looks.show)
        ),
        "staircase": lambda: (stairs.stairs(a.run, a.modes, a.out), looks.staircase),
        "export": lambda: (
            grids.export(a.run, a.file) if grids.is_sweep(a.run) else works.export(a.run, a.file),
            looks.written,
        ),
        "runs": lambda: (works.runs(a.folder or a.out or Path("runs"), a.delete), looks.runs),
        "report": lambda: (
            (
                grids.page_again(a.run, a.out)
                if grids.is_sweep(a.run)
                else pages.report_again(a.run, a.out)
            ),
            looks.written,
        ),
        "theories": lambda: (
            works.theories(a.subject, a.changes, a.small) | {"long": a.long},
            looks.theories,
        ),
        "check": lambda: (works.check(a.names, a.small, quiet), looks.check),
    }
    return calls[a.command]()


def _compared(a, quiet):
    from learnmech.cli import grids, looks, works

    if grids.is_sweep(a.run):
        return grids.compare(a.run, a.other, a.tolerance, quiet), looks.grid_comparison
    return works.compare(a.run, a.other, a.tolerance), looks.comparison


def _spoken(value):
    """The value as JSON knows it: NaN and infinity, which it does not, are null."""
    if isinstance(value, dict):
        return {str(name): _spoken(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spoken(one) for one in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return float(value) if math.isfinite(float(value)) else None


def call(argv: list[str]) -> int:
    """One command; its exit status: 0, 1 where a check or a limit fails or a diff finds something,
    2 for a refusal, 3 for a fault of learnmech's own, 130 when interrupted."""
    before, level = catalog.trusted(), LOG.level
    handler: logging.Handler | None = None
    try:
        arguments = _understood(argv)
        if arguments.verbose or arguments.more_verbose:
            handler = told()
            LOG.addHandler(handler)
            LOG.setLevel(logging.INFO)
        catalog.trust(before or arguments.trust or arguments.more_trust)
        for file in [*arguments.guests, *arguments.more_guests]:
            catalog.add_source(file)
        result, look = _perform(arguments)
        if arguments.json:
            print(json.dumps(_spoken(result)))
        else:
            look(shown(result))
        if arguments.command in ("check", "limit", "diff") and not result["holds"]:
            return 1
        return 130 if result.get("interrupted") is True else 0
    except Refused as refusal:
        return _ended(argv, plain(refusal), 2)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:  # the disk's, the name's or the permission's fault
        if "--traceback" in argv:
            tell(traceback.format_exc())
        what = (
            f"{error.strerror or error}: {error.filename}"
            if error.filename
            else error.strerror or str(error)
        )
        return _ended(
            argv,
            str(
                refused(
                    "learnmech",
                    "files that it can read and write",
                    what,
                    "Choose another name or place, or give permission",
                )
            ),
            2,
        )
    except MemoryError as error:
        return _ended(
            argv,
            str(
                refused(
                    "learnmech",
                    "more memory",
                    str(error) or "no more",
                    "Lower widths, samples or marks",
                )
            ),
            2,
        )
    except Exception as error:
        return _ended(argv, _fault(error, argv), 3)
    finally:
        catalog.trust(before)
        if handler is not None:
            LOG.removeHandler(handler)
        LOG.setLevel(level)


def _ended(argv, said: str, status: int) -> int:
    if "--json" in argv:
        print(json.dumps({"error": said}))
    tell(said)
    return status


def _fault(error: Exception, argv) -> str:
    """A fault of learnmech's own: never hidden, and no excuse for a mistake of the user's that
    could have been said before."""
    frames = traceback.extract_tb(error.__traceback__)
    own = next(
        (frame for frame in reversed(frames) if "learnmech" in Path(frame.filename).parts),
        frames[-1],
    )
    if "--traceback" in argv or os.environ.get("LEARNMECH_TRACEBACK"):
        tell("".join(traceback.format_exception(error)))
        remedy = f"Please send the lines above and the command to {REPORT_TO}"
    else:
        remedy = (
            f"Please give the same command with --traceback, and send what it says to {REPORT_TO}"
        )
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return str(
        refused(
            "learnmech",
            "mending, for no command should end like this",
            f"{said} ({Path(own.filename).name}, line {own.lineno})",
            remedy,
        )
    )


def main() -> None:
    """The entry point of the command `learnmech`."""
    any_letter()
    sys.exit(call(sys.argv[1:]))
