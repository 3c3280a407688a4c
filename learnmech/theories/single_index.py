"""A single index learned on the sphere: how long a direction stays hidden hangs on its information
exponent."""

import math
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.architectures.single_index import SingleIndex, padded
from learnmech.data.population import Taught
from learnmech.data.teachers import NetworkTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.experiment.tables import table
from learnmech.instruments.losses import PopulationLoss
from learnmech.instruments.overlaps import Overlaps
from learnmech.machine.late import late
from learnmech.rules.descent import SGD
from learnmech.theories.base import (
    Condition,
    Theory,
    fresh_batches,
    mean_loss,
    need,
    no_ridge,
    rule_is,
    squared_loss,
)

if TYPE_CHECKING:
    from scipy import integrate
else:
    integrate = late("scipy.integrate")

SMALL, RESOLVED = 0.02, 0.1


def cosine_along(
    m: float, weights: Float[np.ndarray, " k"], times: Float[np.ndarray, " t"]
) -> Float[np.ndarray, " t"]:
    """m(t) of dm/dt = (1 - m^2) sum_k k a_k m^{k-1} from m(0), a the `weights` of the powers of m
    in -loss: flow on the sphere.

    One k alone: k = 1, m = tanh(a t + artanh m_0); k = 2, m^2/(1 - m^2) grows as e^{4 a t}; a k
    from 3 on leaves m of d^{-1/2} ever more slowly.  Source: Ben Arous et al. 2021.
    """
    slope = np.polynomial.Polynomial(weights).deriv()
    if times[-1] == 0:
        return np.full(len(times), float(m))
    # in u = artanh m, du/dt = slope(tanh u), which keeps m within -1 and 1
    begun = np.arctanh(np.clip(m, -1 + 1e-16, 1 - 1e-16))
    solved = integrate.solve_ivp(
        lambda t, u: slope(np.tanh(u)),
        (0.0, times[-1]),
        [begun],
        "DOP853",
        t_eval=times,
        rtol=1e-11,
        atol=1e-13,
    )
    return np.tanh(solved.y[0])


def pull_of_one(
    own: Float[np.ndarray, " k"], other: Float[np.ndarray, " k"], m: float, noise: float
) -> float:
    """E (f - y)^2 f'(z)^2, f' the slope of f in z = w.x/|w|: the second moment of a sample's pull
    on each direction. `own` and `other` are coefficients in normalized Hermite polynomials."""
    z, weights = np.polynomial.hermite_e.hermegauss(4 * len(own))
    weights = weights / weights.sum()
    sizes = np.sqrt([float(math.factorial(k)) for k in range(len(own))])
    u = m * z[:, None] + np.sqrt(max(1 - m * m, 0.0)) * z
    series = np.polynomial.HermiteE(own / sizes)
    error = series(z)[:, None] - np.polynomial.HermiteE(other / sizes)(u)
    return float(weights @ ((error**2 @ weights + noise) * series.deriv()(z) ** 2))


class SphereFlow(Theory):
    """A single index that learns online from one: the cosine m between the two directions and the
    population's loss follow flow on the sphere, exact as the noise of steps becomes small.

    Loss = c n sum_k (a_k^2 + b_k^2 - 2 a_k b_k m^k), a and b the coefficients of student and
    teacher: `cosine_along` with 2 c n a_k b_k/|w|^2. The noise of a step turns w away from the
    teacher and makes it longer, at a pace of rate d/B.
    """

    source: ClassVar[str] = "Ben Arous et al. 2021"
    predicts: ClassVar[tuple[str, ...]] = ("population_loss", "teacher_cosine")
    of_fresh: ClassVar[bool] = True
    # the noise of steps is up to 0.1 of the cosine at the start, and grows with it
    tolerance: ClassVar[float] = 0.1

    def known(self, start):
        population, student = start.data.population, start.system.architecture
        theirs = type(population.teacher).__name__ if isinstance(population, Taught) else "none"
        return (
            Condition(
                "a single index, taught by one",
                f"{type(student).__name__} by {theirs}",
                "SingleIndex by SingleIndex",
                isinstance(student, SingleIndex) and theirs == "SingleIndex",
            ),
            squared_loss(start),
            mean_loss(start),
            no_ridge(start),
            rule_is(start, SGD),
            fresh_batches(start),
        )

    def further(self, start):
        p, d = _Problem.of(start), start.data.train.X.shape[-1]
        pace = float(start.rule.rate) * 2 * p.c / p.square / int(start.rule.batch)
        yield Condition("w stays as long as it is: rate d/B", pace * d, SMALL, pace * d <= SMALL)
        scatter = np.sqrt(2 * p.c * pace * pull_of_one(p.own, p.other, p.m, p.noise)) / abs(p.m)
        claim = "the noise of steps is small beside the cosine at the start"
        yield Condition(claim, scatter, RESOLVED, scatter <= RESOLVED)

    def predict(self, start, clock=None):
        need(self, start, *self.known(start))
        marks, p = start.marked(clock), _Problem.of(start)
        both = p.own * p.other
        m = cosine_along(p.m, 2 * p.c * both / p.square, np.asarray(marks.times))
        gap = np.sum(p.own**2 + p.other**2) - 2 * np.polynomial.Polynomial(both)(m)
        quantities = PopulationLoss().quantities(start.system, start.state.params)
        quantities += Overlaps().quantities(start.system, start.state.params)[2:]
        values = {"population_loss": p.c * (gap + p.noise), "teacher_cosine": m[:, None, None]}
        return table(quantities, values, marks)

    @classmethod
    def example(cls):
        return Experiment(
            SingleIndex((0.0, 1.0)),
            NetworkTeacher(SingleIndex((0.0, 1.0)), n=20, d=20),
            SGD(rate=0.02, batch=512, sampling="fresh"),
            Clock(steps=200, marks=21),
        )


class _Problem(NamedTuple):
    """Coefficients of student and teacher, the latter as scaled, the cosine between the two and
    |w|^2, the variance of the noise, and c of one sample."""

    own: Float[np.ndarray, " k"]
    other: Float[np.ndarray, " k"]
    m: float
    square: float
    noise: float
    c: float

    @classmethod
    def of(cls, start):
        """Of a start for which what is known of `SphereFlow` holds."""
        population = start.data.population
        w, v = (p["layer1"]["weight"][0] for p in (start.params, population.params))
        own, other = padded(start.system.architecture.coefficients, population.teacher.coefficients)
        square, c = float(w @ w), start.experiment.loss.constant(1)
        m = float(w @ v) / np.sqrt(square * float(v @ v))
        other = float(population.scale) * other
        return cls(own, other, m, square, float(population.noise) ** 2, c)
