"""Lambda-balanced two-layer networks: from lazy to rich, solved exactly without alignment."""

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.initial.balanced import LambdaBalanced as LambdaBalancedStart
from learnmech.instruments.products import LayerProducts
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import (
    Condition,
    Theory,
    need,
    no_ridge,
    resolved,
    rule_is,
    squared_loss,
    time_factor,
    whitened_inputs,
)
from learnmech.theories.deep_linear import (
    BALANCED,
    OF_MAPS,
    correlations,
    imbalance,
    plain_layers,
    said_of_maps,
    weights,
)

Matrix = Float[np.ndarray, "rows columns"]


def riccati_step(Q: Matrix, P: Matrix, f: Float[np.ndarray, " N"], span: float) -> Matrix:
    """A factor of QQ' after `span` of time, for F = P diag(f) P'.

    QQ'(t) = e^{Ft}Q_0 [I + Q_0' (int_0^t e^{2Fs}ds) Q_0]^{-1} Q_0' e^{Ft}. With
    G = (e^{2ft} - 1)/(2f) (t where f = 0) and K = G^{1/2} P'Q_0 = Y diag(k) Z':
    QQ' = P E Y diag(k^2/(1 + k^2)) Y' E P', E = e^{ft} G^{-1/2}, whose entries stay bounded.
    """
    safe = np.where(f == 0, 1.0, f)
    G = np.where(f == 0, span, np.expm1(2 * safe * span) / (2 * safe))
    Y, k, _ = np.linalg.svd(np.sqrt(G)[:, None] * (P.T @ Q), full_matrices=False)
    return P @ ((np.exp(f * span) / np.sqrt(G))[:, None] * Y * (k / np.sqrt(1 + k**2)))


class LambdaBalanced(Theory):
    """Two linear layers with W_2'W_2 - W_1W_1' = lam I, whitened inputs, any alignment: the whole
    trajectory under flow.

    Q = [W_1'; W_2] obeys a matrix Riccati equation with F = [[-lam/2 I, S_yx'], [S_yx, lam/2 I]],
    solved from mark to mark in spans short enough that nothing overflows. lam = 0 is balanced
    (rich), |lam| large is lazy. At another c than 1/(2n), 2cn multiplies t. The blocks of QQ' are
    W_1'W_1, the map W_2W_1 and W_2W_2'.
    """

    source: ClassVar[str] = "Domine et al. 2024; Braun et al. 2022"
    predicts: ClassVar[tuple[str, ...]] = (*OF_MAPS, "input_product", "output_product")

    def domain(self, start):
        plain = plain_layers(start)
        conditions = (
            plain,
            squared_loss(start),
            no_ridge(start),
            rule_is(start, GradientFlow),
            whitened_inputs(start),
        )
        count = len(start.params)
        two = Condition("two layers", count, 2, count == 2, fact="depth", wants=("2",))
        if not (plain.holds and two.holds):
            return (two, *conditions)
        layers = weights(start)
        off, bound = imbalance(layers, _lam(layers)), resolved(start, 1e-9)
        return (
            two,
            *conditions,
            Condition(
                "lambda-balanced at t = 0: W_2'W_2 - W_1W_1' = lam I, relative",
                off,
                bound,
                off <= bound,
                fact="start",
                wants=BALANCED,
            ),
        )

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        marks, (W_1, W_2) = start.marked(clock), weights(start)
        (k, d), lam = (len(W_2), W_1.shape[1]), _lam([W_1, W_2])
        S_yx = correlations(start.data.train)[1]
        F = np.block([[-lam / 2 * np.eye(d), S_yx.T], [S_yx, lam / 2 * np.eye(k)]])
        f, P = np.linalg.eigh(F)
        Q, times = np.concatenate([W_1.T, W_2]), time_factor(start) * marks.times
        blocks = [Q @ Q.T]
        for span in np.diff(times):
            pieces = int(np.ceil(np.abs(f).max() * span)) or 1
            for _ in range(pieces):
                Q = riccati_step(Q, P, f, span / pieces)
            blocks.append(Q @ Q.T)
        products = np.array(blocks)
        said = said_of_maps(start, marks, products[:, d:, :d])
        for quantity, told in zip(
            LayerProducts().quantities(start.system, start.params),
            (products[:, :d, :d], products[:, d:, d:]),
            strict=True,
        ):
            said[quantity.name] = (("time", *quantity.axes), told, quantity.attributes)
        return said

    @classmethod
    def example(cls):
        data = Gaussian(n=20, d=3, k=4, whitened=True)
        rule = GradientFlow(rtol=1e-10, atol=1e-12, solver="dopri8")
        return Experiment(
            DeepLinear(hidden=(3,)),
            data,
            rule,
            Clock(time=6.0, marks=21),
            LambdaBalancedStart(lam=0.7),
        )


def _lam(layers):
    W_1, W_2 = layers
    return float(np.sum(W_2**2) - np.sum(W_1**2)) / len(W_1)
