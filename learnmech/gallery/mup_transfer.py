"""Transfer: the rate that is best at one width is best at all widths under muP, and not under
sp."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import SP, MuP, rate_power
from learnmech.comparison.checks import Check
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss
from learnmech.rules.descent import SGD
from learnmech.sweeps import sweep

SEEDS, LATE, REACH = 5, 5, 3


class Tuned(NamedTuple):
    """One scaling: the rates tried as powers of 2, late losses, the powers of the best rates,
    and how those go with width."""

    said: float
    powers: Float[np.ndarray, "widths rates"]
    losses: Float[np.ndarray, "widths rates seeds"]
    best: Float[np.ndarray, "widths seeds"]
    slope: float
    standard_error: float


def _experiment():
    data = Digits(train=256, components=8, whitened=True)
    architecture = Mlp(hidden=(2048,), scaling=MuP(base=128))
    return Experiment(
        architecture, data, SGD(rate=0.09, batch=8), Clock(steps=500, every=20), precision="float32"
    )


def _late_losses(experiment, scaling, width, rates):
    """(rates, seeds): the geometric mean of the training loss over the last marks; infinite
    where the run diverged."""
    hidden = (width,) * len(experiment.architecture.hidden)
    at = dataclasses.replace(
        experiment,
        architecture=dataclasses.replace(experiment.architecture, hidden=hidden, scaling=scaling),
    )
    grid = sweep(at, {"rule.rate": [float(rate) for rate in rates]}, SEEDS, (Loss(),))
    late = grid["loss"].values[..., -LATE:].astype(float)
    return np.where(np.isfinite(late).all(-1), np.exp(np.log(late).mean(-1)), np.inf)


def _lowest(powers, losses):
    """Where a parabola in the power of 2, through ln(loss) at the best rate of the grid and its
    neighbors, is lowest; NaN where that rate is at the edge."""
    place = int(np.argmin(losses))
    if not 0 < place < len(powers) - 1 or not np.isfinite(losses[place + 1]):
        return np.nan
    curvature, slope, _ = np.polyfit(
        powers[place - 1 : place + 2], np.log(losses[place - 1 : place + 2]), 2
    )
    return -slope / (2 * curvature)


def _slope(widths, best):
    """(slope of log2(best rate) over log2(width) beside a term in 1/width, its standard error:
    the larger of the scatter's and the jackknife's over seeds)."""
    columns = np.stack([np.log2(widths), 1 / np.array(widths), np.ones(len(widths))], 1)
    inverse = np.linalg.pinv(columns)
    slopes = inverse[0] @ best
    from_seeds = slopes.std(ddof=1) / np.sqrt(len(slopes))
    rest = best.mean(1) - columns @ inverse @ best.mean(1)
    free = len(widths) - 3
    from_fit = np.sqrt(rest @ rest / free * (inverse[0] @ inverse[0])) if free > 0 else 0.0
    return float(slopes.mean()), float(max(from_seeds, from_fit))


def _tuned(experiment, scaling, widths):
    """One scaling at every width, on rates a factor of sqrt 2 apart, some on either side of what
    theory makes of the experiment's own."""
    said = 0.0 - rate_power(scaling, len(experiment.architecture.hidden))
    powers = np.array(
        [
            np.log2(float(experiment.rule.rate))
            + said * np.log2(h / widths[0])
            + np.arange(-REACH, REACH + 1) / 2
            for h in widths
        ]
    )
    losses = np.array(
        [
            _late_losses(experiment, scaling, h, 2.0**row)
            for h, row in zip(widths, powers, strict=True)
        ]
    )
    best = np.array(
        [[_lowest(row, one) for one in own.T] for row, own in zip(powers, losses, strict=True)]
    )
    return Tuned(said, powers, losses, best, *_slope(widths, best))


