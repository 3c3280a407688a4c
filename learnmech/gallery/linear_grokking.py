"""Linear grokking: the training samples are fitted long before others are."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.overlay import laid
from learnmech.figures.style import TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss, PopulationLoss
from learnmech.rules.descent import GradientDescent
from learnmech.theories.linear_grokking import LinearGrokking

SHARE = 0.03


def _experiment():
    return Experiment(
        DeepLinear(),
        Gaussian(n=330, d=300, k=40),
        GradientDescent(rate=0.4),
        Clock(steps=4000, marks=61, spacing="log"),
        GaussianStart(scale=0.0),
    )


def _fallen(curve):
    """ln t at which a loss is down to a share of its start, between marks on logarithms."""
    values, times = np.log(curve.values / curve.values[0]), curve["time"].values
    place = int(np.argmax(values < np.log(SHARE)))
    if not place:
        return float("nan")
    ends = slice(place - 1, place + 1)
    return float(np.interp(-np.log(SHARE), -values[ends], np.log(times[ends])))


def _verify(shown):
    laid = shown.comparisons[0]
    names = {"loss": "training", "population_loss": "population's"}
    ends = {name: [_fallen(one[name]) for one in (laid.seen, laid.said)] for name in names}
    checks = [
        Check(
            f"when the {words} loss is down to {SHARE:g} of its start",
            float(np.exp(ends[name][0])),
            float(np.exp(ends[name][1])),
            0.04,
            "1 to 4% in single draws of 400 x 200 and 200 x 300",
        )
        for name, words in names.items()
    ]
    checks.append(
        Check(
            "so many times as late as on the training samples",
            float(np.exp(ends["population_loss"][0] - ends["loss"][0])),
            10.0,
            0.0,
            "n = 1.1 d: the closed form says 19 times",
            "above",
        )
    )
    return tuple(checks), {}


def _draw(shown):
    figure, (axis,) = sheet(height=4.2)
    both = shown.comparisons[0]
    for place, (name, words) in enumerate(
        {"loss": "training samples,", "population_loss": "all samples,"}.items()
    ):
        seen, said = both.seen[name], both.said[name]
        times = seen["time"].values[1:]
        laid(axis, times, seen.values[1:], said.values[1:], place, words)
    axis.axhline(SHARE * float(both.said["loss"][0]), color="#9A9A9A", linewidth=0.8, linestyle=":")
    axis.set(xscale="log", yscale="log", xlabel=TIME, ylabel="loss [loss]")
    axis.set_ylim(bottom=1e-4 * float(both.said["loss"][0]))
    axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Where there are about as many samples as inputs a linear layer fits its training samples"
        " long before all others, as the spectrum of Marchenko and Pastur says"
    ),
    source="Levi et al. 2023",
    experiment=_experiment,
    watch=(Loss(), PopulationLoss()),
    theories=(LinearGrokking(),),
    reason="1 to 4% in single draws of 400 x 200 and 200 x 300",
    verify=_verify,
    draw=_draw,
)
