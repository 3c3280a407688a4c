"""Outside the domain: on raw patches of images the theory of learning curves is wrong, and its
certificate says so before anything is measured."""

import numpy as np

from learnmech.comparison.checks import Check
from learnmech.comparison.learning_curves import learning_curve
from learnmech.data.digits import Digits
from learnmech.experiment.recipe import prepare
from learnmech.gallery.base import Exhibit
from learnmech.gallery.pool_checks import SHARES, relu_network
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.kernels.infinite import kernel

SIDE, PATCH = 8, 4


def _experiment():
    return relu_network(Digits(train=1000, center=False))


def patches(X: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(PATCH x PATCH pixels as they are, the pixel below them in the middle) of a random place in
    every image."""
    rng = np.random.default_rng(seed)
    images = X.reshape(len(X), SIDE, SIDE)
    rows = rng.integers(0, SIDE - PATCH, len(X))
    columns = rng.integers(0, SIDE - PATCH + 1, len(X))
    X = np.stack(
        [
            one[i : i + PATCH, j : j + PATCH].ravel()
            for one, i, j in zip(images, rows, columns, strict=True)
        ]
    )
    below = [one[i + PATCH, j + 1] for one, i, j in zip(images, rows, columns, strict=True)]
    return X, np.array(below)[:, None]


def _verify(shown):
    X, Y = patches(np.asarray(prepare(shown.experiment).data.train.X, float))
    K = np.asarray(kernel(shown.experiment.architecture, X, get="ntk"))
    sizes = [int(share * len(X)) for share in SHARES]
    curve = learning_curve(K, Y - Y.mean(), n=sizes, splits=16)
    (certificate,) = curve.certificates
    ratio = curve.test[0] / curve.predicted_test[0]
    checks = (
        Check(
            "raw patches, no ridge: leave-one-out over GCV",
            certificate.ratio,
            1.25,
            0.0,
            "not claimed beyond 1.105",
            "above",
        ),
        Check(
            "and the error at .8 N is above what is said: measured over predicted",
            float(ratio[-1]),
            1.25,
            0.0,
            "as the certificate warns",
            "above",
        ),
        Check(
            "more than at N/10",
            float(ratio[-1] / ratio[0]),
            1.0,
            0.0,
            "the error grows with n",
            "above",
        ),
    )
    return checks, {"curve": curve}


def _draw(shown):
    from learnmech.figures.learning_curve import draw

    curve = shown.extra["curve"]
    said = f"{curve.certificates[0].words}"
    return draw(curve, f"NTK on raw patches of digits. The certificate: {said}")


exhibit = Exhibit(
    claim="On raw patches the theory of learning curves is wrong, and its certificate says so",
    source="certificate, derived here",
    experiment=_experiment,
    watch=(Loss(), TestLoss()),
    twin={"data.train": 500},
    verify=_verify,
    draw=_draw,
)
