"""Coordinate check: by which power of the width each layer's pre-activations move."""

import dataclasses
from typing import NamedTuple

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import (
    NTK,
    SP,
    MuP,
    Scaling,
    classified,
    contributions,
    movement,
)
from learnmech.comparison.checks import Check
from learnmech.data.teachers import NetworkTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.overlay import laid
from learnmech.figures.style import sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss
from learnmech.instruments.signals import Watch
from learnmech.rules.adaptive import Adam
from learnmech.rules.descent import GradientDescent
from learnmech.sweeps import sweep

NARROWEST, SEEDS, SAMPLES = 64, 6, 4
SIGNALS = {"layer 1": "layer1.pre", "layer 2": "layer2.pre", "output": "output"}
FAMILIES = {"sgd": "descent", "adam": "Adam"}


class Case(NamedTuple):
    """A scaling under a family of rules, at a base rate that falls as h^-falling from what it is
    at the narrowest width."""

    scaling: Scaling
    family: str
    rate: float
    falling: float = 0.0

    @property
    def name(self) -> str:
        """As in the figure and the checks."""
        pace = f"rate ~ h^-{self.falling:g}" if self.falling else "fixed rate"
        return (
            f"{type(self.scaling).__name__.lower().replace('mup', 'muP')}, {FAMILIES[self.family]},"
            f" {pace}"
        )

    @property
    def limit(self):
        """Its class."""
        return classified(self.scaling, 2, self.family, self.falling)


# Where a scaling is unstable, rates are so small that moves stay linear in them at every width, and
# one step is read: further ones have other powers.
CASES = (
    Case(MuP(), "sgd", 0.1),
    Case(NTK(), "sgd", 0.1),
    Case(SP(), "sgd", 1e-4),
    Case(MuP(), "adam", 0.03),
    Case(NTK(), "adam", 1e-5),
    Case(SP(), "adam", 1e-5),
    Case(SP(), "sgd", 0.01, 1.0),
    Case(SP(), "adam", 0.01, 1.5),
)
DRAWN, TWIN = CASES[:6], CASES[:4]


def _experiment():
    # outputs of power 16 hide the random ones at the start, of which only sp's and ntk's do not
    # vanish with width, and with them their scatter
    data = NetworkTeacher(n=SAMPLES, k=4, power=16.0)
    return Experiment(
        Mlp(hidden=(2048, 2048), scaling=MuP()),
        data,
        GradientDescent(rate=0.1),
        Clock(steps=4, every=4),
    )


def _at(experiment, case, width):
    """One case at one width."""
    rate = case.rate * (NARROWEST / width) ** case.falling
    rule = Adam(rate=rate, eps=0.0) if case.family == "adam" else GradientDescent(rate=rate)
    clock = experiment.clock if case.limit.stable else Clock(steps=1, every=1)
    architecture = dataclasses.replace(
        experiment.architecture, hidden=(width, width), scaling=case.scaling
    )
    return dataclasses.replace(experiment, architecture=architecture, rule=rule, clock=clock)


def _moves(experiment, case, widths):
    """(widths, layers, seeds): the root mean square, over samples and units, of how far
    pre-activations are from where they started."""
    found = []
    for width in widths:
        grid = sweep(
            _at(experiment, case, width),
            {},
            SEEDS,
            tuple(Watch(signal) for signal in SIGNALS.values()),
        )
        ends = [
            grid[signal].values[:, -1] - grid[signal].values[:, 0] for signal in SIGNALS.values()
        ]
        found.append([np.sqrt(np.mean(end**2, axis=(1, 2))) for end in ends])
    return np.array(found)


def _behind(powers):
    """By how much the next contribution to a move lags behind the first in its power of h; at
    most 1, as sums over h units are off their limit by 1/h."""
    return min([1.0, *(max(powers) - power for power in powers if power < max(powers))])


def _slope(widths, sizes, behind):
    """(slope of ln(size) over ln(h) beside a term in h^-behind, its standard error: the larger
    of the scatter's and that over seeds)."""
    h = np.array(widths, float)
    columns = np.stack([np.log(h), h**-behind, np.ones(len(h))], 1)
    inverse = np.linalg.pinv(columns)
    slopes, middle = inverse[0] @ np.log(sizes), np.log(sizes).mean(1)
    from_seeds = slopes.std(ddof=1) / np.sqrt(len(slopes))
    rest, free = middle - columns @ inverse @ middle, len(h) - 3
    from_fit = np.sqrt(rest @ rest / free * (inverse[0] @ inverse[0])) if free > 0 else 0.0
    return float(slopes.mean()), float(max(from_seeds, from_fit))


def _verify(shown):
    widest = shown.experiment.architecture.hidden[0]
    factor, cases = (2, CASES) if widest > 1024 else (4, TWIN)
    widths = [width for width in (NARROWEST * factor**k for k in range(16)) if width <= widest]
    checks, moves = [], {}
    for case in cases:
        moves[case.name] = _moves(shown.experiment, case, widths)
        made = contributions(case.scaling, 2, case.family, case.falling)
        for layer, powers, sizes in zip(
            SIGNALS, made, moves[case.name].swapaxes(0, 1), strict=True
        ):
            said, behind = max(powers), _behind(powers)
            slope, error = _slope(widths, sizes, behind)
            reason = (
                f"4 standard errors of {error:.1g} over {SEEDS} seeds; what comes next is smaller"
                f" by h^-{behind:g}, which is fitted beside"
            )
            checks.append(
                Check(
                    f"{case.name}: the power of h by which {layer} moves",
                    slope,
                    said,
                    4 * error / abs(said or 1.0),
                    reason,
                )
            )
    return tuple(checks), {"widths": widths, "moves": moves}


def _draw(shown):
    figure, axes = sheet(2, 3, height=3.5, width=11.0)
    widths = np.array(shown.extra["widths"])
    for axis, case in zip(axes, DRAWN, strict=True):
        if case.name not in shown.extra["moves"]:
            axis.set_axis_off()
            continue
        sizes = shown.extra["moves"][case.name].mean(-1)
        for place, (layer, power) in enumerate(
            zip(SIGNALS, movement(case.scaling, 2, case.family, case.falling), strict=True)
        ):
            line = sizes[-1, place] * (widths / widths[-1]) ** power
            laid(axis, widths, sizes[:, place], line, place, f"{layer}, h^{power:g}:")
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_title(f"{case.name}:\n{case.limit.words}", fontsize=10)
        axis.set_xlabel("width, h [units]")
        axis.set_ylabel("move of pre-activations,\nroot mean square [1]")
        handles, labels = axis.get_legend_handles_labels()
        axis.legend(
            handles[::2], [label.removesuffix(": predicted") for label in labels[::2]], fontsize=8.5
        )
        low, high = axis.get_ylim()
        axis.set_ylim(min(low, high / 100), high * 3)
    return titled(figure, f"{shown.exhibit.claim} (dots measured, lines predicted)")


exhibit = Exhibit(
    claim=(
        "Under muP every layer's features move as far at any width; under ntk with descent as"
        " 1/sqrt h; at a fixed rate sp blows up"
    ),
    source="Yang & Hu 2021; Yang & Littwin 2023 for Adam",
    experiment=_experiment,
    twin={"architecture.hidden": (512, 512)},
    watch=(Loss(), *(Watch(signal) for signal in SIGNALS.values())),
    verify=_verify,
    draw=_draw,
)
