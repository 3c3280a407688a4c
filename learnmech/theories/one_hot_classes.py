"""One-hot words and cross-entropy: a curve of its own for every word, by descent and by sign."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.bigrams import Bigrams
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.initial.gaussian import Gaussian
from learnmech.instruments.losses import Loss
from learnmech.instruments.weights import Weights
from learnmech.losses.classes import CrossEntropy
from learnmech.machine.late import late
from learnmech.rules.adaptive import SignDescent
from learnmech.rules.descent import GradientDescent
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import (
    Condition,
    Theory,
    constant,
    cross_entropy,
    need,
    no_ridge,
    rule_is,
)
from learnmech.theories.deep_linear import plain_layers, weights

if TYPE_CHECKING:
    from scipy import integrate
else:
    integrate = late("scipy.integrate")

Rows = Float[np.ndarray, "words classes"]


def word_margin(time: Float[np.ndarray, "..."], classes: int) -> Float[np.ndarray, "..."]:
    """m = the logit of a word's own class less that of any other, from 0, after its own time
    pi t: e^m + (V - 1) m = 1 + V pi t for V classes.

    m = C - W(e^C/(V - 1)), C = (1 + V pi t)/(V - 1), by Lambert's W, which overflows at C = 709;
    here by Newton's method from min(ln(1 + V pi t), V pi t/(V - 1)), above the root, so that every
    step goes down to it.
    """
    rest = classes * np.asarray(time, np.float64)
    m = np.minimum(np.log1p(rest), rest / (classes - 1))
    for _ in range(100):
        less = (np.expm1(m) + (classes - 1) * m - rest) / (np.exp(m) + classes - 1)
        m = m - less
        if np.all(np.abs(less) <= 1e-15 * np.maximum(np.abs(m), 1e-300)):
            break
    return np.maximum(m, 0.0)


def word_time(loss: Float[np.ndarray, "..."], classes: int) -> Float[np.ndarray, "..."]:
    """pi t at which a word's loss ln(1 + (V - 1) e^-m) has come down from ln V to this under flow;
    late it is (V - 1)/(V loss)."""
    m = np.log((classes - 1) / np.expm1(loss))
    return (np.expm1(m) + (classes - 1) * m) / classes


def word_loss(m: Float[np.ndarray, "..."], classes: int) -> Float[np.ndarray, "..."]:
    """ln(1 + (V - 1) e^-m): what a word of margin m costs."""
    return np.log1p((classes - 1) * np.exp(-m))


def descended_margin(
    shares: Float[np.ndarray, " words"], classes: int, rate: float, steps: np.ndarray
) -> Float[np.ndarray, "t words"]:
    """Margins after so many steps of descent from 0, exactly: m <- m + rate pi V/(e^m + V - 1)."""
    m, reached, step = np.zeros(len(shares)), [], 0
    for mark in steps:
        while step < mark:
            m, step = m + rate * shares * classes / (np.exp(m) + classes - 1), step + 1
        reached.append(m)
    return np.array(reached)


def pulled(logits: Rows, shares: Float[np.ndarray, " words"], following: Rows) -> Rows:
    """pi_a (P_a - softmax of row a): what flow moves the logits of every word by."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares[:, None] * (following - p / p.sum(axis=1, keepdims=True))


