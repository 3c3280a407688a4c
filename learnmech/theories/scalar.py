"""The scalar chain: u = w_1 ... w_L, the smallest deep network."""

from typing import ClassVar

import numpy as np
import scipy.integrate
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.clock import Clock
from learnmech.data.gaussian import Gaussian
from learnmech.experiment import Experiment, Start
from learnmech.initial.given import Given
from learnmech.instruments.weights import Weights
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import Condition, Theory, constant, need, no_ridge, rule_is, squared_loss
from learnmech.theories.deep_linear import OF_MAPS, plain_layers, said_of_maps, weights

Times = Float[np.ndarray, " t"]


def logistic(u0: float, s: float, rate: float, times: Times) -> Times:
    """u(t) = s/(1 + (s/u_0 - 1) e^{-rate t}): two balanced layers, with rate = 2 s a."""
    return s / (1 + (s / u0 - 1) * np.exp(-rate * times))


def logistic_time(u0: float, s: float, rate: float, share: float) -> float:
    """When a logistic curve reaches `share` of s: ln[(s/u_0 - 1) share/(1 - share)]/rate."""
    return float(np.log((s / u0 - 1) * share / (1 - share)) / rate)


def two_layers(w1: float, w2: float, s: float, a: float, times: Times) -> tuple[Times, Times]:
    """(w_1(t), w_2(t)) of L = (a/2)(w_1 w_2 - s)^2 under flow from any start, s of any sign.

    K = w_1^2 - w_2^2 is conserved. For K > 0 (else swap the two), z = w_2/w_1, R = sqrt(K^2 + 4s^2), z± = (-K ± R)/(2s):
    (z - z+)/(z - z-) = [(z_0 - z+)/(z_0 - z-)] e^{-Rat}, w_1 = sign(w_1(0)) sqrt(K/(1 - z^2)). K = 0: logistic.  Source: THEORY section 2.
    """
    K = w1**2 - w2**2
    if K < 0:
        return two_layers(w2, w1, s, a, times)[::-1]
    if s < 0:
        one, two = two_layers(w1, -w2, -s, a, times)
        return one, -two
    if K <= 1e-14 * max(w1**2, s):
        if w1 == 0:
            return np.zeros_like(times), np.zeros_like(times)
        grows = w1 * w2 > 0 and s > 0
        u = logistic(w1**2, s, 2 * s * a, times) if grows else _decaying(w1**2, s, a, times)
        root = np.sqrt(np.abs(u))
        return np.sign(w1) * root, np.sign(w2) * root
    if s == 0:
        # tanh form of the same conserved curve: z = w_2/w_1 decays as dz/dt = -a K z
        z = w2 / w1 * np.exp(-K * a * times)
        one = np.sign(w1) * np.sqrt(K / (1 - z**2))
        return one, z * one
    R = np.hypot(K, 2 * s)
    high, low = 2 * s / (K + R), -(K + R) / (2 * s)
    ratio = (w2 / w1 - high) / (w2 / w1 - low) * np.exp(-R * a * times)
    z = (high - ratio * low) / (1 - ratio)
    one = np.sign(w1) * np.sqrt(K / (1 - z**2))
    return one, z * one


def _decaying(v0, s, a, times):
    """|u| of two balanced layers of opposite signs, target s > 0, or of any signs where s = 0: dv/dt = -2a v (s + v), which dies out at the saddle."""
    if s == 0:
        return v0 / (1 + 2 * a * v0 * times)
    left = v0 / (s + v0) * np.exp(-2 * s * a * times)
    return s * left / (1 - left)


