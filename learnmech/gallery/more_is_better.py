"""More is better: with the best ridge more samples and more features never hurt, with a small one
they do."""

import numpy as np

from learnmech.comparison.checks import Check
from learnmech.data.digits import Digits
from learnmech.experiment.recipe import prepare
from learnmech.figures.style import COLORS, DASHES, MARKERS, counts, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.gallery.feature_pools import FeaturePool
from learnmech.gallery.pool_checks import relu_network
from learnmech.generalization.eigenlearning import least
from learnmech.instruments.losses import Loss, TestLoss

SHARES = (0.05, 0.1, 0.2, 0.4, 0.7)
SMALL = 1e-4


def _experiment():
    return relu_network(Digits(train=600))


def _best(pool, n, k):
    trace = float(pool.spectrum.values.sum()) * len(pool.X)
    return least(lambda ridge: pool.said(n, k, ridge), trace, decades=6)


def _verify(shown):
    pool = FeaturePool.of(shown.experiment.architecture, prepare(shown.experiment).data.train)
    sizes = [int(share * len(pool.X)) for share in SHARES]
    best = np.array([[_best(pool, n, k) for k in sizes] for n in sizes])
    grid = [[pool.said(n, k, best[i, j]) for j, k in enumerate(sizes)] for i, n in enumerate(sizes)]
    said = np.array(grid)
    small = np.array([[pool.said(n, k, SMALL) for k in sizes] for n in sizes])
    ends = [0, len(sizes) // 2, -1]
    seen = np.array(
        [[pool.measured(sizes[i], sizes[j], best[i, j]).mean() for j in ends] for i in ends]
    )
    checks = (
        Check(
            "with the best ridge: the largest step of the said error, over n and over k",
            float(max(np.diff(np.log(said), axis=0).max(), np.diff(np.log(said), axis=1).max())),
            0.0,
            0.0,
            "every step is down",
            "below",
        ),
        Check(
            "and of the error measured at three n and three k",
            float(max(np.diff(np.log(seen), axis=0).max(), np.diff(np.log(seen), axis=1).max())),
            0.0,
            0.0,
            "every step is down",
            "below",
        ),
        Check(
            f"with a ridge of {SMALL:g}: the largest step up of the said error over k, in ln",
            float(np.diff(np.log(small), axis=1).max()),
            0.2,
            0.0,
            "double descent",
            "above",
        ),
    )
    extra = {"counts": sizes, "said": said, "seen": seen, "small": small, "ends": ends}
    return checks, extra | {"pool": pool, "best": best}


def _draw(shown):
    found = shown.extra
    sizes = np.array(found["counts"])
    figure, axes = sheet(1, 2, height=4.2, width=10.5)
    for axis, turned, words in ((axes[0], False, "features, k"), (axes[1], True, "samples, n")):
        for place, i in enumerate(found["ends"]):
            best, small, seen = (
                (found[name].T if turned else found[name]) for name in ("said", "small", "seen")
            )
            other = "k" if turned else "n"
            look = {"color": COLORS[place]}
            axis.plot(sizes, best[i], label=f"{other} = {sizes[i]}, best ridge", **look)
            axis.plot(sizes, small[i], linestyle=DASHES[2], linewidth=1, **look)
            axis.plot(sizes[found["ends"]], seen[place], MARKERS[place], markersize=5, **look)
        counts(axis, sizes)
        axis.set_yscale("log")
        axis.set_xlabel(f"{words} (dots measured; dotted: ridge {SMALL:g})")
        axis.set_ylabel("error on held-out samples, |f - y|²")
        axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim="With the best ridge both more samples and more features lower the error on digits",
    source="Simon et al. 2023 (More is better); on a finite pool derived here",
    experiment=_experiment,
    watch=(Loss(), TestLoss()),
    twin={"data.train": 300},
    verify=_verify,
    draw=_draw,
)
