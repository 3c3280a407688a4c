"""Flow over sharpness: up to which rate descent follows gradient flow, over widths and starts.

A mode of curvature lambda that falls as exp(-lambda t) in the flow falls as (1 - x)^(t/rate) in
descent, x = rate lambda: of its loss that is x/(2e) at most, 5% at x = 0.27. Other modes fall more
slowly, and a start that is no minimum's neighborhood bends; to first order in the rate both are the
flow of L + (rate/4)|grad L|^2, from which the line is said here without a run.
"""

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.alignment import relative_error
from learnmech.comparison.checks import Check
from learnmech.curvature.eigenpairs import sharpness
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss
from learnmech.rules.descent import GradientDescent
from learnmech.studies.maps import map_error
from learnmech.theories.flow import Flow, ModifiedFlow

RATE, WIDTH, SIZE = "rule.rate", "architecture.width", "initial.scale"
SEEDS, WIDEST, NODES = 3, 128, 9
# in sp the sharpness at the start goes as the width: rates about the line
RATES = {WIDTH: (0.01, 0.3), SIZE: (0.05, 0.8)}
SIZES = (0.1, 2.0)
SMALL = 0.02  # rate x sharpness at which the first correction is taken
# rate x sharpness up to which it is held against the line: where a slower escape and a faster
# descent cancel one another to first order, at starts of 0.3, the line runs off to the edge
FIRST = 0.6


def _experiment():
    return Experiment(
        Mlp(hidden=(WIDEST,), activation="tanh"),
        Gaussian(n=20, d=4, k=1),
        GradientDescent(rate=0.004),
        Clock(time=2.0, marks=65, spacing="log"),
        GaussianStart(scale=1.0),
    )


def _said(experiment):
    """(sharpness at the start, rate at which the loss is off the flow's by the tolerance, to first
    order in the rate), of one experiment."""
    start = prepare(experiment)
    top = sharpness(start.system, start.state.params)
    small = prepare(experiment.with_value(RATE, SMALL / top))
    flow, modified = (one.predict(small)["loss"].values for one in (Flow(), ModifiedFlow()))
    return top, Flow.tolerance * SMALL / top / relative_error(modified, flow)[0]


def _along(experiment, knob, values):
    """((values, 2) of `_said` at these values of a knob, the geometric mean over seeds; by how much
    ln of the product of both, a mean over seeds, scatters)."""
    found = [
        [_said(experiment.with_value(knob, one).with_value("seed", seed)) for seed in range(SEEDS)]
        for one in values
    ]
    logs = np.log(found)
    return np.exp(logs.mean(1)), float(logs.sum(2).std(1, ddof=1).mean() / np.sqrt(SEEDS))


def _interpolated(at, values, told):
    return np.exp(np.interp(np.log(at), np.log(values), np.log(told)))


def _mapped(experiment, knob, ends, nodes):
    """What was measured along a map's line, and what is said at some values of its knob.

    Near the edge, at 1.5, the flow is met again where the sharpest mode has a tenth of the loss or
    less: of the line counts what is below 1, in rate x sharpness, over widths.
    """
    rates, values = np.geomspace(*RATES[knob], NODES), np.geomspace(*ends, nodes)
    values = np.rint(values).astype(int) if knob == WIDTH else values
    found = map_error("flow", experiment, {RATE: rates, knob: values}, "loss", seeds=SEEDS)
    said, blur = _along(experiment, knob, [one.item() for one in values])
    rate, place = found.line.T
    if knob == WIDTH:
        below = rate * _interpolated(place, values, said[:, 0]) < 1
        rate, place = rate[below], place[below]
    tops, first = (_interpolated(place, values, one) for one in said.T)
    told = {"tops": tops, "first": first, "values": values, "said": said, "blur": blur}
    return {"rate": rate, "at": place} | told


