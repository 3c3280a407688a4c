"""The edge of stability: descent sharpens its landscape until the sharpness hovers at 2/rate, on
twenty points and on digits."""

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.data.curves import Chebyshev
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss
from learnmech.instruments.sharpness import Sharpness
from learnmech.losses import Squared
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run
from learnmech.theories.stability import EdgeOfStability, threshold

RATES = {"20 points": (0.1, 0.05), "digits": (0.2, 0.14)}
HOVERS = "at the last mark; it hovers about the edge by some percent"
WATCH = (Loss(), Sharpness())


def _experiment():
    network = Mlp(hidden=(64, 64), activation="tanh", bias=True)
    return Experiment(
        network,
        Chebyshev(degree=4),
        GradientDescent(rate=0.1),
        Clock(steps=6000, every=60),
        loss=Squared(scaling="mean"),
    )


def _on(shown, name):
    """The experiment on these data; digits are fewer for a narrow network, and begin from
    smaller weights, in a flatter place."""
    if name != "digits":
        return shown.experiment
    width, steps = shown.experiment.architecture.hidden[0], int(shown.experiment.clock.steps) // 2
    on_digits = shown.experiment.with_value("data", Digits(train=1000 if width > 16 else 100))
    return on_digits.with_value("clock", Clock(steps=steps, every=steps // 60)).with_value(
        "initial", GaussianStart(scale=0.5)
    )


def _verify(shown):
    checks, courses = [], {}
    for name, rates in RATES.items():
        for rate in rates:
            experiment = _on(shown, name).with_value("rule.rate", rate)
            record = (
                shown.record
                if experiment.fingerprint == shown.experiment.fingerprint
                else run(experiment, WATCH)
            )
            loss, top, edge = (
                record["loss"].values,
                record["sharpness"].values,
                threshold(experiment.rule),
            )
            courses[name, rate] = record["sharpness"]["step"].values, loss, top, edge
            late, here = top[len(top) // 2 :], f"{name}, rate {rate:g}"
            reason = (
                "it hovers about the edge: above it the sharpest direction grows, which pushes the"
                " sharpness down again"
            )
            checks.append(
                Check(
                    f"{here}: sharpness over the second half, on average, over 2/rate = {edge:.3g}",
                    float(late.mean() / edge),
                    1.0,
                    0.05,
                    reason,
                )
            )
            least = float(top[: len(top) // 2].min() / edge)
            checks.append(
                Check(
                    f"{here}: lowest sharpness before that, over 2/rate",
                    least,
                    1.0,
                    0.0,
                    "progressive sharpening comes from below",
                    "below",
                )
            )
            fallen = float(loss[-1] / loss[len(loss) // 2])
            checks.append(
                Check(
                    f"{here}: the loss at the end over that at half time",
                    fallen,
                    1.0,
                    0.0,
                    "it falls over long times, not at each step",
                    "below",
                )
            )
    return tuple(checks), {"courses": courses}


def _draw(shown):
    figure, axes = sheet(2, 2, height=3.3, width=11.0)
    for row, name in enumerate(RATES):
        left, right = axes[2 * row : 2 * row + 2]
        for place, ((_, rate), (steps, loss, top, edge)) in enumerate(
            (key, course) for key, course in shown.extra["courses"].items() if key[0] == name
        ):
            style = {
                "color": COLORS[place],
                "marker": MARKERS[place],
                "markersize": 3.5,
                "linewidth": 0.8,
            }
            left.plot(steps, loss, label=f"rate {rate:g}", **style)
            right.plot(steps, top, label=f"rate {rate:g}, measured", **style)
            right.axhline(
                edge,
                color=COLORS[place],
                linestyle=DASHES[place + 1],
                linewidth=1.6,
                label=f"2/rate = {edge:.3g}, predicted",
            )
        left.set(yscale="log", ylabel="training loss, L [loss]", title=name)
        right.set(ylabel="sharpness, λ_1 [loss/param²]", ylim=(0, None), title=name)
        left.legend(fontsize=8.5)
        right.legend(fontsize=8.5, ncols=2, loc="lower right")
    for axis in axes[2:]:
        axis.set_xlabel("step [1]")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Descent sharpens the landscape until the sharpness hovers at 2/rate, on a fit of twenty"
        " points as on handwritten digits"
    ),
    source="Cohen et al. 2021",
    experiment=_experiment,
    watch=WATCH,
    theories=(EdgeOfStability(),),
    reason=HOVERS,
    verify=_verify,
    draw=_draw,
    twin={"architecture.hidden": (16, 16), "clock": {"steps": 6000, "every": 100}},
)
