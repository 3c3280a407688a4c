"""Kernel before and after: what the tangent kernel of a network could learn, at its start and once
it is trained; the cheapest picture of feature learning."""

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.comparison.learning_curves import learning_curve
from learnmech.comparison.pools import pool_of
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, MARKERS, counts, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.rules.descent import SGD

SHARES = (0.02, 0.05, 0.12, 0.3, 0.7)
# Of the mean of the diagonal: kernels of different scale are asked alike.
RIDGE = 0.5


def _experiment():
    return Experiment(
        Mlp(hidden=(64, 64), activation="relu"),
        Digits(train=900, center_targets=True),
        SGD(rate=0.2, batch=50),
        Clock(steps=900, marks=7),
        precision="float32",
    )


def _curve(record, at):
    pool = pool_of(record, None, "test", "tangent", at)
    K = pool.kernel / np.trace(pool.kernel) * len(pool.kernel)
    sizes = np.unique([max(int(share * len(K)), 10) for share in SHARES])
    return learning_curve(K, pool.Y, n=sizes, ridge=RIDGE, splits=8)


def _verify(shown):
    before, after = _curve(shown.record, 0), _curve(shown.record, None)
    ratio = after.test[0] / before.test[0]
    said = after.predicted_test[0] / before.predicted_test[0]
    checks = (
        Check(
            "on samples that it was not trained on, the trained kernel's error over that at the"
            " start: the largest of all n",
            float(ratio.max()),
            0.9,
            0.0,
            "features of the classes were learned: .7 to .84 on digits",
            "below",
        ),
        Check(
            "the same, as the spectra say",
            float(said.max()),
            0.9,
            0.0,
            "without measuring",
            "below",
        ),
        *(
            Check(
                f"{name}: measured over said (the largest |ln|)",
                float(
                    (
                        np.abs(np.log(one.test[0] / one.predicted_test[0]))
                        - 3 * one.test_error[0] / one.test[0]
                    ).max()
                ),
                0.12,
                0.0,
                "12 % at most where the certificate held, and three standard errors",
                "below",
            )
            for name, one in (("at the start", before), ("trained", after))
            if one.certificates[0].holds
        ),
    )
    return checks, {"before": before, "after": after}


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.2, width=10.5)
    for place, (name, words) in enumerate((("before", "at the start"), ("after", "trained"))):
        one = shown.extra[name]
        look = {"color": COLORS[place]}
        left.plot(one.n, one.predicted_test[0], label=f"{words}, predicted", **look)
        left.errorbar(
            one.n,
            one.test[0],
            2 * one.test_error[0],
            fmt=MARKERS[place],
            label=f"{words}, measured",
            **look,
        )
        spectrum = one.spectrum
        share = np.cumsum(spectrum.power) / spectrum.power.sum()
        right.plot(1 + np.arange(len(share)), share, label=words, **look)
    counts(left, shown.extra["before"].n)
    left.set_yscale("log")
    left.set_xlabel("training samples, n")
    left.set_ylabel("error on held-out samples, |f - y|²")
    right.set_xscale("log")
    right.set_xlabel("modes of the tangent kernel, the strongest first")
    right.set_ylabel("share of the targets' power in them")
    for axis in (left, right):
        axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Training moves a network's tangent kernel so that it learns the same task from fewer"
        " samples, on samples that it has not seen"
    ),
    source="after Baratin et al. 2021; Fort et al. 2020",
    experiment=_experiment,
    watch=(Loss(), TestLoss()),
    twin={"data.train": 1200, "clock.steps": 600},
    verify=_verify,
    draw=_draw,
)