def chain(w0: Float[np.ndarray, " L"], s: float, a: float, times: Times) -> Float[np.ndarray, "t L"]:
    """All weights of a chain of any depth under flow, from any start.

    Every w_i^2 - w_j^2 is conserved, so one weight tells all: with w the smallest, w_i = sign_i sqrt(w^2 + K_i) and
    dw/dt = a (s - u) u/w, integrated by DOP853 at relative tolerance 1e-12. L = 1 and L = 2 in closed form.
    """
    if len(w0) == 1:
        return (s + (w0 - s) * np.exp(-a * times))[:, None]
    if len(w0) == 2:
        return np.stack(two_layers(*w0, s, a, times), axis=1)
    smallest = int(np.argmin(np.abs(w0)))
    K = w0**2 - w0[smallest] ** 2
    # weights as small as the smallest move with it, up to a sign; the others never cross 0
    equal = K <= 1e-14 * np.max(w0**2)
    sign = np.where(equal, np.sign(w0) * np.sign(w0[smallest]), np.sign(w0))
    sign[smallest] = 1.0

    def all_weights(w):
        return sign * np.where(equal, w, np.sqrt(w**2 + K))

    def velocity(t, state):
        others = np.delete(all_weights(state[0]), smallest)
        rest = np.prod(others)
        return [a * (s - state[0] * rest) * rest]

    scale = max(np.abs(w0).max(), abs(s) ** (1 / len(w0)))
    solved = scipy.integrate.solve_ivp(velocity, (0.0, times[-1]), [w0[smallest]], method="DOP853", t_eval=times, rtol=1e-12, atol=1e-14 * scale)
    return np.stack([all_weights(w) for w in solved.y[0]])


def balanced_time(u0: float, u: float, s: float, a: float, depth: int) -> float:
    """When depth-L balanced layers reach u: the integral of dv/(L a v^{2-2/L} (s - v)) from u_0, by adaptive quadrature in ln v."""
    value, _ = scipy.integrate.quad(lambda x: np.exp(x * (2 / depth - 1)) / (s - np.exp(x)), np.log(u0), np.log(u), epsabs=0, epsrel=1e-11, limit=400)
    return value / (depth * a)


def infinite_depth_time(u0: float, u: float, s: float, a: float) -> float:
    """L t as L -> infinity: (1/a) { (1/s^2) ln[u(u_0 - s)/(u_0(u - s))] + 1/(s u_0) - 1/(s u) }."""
    return float((np.log(u * (u0 - s) / (u0 * (u - s))) / s**2 + 1 / (s * u0) - 1 / (s * u)) / a)


def minimum_sharpness(w: Float[np.ndarray, " L"], s: float, a: float) -> float:
    """Top Hessian eigenvalue at a minimum u = s: a s^2 sum_i 1/w_i^2. Least where balanced: a L s^{2-2/L}; the largest stable rate is 2 over it."""
    return float(a * s**2 * np.sum(1 / np.asarray(w) ** 2))


def scalar_problem(start: Start) -> tuple[float, float]:
    """(s, a) of L = (a/2)(u - s)^2 + const on one input and one output: a = 2c sum x^2, s = sum xy/sum x^2."""
    x, y = start.data.train.X[:, 0], start.data.train.Y[:, 0]
    return float(x @ y / (x @ x)), float(2 * constant(start) * x @ x)


class ScalarChain(Theory):
    """Width 1 at every layer, u = w_1 ... w_L: dw_i/dt = a (s - u) prod_{j != i} w_j, from any start.

    L = 1 exponential, L = 2 in closed form from any start (logistic where balanced), L >= 3 by the conserved w_i^2 - w_j^2, as one equation.
    """

    source: ClassVar[str] = "Saxe et al. 2014; THEORY section 2"
    predicts: ClassVar[tuple[str, ...]] = (*OF_MAPS, "layer*.weight")

    def domain(self, start):
        shapes = {np.shape(layer.get("weight")) for layer in start.params.values()}
        width = max((max(shape, default=0) for shape in shapes), default=0)
        narrow = Condition("every width is 1", width, 1, shapes == {(1, 1)})
        return narrow, plain_layers(start), squared_loss(start), no_ridge(start), rule_is(start, GradientFlow)

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
        return Experiment(DeepLinear(hidden=(1,)), data, rule, Clock(time=4.0, marks=21), Given(np.array([0.3, -0.1])))
