"""Gaussian universality: linear ridge regression sees the mean and the covariance of digits alone,
a kernel that is not linear sees more."""

import numpy as np

from learnmech.comparison.checks import Check
from learnmech.comparison.learning_curves import learning_curve
from learnmech.data.clones import Clone
from learnmech.data.digits import Digits
from learnmech.experiment.recipe import prepare
from learnmech.figures.style import COLORS, MARKERS, counts, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.gallery.pool_checks import relu_network
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.kernels.infinite import kernel

SHARES, RIDGE, CLONES = (0.1, 0.2, 0.4, 0.7), 0.1, 3


def _experiment():
    return relu_network(Digits(train=900, center_targets=True))


def _linear(view):
    """The curve of the linear kernel, at a ridge."""
    X, Y = np.asarray(view.X, float), np.asarray(view.Y, float)
    sizes = [int(share * len(X)) for share in SHARES]
    return learning_curve(X @ X.T / X.shape[1], Y, n=sizes, ridge=RIDGE, splits=8)


def _curves(architecture, view):
    """(of the linear kernel, of the network's)."""
    X, Y, linear = np.asarray(view.X, float), np.asarray(view.Y, float), _linear(view)
    sizes = [int(share * len(X)) for share in SHARES]
    ntk = np.asarray(kernel(architecture, X, get="ntk"))
    return linear, learning_curve(ntk, Y, n=sizes, ridge=RIDGE, splits=8)


def _verify(shown):
    own, architecture = shown.experiment.data, shown.experiment.architecture
    clones = [Clone(own).draw(np.random.default_rng(i)).train for i in range(CLONES)]
    linear, ntk = _curves(architecture, prepare(shown.experiment).data.train)
    linear_clone, ntk_clone = _curves(architecture, clones[0])
    others = np.array([linear_clone.test[0], *(_linear(one).test[0] for one in clones[1:])])
    gap = np.abs(np.log(linear.test[0] / others.mean(0)))
    error = np.hypot(
        linear.test_error[0] / linear.test[0], others.std(0, ddof=1) / CLONES**0.5 / others.mean(0)
    )
    checks = (
        Check(
            "linear ridge: digits over their Gaussian clones (the largest |ln|, less 3 se)",
            float((gap - 3 * error).max()),
            0.06,
            0.0,
            "1 to 3 % on MNIST away from interpolation; three standard errors of three clones",
            "below",
        ),
        Check(
            "the ReLU kernel: the clone's error over that of digits, at the largest n",
            float(ntk_clone.test[0, -1] / ntk.test[0, -1]),
            1.5,
            0.0,
            "it sees what of digits is not Gaussian: 3.4 times on MNIST at n = 1000",
            "above",
        ),
        *(
            Check(
                f"linear ridge on {name}: measured over said (the largest |ln|, less 3 se)",
                float(
                    (
                        np.abs(np.log(one.test[0] / one.predicted_test[0]))
                        - 3 * one.test_error[0] / one.test[0]
                    ).max()
                ),
                0.05,
                0.0,
                "its certificate holds",
                "below",
            )
            for name, one in (("digits", linear), ("the clone", linear_clone))
        ),
    )
    return checks, {"curves": (linear, ntk, linear_clone, ntk_clone)}


def _draw(shown):
    linear, ntk, linear_clone, ntk_clone = shown.extra["curves"]
    figure, axes = sheet(1, 2, height=4.2, width=10.5)
    pairs = ((linear, linear_clone, "linear kernel"), (ntk, ntk_clone, "NTK of a ReLU network"))
    for axis, (real, clone, words) in zip(axes, pairs, strict=True):
        for place, (one, name) in enumerate(((real, "digits"), (clone, "Gaussian clone"))):
            look = {"color": COLORS[place]}
            axis.plot(one.n, one.predicted_test[0], **look)
            axis.errorbar(
                one.n,
                one.test[0],
                2 * one.test_error[0],
                fmt=MARKERS[place],
                label=name,
                **look,
            )
        counts(axis, real.n)
        axis.set_yscale("log")
        axis.set_xlabel(f"training samples, n: {words}\n(dots measured, lines predicted)")
        axis.set_ylabel("error on held-out samples, |f - y|²")
        axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Linear ridge regression on digits errs as on their Gaussian clone; a ReLU kernel, which"
        " sees more of them, does not"
    ),
    source="Goldt et al. 2022; Pesce et al. 2023",
    experiment=_experiment,
    watch=(Loss(), TestLoss()),
    twin={"data.train": 240},
    verify=_verify,
    draw=_draw,
)
