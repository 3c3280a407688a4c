"""Which axes matter: every combination of four axes of a network on digits, turned off."""

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.ladders import ladder
from learnmech.rules.descent import SGD

AXES = ("nonlinearity", "data", "depth", "batches")
PAIR = {"nonlinearity", "data"}
SEEDS = 3


def _experiment():
    return Experiment(
        Mlp(hidden=(64, 64), activation="tanh"),
        Digits(train=500),
        SGD(rate=0.1, batch=32),
        Clock(steps=200, marks=21),
        precision="float32",
    )


def _verify(shown):
    found = ladder(shown.experiment, AXES, ("loss", "test-loss"), SEEDS, combinations=True)
    effects = found.design.effects("test_loss")
    pairs = {frozenset(one.axes): one for one in effects if len(one.axes) == 2}
    main = {one.axes[0]: one for one in effects if len(one.axes) == 1}
    pair = pairs[frozenset(PAIR)]
    others = max(abs(one.size.size) for axes, one in pairs.items() if axes != PAIR)
    alone = main["nonlinearity"].alone
    checks = (
        Check(
            "nonlinearity x data on the last test loss: p after Holm over all effects, raw and ln",
            max(pair.size.p, pair.ln.p),
            0.05,
            0.0,
            "an interaction is one where both scales find it",
            "below",
        ),
        Check(
            "of all interactions it is the largest: over the next",
            abs(pair.size.size) / others,
            1.0,
            0.0,
            "sizes of contrasts of one design, on one scale",
            "above",
        ),
        Check(
            "it is below 0: what nonlinearity is worth goes with what of the data is not Gaussian",
            pair.size.size,
            0.0,
            0.0,
            "a sign, which its p has resolved",
            "below",
        ),
        Check(
            "nonlinearity off alone adds to the test loss: in standard errors",
            alone.size / alone.error,
            2.0,
            0.0,
            "paired by three seeds",
            "above",
        ),
    )
    return checks, {"design": found.design}


def _draw(shown):
    return shown.extra["design"].show()


exhibit = Exhibit(
    claim=(
        "On digits nonlinearity pays only where the data are not Gaussian: of all pairs of four"
        " axes that interaction stands out"
    ),
    source="a 2^4 design; after Box, Hunter & Hunter 1978",
    experiment=_experiment,
    watch=(Loss(), TestLoss()),
    twin={"architecture.hidden": [64], "clock.marks": 6},
    verify=_verify,
    draw=_draw,
)
