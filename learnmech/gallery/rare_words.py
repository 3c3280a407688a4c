"""Rare words: descent learns them last, by their frequency; sign descent learns all alike."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.comparison.verdicts import compare
from learnmech.data.bigrams import Bigrams
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import TIME, sheet, titled
from learnmech.gallery.base import STEPS, Exhibit
from learnmech.initial.gaussian import Gaussian
from learnmech.instruments.losses import Loss
from learnmech.instruments.weights import Weights
from learnmech.losses.classes import CrossEntropy
from learnmech.rules.adaptive import SignDescent
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run
from learnmech.theories.one_hot_classes import OneHotClasses, word_loss, word_time, words_of

WORDS, LEARNED = 24, 0.1
SIGN, SIGN_TIME = 0.01, 6.0


def _experiment():
    # one successor to each word, of which the k-th occurs as 1/k: Zipf's law
    counts = np.zeros((WORDS, WORDS))
    counts[np.arange(WORDS), (np.arange(WORDS) + 1) % WORDS] = 1 / np.arange(1, WORDS + 1)
    return Experiment(
        DeepLinear(),
        Bigrams(vocabulary=WORDS, n=600, counts=counts),
        GradientDescent(rate=1.0),
        Clock(time=3000.0, marks=401, spacing="log"),
        Gaussian(scale=0.0),
        CrossEntropy(),
    )


def _margins(record, start):
    """(t, words): the logit of each word's successor less the mean of the others."""
    seen, _, following = words_of(start)
    z = np.swapaxes(record["layer1.weight"].values, 1, 2)[:, seen]
    own = np.sum(z * following, axis=2)
    return own - (z.sum(axis=2) - own) / (z.shape[2] - 1)


def _when(times, losses):
    """When each word's loss passes `LEARNED`, read along lines of the logarithm; NaN where it does
    not."""
    return np.array(
        [
            np.interp(-np.log(LEARNED), -np.log(one), times) if one[-1] < LEARNED else np.nan
            for one in losses.T
        ]
    )


def _verify(shown):
    start = prepare(shown.experiment)
    _, shares, _ = words_of(start)
    descent = word_loss(_margins(shown.record, start), WORDS)
    when = _when(shown.record["loss"]["time"].values, descent)
    said = word_time(LEARNED, WORDS) / shares
    by_sign = shown.experiment.with_value("rule", SignDescent(rate=SIGN)).with_value(
        "clock", Clock(time=SIGN_TIME, marks=121)
    )
    record = run(by_sign, shown.exhibit.watch)
    laid_over = compare(record, OneHotClasses())
    signed = word_loss(_margins(record, start), WORDS)
    times = record["loss"]["time"].values
    rarest, margin = int(np.argmin(shares)), np.log((WORDS - 1) / np.expm1(LEARNED))
    return (
        Check(
            f"descent: time at which the rarest word costs {LEARNED:g}, as flow has it",
            float(when[rarest]),
            float(said[rarest]),
            0.01,
            "rate 1 is small beside it, and it is read off between marks",
        ),
        Check(
            "descent: the rarest word's time over the most frequent one's",
            float(when[rarest] / when.min()),
            float(shares.max() / shares[rarest]),
            0.03,
            "a step or two of the most frequent one's sixty, and marks 2% apart",
        ),
        Check(
            "sign descent: theory against the run, largest error",
            max(row.error for row in laid_over.rows),
            0.0,
            1e-11,
            "exact at every step: round-off of some hundred",
        ),
        Check(
            "sign descent: losses of all words at one time, largest difference",
            float(np.ptp(signed, axis=1).max()),
            0.0,
            1e-11,
            "every logit moves by the rate, whatever the word's share",
        ),
        Check(
            f"sign descent: time at which all words cost {LEARNED:g}",
            float(_when(times, signed)[0]),
            float(margin / 2),
            1e-3,
            "m = 2 t, read off between marks",
        ),
    ), {
        "shares": shares,
        "descent": (shown.record["loss"]["time"].values, descent, when),
        "sign": (times, signed, _when(times, signed)),
        "said": said,
        "margin": margin,
    }


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.3, width=11.0)
    x = shown.extra
    order = np.argsort(-x["shares"])
    times, losses, when = x["descent"]
    said = word_loss(_said(shown), WORDS)
    for place, word in enumerate(order[[0, 2, 7, -1]]):
        dots = np.unique(np.geomspace(1, len(times) - 1, 30).astype(int))
        name = f"share {x['shares'][word]:.3f}"
        laid(left, times[dots], losses[dots, word], None, place, name, (times, said[:, word]))
    signed, by_sign, signed_when = x["sign"]
    left.plot(signed[1:], by_sign[1:, 0], color="#333333", label="sign descent, all words")
    left.set_xscale("log")
    left.set_xlim(signed[1], times[-1])
    left.set_xlabel(TIME)
    left.set_ylabel("loss of a word [loss]")
    left.legend(fontsize=8)
    shares = x["shares"][order]
    laid(right, shares, when[order], x["said"][order], 0, "descent")
    laid(right, shares, signed_when[order], np.full(len(shares), x["margin"] / 2), 1, "sign")
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("share of the word, π [1]")
    right.set_ylabel(f"time at which it costs {LEARNED:g}")
    right.legend()
    return titled(figure, shown.exhibit.claim)


def _said(shown):
    record = {"layer1.weight": shown.comparisons[0].said["layer1.weight"]}
    return _margins(record, prepare(shown.experiment))


exhibit = Exhibit(
    claim=(
        "Under Zipf's law descent learns a word in time 1/frequency, rare ones last; sign descent"
        " learns all alike"
    ),
    source="Kunstner et al. 2024; Kunstner & Bach 2025",
    experiment=_experiment,
    twin={"clock.marks": 201},
    watch=(Loss(), Weights()),
    theories=(OneHotClasses(),),
    tolerance={"loss": 1e-10, "layer1.weight": 1e-10},
    reason=STEPS,
    verify=_verify,
    draw=_draw,
)
