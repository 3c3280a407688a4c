"""The commands on what was run, and what they accept: folders of runs and of sweeps."""

import argparse
from pathlib import Path

from learnmech.cli.interventions import interventions


def of_runs(command) -> None:
    """These commands, each made by `command(name, says)`."""
    laid = command(
        "compare",
        "a run against a theory, or against another run; a sweep against a theory, point by point",
    )
    laid.add_argument(
        "run", type=Path, metavar="RUN|SWEEP", help="a run folder, or that of a sweep"
    )
    laid.add_argument("other", metavar="THEORY|RUN", help="a theory by name, or another run folder")
    laid.add_argument("--tolerance", type=float, help="the largest relative error that holds")

    twin = "a twin of a run that goes on with interventions; its parent stays as it is"
    _fork(command("fork", twin))

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


def _fork(one) -> None:
    one.add_argument("run", type=Path, metavar="RUN", help="the run folder to fork")
    one.add_argument(
        "--at",
        type=float,
        required=True,
        metavar="STEP",
        help="the step (for flows the time of a mark) at which it leaves its parent",
    )
    interventions(one)
    keep_data(one)
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


def keep_data(one) -> None:
    """Whether the data files are copied, as an option."""
    says = (
        "copy the data files into the run folder, or do not (default: where they are under 10 MB)"
    )
    one.add_argument("--keep-data", action=argparse.BooleanOptionalAction, default=None, help=says)