class OneHotClasses(Theory):
    """A linear layer on one-hot words under cross-entropy: each word's logits move by themselves,
    dz_a/dt = pi_a (P_a - softmax z_a), from ln V to the entropy of what follows.

    pi_a is the share of word a, P_a what follows it. A word with one successor, from equal logits,
    has m = z_own - z_other by `word_margin` under flow and `descended_margin` under descent: its
    time is as 1/pi_a. Under sign descent all words go together, m = 2 t whatever pi_a. Words with
    several successors are one equation each under flow, one recursion under descent. At another c
    than 1/n, cn multiplies t and rate.
    """

    source: ClassVar[str] = "Kunstner et al. 2024; Kunstner & Bach 2025"
    predicts: ClassVar[tuple[str, ...]] = ("loss", "layer*")
    tolerance: ClassVar[float] = 1e-8  # a flow at a relative tolerance of 1e-10 per step

    def known(self, start):
        conditions = self._needed(start)
        if not all(one.holds for one in conditions):
            return conditions
        if not isinstance(start.rule, SignDescent):
            return conditions
        _, _, following = words_of(start)
        alone = int(((following > 0).sum(axis=1) > 1).sum())
        softened = float(start.rule.eps)
        return (
            *conditions,
            Condition("words with several successors, under sign descent", alone, 0, alone == 0),
            Condition("the sign is not softened (eps)", softened, 0.0, softened == 0),
        )

    def _needed(self, start):
        X, count = np.asarray(start.data.train.X), len(start.params)
        hot = bool(((X == 0) | (X == 1)).all() and (X.sum(axis=1) == 1).all())
        batch = getattr(start.rule, "batch", 0)
        return (
            Condition("one layer", count, 1, count == 1, fact="depth", wants=("1",)),
            plain_layers(start),
            cross_entropy(start),
            no_ridge(start),
            rule_is(start, GradientFlow, GradientDescent, SignDescent),
            Condition("every step sees all samples (batch)", batch, 0, batch == 0),
            Condition("inputs are one-hot", "one-hot" if hot else "others", "one-hot", hot),
        )

    def predict(self, start, clock=None):
        need(self, start, *self._needed(start))
        marks, shape = start.marked(clock), start.params
        factor = constant(start) * len(start.data.train.X)
        seen, shares, following = words_of(start)
        (W_0,) = weights(start)
        begun = W_0.T[seen]
        logits = _logits(start, marks, factor, shares, following, begun)
        W = np.repeat(W_0[None], len(marks.times), axis=0)
        W[:, :, seen] = np.swapaxes(logits, 1, 2)
        top = logits.max(axis=2, keepdims=True)
        prices = np.log(np.exp(logits - top).sum(axis=2)) + np.sum(
            following * (top - logits), axis=2
        )
        told = {"loss": factor * prices @ shares, "layer1.weight": W}
        quantities = Loss().quantities(start.system, shape) + Weights().quantities(
            start.system, shape
        )
        return table(quantities, told, marks)

    @classmethod
    def example(cls):
        return Experiment(
            DeepLinear(),
            Bigrams(vocabulary=5, n=30),
            GradientFlow(rtol=1e-11, atol=1e-13, solver="dopri8"),
            Clock(time=60.0, marks=31),
            Gaussian(scale=0.0),
            CrossEntropy(),
        )


def words_of(start: Start) -> tuple[np.ndarray, Float[np.ndarray, " words"], Rows]:
    """(the words that occur, their shares pi, the mean target P_a of each) of one-hot inputs."""
    X, Y = (np.asarray(side, np.float64) for side in (start.data.train.X, start.data.train.Y))
    counts = X.sum(axis=0)
    seen = np.flatnonzero(counts)
    return seen, counts[seen] / len(X), (X.T @ Y)[seen] / counts[seen, None]


def _logits(start, marks, factor, shares, following, begun):
    """(t, words, classes): the closed form where a word has one, else its equation."""
    rule, V = start.rule, following.shape[1]
    if isinstance(rule, SignDescent):
        return begun + np.asarray(marks.times)[:, None, None] * np.where(following > 0, 1.0, -1.0)
    rate = 0.0 if rule.flows else factor * float(rule.rate)
    lone = (following.max(axis=1) == 1) & (np.ptp(begun, axis=1) == 0)
    logits = np.empty((len(marks.times), *following.shape))
    if lone.any():
        if rate:
            m = descended_margin(shares[lone], V, rate, marks.steps)
        else:
            m = word_margin(factor * marks.times[:, None] * shares[lone], V)
        # the sum over classes is conserved
        logits[:, lone] = begun[lone] + m[:, :, None] * (following[lone] - 1 / V)
    if not lone.all():
        knobs = (shares[~lone], following[~lone])
        logits[:, ~lone] = (
            _stepped(begun[~lone], *knobs, rate, marks.steps)
            if rate
            else _flowing(begun[~lone], *knobs, factor * marks.times)
        )
    return logits


def _stepped(logits, shares, following, rate, steps):
    reached, step = [], 0
    for mark in steps:
        while step < mark:
            logits, step = logits + rate * pulled(logits, shares, following), step + 1
        reached.append(logits)
    return np.array(reached)


def _flowing(logits, shares, following, times):
    solved = integrate.solve_ivp(
        lambda t, z: pulled(z.reshape(logits.shape), shares, following).ravel(),
        (0.0, float(times[-1])),
        logits.ravel(),
        "DOP853",
        times,
        rtol=1e-12,
        atol=1e-13,
    )
    return solved.y.T.reshape(-1, *logits.shape)
