"""Closure of modes: from which starts the strengths of modes move by themselves."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.base import singular_modes
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, MARKERS, TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.balanced import Aligned, Balanced
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss
from learnmech.rules.descent import GradientDescent
from learnmech.studies.variables import closure

STARTS = {
    "balanced and aligned": Aligned(strength=0.3),
    "balanced": Balanced(scale=0.3),
    "random": GaussianStart(scale=0.7),
}


def _experiment():
    return Experiment(
        DeepLinear((6,)),
        Gaussian(n=40, d=5, k=4, whitened=True),
        GradientDescent(rate=0.05),
        Clock(steps=160, marks=17),
        STARTS["balanced and aligned"],
    )


def _strengths(system, params):
    """u'Wv on the modes of the targets."""
    U, _, V = singular_modes(system.train)
    W = params["layer2"]["weight"] @ params["layer1"]["weight"]
    return (U.T @ W @ V).diagonal()


def _verify(shown):
    found = {
        name: closure(shown.experiment.with_value("initial", start), _strengths)
        for name, start in STARTS.items()
    }
    loss = closure(shown.experiment, lambda system, params: system.loss(params))
    checks = [
        Check(
            "index of mode strengths, balanced and aligned: what else decides them",
            found["balanced and aligned"].index,
            0.0,
            1e-12,
            "closed to first order, but for round-off",
        )
    ]
    for name in ("balanced", "random"):
        reason = "no better than a third of what they decide themselves, measured"
        said = f"index of mode strengths, {name}"
        checks.append(Check(said, found[name].index, 0.3, 0.0, reason, "above"))
    checks.append(
        Check(
            "index of the loss alone from the aligned start",
            loss.index,
            0.01,
            0.0,
            "one number of many that decide it",
            "above",
        )
    )
    return tuple(checks), {"found": found}


def _draw(shown):
    figure, (panel,) = sheet(height=4.4, width=8.0)
    for look, (name, one) in enumerate(shown.extra["found"].items()):
        share = np.maximum(one.others / one.rows.max(), 1e-17)
        panel.plot(one.times, share, marker=MARKERS[look], color=COLORS[look], label=name)
    panel.set(
        yscale="log",
        xlabel=TIME,
        ylabel="decided by all but the strengths at 0,\n$|J P_{null}|/\\sup|J P_{row}|$ [1]",
    )
    panel.legend(title="start")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "From balanced, aligned starts strengths of modes move by themselves, and from no others"
    ),
    source="closure to first order; modes of Saxe et al. 2014",
    experiment=_experiment,
    watch=(Loss(),),
    twin={"clock.steps": 60, "clock.marks": 7},
    verify=_verify,
    draw=_draw,
)
