"""Learning rules on digits: the loss against steps and against time, each rule at its own best
rate."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss
from learnmech.rules.adaptive import Adam, AdamW, Lion, RMSProp, SignDescent
from learnmech.rules.base import SteppingRule
from learnmech.rules.descent import SGD, GradientDescent, HeavyBall, Nesterov
from learnmech.rules.spectral import Muon, SpectralDescent
from learnmech.sweeps import sweep

# every rule at the middle of the rates it is tried at
FAMILIES = {
    "descent and momentum": {
        "descent": GradientDescent(rate=1.0),
        "SGD, 64 samples": SGD(rate=1.0, batch=64),
        "heavy ball": HeavyBall(rate=0.4),
        "Nesterov": Nesterov(rate=0.2),
    },
    "adaptive": {"RMSProp": RMSProp(rate=0.01), "Adam": Adam(rate=0.04), "AdamW": AdamW(rate=0.04)},
    "sign and spectral": {
        "sign": SignDescent(rate=0.002),
        "Lion": Lion(rate=0.005),
        "Muon": Muon(rate=0.05),
        "spectral": SpectralDescent(rate=0.025),
    },
}
FEW = ("descent", "Adam", "Muon")
QUICK = ("heavy ball", "Nesterov", "Adam", "AdamW", "Muon", "spectral")
REACH, LATE = 4, 5


class Tuned(NamedTuple):
    """One rule: the rates tried, late losses at them, and the course of the loss at the best."""

    rates: Float[np.ndarray, " rates"]
    losses: Float[np.ndarray, " rates"]
    best: int
    course: Float[np.ndarray, " marks"]


def _experiment():
    return Experiment(
        Mlp(hidden=(32,), activation="tanh"),
        Digits(train=1000),
        GradientDescent(rate=1.0),
        Clock(steps=300, every=3),
    )


def _tuned(experiment: Experiment, rule: SteppingRule) -> Tuned:
    """The rule at rates a factor of 2 apart; late is the geometric mean over the last marks,
    infinite where the run diverged."""
    rates = float(rule.rate) * 2.0 ** np.arange(-REACH, REACH + 1)
    courses = sweep(
        experiment.with_value("rule", rule), {"rule.rate": rates.tolist()}, watch=(Loss(),)
    )["loss"].values.reshape(len(rates), -1)
    late = courses[:, -LATE:]
    with np.errstate(over="ignore"):
        losses = np.where(np.isfinite(late).all(1), np.exp(np.log(late).mean(1)), np.inf)
    best = int(np.argmin(losses))
    return Tuned(rates, losses, best, courses[best])


def _verify(shown):
    small = shown.experiment.data.train < 1000
    rules = {
        name: rule
        for family in FAMILIES.values()
        for name, rule in family.items()
        if name in FEW or not small
    }
    tuned = {name: _tuned(shown.experiment, rule) for name, rule in rules.items()}
    steps, checks = shown.record["loss"]["step"].values, []
    level = tuned["descent"].losses.min()
    for name, one in tuned.items():
        reason = (
            "a factor of 2 a rate: the best is not at an end, which would leave better ones untried"
        )
        from_end = float(min(one.best, len(one.rates) - 1 - one.best))
        checks.append(
            Check(
                f"{name}: rates tried beyond its best, {one.rates[one.best]:.3g}, on either side at"
                " least",
                from_end,
                0.0,
                0.0,
                reason,
                "above",
            )
        )
        if name in QUICK:
            first = steps[np.argmax(one.course <= level)] if (one.course <= level).any() else np.inf
            reason = (
                "it takes shorter steps along sharp directions for its size along flat ones, or"
                " remembers; descent at its best waits for the flat ones"
            )
            checks.append(
                Check(
                    f"{name}: the share of descent's steps to come to descent's last loss",
                    float(first / steps[-1]),
                    0.5,
                    0.0,
                    reason,
                    "below",
                )
            )
    return tuple(checks), {"tuned": tuned, "steps": steps}


def _draw(shown):
    figure, axes = sheet(3, 3, height=3.1, width=13.0)
    tuned, steps = shown.extra["tuned"], shown.extra["steps"]
    dots = np.unique(np.linspace(0, len(steps) - 1, 12).astype(int))
    for column, (family, rules) in enumerate(FAMILIES.items()):
        own = [
            name
            for name in ("descent", *(name for name in rules if name != "descent"))
            if name in tuned
        ]
        against_steps, against_time, against_rate = axes[column::3]
        for place, name in enumerate(own):
            one = tuned[name]
            color = "#777777" if name == "descent" else COLORS[place - 1]
            look = {
                "color": color,
                "linestyle": DASHES[place],
                "marker": MARKERS[place],
                "markersize": 4.5,
            }
            label = f"{name}, rate {one.rates[one.best]:.2g}"
            against_steps.plot(steps, one.course, markevery=dots.tolist(), label=label, **look)
            against_time.plot(
                steps[1:] * one.rates[one.best],
                one.course[1:],
                markevery=(dots[1:] - 1).tolist(),
                **look,
            )
            drawn = np.where(one.losses < 1, one.losses, np.nan)
            against_rate.plot(one.rates, drawn, **look)
            against_rate.plot(
                one.rates[one.best],
                drawn[one.best],
                marker="o",
                markersize=11,
                fillstyle="none",
                color=color,
            )
        against_steps.set(title=family, xlabel="step [1]")
        against_time.set(xlabel="time, sum of rates [the rule's own]", xscale="log")
        against_rate.set(xlabel="rate, η [the rule's own]; best ringed", xscale="log")
        against_steps.legend(fontsize=8.5)
        for axis in (against_steps, against_time, against_rate):
            axis.set(yscale="log", ylim=(0.015, 0.8))
            axis.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5], ["0.02", "0.05", "0.1", "0.2", "0.5"])
            axis.minorticks_off()
    for row, what in enumerate(
        (
            "training loss, L [loss]",
            "training loss, L [loss]",
            "training loss, late [loss];\nlines end where runs diverge",
        )
    ):
        axes[3 * row].set_ylabel(what)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Digits: momentum, Adam, Muon and spectral descent, each at its best rate, come to"
        " descent's last loss in less than half of its steps"
    ),
    source="Schmidt, Schneider & Hennig 2021; each rule's own",
    experiment=_experiment,
    watch=(Loss(),),
    verify=_verify,
    draw=_draw,
    twin={"architecture.hidden": (16,), "data.train": 200, "clock": {"steps": 200, "every": 4}},
)
