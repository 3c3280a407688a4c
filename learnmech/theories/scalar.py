"""The scalar chain: u = w_1 ... w_L, the smallest deep network."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.initial.given import Given
from learnmech.instruments.weights import Weights
from learnmech.machine.late import late
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import (
    Condition,
    Theory,
    constant,
    need,
    no_ridge,
    rule_is,
    squared_loss,
)
from learnmech.theories.deep_linear import OF_MAPS, plain_layers, said_of_maps, weights

if TYPE_CHECKING:
    from scipy import integrate
else:
    integrate = late("scipy.integrate")

Times = Float[np.ndarray, " t"]


def logistic(u0: float, s: float, rate: float, times: Times) -> Times:
    """u(t) = s/(1 + (s/u_0 - 1) e^{-rate t}): two balanced layers, with rate = 2 s a."""
    return s / (1 + (s / u0 - 1) * np.exp(-rate * times))


def logistic_time(u0: float, s: float, rate: float, share: float) -> float:
    """When a logistic curve reaches `share` of s: ln[(s/u_0 - 1) share/(1 - share)]/rate."""
    return float(np.log((s / u0 - 1) * share / (1 - share)) / rate)


def two_layers(w1: float, w2: float, s: float, a: float, times: Times) -> tuple[Times, Times]:
    """(w_1(t), w_2(t)) of L = (a/2)(w_1 w_2 - s)^2 under flow from any start, s of any sign.

    P = w_1 + w_2 and M = w_1 - w_2 obey P' = a(s - u)P, M' = -a(s - u)M,
    so K = PM = w_1^2 - w_2^2 is conserved. With R = sqrt(K^2 + 4s^2),
    e = exp(-aRt) and p = P^2, for s >= 0 (else change the sign of w_2):
    p(t) = [p_0 (1 + e)/2 + (2s p_0 + K^2)(1 - e)/(2R)]/[e + (p_0 + K^2/(R + 2s))(1 - e)/(2R)], and
    M = K/P: sums of positive terms, exact to round-off from the saddle to the minimum. K = 0 is the
    logistic curve.
    """
    if s < 0:
        one, two = two_layers(w1, -w2, -s, a, times)
        return one, -two
    P_0, M_0 = w1 + w2, w1 - w2
    K, p_0, m_0 = P_0 * M_0, P_0**2, M_0**2
    R = np.hypot(K, 2 * s)
    e, gone = np.exp(-R * a * times), -np.expm1(-R * a * times)
    if R == 0:
        P, M = (side / np.sqrt(1 + a * side**2 * times / 2) for side in (P_0, M_0))
    elif P_0 == 0:
        P, M = np.zeros_like(times), M_0 * np.sqrt(e / (1 + m_0 * gone / (4 * s)))
    else:
        p = (p_0 * (1 + e) / 2 + (2 * s * p_0 + K**2) * gone / (2 * R)) / (
            e + (p_0 + K**2 / (R + 2 * s)) * gone / (2 * R)
        )
        P = np.sign(P_0) * np.sqrt(p)
        M = K / P
    return (P + M) / 2, (P - M) / 2


def chain(
    w0: Float[np.ndarray, " L"], s: float, a: float, times: Times
) -> Float[np.ndarray, "t L"]:
    """All weights of a chain of any depth under flow, from any start.

    Every w_i^2 - w_j^2 is conserved, so one weight tells all: with w the smallest, w_i = sign_i
    sqrt(w^2 + K_i) and dw/dt = a (s - u) u/w, integrated by DOP853 at relative tolerance 1e-12.
    L = 1 and L = 2 in closed form.
    """
    if len(w0) == 1:
        return (s + (w0 - s) * np.exp(-a * times))[:, None]
    if len(w0) == 2:
        return np.stack(two_layers(w0[0], w0[1], s, a, times), axis=1)
    smallest = int(np.argmin(np.abs(w0)))
    K = (np.abs(w0) - abs(w0[smallest])) * (np.abs(w0) + abs(w0[smallest]))
    # weights as small as the smallest move with it, up to a sign; the others never cross 0
    equal = K == 0
    sign = np.where(equal, np.sign(w0) * np.sign(w0[smallest]), np.sign(w0))
    sign[smallest] = 1.0

    def all_weights(w):
        return sign * np.where(equal, w, np.sqrt(w**2 + K))

    def velocity(t, state):
        others = np.delete(all_weights(state[0]), smallest)
        rest = np.prod(others)
        return [a * (s - state[0] * rest) * rest]

    scale = np.abs(w0[w0 != 0]).min(initial=np.inf)
    if scale == np.inf:
        return np.zeros((len(times), len(w0)))
    solved = integrate.solve_ivp(
        velocity,
        (0.0, times[-1]),
        [w0[smallest]],
        method="DOP853",
        t_eval=times,
        rtol=1e-12,
        atol=1e-14 * scale,
    )
    return np.stack([all_weights(w) for w in solved.y[0]])


def balanced_time(u0: float, u: float, s: float, a: float, depth: int) -> float:
    """When depth-L balanced layers reach u: the integral of dv/(L a v^{2-2/L} (s - v)) from u_0,
    by adaptive quadrature in ln v."""
    value, _ = integrate.quad(
        lambda x: np.exp(x * (2 / depth - 1)) / (s - np.exp(x)),
        np.log(u0),
        np.log(u),
        epsabs=0,
        epsrel=1e-11,
        limit=400,
    )
    return value / (depth * a)


def infinite_depth_time(u0: float, u: float, s: float, a: float) -> float:
    """L t as L -> infinity: (1/a) { (1/s^2) ln[u(u_0 - s)/(u_0(u - s))] + 1/(s u_0) - 1/(s u) }."""
    return float((np.log(u * (u0 - s) / (u0 * (u - s))) / s**2 + 1 / (s * u0) - 1 / (s * u)) / a)


def minimum_sharpness(w: Float[np.ndarray, " L"], s: float, a: float) -> float:
    """Top Hessian eigenvalue at a minimum u = s: a s^2 sum_i 1/w_i^2. Least where balanced: a L
    s^{2-2/L}; the largest stable rate is 2 over it."""
    return float(a * s**2 * np.sum(1 / np.asarray(w) ** 2))


def scalar_problem(start: Start) -> tuple[float, float]:
    """(s, a) of L = (a/2)(u - s)^2 + const on one input and one output: a = 2c sum x^2, s = sum
    xy/sum x^2."""
    x, y = start.data.train.X[:, 0], start.data.train.Y[:, 0]
    power = float(x @ x)
    return float(x @ y) / power if power else 0.0, 2 * constant(start) * power


class ScalarChain(Theory):
    """Width 1 at every layer, u = w_1 ... w_L: dw_i/dt = a (s - u) prod_{j != i} w_j, from any
    start.

    L = 1 exponential, L = 2 in closed form from any start (logistic where balanced), L >= 3 by the
    conserved w_i^2 - w_j^2, as one equation.
    """

    source: ClassVar[str] = "Saxe et al. 2014"
    predicts: ClassVar[tuple[str, ...]] = (*OF_MAPS, "layer*.weight")

    def domain(self, start):
        shapes = {np.shape(layer.get("weight")) for layer in start.params.values()}
        width = max((max(shape, default=0) for shape in shapes), default=0)
        narrow = Condition("every width is 1", width, 1, shapes == {(1, 1)})
        return (
            narrow,
            plain_layers(start),
            squared_loss(start),
            no_ridge(start),
            rule_is(start, GradientFlow),
        )

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        marks, (s, a) = start.marked(clock), scalar_problem(start)
        w = chain(np.array([layer.item() for layer in weights(start)]), s, a, marks.times)
        said = said_of_maps(start, marks, np.prod(w, axis=1)[:, None, None])
        for place, q in enumerate(Weights().quantities(start.system, start.state.params)):
            said[q.name] = (("time", *q.axes), w[:, place, None, None], q.attributes)
        return said

    @classmethod
    def example(cls):
        data = Gaussian(n=10, d=1, k=1, map=np.array([[2.0]]))
        rule = GradientFlow(rtol=1e-10, atol=1e-12, solver="dopri8")
        return Experiment(
            DeepLinear(hidden=(1,)),
            data,
            rule,
            Clock(time=4.0, marks=21),
            Given(np.array([0.3, -0.1])),
        )
