"""The mean-field linear network: two layers that learn features at any width, closed on three
moments."""

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.architectures.dialed import Dialed
from learnmech.architectures.linear import DeepLinear
from learnmech.architectures.scalings import MeanField
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.initial.gaussian import SmallGaussian, ZeroReadout
from learnmech.initial.layers import GaussianPerLayer
from learnmech.language.trees import flat_of
from learnmech.machine.late import late
from learnmech.rules.descent import GradientDescent
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import (
    Condition,
    Limit,
    Theory,
    need,
    no_ridge,
    rule_is,
    squared_loss,
    time_factor,
    whitened_inputs,
)
from learnmech.theories.deep_linear import OF_MAPS, correlations, said_of_maps
from learnmech.theories.scalar import two_layers

if TYPE_CHECKING:
    from scipy import integrate
else:
    integrate = late("scipy.integrate")

Vector = Float[np.ndarray, " d"]
Matrix = Float[np.ndarray, "d d"]
Maps = Float[np.ndarray, "m d"]


class Moments(NamedTuple):
    """Means over the hidden units of f = (1/N) sum_i a_i w_i.x: A of a^2, b of a w, M of w w'."""

    A: float
    b: Vector
    M: Matrix


class Pull(NamedTuple):
    """g = 2cn (S_yx - beta S_xx)/alpha with beta = alpha (b - origin): what moves the moments,
    from the whole map beta."""

    S_xx: Matrix
    S_yx: Vector
    factor: float
    alpha: float
    origin: Vector

    def at(self, b: Vector) -> Vector:
        """g where the mean of a w is b."""
        return self.factor * (self.S_yx - self.S_xx @ self.map(b)) / self.alpha

    def map(self, b):
        """beta = alpha (b - origin)."""
        return self.alpha * (b - self.origin)


def stepped(moments: Moments, g: Vector, rate: float) -> Moments:
    """The moments after a step of descent: a_i <- a_i + rate w_i.g, w_i <- w_i + rate a_i g, exact
    at any width and rate.

    b+ = b + rate (A + M) g + rate^2 (b.g) g;  A+ = A + 2 rate b.g + rate^2 g'Mg;
    M+ = M + rate (b g' + g b') + rate^2 A g g'.
    """
    A, b, M = moments
    moved = M @ g
    turned = np.outer(b, g)
    return Moments(
        A + 2 * rate * (b @ g) + rate**2 * (g @ moved),
        b + rate * (A * g + moved) + rate**2 * (b @ g) * g,
        M + rate * (turned + turned.T) + rate**2 * A * np.outer(g, g),
    )


def descended(moments: Moments, pull: Pull, rate: float, steps: Float[np.ndarray, " m"]) -> Maps:
    """beta at these steps of descent."""
    maps, now = [], 0
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # above the stable rate the prediction diverges, as the run does
        for step in steps:
            while now < step:
                moments, now = stepped(moments, pull.at(moments.b), rate), now + 1
            maps.append(pull.map(moments.b))
    return np.array(maps)


def flowed(moments: Moments, pull: Pull, times: Float[np.ndarray, " m"]) -> Maps:
    """beta at these times of flow: b' = (A + M) g, A' = 2 b.g, M' = b g' + g b', by DOP853 at
    relative tolerance 1e-11."""
    d = len(moments.b)

    def velocity(t, state):
        b, M = state[1 : d + 1], state[d + 1 :].reshape(d, d)
        g = pull.at(b)
        turned = np.outer(b, g)
        return np.concatenate([[2 * (b @ g)], state[0] * g + M @ g, (turned + turned.T).ravel()])

    state = np.concatenate([[moments.A], moments.b, moments.M.ravel()])
    if times[-1] == 0:
        return np.tile(pull.map(moments.b), (len(times), 1))
    solved = integrate.solve_ivp(
        velocity,
        (0.0, times[-1]),
        state,
        method="DOP853",
        t_eval=times,
        rtol=1e-11,
        atol=1e-13 * np.abs(state).max(),
    )
    return np.array([pull.map(b) for b in solved.y[1 : d + 1].T])


def limit_on_whitened(
    A: float, variance: float, pull: Pull, times: Float[np.ndarray, " m"]
) -> Maps:
    """beta at these times of flow at infinite width on whitened inputs, along S_yx, where the
    moments are A, 0 and variance I.

    db/dt = 2cn sqrt(K^2 + 4 b^2)(s/alpha - b), b(0) = 0, K = A + variance, s = |S_yx|: two scalar
    layers from (sqrt K, 0) towards s/alpha. As alpha -> infinity beta = S_yx (1 - e^{-2cn K t}):
    exponential at rate K (lazy); small K alpha/s is a sigmoid (rich).
    """
    s = float(np.linalg.norm(pull.S_yx))
    along = pull.S_yx / s if s else pull.S_yx
    outer, inner = two_layers(np.sqrt(A + variance), 0.0, s / pull.alpha, pull.factor, times)
    return pull.alpha * (outer * inner)[:, None] * along


def moments_of(start: Start) -> Moments:
    """The moments of a start's own N units."""
    w, a = start.params["layer1"]["weight"], start.params["layer2"]["weight"][0]
    return Moments(float(a @ a) / len(a), a @ w / len(a), w.T @ w / len(a))


