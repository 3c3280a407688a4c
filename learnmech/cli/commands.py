"""The commands and what they accept."""

import argparse
from pathlib import Path

from learnmech.cli.curve_command import curve
from learnmech.cli.lab_command import lab
from learnmech.cli.run_commands import keep_data, of_runs
from learnmech.errors import refused
from learnmech.machine.version import VERSION

VERBOSE = (
    "tell on stderr what is logged: runs begun, gone on with and ended, points of sweeps that were"
    " kept, notes"
)
TRACEBACK = (
    "where learnmech fails by a fault of its own, show where (LEARNMECH_TRACEBACK=1 does so too)"
)
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

    shown = command("data", "the card of data, before anything is trained, with its figure")
    shown.add_argument(
        "subject",
        metavar="NAME|FILE|PATH",
        help=(
            "a kind of data (learnmech list data), fashion-mnist, mnist, wine, breast-cancer, iris,"
            " diabetes, an exhibit, a TOML file, or a file or folder of data"
        ),
    )
    shown.add_argument(
        "changes", metavar="KNOB=VALUE", nargs="*", help="knobs of the data, as train=1000"
    )
    shown.add_argument(
        "--kernel",
        type=int,
        metavar="LAYERS",
        help=(
            "the certificate of learning-curve theory for the tangent kernel of a relu network of"
            " so many hidden layers, infinitely wide"
        ),
    )
    shown.add_argument(
        "--ridge", type=float, default=0.0, metavar="RIDGE", help="beside that kernel (default: 0)"
    )
    shown.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=(
            "the .png, .svg or .pdf file of the figure, or the .html file of a page (default:"
            " runs/data-NAME.png)"
        ),
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

    keep_data(ran)

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
    _placed(swept, store=False)

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
    _placed(near)

    steps = command(
        "ladder",
        "which axes of an experiment matter: each turned off alone, and all one after another",
        True,
        "knobs to change",
    )
    steps.add_argument(
        "--axes",
        metavar="AXIS,AXIS",
        help="axes or simplifications to turn off (default: all that apply)",
    )
    steps.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="how many seeds (default: 3)"
    )
    steps.add_argument(
        "--tolerance",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="what a quantity may be off by and be kept, over its range (default: 0.05)",
    )
    steps.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="WHAT",
        help=(
            'a phenomenon that must not be lost: staircase, plateau, "edge of stability", grokking,'
            ' lazy, rich, "order of modes", or "QUANTITY within 5%%"; may be given again'
        ),
    )
    steps.add_argument(
        "--all",
        dest="combinations",
        action="store_true",
        help="every combination of the axes: what each and each pair is worth",
    )
    steps.add_argument(
        "--theories", action="store_true", help="which theories apply on each rung (takes longer)"
    )
    steps.add_argument(
        "--out", type=Path, metavar="FILE", help="the .png, .svg or .pdf file of the figure"
    )
    _placed(steps)

    where = command(
        "map",
        "where over two knobs a theory holds, and where its conditions say it does",
    )
    where.add_argument("theory", metavar="THEORY", help="a theory by name")
    where.add_argument("subject", metavar="NAME|FILE.toml", help="an exhibit, or an experiment")
    where.add_argument(
        "changes",
        metavar="PATH=LOW..HIGH",
        nargs="*",
        help="two knobs to vary, evenly in ln where they are above 0; PATH=VALUE changes one",
    )
    where.add_argument("--small", action="store_true", help="the seconds-long twin of an exhibit")
    where.add_argument("--quantity", metavar="NAME", help="whose error (default: the loss)")
    where.add_argument("--size", type=int, metavar="N", help="values of each knob (default: 33)")
    where.add_argument("--seeds", type=int, default=1, metavar="N", help="how many (default: 1)")
    where.add_argument(
        "--tolerance", type=float, metavar="SHARE", help="the error of the line (default: its own)"
    )
    where.add_argument(
        "--islands", action="store_true", help="look for small islands too, at more runs"
    )
    where.add_argument(
        "--out", type=Path, metavar="FILE", help="the .png, .svg or .pdf file of the figure"
    )
    _placed(where)

    why = command(
        "explain",
        "how far off a theory is, and why: what each axis that must be turned off for it adds",
        True,
        "knobs to change",
    )
    why.add_argument(
        "--theory",
        metavar="THEORY",
        help="which (default: the fewest axes away that tells the loss)",
    )
    why.add_argument("--quantity", metavar="NAME", help="whose difference (default: the loss)")
    why.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="how many seeds (default: 3)"
    )
    why.add_argument(
        "--near", action="store_true", help="into the theory's domain, and not to its limit"
    )
    why.add_argument(
        "--out", type=Path, metavar="FILE", help="the .png, .svg or .pdf file of the figure"
    )
    _placed(why)

    curve(command)
    of_runs(command)

    which = command(
        "theories",
        "which theories apply here, which of the others are nearest, and which axes lead there",
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

    lab(command)

    checked = command("check", "run exhibits, or a user's own parts; exit status 1 if one fails")
    checked.add_argument(
        "names",
        nargs="*",
        metavar="NAME|mine.py",
        help="exhibits, or Python files of your own parts (default: every exhibit)",
    )
    checked.add_argument("--small", action="store_true", help="the seconds-long twins")
    _placed(checked, store=False)
    return whole


def _placed(one: argparse.ArgumentParser, store: bool = True) -> None:
    """Where the runs of a command are performed, and where they are kept."""
    one.add_argument(
        "--on",
        metavar="ENGINE",
        help=(
            "where runs are performed: here, processes:N, dask:ADDRESS,"
            " slurm:PARTITION[,key=value], ray:ADDRESS (default: here)"
        ),
    )
    if store:
        one.add_argument(
            "--store",
            type=Path,
            metavar="DIR",
            help="a folder in which runs are kept as they end; those that are there are not made",
        )


def understood(argv: list[str]) -> argparse.Namespace:
    """What was typed, by the names of its arguments."""
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
