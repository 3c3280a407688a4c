"""Hermite digits: the learning curve of a kernel on digits, from their covariance and the kernel's
Taylor coefficients alone."""

import numpy as np

from learnmech.comparison.checks import Check
from learnmech.comparison.learning_curves import learning_curve
from learnmech.data.digits import Digits
from learnmech.experiment.recipe import prepare
from learnmech.figures.style import COLORS, counts, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.gallery.pool_checks import relu_network
from learnmech.generalization.hermite_modes import hermite_spectrum
from learnmech.instruments.losses import Loss, TestLoss

MODES, SHARES = 0.4, (0.015, 0.03, 0.06, 0.12, 0.24)


def _experiment():
    return relu_network(Digits(train=1700, center_targets=True))


def _verify(shown):
    view = prepare(shown.experiment).data.train
    size = len(view.X)
    sizes = [int(share * size) for share in SHARES]
    curve = learning_curve(shown.experiment, n=sizes, splits=16)
    found = hermite_spectrum(
        shown.experiment.architecture, view.X, view.Y, int(MODES * size), "ntk"
    )
    own = curve.spectrum.values[:100]
    gap = float(np.sqrt(np.mean(np.log(found.values[:100] / own) ** 2)))
    said = np.array([found.error(n).test for n in sizes])
    off = np.abs(np.log(curve.test[0] / said)) - 3 * curve.test_error[0] / curve.test[0]
    checks = (
        Check(
            "the first 100 eigenvalues: rms of ln(said/the kernel's own)",
            gap,
            0.25,
            0.0,
            ".16 on all digits, whose effective dimension is 13",
            "below",
        ),
        Check(
            "the error on held-out samples: measured over said (the largest |ln|)",
            float(off.max()),
            0.16,
            0.0,
            "within 14 % on digits, and three standard errors",
            "below",
        ),
        Check(
            "effective dimension of the inputs",
            found.dimension,
            10.0,
            0.0,
            "eigenvalues are trusted above 10, with even norms",
            "above",
        ),
    )
    return checks, {"curve": curve, "found": found, "said": said}


def _draw(shown):
    curve, found = shown.extra["curve"], shown.extra["found"]
    figure, (left, right) = sheet(1, 2, height=4.2, width=10.5)
    place = np.arange(1, 1 + len(found.values))
    left.plot(place, curve.spectrum.values[: len(place)], "o", markersize=3, color=COLORS[0])
    left.plot(place, found.values, color=COLORS[1])
    left.legend(["of the kernel itself", "from the covariance"])
    left.set_xlabel("place of the mode")
    left.set_ylabel("eigenvalue of the kernel operator")
    fine = np.geomspace(curve.n[0], curve.n[-1], 40)
    right.errorbar(
        curve.n,
        curve.test[0],
        2 * curve.test_error[0],
        fmt="o",
        color=COLORS[0],
        label="measured",
    )
    said = [found.error(n).test for n in fine]
    right.plot(fine, said, color=COLORS[1], label="from the covariance")
    right.set_xlabel("training samples, n")
    right.set_ylabel("error on held-out samples, |f - y|²")
    right.legend()
    left.set_xscale("log")
    counts(right, curve.n)
    for axis in (left, right):
        axis.set_yscale("log")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "A kernel's spectrum and learning curve on digits follow from their covariance and the"
        " Hermite coefficients of their classes, without the kernel"
    ),
    source="Karkada et al. 2025",
    experiment=_experiment,
    watch=(Loss(), TestLoss()),
    twin={"data.train": 700},
    verify=_verify,
    draw=_draw,
)
