"""The command `curve` and what it accepts."""

from pathlib import Path


def curve(command) -> None:
    """The command, made by `command(name, says)`."""
    one = command(
        "curve",
        "how well a kernel learns from n samples of its data, measured and predicted, and whether"
        " the prediction is claimed",
    )
    one.add_argument(
        "subject",
        metavar="NAME|FILE.toml|RUN",
        help="an exhibit, an experiment, or a run folder for the tangent kernel of its network",
    )
    one.add_argument("changes", metavar="PATH=VALUE", nargs="*", help="knobs to change")
    one.add_argument("--small", action="store_true", help="the seconds-long twin of an exhibit")
    one.add_argument(
        "--kernel",
        default="",
        help="ntk, nngp or tangent, that at the start (default: ntk where there is one)",
    )
    one.add_argument(
        "--view", default="train", help="the pool: train, test or all samples (default: train)"
    )
    one.add_argument(
        "--n", metavar="N,N", help="how many are trained on, as 50,100 or geom(20,1000,8)"
    )
    one.add_argument(
        "--ridge",
        default="0",
        metavar="R,R",
        help="beside the kernel, K + ridge I, as 0,1 or geom(0.01,100,5) (default: 0)",
    )
    one.add_argument(
        "--splits",
        type=int,
        default=8,
        metavar="N",
        help="random training sets that are measured; 0: predict only (default: 8)",
    )
    one.add_argument(
        "--at", type=float, metavar="STEP", help="of a run: the step of its network (default: end)"
    )
    one.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="draw it to this .png, .svg or .pdf file, or write it to a .csv",
    )
