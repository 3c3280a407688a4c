"""Diagonal networks: the size of the start decides which interpolator is found."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.diagonal import Diagonal
from learnmech.data.gaussian import Gaussian
from learnmech.errors import refused
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.machine.late import late
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import Condition, Theory, need, no_ridge, rule_is, squared_loss

if TYPE_CHECKING:
    from scipy import optimize
else:
    optimize = late("scipy.optimize")

Vector = Float[np.ndarray, " d"]
CONVERGED = 1e-14


def potential(w: Vector, a: float) -> float:
    """a^2 sum_i q(w_i/a^2), q(z) = 2 - sqrt(4 + z^2) + z asinh(z/2): like sum w^2/(4a^2) for large
    a, like sum |w| log(|w|/a^2) for small.

    Source: Woodworth et al. 2020.
    """
    z = np.asarray(w) / a**2
    # 2 - sqrt(4 + z^2), without the cancellation for small z
    return float(a**2 * np.sum(z * np.arcsinh(z / 2) - z**2 / (2 + np.sqrt(4 + z**2))))


def least_potential(X: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"], a: float) -> Vector:
    """The w of least potential with Xw = y: w = 2a^2 sinh(X'nu), the nu with Xw = y found by damped
    Newton steps.

    From a size at which the potential is a square, down (or up) to a by factors of 2, each solution
    the start of the next.
    """
    w = np.linalg.pinv(X) @ y
    size = max(a, np.sqrt(np.abs(w).max()))
    sizes = [size] if size == a else [*size * 0.5 ** np.arange(int(np.log2(size / a)) + 1), a]
    for size in sizes:
        w = _newton(X, y, size, w)
    return w


def _newton(X, y, a, w):
    # multipliers that come nearest to the last solution, weighed by how much they move w
    weight = np.sqrt(np.sqrt(w**2 + 4 * a**4))
    nu = np.linalg.lstsq(X.T * weight[:, None], weight * np.arcsinh(w / (2 * a**2)), rcond=None)[0]

    def at(nu):
        with np.errstate(over="ignore", invalid="ignore"):
            w = 2 * a**2 * np.sinh(X.T @ nu)
            return w, X @ w - y

    w, gap = at(nu)
    for _ in range(100):
        step = np.linalg.solve((X * np.sqrt(w**2 + 4 * a**4)) @ X.T, gap)
        length = 1.0
        while length > 1e-6 and not np.linalg.norm(at(nu - length * step)[1]) < np.linalg.norm(gap):
            length /= 2
        if length <= 1e-6:
            break  # round-off: no step brings Xw nearer to y
        nu = nu - length * step
        w, gap = at(nu)
    return w


def minimum_l1(X: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"]) -> Vector:
    """The w of least sum |w_i| with Xw = y, by linear programming: where a small start leads."""
    n, d = X.shape
    solved = optimize.linprog(
        np.ones(2 * d), A_eq=np.hstack([X, -X]), b_eq=y, bounds=(0, None), method="highs"
    )
    return solved.x[:d] - solved.x[d:]


def l1_excess_bound(w: Vector, sparsest: Vector, a: float) -> float:
    """What sum |w_i| can be above the least l1 norm, for w of least potential at a < e^{-1/2}.

    With the potential written as Lam |w|_1 + rho(w), Lam = ln(1/a^2) - 1, and
    potential(w) <= potential(sparsest): |w|_1 - |sparsest|_1 <= (rho(sparsest) - rho(w))/Lam.
    """
    lam = np.log(1 / a**2) - 1
    rest = [potential(v, a) - lam * np.abs(v).sum() for v in (sparsest, w)]
    return float((rest[0] - rest[1]) / lam)


class DiagonalBias(Theory):
    """Diagonal network w = u^2 - v^2 under flow from u = v = a in every entry: among all w with
    Xw = y, the one of least a^2 sum q(w_i/a^2).

    l2-like for large a, l1-like for small. It speaks of the end of the run alone, where the loss is
    0.
    """

    source: ClassVar[str] = "Woodworth et al. 2020"
    predicts: ClassVar[tuple[str, ...]] = ("end_to_end", "loss")

    def domain(self, start):
        network = isinstance(start.system.architecture, Diagonal)
        conditions = (
            Condition(
                "the network is diagonal linear",
                type(start.system.architecture).__name__,
                "Diagonal",
                network,
            ),
            squared_loss(start),
            no_ridge(start),
            rule_is(start, GradientFlow),
        )
        if not network:
            return conditions
        u, v = start.params["layer1"]["u"], start.params["layer1"]["v"]
        spread = float(max(np.ptp(u), np.ptp(v), np.abs(u - v).max()))
        X = start.data.train.X
        rank = int(np.linalg.matrix_rank(X))

        def converged(seen):
            left = float(seen["loss"][-1] / seen["loss"][0]) if "loss" in seen else np.inf
            return left, left <= CONVERGED

        return (
            *conditions,
            Condition("u = v = a in every entry at t = 0", spread, 0.0, spread == 0),
            Condition(
                "a is not 0, where nothing would move",
                scale_of(start),
                "above 0",
                scale_of(start) > 0,
            ),
            Condition("the samples can be fitted: rank of X = n", rank, len(X), rank == len(X)),
            Condition(
                "the run has converged: loss over loss at t = 0",
                "seen in the run",
                CONVERGED,
                True,
                converged,
            ),
        )

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start)[:-1])
        w = least_potential(start.data.train.X, start.data.train.Y[:, 0], scale_of(start))
        if not np.isfinite(w).all():
            raise refused(
                "DiagonalBias",
                "a start large enough for double precision",
                scale_of(start),
                "Raise the scale of the start",
            )
        quantities = EndToEnd().quantities(start.system, start.state.params) + Loss().quantities(
            start.system, start.state.params
        )
        return table(
            quantities, {"end_to_end": w[None, :], "loss": np.zeros(())}, start.marked(clock)
        )

    @classmethod
    def example(cls):
        rule = GradientFlow(rtol=1e-10, atol=1e-14, solver="dopri8")
        return Experiment(
            Diagonal(),
            Gaussian(n=4, d=8, k=1),
            rule,
            Clock(time=200.0, marks=5),
            GaussianStart(scale=0.3),
        )


def scale_of(start: Start) -> float:
    """a, the size of the entries of u and v at t = 0."""
    return abs(float(start.params["layer1"]["u"][0]))
