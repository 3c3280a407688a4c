"""Depth of a scalar chain: the plateau grows with depth."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.comparison.verdicts import compare
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import sheet, titled
from learnmech.gallery.base import EXACT, Exhibit, fine_flow
from learnmech.gallery.premises import exact, reading
from learnmech.initial.balanced import Aligned
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.runs.running import run
from learnmech.theories.base import Condition
from learnmech.theories.scalar import (
    ScalarChain,
    balanced_time,
    infinite_depth_time,
    scalar_problem,
)

DEPTHS = (2, 3, 4, 6, 12)
U_0 = 0.1


def _experiment():
    data = Gaussian(n=50, d=1, k=1, map=np.array([[1.0]]), whitened=True)
    return Experiment(
        DeepLinear(hidden=(1, 1)),
        data,
        fine_flow(),
        Clock(time=12.0, marks=201),
        Aligned(strength=U_0),
    )


def _premises(start):
    yield from exact(start)
    s, _ = scalar_problem(start)
    yield Condition(
        f"it begins at u = {U_0:g}, below a tenth of the target s",
        s,
        f"{10 * U_0:g} or more",
        s >= 10 * U_0,
    )


def _verify(shown):
    s, a = scalar_problem(prepare(shown.experiment))
    curves, checks = [], []
    for depth in DEPTHS:
        record = run(
            shown.experiment.with_value("architecture.hidden", [1] * (depth - 1)), (EndToEnd(),)
        )
        row = compare(record, ScalarChain()).row("end_to_end")
        u = record["end_to_end"]
        reached = bool(u.values.max() >= 0.5 * s)
        measured = (
            float(np.interp(0.5 * s, u.values.ravel(), u["time"].values))
            if reached
            else float("nan")
        )
        curves.append((depth * u["time"].values, u.values.ravel()))
        said = balanced_time(U_0, 0.5 * s, s, a, depth)
        checks.append(
            Check(
                f"depth {depth}: time to s/2, by quadrature",
                measured,
                said,
                1e-4 + reading(u["time"].values, depth * a * s ** (2 - 2 / depth), said),
                f"read off between marks 0.06 apart; u(t) itself is off by {row.error:.1g}",
                reached=reached,
            )
        )
    late = infinite_depth_time(U_0, 0.5 * s, s, a)
    far = 2 * checks[-1].measured * DEPTHS[-1] - checks[-2].measured * DEPTHS[-2]
    reason = "what is left is of order (2 ln(s/u_0)/depth)^2"
    checks.append(
        Check(
            f"depth times time to s/2, from depths {DEPTHS[-2]} and {DEPTHS[-1]} to infinite depth",
            far,
            late,
            (2 * np.log(s / U_0) / DEPTHS[-1]) ** 2,
            reason,
            reached=checks[-1].reached and checks[-2].reached,
        )
    )
    u = np.linspace(U_0, 0.995 * s, 300)
    return tuple(checks), {
        "curves": curves,
        "limit": (np.array([infinite_depth_time(U_0, v, s, a) for v in u]), u),
        "s": s,
        "a": a,
    }


def _draw(shown):
    figure, (axis,) = sheet(height=4.2)
    s, a = shown.extra["s"], shown.extra["a"]
    grid = np.linspace(U_0 * 1.0001, 0.995 * s, 120)
    for place, (depth, (times, seen)) in enumerate(zip(DEPTHS, shown.extra["curves"], strict=True)):
        said = np.array([depth * balanced_time(U_0, v, s, a, depth) for v in grid])
        shows = np.flatnonzero(times < 18)[:: max(1, int((times < 18).sum()) // 24)]
        laid(axis, times[shows], seen[shows], None, place, f"depth {depth}", (said, grid))
    axis.plot(*shown.extra["limit"], color="#333333", linewidth=1, label="infinite depth predicted")
    axis.set_xlim(0, 18)
    axis.set_xlabel("depth times t [param²/loss]")
    axis.set_ylabel("u = w_1 ... w_L [output/input]")
    axis.legend(ncols=2, loc="lower right")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Deeper chains wait longer at the saddle and then jump faster, towards a limit in depth"
        " times time"
    ),
    source="Saxe et al. 2014",
    experiment=_experiment,
    watch=(Loss(), EndToEnd()),
    theories=(ScalarChain(),),
    reason=EXACT,
    verify=_verify,
    premises=_premises,
    free=("architecture.hidden", "data", "clock", "loss"),
    draw=_draw,
)
