"""The edge of stability: descent sharpens its landscape until the sharpness hovers at 2/rate, and heavy ball at its own edge."""

from learnmech.architectures.mlp import Mlp
from learnmech.clock import Clock
from learnmech.comparison import Check
from learnmech.data.curves import Chebyshev
from learnmech.experiment import Experiment
from learnmech.figures.style import COLORS, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.curvature import Sharpness
from learnmech.instruments.losses import Loss
from learnmech.losses import Squared
from learnmech.rules.descent import GradientDescent, HeavyBall
from learnmech.runs import run

RULES = {"descent": GradientDescent(rate=0.1), "heavy ball, b = 0.5": HeavyBall(rate=0.1, momentum=0.5)}
WATCH = (Loss(), Sharpness())


def _experiment():
    network = Mlp(hidden=(64, 64), activation="tanh", bias=True)
    return Experiment(network, Chebyshev(degree=4), RULES["descent"], Clock(steps=6000, every=60), loss=Squared(scaling="mean"))


def edge_of(rule) -> float:
    """The sharpness at which the rule's steps on a quadratic stop shrinking, at its rate."""
    return rule.edge(1.0)[1] / float(rule.rate)


def _verify(shown):
    checks, courses = [], {}
    for name, rule in RULES.items():
        record = shown.record if name == "descent" else run(shown.experiment.with_value("rule", rule), WATCH)
        loss, top, edge = record["loss"].values, record["sharpness"].values, edge_of(rule)
        late = top[len(top) // 2 :]
        courses[name] = record["sharpness"]["step"].values, loss, top, edge
        reason = "it hovers about the edge: above it the sharpest direction grows, which pushes the sharpness down again"
        checks.append(Check(f"{name}: sharpness over the second half, on average, of its edge {edge:.3g}", float(late.mean() / edge), 1.0, 0.05, reason))
        least = float(top[: len(top) // 2].min() / edge)
        checks.append(Check(f"{name}: lowest sharpness before that, over the edge", least, 1.0, 0.0, "progressive sharpening comes from below", "below"))
        checks.append(
            Check(f"{name}: the loss goes on falling", float(loss[-1] / loss[len(loss) // 2]), 1.0, 0.0, "over long times, not at each step", "below")
        )
    return tuple(checks), {"courses": courses}


def _draw(shown):
    figure, axes = sheet(1, 2, height=4.0, width=11.0)
    for place, (name, (steps, loss, top, edge)) in enumerate(shown.extra["courses"].items()):
        style = {"color": COLORS[place], "marker": MARKERS[place], "markersize": 3.5, "linewidth": 0.8}
        axes[0].plot(steps, loss, label=name, **style)
        axes[1].plot(steps, top, label=f"{name}, seen", **style)
        axes[1].axhline(edge, color=COLORS[place], linestyle=("--", ":")[place], linewidth=1.5, label=f"its edge, {edge:.3g}")
    axes[0].set_yscale("log")
    axes[0].set_ylabel("training loss, L [loss]")
    axes[1].set_ylabel("sharpness, λ_1 [loss/param²]")
    axes[1].set_ylim(0, 1.6 * max(edge for *_, edge in shown.extra["courses"].values()))
    for axis in axes:
        axis.set_xlabel("step [1]")
        axis.legend(fontsize=8.5)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim="Descent sharpens the landscape until the sharpness hovers at 2/rate; heavy ball at 2(1+b)/rate",
    source="Cohen et al. 2021",
    experiment=_experiment,
    watch=WATCH,
    verify=_verify,
    draw=_draw,
    twin={"architecture.hidden": (16, 16), "clock": {"steps": 6000, "every": 100}},
)
