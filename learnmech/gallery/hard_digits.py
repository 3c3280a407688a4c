"""Hard digits: the samples that will be misread, named from a spectrum before a network is
trained."""

import numpy as np

from learnmech.comparison.checks import Check
from learnmech.comparison.pools import pool_of
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.gallery.pool_checks import relu_network
from learnmech.generalization.spectrum import Spectrum
from learnmech.instruments.losses import Accuracy, Outputs, TestLoss
from learnmech.rules.descent import SGD


def _experiment():
    network = relu_network(Digits(train=300))
    return Experiment(
        network.architecture,
        network.data,
        SGD(rate=5.0, batch=50),
        Clock(steps=600, marks=7),
        precision="float32",
    )


def ranked(low: np.ndarray, high: np.ndarray) -> float:
    """How often one of the first is below one of the second: the area under the curve of hits over
    false alarms, 1/2 by chance."""
    both = np.concatenate([low, high])
    places = both.argsort().argsort()[: len(low)]
    return 1 - (places.sum() - len(low) * (len(low) - 1) / 2) / (len(low) * len(high))


def _verify(shown):
    start = prepare(shown.experiment)
    train, test = start.data.train, start.data.test
    pool = pool_of(start, None, "all", "ntk", None)
    margins = Spectrum.of(pool.kernel, pool.Y).margins(len(train.X))[len(train.X) :]
    outputs = shown.record["test_outputs"].values[-1]
    missed = outputs.argmax(1) != test.Y.argmax(1)
    worst = np.argsort(margins)[: max(int(missed.sum()), 1)]
    area = ranked(margins[missed], margins[~missed])
    hits = float(missed[worst].mean())
    checks = (
        Check(
            "margins said before training rank the samples that the network misreads first: area",
            area,
            0.85,
            0.0,
            "1/2 by chance; one network of one start and one order of batches is itself noise",
            "above",
        ),
        Check(
            "of as many named as it misreads, it misreads: times what chance would",
            hits / float(missed.mean()),
            4.0,
            0.0,
            "1 by chance",
            "above",
        ),
    )
    extra = {"margins": margins, "missed": missed, "X": test.X, "worst": worst, "area": area}
    return checks, extra


def _draw(shown):
    found = shown.extra
    figure, axes = sheet(2, 5, height=2.6, width=10.0)
    side = int(np.sqrt(found["X"].shape[1]))
    for axis, place in zip(axes[:5], found["worst"], strict=False):
        axis.imshow(found["X"][place].reshape(side, side), cmap="gray_r")
        word = "misread" if found["missed"][place] else "read"
        axis.set_title(f"margin {found['margins'][place]:.2f}: {word}", fontsize=9)
        axis.set_axis_off()
    for axis in axes[5:]:
        axis.remove()
    grid = axes[0].get_subplotspec().get_gridspec()
    below = figure.add_subplot(grid[1, :])
    bins = np.linspace(found["margins"].min(), found["margins"].max(), 31)
    for name, which, color in (
        ("read by the network", ~found["missed"], COLORS[0]),
        ("misread by it", found["missed"], COLORS[1]),
    ):
        below.hist(found["margins"][which], bins, density=True, alpha=0.6, color=color, label=name)
    below.set_xlabel("margin said before training")
    below.set_ylabel("density of test samples")
    below.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "The digits that a network will misread are named before it is trained, by the margins of"
        " its kernel's mean output"
    ),
    source="mean residuals on a finite pool, derived here",
    experiment=_experiment,
    watch=(TestLoss(every=6), Accuracy(), Outputs(every=6)),
    twin={"data.train": 80, "data.classes": [3, 5, 8, 9], "clock.steps": 300},
    verify=_verify,
    draw=_draw,
)
