"""The edge with momentum: where the sharpness settles depends on how a rule remembers gradients,
as its recursion on a quadratic says."""

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss
from learnmech.instruments.sharpness import Sharpness
from learnmech.losses import Squared
from learnmech.rules.descent import HeavyBall, MovingAverage, Nesterov
from learnmech.runs.running import run
from learnmech.theories.stability import EdgeOfStability, threshold

KINDS = {"heavy ball": HeavyBall, "Nesterov": Nesterov, "moving average": MovingAverage}
EDGES = {
    0.0: 9.0,
    0.3: 10.0,
    0.6: 11.0,
    0.9: 16.0,
}  # by momentum, the sharpness at which a run's rate puts its edge
HOVERS = "at the last mark; it hovers about the edge by some percent"
WATCH = (Loss(), Sharpness())


def at_edge(kind, momentum, sharpness):
    """The rule at the rate whose threshold is this sharpness."""
    unit = threshold(kind(rate=1.0, momentum=momentum))
    return kind(rate=unit / sharpness, momentum=momentum)


def _experiment():
    network = Mlp(hidden=(32, 32), activation="tanh", bias=True)
    rule = at_edge(HeavyBall, 0.0, EDGES[0.0])
    return Experiment(
        network,
        Digits(train=400),
        rule,
        Clock(steps=3000, every=50),
        GaussianStart(scale=0.5),
        Squared(scaling="mean"),
    )


def _runs(shown):
    """[(kind, momentum, rule)]: in small those that are one program; b = 0.9 is too violent for
    few samples."""
    small = shown.experiment.data.train < 400
    kinds = dict(list(KINDS.items())[:1]) if small else KINDS
    chosen = [b for b in EDGES if b < 0.9 or not small]
    return [
        (name, b, at_edge(kind, b, EDGES[b]))
        for name, kind in kinds.items()
        for b in chosen
        if b > 0 or kind is HeavyBall
    ]


def _verify(shown):
    checks, courses = [], {}
    for name, momentum, rule in _runs(shown):
        record = (
            shown.record if momentum == 0 else run(shown.experiment.with_value("rule", rule), WATCH)
        )
        top, edge = record["sharpness"].values, threshold(rule)
        settled = float(top[len(top) // 2 :].mean())
        courses[name, momentum] = record["sharpness"]["step"].values, top, settled, float(rule.rate)
        reason = (
            "over the second half on average; it hovers about the edge, where the sharpest"
            " direction neither grows nor shrinks for long"
        )
        label = f"{name}, b = {momentum:g}" if momentum else "descent"
        checks.append(
            Check(
                f"{label}: sharpness over the second half, times the rate",
                settled * float(rule.rate),
                edge * float(rule.rate),
                0.05,
                reason,
            )
        )
        checks.append(
            Check(
                f"{label}: sharpness at the start, over the edge",
                float(top[0] / edge),
                0.7,
                0.0,
                "it comes from below",
                "below",
            )
        )
    return tuple(checks), {"courses": courses}


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.4, width=11.5)
    courses, fine = shown.extra["courses"], np.linspace(0, 0.93, 100)
    names = list(dict.fromkeys(name for name, _ in courses))
    for place, name in enumerate(names):
        own = {b: course for (of, b), course in courses.items() if of == name}
        said = [threshold(KINDS[name](rate=1.0, momentum=b)) for b in fine]
        look = {
            "color": COLORS[place],
            "marker": MARKERS[place],
            "linestyle": "none",
            "markersize": 6.5,
        }
        right.plot(
            fine, said, color=COLORS[place], linestyle=DASHES[place], label=f"{name}, predicted"
        )
        right.plot(
            list(own),
            [settled * rate for *_, settled, rate in own.values()],
            label=f"{name}, measured",
            **look,
        )
        for shade, (b, (steps, top, _, rate)) in enumerate(own.items()):
            edge = threshold(KINDS[name](rate=rate, momentum=b))
            style = {"linestyle": DASHES[place], "linewidth": 0.8 + 0.5 * shade, "alpha": 0.85}
            left.plot(
                steps, top / edge, color=COLORS[place], label=name if shade == 0 else None, **style
            )
    left.axhline(1.0, color="#333333", linewidth=1.0)
    left.annotate(
        "predicted: 1",
        (0.99, 1.0),
        (0, 9),
        ("axes fraction", "data"),
        "offset points",
        ha="right",
        fontsize=10,
    )
    left.set(
        xlabel="step [1]; wider lines: more momentum",
        ylabel="sharpness over the rule's edge [1]",
        ylim=(0, 1.4),
    )
    right.set(
        xlabel="momentum, b [1]", ylabel="settled sharpness times rate, λ_1 η [1]", yscale="log"
    )
    right.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    right.minorticks_off()
    left.legend(loc="lower right")
    right.legend(fontsize=8.5)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Digits: sharpness settles at 2(1+b)/rate under heavy ball, at 2(1+b)/((1+2b) rate) under"
        " Nesterov, at 2(1+b)/((1-b) rate) under a moving average"
    ),
    source="Cohen et al. 2021",
    experiment=_experiment,
    watch=WATCH,
    theories=(EdgeOfStability(),),
    reason=HOVERS,
    verify=_verify,
    draw=_draw,
    twin={"architecture.hidden": (16, 16), "data.train": 200},
)
