"""The unigram plateau: where two layers with a bias rest that know how often each word comes, and
how they leave."""

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.mlp import Mlp
from learnmech.data.base import View
from learnmech.data.bigrams import Bigrams
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start, stream_of
from learnmech.experiment.tables import table
from learnmech.initial.given import Given
from learnmech.instruments.losses import Loss
from learnmech.instruments.weights import Weights
from learnmech.losses.classes import CrossEntropy
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
from learnmech.theories.modes import Modes
from learnmech.theories.small_start import first_strengths, growth

Matrix = Float[np.ndarray, "rows columns"]
ESCAPED = 0.01


def beyond_unigram(view: View) -> Matrix:
    """M = J - q pi', how far words and what follows them are from independent: the covariance
    (Y - q)'X/n of targets and inputs, q the mean target, pi the mean input."""
    X, Y = (np.asarray(side, np.float64) for side in (view.X, view.Y))
    return (Y - Y.mean(axis=0)).T @ X / len(X)


def escape_modes(view: View) -> Modes:
    """M = U diag(s) V': the Hessian on the plateau is +-s_k on the weights, each as often as there
    are hidden units, so that s_k is the rate at which mode k leaves. Those that are round-off are
    left out."""
    U, s, Vt = np.linalg.svd(beyond_unigram(view), full_matrices=False)
    kept = s > 1e-12 * s.max(initial=0.0)
    return Modes(U[:, kept], s[kept], Vt[kept].T, np.ones(kept.sum()), np.zeros(kept.sum()))


def escape_times(
    W_1: Matrix, W_2: Matrix, modes: Modes, strength: float, rate: float = 0.0
) -> Float[np.ndarray, " m"]:
    """When u_k'W_2W_1v_k = a0_k e^(2 s_k t) is first this strong, a0_k by `first_strengths`, at c =
    1/n: for the first mode; later ones are disturbed by those that have left."""
    a0 = first_strengths(W_1, W_2, modes)
    with np.errstate(divide="ignore"):
        return np.log(strength / a0) / (2 * growth(modes.s, rate))


def weights_along(
    W_1: Matrix, W_2: Matrix, M: Matrix, times: Float[np.ndarray, " t"], rate: float = 0.0
) -> list[tuple[Matrix, Matrix]]:
    """W_1 and W_2 at these times while they are small: Q = [W_1'; W_2] = e^(Ft) Q_0, F = [[0, M'],
    [M, 0]]; under descent each step multiplies by 1 + rate F, exactly."""
    d, k = W_1.shape[1], len(W_2)
    F = np.block([[np.zeros((d, d)), M.T], [M, np.zeros((k, k))]])
    f, P = np.linalg.eigh(F)
    begun = P.T @ np.concatenate([W_1.T, W_2])
    whole = [P @ (np.exp(growth(f, rate) * time)[:, None] * begun) for time in times]
    return [(Q[:d].T, Q[d:]) for Q in whole]


