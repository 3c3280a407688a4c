"""End-to-end dynamics: one equation for the map of a balanced deep linear network."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.initial.balanced import Balanced
from learnmech.machine.late import late
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import Theory, constant, need, no_ridge, rule_is, squared_loss
from learnmech.theories.deep_linear import (
    OF_MAPS,
    balanced,
    plain_layers,
    product,
    said_of_maps,
    weights,
)

if TYPE_CHECKING:
    from scipy import integrate
else:
    integrate = late("scipy.integrate")

Matrix = Float[np.ndarray, "k d"]


def velocity(W: Matrix, G: Matrix, depth: int, rank: int) -> Matrix:
    """dW/dt = -sum_{j=1}^L [WW']^{(j-1)/L} G [W'W]^{(L-j)/L} for the gradient G of the loss in W;
    powers taken of W's singular values, A^0 = I.

    `rank` is that of the start, which balanced flow keeps: singular values beyond it are 0, and
    what round-off leaves of them must not be raised to small powers.
    """
    if depth == 1:
        return -G
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    U, s, Vt = U[:, :rank], s[:rank], Vt[:rank]
    root = s ** (2 / depth)
    into, out = U.T @ G, G @ Vt.T
    core = into @ Vt.T
    last = root ** (depth - 1)
    # the first and the last term carry one identity each; those between see G on W's singular
    # vectors alone
    moved = (out * last) @ Vt + (U * last) @ into
    for j in range(2, depth):
        moved += (U * root ** (j - 1)) @ core @ (root ** (depth - j) * Vt.T).T
    return -moved


class EndToEnd(Theory):
    """Deep linear network, balanced, any depth, any inputs, any alignment: the end-to-end map W
    alone obeys one equation.

    dW/dt = -sum_j [WW']^{(j-1)/L} G [W'W]^{(L-j)/L}, G = 2cn (W S_xx - S_yx), by DOP853 at relative
    tolerance 1e-11; singular values move as ds_r/dt = -L s_r^{2-2/L} u_r'G v_r.
    """

    source: ClassVar[str] = "Arora, Cohen & Hazan 2018"
    predicts: ClassVar[tuple[str, ...]] = OF_MAPS

    def domain(self, start):
        return (
            plain_layers(start),
            squared_loss(start),
            no_ridge(start),
            rule_is(start, GradientFlow),
            balanced(start),
        )

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start)[:4])
        marks, c, depth = start.marked(clock), constant(start), len(start.params)
        rank = int(np.linalg.matrix_rank(product(weights(start))))
        X, Y, W_0 = start.data.train.X, start.data.train.Y, product(weights(start))
        power, target = 2 * c * X.T @ X, 2 * c * Y.T @ X

        def moving(t, flat):
            W = flat.reshape(W_0.shape)
            return velocity(W, W @ power - target, depth, rank).ravel()

        size = max(np.abs(W_0).max(), np.abs(Y).max() / max(np.abs(X).max(), 1e-300))
        solved = integrate.solve_ivp(
            moving,
            (0.0, marks.times[-1]),
            W_0.ravel(),
            method="DOP853",
            t_eval=marks.times,
            rtol=1e-11,
            atol=1e-13 * size,
        )
        return said_of_maps(start, marks, solved.y.T.reshape(-1, *W_0.shape))

    @classmethod
    def example(cls):
        rule = GradientFlow(rtol=1e-10, atol=1e-12, solver="dopri8")
        return Experiment(
            DeepLinear(hidden=(4, 3)),
            Gaussian(n=20, d=3, k=3),
            rule,
            Clock(time=8.0, marks=21),
            Balanced(scale=0.3),
        )
