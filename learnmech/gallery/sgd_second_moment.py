"""The second moment of SGD: noise of batches, exactly."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.rules.descent import SGD
from learnmech.theories.sgd_moments import SgdMoments


def _experiment():
    data = Gaussian(n=30, d=5, covariance="power-law", noise=0.5)
    return Experiment(
        DeepLinear(),
        data,
        SGD(rate=0.2, batch=2),
        Clock(steps=300, marks=61),
        GaussianStart(scale=0.0),
    )


def _draw(shown):
    figure, (axis,) = sheet(height=4.2)
    laid = shown.comparisons[0]
    seen, said = laid.seen["loss"], laid.said["loss"]
    one = shown.record["loss"]
    axis.plot(one["time"], one, color="#9A9A9A", linewidth=0.8, label="one run, measured")
    axis.plot(said["time"], said, color=COLORS[0], label="mean predicted")
    axis.plot(
        seen["time"][::2],
        seen[::2],
        "o",
        color=COLORS[0],
        markersize=4.5,
        label=f"mean of {shown.exhibit.seeds} runs, measured",
    )
    axis.set_yscale("log")
    axis.set_xlabel(TIME)
    axis.set_ylabel("training loss, L [loss]")
    axis.set_ylim(top=float(np.nanmax(one)) * 1.2)
    axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "The mean loss of SGD on a linear layer, noise of the batches and all, follows one exact"
        " recursion"
    ),
    source="textbook",
    experiment=_experiment,
    watch=(Loss(), EndToEnd()),
    theories=(SgdMoments(),),
    reason=(
        "in standard errors of the mean over the seeds: the largest of some hundred draws of a"
        " normal variable stays below 4"
    ),
    seeds=1000,
    draw=_draw,
)
