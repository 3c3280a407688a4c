"""Outside the domain: where some pixels are rare, and on raw patches of a photograph, the theory of
learning curves is wrong, and its certificate says so before anything is measured."""

import importlib.util

import numpy as np

from learnmech.comparison.checks import Check
from learnmech.comparison.learning_curves import learning_curve
from learnmech.data.digits import Digits
from learnmech.experiment.recipe import prepare
from learnmech.figures.style import COLORS, MARKERS, counts, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.gallery.pool_checks import relu_network
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.kernels.infinite import kernel

SIDE, SHARES = 8, (0.15, 0.35, 0.8)


def _experiment():
    return relu_network(Digits(train=1000, center_targets=True))


def patches(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(8 x 8 pixels of a photograph as they are, the one below them) at random places."""
    from sklearn.datasets import load_sample_image

    gray, rng = load_sample_image("china.jpg").mean(axis=2) / 255.0, np.random.default_rng(seed)
    rows, columns = (rng.integers(0, size - SIDE - 1, count) for size in gray.shape)
    X = [gray[i : i + SIDE, j : j + SIDE].ravel() for i, j in zip(rows, columns, strict=True)]
    below = gray[rows + SIDE, columns + SIDE // 2]
    return np.array(X), (below - below.mean())[:, None]


def _curves(shown):
    """{what: curve}."""
    view = prepare(shown.experiment).data.train
    X, Y = np.asarray(view.X, float), np.asarray(view.Y, float)
    size = X.std(0)
    loud = X / np.where(size > 0, size, 1)
    sizes = [int(share * len(X)) for share in SHARES]
    found = {
        "pixels of variance 1, least squares": learning_curve(loud @ loud.T, Y, n=sizes, splits=6),
        "pixels, least squares": learning_curve(X @ X.T, Y, n=sizes, splits=6),
    }
    if importlib.util.find_spec("PIL") is not None:  # what reads the photograph
        X, Y = patches(len(X))
        K = np.asarray(kernel(shown.experiment.architecture, X, get="ntk"))
        found["raw patches, ridge .01"] = learning_curve(K, Y, n=sizes, ridge=0.01, splits=6)
    return found


def _verify(shown):
    curves, checks = _curves(shown), []
    for name, curve in curves.items():
        (certificate,) = curve.certificates
        ratio = curve.test[0] / curve.predicted_test[0]
        checks += [
            Check(
                f"{name}: the certificate says no ({certificate.words})",
                float(certificate.holds),
                0.0,
                0.0,
                "leave-one-out over GCV beyond 10 %, or uneven leverages of least squares",
            ),
            Check(
                f"{name}: and the formula is off, the largest measured over predicted",
                float(ratio.max()),
                1.15,
                0.0,
                "rare pixels: 1.2 to 3.7; patches: 1.2 to 1.3",
                "above",
            ),
        ]
    return tuple(checks), {"curves": curves}


def _draw(shown):
    figure, (axis,) = sheet(1, 1, height=4.4, width=8.5)
    for place, (name, curve) in enumerate(shown.extra["curves"].items()):
        said = curve.predicted_test[0]
        axis.errorbar(
            curve.n,
            curve.test[0] / said,
            2 * curve.test_error[0] / said,
            fmt=f"{MARKERS[place]}-",
            color=COLORS[place],
            label=f"{name}\n({curve.certificates[0].words.partition(':')[2].strip()})",
        )
    axis.axhline(1, color="#555555", linewidth=0.8)
    counts(axis, curve.n)
    axis.set_yscale("log")
    axis.set_ylim(0.8, 30)
    axis.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axis.set_yticks([], minor=True)
    axis.set_xlabel("training samples, n")
    axis.set_ylabel("error on held-out samples,\nmeasured over predicted")
    axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Where pixels are rare, and on raw patches, the theory of learning curves is wrong, and its"
        " certificate says so"
    ),
    source="certificate, derived here",
    experiment=_experiment,
    watch=(Loss(), TestLoss()),
    twin={"data.train": 400},
    verify=_verify,
    draw=_draw,
)