class UnigramPlateau(Theory):
    """Two linear layers with biases, cross-entropy, W small and softmax(b) = q, the share of each
    class: a saddle of loss H(q), and how it is left.

    The gradient there is 0 and the Hessian on the weights +-s_k, the singular values of J - q pi'
    (`escape_modes`), so that small weights move by `weights_along` and L = H(q) - sum of W_2W_1
    times J - q pi', until the first mode has grown. At another c than 1/n, cn multiplies t and
    rate.
    """

    source: ClassVar[str] = "Edelman et al. 2024; the rates are derived here"
    predicts: ClassVar[tuple[str, ...]] = ("loss", "layer*")
    tolerance: ClassVar[float] = 0.05  # what is left out is of the order of the map, within ESCAPED

    def known(self, start):
        conditions = self._needed(start)
        if not all(one.holds for one in conditions):
            return conditions
        q, b = _shares(start), np.asarray(start.params["layer2"]["bias"], np.float64)
        p = np.exp(b - b.max()) / np.exp(b - b.max()).sum()
        off = float(np.abs(p - q).max() + np.abs(start.params["layer1"]["bias"]).max())
        with np.errstate(over="ignore"):
            W_1, W_2 = _told(start, start.marks.times[-1:])[0]
            end = float(np.linalg.norm(W_2 @ W_1, 2))
        return (
            *conditions,
            Condition(
                "the biases are those of the plateau: b_1 = 0, softmax(b_2) = q",
                off,
                1e-9,
                off <= 1e-9,
            ),
            Condition(
                "the run ends on the plateau: the map it would have", end, ESCAPED, end <= ESCAPED
            ),
        )

    def _needed(self, start):
        network, count = start.experiment.architecture, len(start.params)
        plain = (
            isinstance(network, Mlp)
            and network.activation == "linear"
            and network.norm == "none"
            and network.bias
            and type(network.scaling).__name__ == "SP"
        )
        return (
            Condition("two layers", count, 2, count == 2, fact="depth", wants=("2",)),
            Condition(
                "the network is linear with biases, in sp scaling",
                repr(network),
                "Mlp, linear, bias, sp",
                plain,
            ),
            cross_entropy(start),
            no_ridge(start),
            rule_is(start, GradientFlow, GradientDescent),
        )

    def predict(self, start, clock=None):
        need(self, start, *self._needed(start))
        marks, M = start.marked(clock), beyond_unigram(start.data.train)
        q, path = _shares(start), _told(start, marks.times)
        entropy = -float(np.sum(q[q > 0] * np.log(q[q > 0])))
        still = {
            f"{layer}.bias": np.repeat(np.asarray(held["bias"])[None], len(path), axis=0)
            for layer, held in start.params.items()
        }
        told = {
            "loss": _factor(start) * np.array([entropy - np.sum(M * (b @ a)) for a, b in path]),
            "layer1.weight": np.array([a for a, _ in path]),
            "layer2.weight": np.array([b for _, b in path]),
        } | still
        quantities = Loss().quantities(start.system, start.params) + Weights().quantities(
            start.system, start.params
        )
        return table(quantities, told, marks)

    @classmethod
    def example(cls):
        return on_the_plateau(Bigrams(vocabulary=5, n=200), 4, 1e-4, time=20.0, marks=21)


def on_the_plateau(
    source: Bigrams, hidden: int, size: float, time: float, marks: int, seed: int = 0
) -> Experiment:
    """An experiment that begins there: weights of this size, drawn by the seed, biases 0 and ln
    q."""
    train, rng = source.draw(stream_of(int(source.seed), "data")).train, np.random.default_rng(seed)
    (d, k), q = (train.X.shape[1], train.Y.shape[1]), np.asarray(train.Y).mean(axis=0)
    params = {
        "layer1": {
            "weight": size * rng.standard_normal((hidden, d)),
            "bias": np.zeros(hidden),
        },
        # a class that never comes: its logit would be -infinity
        "layer2": {
            "weight": size * rng.standard_normal((k, hidden)),
            "bias": np.log(np.maximum(q, 1e-12)),
        },
    }
    return Experiment(
        Mlp(hidden=(hidden,), activation="linear", bias=True),
        source,
        GradientFlow(rtol=1e-10, atol=1e-14, solver="dopri8"),
        Clock(time=time, marks=marks),
        Given.of(params),
        CrossEntropy(),
    )


def _shares(start: Start):
    return np.asarray(start.data.train.Y, np.float64).mean(axis=0)


def _factor(start):
    return constant(start) * len(start.data.train.X)


def _told(start, times):
    W_1, W_2 = (np.asarray(start.params[f"layer{i}"]["weight"], np.float64) for i in (1, 2))
    factor = _factor(start)
    rate = 0.0 if start.rule.flows else factor * float(start.rule.rate)
    return weights_along(W_1, W_2, beyond_unigram(start.data.train), factor * times, rate)
