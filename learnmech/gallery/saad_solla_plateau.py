"""Teacher and student: the plateau on which units of a committee do not yet differ."""

import numpy as np

from learnmech.architectures.committee import Committee
from learnmech.comparison.checks import Check
from learnmech.data.teachers import NetworkTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import PopulationLoss
from learnmech.instruments.overlaps import Overlaps
from learnmech.rules.descent import SGD
from learnmech.theories.saad_solla import SaadSolla

D = 1500


def _experiment():
    return Experiment(
        Committee(hidden=2, spread=0.3),
        NetworkTeacher(Committee(hidden=2), n=4, d=D),
        SGD(rate=0.6, batch=1, sampling="fresh"),
        Clock(steps=70 * D, marks=71),
    )


def _flattest(loss):
    """(where ln loss falls least before it has come near to its end, the loss there)."""
    before = int(np.argmax(loss < 5 * loss[-1]))
    place = int(np.argmin(np.abs(np.gradient(np.log(loss))[1:before]))) + 1
    return place, float(loss[place])


def _end(tau, loss, height):
    """When the loss is down to half of a height, between marks."""
    place = int(np.argmax(loss < height / 2))
    if not place:
        return float("nan")
    ends = slice(place - 1, place + 1)
    return float(np.interp(-np.log(height / 2), -np.log(loss[ends]), tau[ends]))


def _verify(shown):
    laid = shown.comparisons[0]
    seen, said = (one["population_loss"].values for one in (laid.seen, laid.said))
    d = shown.record.start.data.train.X.shape[1]
    tau = laid.said["step"].values / d
    place, height = _flattest(said)
    ends = [_end(tau, loss, height) for loss in (seen, said)]
    checks = (
        Check(
            f"the loss on the plateau, at steps/d = {tau[place]:.3g}",
            float(seen[place]),
            height,
            0.05,
            "of one run at d = 1500 1 to 5%",
        ),
        Check(
            "when it is down to half of that, in steps/d",
            ends[0],
            ends[1],
            0.17,
            "the way out grows from differences of order 1/sqrt d, and one run is up to 17% off",
        ),
    )
    return checks, {"tau": tau, "seen": seen, "said": said, "height": height}


def _draw(shown):
    figure, (loss, overlaps) = sheet(columns=2, height=4.2, width=11.5)
    x, laid = shown.extra, shown.comparisons[0]
    loss.plot(x["tau"], x["said"], color=COLORS[0], label="predicted, d → ∞")
    d = shown.record.start.data.train.X.shape[1]
    loss.plot(
        x["tau"][::2],
        x["seen"][::2],
        "o",
        color=COLORS[0],
        markersize=4,
        label=f"one run, d = {d}, measured",
    )
    loss.axhline(x["height"], color="#9A9A9A", linewidth=0.8, linestyle=":", label="the plateau")
    loss.set(
        yscale="log", xlabel="steps over inputs, τ [1]", ylabel="loss of the population [loss]"
    )
    loss.legend()
    R = [one["teacher_overlap"].values for one in (laid.seen, laid.said)]
    for place, (i, n) in enumerate(np.ndindex(2, 2)):
        color = COLORS[place]
        overlaps.plot(
            x["tau"], R[1][:, i, n], color=color, label=f"unit {i + 1}, teacher's {n + 1}"
        )
        overlaps.plot(x["tau"][::4], R[0][::4, i, n], "o", color=color, markersize=3.5)
    overlaps.set(xlabel="steps over inputs, τ [1]", ylabel="overlap with the teacher, R [param²]")
    overlaps.legend(title="dots measured, lines predicted")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "A committee that learns online waits on a plateau until its units differ; closed equations"
        " for its overlaps tell how high it is and when it ends"
    ),
    source="Saad & Solla 1995; Goldt et al. 2019",
    experiment=_experiment,
    watch=(PopulationLoss(), Overlaps()),
    theories=(SaadSolla(),),
    reason="of one run at d = 1500, relative to the largest: 1 to 5%, up to 17% off the plateau",
    twin={"data.d": 750, "clock.steps": 52_500},
    verify=_verify,
    draw=_draw,
)
