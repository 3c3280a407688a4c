"""The central flow's map: over rates and sizes of the start, how far it is off and what its own
conditions say of that, bound by bound."""

from typing import NamedTuple

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.comparison.verdicts import laid
from learnmech.data.curves import Chebyshev
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss
from learnmech.instruments.sharpness import PreconditionedSharpness
from learnmech.losses import Squared
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run
from learnmech.theories.central_flow import CentralFlow

THEORY = CentralFlow()
WATCH = (Loss(), PreconditionedSharpness())
RATES, SIZES, SEEDS = (0.1, 0.8, 7), (0.5, 1.0, 1.5), (1, 2)
FEWER = (0.1, 0.8, 4), (0.5, 1.5), (2,)
# the conditions that weigh what the flow leaves out, by what they begin with
OMITS = {
    "what the steps themselves": "steps: loss",
    "the sharpness that the first": "steps: sharpness",
    "the oscillation is small": "skew",
    "until the oscillation has": "onset: loss",
    "until then the sharpness": "onset: sharpness",
    "and at its height": "height",
    "until an oscillation along": "further ones",
}


class Node(NamedTuple):
    """One run: rate, size of the start, error over the tolerance, whether all conditions hold, and
    each that weighs an omission over its bound."""

    rate: float
    size: float
    error: float
    inside: bool
    weights: dict[str, float]


def _experiment():
    return Experiment(
        Mlp(hidden=(8, 8), activation="tanh", bias=True, scaling=NTK(bias=0.3)),
        Chebyshev(degree=3),
        GradientDescent(rate=0.2),
        Clock(steps=2400, every=5),
        GaussianStart(scale=1.0),
        loss=Squared(scaling="mean"),
        precision="float32",
        seed=2,
    )


def _node(experiment) -> Node:
    start = prepare(experiment)
    said, conditions = THEORY.predict(start), THEORY.conditions(start)
    record = run(start, WATCH)
    names = ("loss", "preconditioned_sharpness")
    error = max(laid(record, THEORY, said, name, THEORY.tolerance)[1].error for name in names)
    weights = {
        name: float(one.value) / float(one.bound)
        for one in conditions
        for words, name in OMITS.items()
        if one.claim.startswith(words)
    }
    rate, size = float(start.rule.rate), float(experiment.initial.scale)
    inside = all(one.holds for one in conditions)
    return Node(rate, size, error / THEORY.tolerance, inside, weights)


def _verify(shown):
    plain = shown.experiment
    whole = plain.architecture.hidden[0] >= 8
    rates, sizes, seeds = (RATES, SIZES, SEEDS) if whole else FEWER
    nodes = [
        _node(
            plain.with_value("rule.rate", float(rate))
            .with_value("initial.scale", size)
            .with_value("seed", seed)
        )
        for seed in seeds
        for size in sizes
        for rate in np.geomspace(*rates)
    ]
    within = [one for one in nodes if one.error <= 1]
    left_out = [one for one in within if not one.inside]
    lax = [one for one in nodes if one.inside and one.error > 1]
    alone = {
        name: sum(
            one.weights.get(name, 0) > 1 and sum(w > 1 for w in one.weights.values()) == 1
            for one in left_out
        )
        for name in OMITS.values()
    }
    most = max(alone, key=lambda name: alone[name])
    worst = max((one.error for one in nodes if one.inside), default=float("nan"))
    admitted = max((one.rate for one in nodes if one.inside), default=float("nan"))
    checks = (
        Check(
            f"runs in the domain and off by more than {THEORY.tolerance:.0%}, of {len(nodes)}",
            float(len(lax)),
            0.0,
            0.0,
            "what conditions promise",
        ),
        Check(
            "in the domain: the largest error over the tolerance",
            worst,
            1.0,
            0.0,
            "loss and largest curvature, means over 400 steps",
            "below",
        ),
        Check(
            "of the runs within the tolerance the share that the conditions leave out",
            len(left_out) / max(len(within), 1),
            0.5,
            0.0,
            "sufficient, not necessary: no more than half of what holds is left out; by one bound"
            f" alone {sum(alone.values())}, most by that on {most} ({alone[most]})",
            "below",
        ),
        Check(
            "the largest rate in the domain over the largest that was within",
            admitted / max(one.rate for one in within),
            0.2,
            0.0,
            "the conditions' line is within two steps of a factor of two of the measured one",
            "above",
        ),
    )
    return checks, {"nodes": nodes}


def _draw(shown):
    figure, (where, why) = sheet(columns=2, height=4.8, width=11.5)
    nodes = shown.extra["nodes"]
    groups = (
        ("in the domain, within", lambda one: one.inside and one.error <= 1, COLORS[0], "full"),
        ("outside, within", lambda one: not one.inside and one.error <= 1, COLORS[0], "none"),
        ("in the domain, beyond", lambda one: one.inside and one.error > 1, COLORS[1], "full"),
        ("outside, beyond", lambda one: not one.inside and one.error > 1, COLORS[1], "none"),
    )
    beside = {}
    for look, (words, chosen, color, fill) in enumerate(groups):
        some = [one for one in nodes if chosen(one)]
        if not some:
            continue
        # seeds at one place stand beside one another
        at = []
        for one in some:
            count = beside[one.rate, one.size] = beside.get((one.rate, one.size), -1) + 1
            at.append((one.rate * 1.07**count, one.size))
        style = {
            "marker": MARKERS[look],
            "linestyle": "",
            "color": color,
            "fillstyle": fill,
            "markersize": 6,
        }
        where.plot(*np.transpose(at), label=words, **style)
        largest = [max(one.weights.values(), default=np.nan) for one in some]
        why.plot(largest, [one.error for one in some], label=words, **style)
    where.set(
        xscale="log",
        xlabel="rate [param²/loss]",
        ylabel="size of the start, over the scaling's [1]",
        ylim=(0.3, 2.2),
    )
    where.set_xticks([0.1, 0.2, 0.4, 0.8], ["0.1", "0.2", "0.4", "0.8"])
    where.xaxis.minorticks_off()
    where.legend(ncols=2, loc="upper center")
    for line in (why.axhline, why.axvline):
        line(1.0, color="#333333", linewidth=1)
    why.set(
        xscale="log",
        yscale="log",
        xlabel="the largest omission that a condition weighs, over its bound [1]",
        ylabel=f"error over the tolerance, {THEORY.tolerance:.0%} [1]",
    )
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Where its conditions hold the central flow is within 5% of runs, at every rate and start;"
        " of what it says outside them most holds too"
    ),
    source="Cohen, Damian et al. 2025",
    experiment=_experiment,
    watch=WATCH,
    twin={"architecture.hidden": (4, 4), "clock": {"steps": 1200, "every": 5}},
    verify=_verify,
    draw=_draw,
)