def _verify(shown):
    plain, widest = shown.experiment, shown.experiment.architecture.hidden[0]
    nodes = NODES if widest >= WIDEST else 5
    wide = _mapped(plain, WIDTH, (16, widest), nodes)
    narrow = plain.with_value(WIDTH, 16).with_value("clock.time", 6.0)
    sized = _mapped(narrow, SIZE, SIZES, nodes)
    slope = np.polyfit(np.log(wide["tops"]), np.log(wide["rate"]), 1)[0]
    told = np.polyfit(*np.log(wide["said"]).T, 1)[0]
    products, first = ([one[k] * one["tops"] for one in (wide, sized)] for k in ("rate", "first"))
    middle = float(np.median(first[0]))
    near = np.maximum(*(np.concatenate(one) for one in (products, first))) < FIRST
    off = (np.log(np.concatenate(products) / np.concatenate(first)) / np.concatenate(first))[near]
    checks = (
        Check(
            "over widths: the rate on the line goes as the sharpness at the start^p, p",
            float(slope),
            -1.0,
            2 * np.sqrt(2) * wide["blur"] / np.log(wide["said"][-1, 0] / wide["said"][0, 0]),
            "modes share the loss anew at each width: both ends of the line off by what means of"
            f" {SEEDS} seeds scatter by, twice; to first order {told:.2f}",
        ),
        Check(
            "over widths: rate x sharpness on the line, the median",
            float(np.median(products[0])),
            middle,
            middle / 2,
            "to first order in the rate; what follows is half of x for a single mode",
        ),
        Check(
            "both maps: ln of the rate over that of first order, in rate x sharpness, farthest",
            float(off[np.argmax(np.abs(off))]),
            0.0,
            1.0,
            "the next order is as much smaller as a step is beside the time of the sharpest mode",
        ),
        Check(
            "over starts: the largest over the least of rate x sharpness on the line",
            float(products[1].max() / products[1].min()),
            2.0,
            0.0,
            "no constant where starts differ in more than the scale of their curvature",
            "above",
        ),
        Check(
            "over widths: the theory's own bound, 2, over rate x sharpness on the line",
            2 / float(np.median(products[0])),
            4.0,
            0.0,
            "a rate below the edge keeps descent from diverging, and not to 5% of the flow",
            "above",
        ),
    )
    return checks, {"wide": wide, "sized": sized}


def _draw(shown):
    figure, (left, right) = sheet(columns=2, height=4.6, width=11.5)
    wide, sized = shown.extra["wide"], shown.extra["sized"]
    tops = wide["said"][:, 0]
    left.plot(wide["tops"], wide["rate"], MARKERS[0], color=COLORS[0], label="measured")
    left.plot(tops, wide["said"][:, 1], color=COLORS[1], label="first order, predicted")
    left.plot(tops, 2 / tops, "--", color="#333333", label="the edge, 2/λ")
    left.set(
        xscale="log",
        yscale="log",
        xlabel="sharpness at the start, λ, by the width [loss/param²]",
        ylabel=f"rate at which flow is off by {Flow.tolerance:.0%} [param²/loss]",
    )
    left.set_xticks([3, 5, 10, 15], ["3", "5", "10", "15"])
    left.xaxis.minorticks_off()
    left.legend()
    right.plot(
        sized["at"], sized["rate"] * sized["tops"], MARKERS[0], color=COLORS[0], label="measured"
    )
    right.plot(
        sized["values"], sized["said"].prod(1), color=COLORS[1], label="first order, predicted"
    )
    right.axhline(2.0, linestyle="--", color="#333333", label="the edge, 2")
    right.set(
        xscale="log",
        yscale="log",
        xlabel="size of the start, over sp's [1]",
        ylabel=f"rate x sharpness where flow is off by {Flow.tolerance:.0%} [1]",
    )
    right.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Descent leaves gradient flow by 5% at a constant rate x sharpness, 0.3, over widths; over"
        " starts at another one each, which the first correction of the flow foretells"
    ),
    source="Euler's method; Barrett & Dherin 2021",
    experiment=_experiment,
    watch=(Loss(),),
    theories=(Flow(),),
    reason="a limit, here at rate x sharpness of 0.1; at 5% one curve lies on the other by eye",
    twin={WIDTH: 64},
    verify=_verify,
    draw=_draw,
)