def _verify(shown):
    widest = shown.experiment.architecture.hidden[0]
    base = getattr(shown.experiment.architecture.scaling, "base", 0) or max(widest // 16, 1)
    factor = 2 if widest > 1024 else 4
    widths = [width for width in (base * factor**k for k in range(16)) if width <= widest]
    checks, found = [], {}
    for name, scaling in (("muP", MuP(base=base)), ("sp", SP())):
        one = found[name] = _tuned(shown.experiment, scaling, widths)
        reason = (
            f"4 standard errors of {one.standard_error:.1g} over {SEEDS} seeds; a finite width"
            " enters as 1/h, which is fitted beside"
        )
        bound = 4 * one.standard_error / abs(one.said or 1.0)
        checks.append(
            Check(
                f"{name}: the power of h by which the best rate goes",
                one.slope,
                one.said,
                bound,
                reason,
            )
        )
        moved = _late_losses(shown.experiment, scaling, widest, [2.0 ** one.best[0].mean()]).mean()
        ratio = float(moved / one.losses[-1].mean(1).min())
        claim = (
            f"{name}: the loss at width {widest} at the best rate of width {base}, over the least"
            " there"
        )
        if name == "muP":
            checks.append(
                Check(
                    claim,
                    ratio,
                    1.1,
                    0.0,
                    "within a step of the grid of the lowest point, where the loss is flat",
                    "below",
                )
            )
        else:
            checks.append(
                Check(
                    claim,
                    ratio,
                    2.0,
                    0.0,
                    f"that rate is {widest // base} times too large: the run diverges",
                    "above",
                )
            )
    return tuple(checks), {"widths": widths, "tuned": found}


def _draw(shown):
    figure, (*curves, right) = sheet(1, 3, height=4.2, width=12.0)
    widths = np.array(shown.extra["widths"])
    for axis, (name, one) in zip(curves, shown.extra["tuned"].items(), strict=True):
        for place, (width, powers, losses) in enumerate(
            zip(widths, one.powers, one.losses, strict=True)
        ):
            look = {
                "linestyle": DASHES[place],
                "marker": MARKERS[place],
                "color": COLORS[place],
                "markersize": 4,
                "fillstyle": "none",
            }
            axis.plot(
                2.0**powers,
                np.where(np.isfinite(losses).all(1), losses.mean(1), np.nan),
                label=f"h = {width}",
                **look,
            )
        axis.set_xscale("log", base=2)
        least = one.losses.mean(2).min()
        axis.set_ylim(0.9 * least, 2.4 * least)  # above, runs diverge
        axis.set_title(name, fontsize=11)
        axis.set_xlabel("base rate, η [param²/loss]")
        axis.set_ylabel("training loss, late [loss]")
    curves[0].legend()
    for place, (name, one) in enumerate(shown.extra["tuned"].items()):
        best = one.best.mean(1)
        line = best[-1] + one.said * np.log2(widths / widths[-1])
        right.plot(
            widths,
            2.0**line,
            linestyle=DASHES[place],
            color=COLORS[place],
            label=f"{name} predicted: h^{one.said:g}",
        )
        bars = one.best.std(1, ddof=1) / np.sqrt(SEEDS)
        heights = 2.0**best * np.log(2) * bars
        right.errorbar(
            widths,
            2.0**best,
            heights,
            fmt=MARKERS[place],
            color=COLORS[place],
            label=f"{name} measured: {one.slope:.3f} ± {one.standard_error:.3f}",
        )
    right.set_xscale("log", base=2)
    right.set_yscale("log", base=2)
    low, high = right.get_ylim()
    right.set_ylim(low / 4, high)
    right.set_title("best rate", fontsize=11)
    right.set_xlabel("width, h [units]")
    right.set_ylabel("best base rate [param²/loss]")
    right.legend(loc="lower left")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Digits: the rate that is best for a narrow network is best at every width under muP; under"
        " sp the best rate falls as 1/h"
    ),
    source="Yang et al. 2022",
    experiment=_experiment,
    twin={
        "architecture.hidden": (512,),
        "architecture.scaling.base": 32,
        "data.components": 4,
        "clock.steps": 250,
        "rule.rate": 0.125,
    },
    watch=(Loss(),),
    verify=_verify,
    draw=_draw,
)
