"""Double descent on digits: the error of random features peaks where there are as many as samples,
and the spectrum says by how much."""

import numpy as np

from learnmech.comparison.checks import Check
from learnmech.data.digits import Digits
from learnmech.experiment.recipe import prepare
from learnmech.figures.style import COLORS, MARKERS, counts, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.gallery.feature_pools import FeaturePool
from learnmech.gallery.pool_checks import relu_network
from learnmech.instruments.losses import Loss, TestLoss

RIDGES = (0.0, 0.05)
# Of the number of training samples.
FEATURES = (0.1, 0.2, 0.4, 0.7, 0.9, 1.0, 1.1, 1.4, 2.0, 4.0)


def _experiment():
    return relu_network(Digits(train=700))


def _verify(shown):
    pool = FeaturePool.of(shown.experiment.architecture, prepare(shown.experiment).data.train)
    n = int(0.4 * len(pool.X))
    counts = np.unique([int(round(share * n)) for share in FEATURES])
    draws = [[pool.measured(n, int(k), ridge) for k in counts] for ridge in RIDGES]
    seen = np.array([[one.mean() for one in row] for row in draws])
    error = np.array([[one.std(ddof=1) / len(one) ** 0.5 for one in row] for row in draws])
    said = np.array([[pool.said(n, int(k), ridge) for k in counts] for ridge in RIDGES])
    # at k = n without a ridge the formula is infinite
    off = np.abs(np.log(seen / np.where(np.isfinite(said), said, seen))) - 3 * error / seen
    peak = int(np.argmax(seen[0]))
    away = np.abs(np.log(counts / n)) > np.log(2) - 1e-9
    checks = (
        Check(
            "without a ridge the error is largest at k = n: the largest, k over n",
            float(counts[peak] / n),
            1.0,
            0.1,
            "measured at .9, 1 and 1.1 n",
        ),
        Check(
            "the peak over the error of four times as many features",
            float(seen[0, peak] / seen[0, -1]),
            2.0,
            0.0,
            "double descent: beyond the peak it falls below half of it",
            "above",
        ),
        *(
            Check(
                f"ridge {ridge:g}: measured over said, {where} (the largest |ln|)",
                float(off[i][which].max()),
                bound,
                0.0,
                f"{why}, and three standard errors",
                "below",
            )
            for i, ridge, where, which, bound, why in (
                (0, 0.0, "a factor 2 from k = n and beyond", away, 0.13, "5 to 10 % on MNIST"),
                (1, RIDGES[1], "every k", away | True, 0.13, "within 5 % on MNIST at ridge .5"),
            )
        ),
    )
    extra = {"counts": counts, "seen": seen, "error": error, "said": said, "n": n}
    return checks, extra | {"pool": pool}


def _draw(shown):
    found = shown.extra
    figure, (axis,) = sheet(1, 1, height=4.6, width=8.0)
    fine = np.unique(np.geomspace(found["counts"][0], found["counts"][-1], 80).astype(int))
    for i, ridge in enumerate(RIDGES):
        line = [found["pool"].said(found["n"], int(k), ridge) for k in fine]
        top = 3 * found["seen"].max()  # at k = n without a ridge it is infinite
        words = f"ridge {ridge:g}"
        axis.plot(fine, np.minimum(line, top), color=COLORS[i], label=f"{words}, predicted")
        axis.errorbar(
            found["counts"],
            found["seen"][i],
            2 * found["error"][i],
            fmt=MARKERS[i],
            color=COLORS[i],
            markersize=5,
            label=f"{words}, measured",
        )
    axis.axvline(found["n"], color="#777777", linewidth=0.8)
    counts(axis, found["counts"][[0, 2, 5, 8, 9]])
    axis.set_yscale("log")
    axis.set_ylim(top=1.5 * found["seen"].max())
    axis.set_xlabel(f"random features, k (the line: k = n = {found['n']})")
    axis.set_ylabel("error on held-out samples, |f - y|²")
    axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "The error of random features on digits peaks at as many features as samples, as the"
        " spectrum of their kernel says; a ridge takes the peak away"
    ),
    source="Belkin et al. 2019; Simon et al. 2023; on a finite pool derived here",
    experiment=_experiment,
    watch=(Loss(), TestLoss()),
    twin={"data.train": 250},
    verify=_verify,
    draw=_draw,
)
