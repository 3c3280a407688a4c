"""The unigram plateau: a network that knows how often each word comes rests there, and leaves at a
rate that counting gives."""

import numpy as np

from learnmech.comparison.checks import Check
from learnmech.data.bigrams import Bigrams
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import prepare
from learnmech.figures.style import TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss
from learnmech.instruments.weights import Weights
from learnmech.runs.running import run
from learnmech.theories.unigram_plateau import (
    UnigramPlateau,
    escape_modes,
    escape_times,
    on_the_plateau,
)

PASSAGE, BEYOND = 0.1, 1.6


def _experiment():
    source = Bigrams(vocabulary=12, n=400, concentration=0.3)
    return on_the_plateau(source, hidden=16, size=1e-4, time=36.0, marks=73)


def _verify(shown):
    start = prepare(shown.experiment)
    modes = escape_modes(start.data.train)
    W_1, W_2 = (np.asarray(start.params[f"layer{i}"]["weight"]) for i in (1, 2))
    said = float(escape_times(W_1, W_2, modes, PASSAGE)[0])
    longer = shown.experiment.with_value(
        "clock", Clock(time=BEYOND * said, marks=len(shown.record["loss"]))
    )
    record = run(longer, shown.exhibit.watch)
    times = record["loss"]["time"].values
    a = np.einsum(
        "k,tkh,thd,d->t",
        modes.U[:, 0],
        record["layer2.weight"].values,
        record["layer1.weight"].values,
        modes.V[:, 0],
    )
    a = np.abs(a)
    at = int(np.argmax(a > PASSAGE))
    when = float(np.interp(np.log(PASSAGE), np.log(a[at - 1 : at + 1]), times[at - 1 : at + 1]))
    middle = (a > 1e-5) & (a < 1e-3)
    slope = float(np.polyfit(times[middle], np.log(a[middle]), 1)[0])
    q = np.asarray(start.data.train.Y).mean(axis=0)
    entropy = -float(np.sum(q[q > 0] * np.log(q[q > 0])))
    return (
        Check(
            "loss on the plateau, the entropy of the classes",
            float(shown.record["loss"].values[0]),
            entropy,
            1e-6,
            "the weights are 1e-4, and lower it by the square of that",
        ),
        Check(
            "rate at which the first mode leaves, twice a singular value of J - q pi'",
            slope,
            float(2 * modes.s[0]),
            0.01,
            "between strengths 1e-5 and 1e-3, where the rest of the start has faded",
        ),
        Check(
            f"first mode: when it is first {PASSAGE:g}",
            when,
            said,
            0.02,
            "small against 1, so that growth is that of the plateau but for a tenth",
        ),
    ), {
        "times": times,
        "a": a,
        "loss": record["loss"].values,
        "entropy": entropy,
        "modes": modes,
        "said": said,
    }


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.2, width=11.0)
    x = shown.extra
    left.plot(x["times"], x["loss"], "o", color="C0", markersize=3, label="measured")
    left.axhline(x["entropy"], color="#555555", linewidth=0.9, label="entropy of the classes, H(q)")
    left.axvline(
        x["said"], linestyle="--", color="#333333", linewidth=0.9, label="escape predicted"
    )
    left.set_ylabel("training loss, L [loss]")
    right.plot(x["times"], x["a"], "o", color="C0", markersize=3, label="first mode measured")
    grown = PASSAGE * np.exp(2 * x["modes"].s[0] * (x["times"] - x["said"]))
    shown_where = grown < 1.0
    right.plot(x["times"][shown_where], grown[shown_where], color="C1", label="predicted")
    right.set_yscale("log")
    right.set_ylabel("strength of the first mode, |u'W₂W₁v|")
    for axis in (left, right):
        axis.set_xlabel(TIME)
        axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Two layers that know how often each word comes rest at that entropy, and leave at a rate"
        " that counting gives"
    ),
    source="Edelman et al. 2024; the rates are derived here",
    experiment=_experiment,
    twin={"clock.marks": 37},
    watch=(Loss(), Weights()),
    theories=(UnigramPlateau(),),
    tolerance={"loss": 1e-4, "layer1.weight": 0.02, "layer2.weight": 0.02},
    reason="what is left out is of the order of the map, 0.01 at most while the run lasts",
    verify=_verify,
    draw=_draw,
)
