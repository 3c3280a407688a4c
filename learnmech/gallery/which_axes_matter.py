"""Which axes matter: every combination of four axes of a network on digits, turned off; and on
Fashion-MNIST where it is there."""

import dataclasses
from pathlib import Path

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.data.digits import Digits
from learnmech.data.file import File
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.rules.descent import SGD
from learnmech.studies.ladders import ladder

AXES = ("nonlinearity", "data", "depth", "batches")
PAIR = {"nonlinearity", "data"}
SEEDS = 3
# Where Debian's package dataset-fashion-mnist puts it.
FASHION = Path("/usr/share/datasets/fashion-mnist")


def _experiment():
    return Experiment(
        Mlp(hidden=(64, 64), activation="tanh"),
        Digits(train=500),
        SGD(rate=0.1, batch=32),
        Clock(steps=200, marks=21),
        precision="float32",
    )


def _fashion():
    """500 of the smaller file of Fashion-MNIST, as many as of the digits, and 1,297 to test on."""
    return File(
        path=str(FASHION / "t10k-images-idx3-ubyte.gz"),
        targets_path=str(FASHION / "t10k-labels-idx1-ubyte.gz"),
        classes=True,
        train=500,
        test=1297,
        divide_by=255.0,
        center=True,
    )


def _crossed(experiment):
    """(the design, the interaction of nonlinearity and data, the largest of the others)."""
    found = ladder(experiment, AXES, ("loss", "test-loss"), SEEDS, combinations=True).design
    pairs = {frozenset(one.axes): one for one in found.effects("test_loss") if len(one.axes) == 2}
    pair = pairs.pop(frozenset(PAIR))
    return found, pair, max(abs(one.size.size) for one in pairs.values())


def _checks(where, pair):
    return (
        Check(
            f"{where}: nonlinearity x data on the last test loss: p after Holm, raw and ln",
            max(pair.size.p, pair.ln.p),
            0.05,
            0.0,
            "an interaction is one where both scales find it",
            "below",
        ),
        Check(
            f"{where}: it is below 0: nonlinearity pays by what of the data is not Gaussian",
            pair.size.size,
            0.0,
            0.0,
            "a sign, which its p has resolved",
            "below",
        ),
    )


def _verify(shown):
    design, pair, others = _crossed(shown.experiment)
    main = {one.axes[0]: one for one in design.effects("test_loss") if len(one.axes) == 1}
    alone = main["nonlinearity"].alone
    checks = (
        *_checks("digits", pair),
        Check(
            "digits: of all interactions it is the largest: over the next",
            abs(pair.size.size) / others,
            1.0,
            0.0,
            "sizes of contrasts of one design, on one scale",
            "above",
        ),
        Check(
            "digits: nonlinearity off alone adds to the test loss: in standard errors",
            alone.size / alone.error,
            2.0,
            0.0,
            "paired by three seeds",
            "above",
        ),
    )
    # the twin, of one hidden layer, goes without
    if FASHION.is_dir() and len(shown.experiment.architecture.hidden) > 1:
        # half the rate: that of the digits is 1.6 times the edge at the start with 784 pixels
        clothes = dataclasses.replace(shown.experiment, data=_fashion())
        # there it is the largest of some draws of 500 samples, and half of data x depth of others
        checks += _checks("Fashion-MNIST", _crossed(clothes.with_value("rule.rate", 0.05))[1])
    return checks, {"design": design}


def _draw(shown):
    return shown.extra["design"].show()


exhibit = Exhibit(
    claim=(
        "On images nonlinearity pays only where the data are not Gaussian: of all pairs of four"
        " axes on digits that interaction stands out"
    ),
    source="a 2^4 design; after Box, Hunter & Hunter 1978",
    experiment=_experiment,
    watch=(Loss(), TestLoss()),
    twin={"architecture.hidden": [64], "clock.marks": 6},
    verify=_verify,
    draw=_draw,
)