def drawn_moments(start: Start) -> tuple[float, float] | None:
    """(E a^2, variance of the entries of w) of the distribution which the start is drawn from;
    None where it is not of independent units."""
    initial = start.experiment.initial
    if isinstance(initial, SmallGaussian):
        return float(initial.std) ** 2, float(initial.std) ** 2
    if isinstance(initial, (GaussianStart, ZeroReadout)):
        variance = float(initial.scale) ** 2
        return variance * (not isinstance(initial, ZeroReadout)), variance
    if isinstance(initial, GaussianPerLayer):
        # entries of both layers are of variance 1 in this scaling
        own = initial.of_layers(start.params)
        return own.get("layer2", 1.0) ** 2, own.get("layer1", 1.0) ** 2
    return None


def _network(start) -> tuple[DeepLinear | None, Dialed | None]:
    architecture = start.system.architecture
    dial = architecture if isinstance(architecture, Dialed) else None
    of = architecture.of if dial else architecture
    fits = isinstance(of, DeepLinear) and len(of.hidden) == 1 and isinstance(of.scaling, MeanField)
    return (of if fits else None), dial


def _pull(start) -> Pull:
    dial = _network(start)[1]
    alpha = 1.0 if dial is None else float(dial.factor)
    S_xx, S_yx = correlations(start.data.train)
    own = moments_of(start).b
    whole = np.asarray(start.system.architecture.matrix(start.params), np.float64)[0]
    return Pull(S_xx, S_yx[0], time_factor(start), alpha, own - whole / alpha)


def _followed(start, moments, pull, marks):
    if start.rule.flows:
        return flowed(moments, pull, marks.times)
    return descended(moments, pull, float(start.rule.rate), marks.steps)


def _conditions(start):
    of, k = _network(start)[0], start.data.train.Y.shape[1]
    name = repr(start.experiment.architecture)
    return (
        Condition(
            "the network is linear, of one hidden layer in mean-field scaling, dialed or plain",
            name,
            "DeepLinear, mean-field",
            of is not None,
        ),
        Condition("one output", k, 1, k == 1),
        squared_loss(start),
        no_ridge(start),
        rule_is(start, GradientFlow, GradientDescent),
    )


def _experiment(width, rule, clock):
    network = Dialed(DeepLinear(hidden=(width,), scaling=MeanField()), alpha=0.5)
    return Experiment(network, Gaussian(n=20, d=3, k=1, noise=0.1, test=5), rule, clock)


class MeanFieldMoments(Theory):
    """Two linear layers with one output in mean-field scaling, of any width, from any start, under
    flow and descent: exact, from their own moments.

    F = (alpha/N) sum_i a_i w_i.x (less its start where centered), rate N/alpha^2: the means over
    units A of a^2, b of a w and M of w w' close on themselves, whatever N is. Descent is a
    recursion in them; flow one equation, integrated. Any S_xx; at another c than 1/(2n), 2cn
    multiplies the pull.
    """

    source: ClassVar[str] = "Mei et al. 2018; Chizat et al. 2019"
    predicts: ClassVar[tuple[str, ...]] = OF_MAPS

    def domain(self, start):
        return _conditions(start)

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        marks = start.marked(clock)
        return said_of_maps(
            start, marks, _followed(start, moments_of(start), _pull(start), marks)[:, None, :]
        )

    @classmethod
    def example(cls):
        return _experiment(
            6, GradientFlow(rtol=1e-10, atol=1e-12, solver="dopri8"), Clock(time=4.0, marks=21)
        )


class MeanFieldLinear(Theory):
    """The same network as its width N -> infinity, from independent normal weights: one scalar
    equation on whitened inputs, from lazy to rich.

    A = E a^2, b = 0 and M = E w w' at the start. Flow on whitened inputs in closed form; on others
    one equation, integrated; descent a recursion. A run of width N is off by O(N^-1/2);
    `MeanFieldMoments` is its exact twin.
    """

    source: ClassVar[str] = "Mei et al. 2018; Chizat et al. 2019"
    predicts: ClassVar[tuple[str, ...]] = OF_MAPS
    limits: ClassVar[tuple[Limit, ...]] = (Limit("architecture.of.width", -0.5),)
    tolerance: ClassVar[float] = (
        0.1  # a limit: what counts is the order; at 10% the curves go the same way
    )

    def domain(self, start):
        initial = start.experiment.initial
        dial: Any = _network(start)[1]
        own = (
            dial is None or not dial.centered or np.array_equal(dial.anchor, flat_of(start.params))
        )
        return (
            *_conditions(start),
            Condition(
                "the weights start independent and normal",
                type(initial).__name__,
                "Gaussian, SmallGaussian, ZeroReadout, GaussianPerLayer",
                drawn_moments(start) is not None,
            ),
            Condition(
                "the outputs are centered at the start, or not at all",
                "elsewhere" if not own else "so",
                "so",
                bool(own),
            ),
        )

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        moments: Any = drawn_moments(start)
        marks, (A, variance) = start.marked(clock), moments
        pull = _pull(start)._replace(origin=np.zeros(start.data.train.X.shape[1]))
        if start.rule.flows and whitened_inputs(start).holds:
            maps = limit_on_whitened(A, variance, pull, marks.times)
        else:
            d = len(pull.S_yx)
            maps = _followed(start, Moments(A, np.zeros(d), variance * np.eye(d)), pull, marks)
        return said_of_maps(start, marks, maps[:, None, :])

    @classmethod
    def example(cls):
        return _experiment(64, GradientDescent(rate=0.1), Clock(steps=40, every=4))
