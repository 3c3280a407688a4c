"""A single index learned on the sphere: how long a direction stays hidden hangs on its information
exponent."""

from typing import TYPE_CHECKING, ClassVar

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

SMALL = 0.02


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
    # of one run at d = 100
    tolerance: ClassVar[float] = 0.05

    def domain(self, start):
        population, student = start.data.population, start.system.architecture
        theirs = type(population.teacher).__name__ if isinstance(population, Taught) else "none"
        batch = max(int(getattr(start.rule, "batch", 0)), 1)
        noise = float(getattr(start.rule, "rate", 0.0)) * start.data.train.X.shape[-1] / batch
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
            Condition("the noise of steps is small: rate d/B", noise, SMALL, noise <= SMALL),
        )

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start)[:-1])
        marks, population, c = start.marked(clock), start.data.population, start.experiment.loss
        w, v = start.params["layer1"]["weight"][0], population.params["layer1"]["weight"][0]
        student, teacher = start.system.architecture, population.teacher
        own, other = padded(student.coefficients, teacher.coefficients)
        scale, c = float(population.scale), c.constant(1)
        size = float(w @ w)
        begun = float(w @ v) / np.sqrt(size * float(v @ v))
        m = cosine_along(begun, 2 * c * scale * own * other / size, np.asarray(marks.times))
        gap = np.sum(own**2 + (scale * other) ** 2) - 2 * scale * np.polynomial.Polynomial(
            own * other
        )(m)
        quantities = PopulationLoss().quantities(start.system, start.state.params)
        quantities += Overlaps().quantities(start.system, start.state.params)[2:]
        values = {
            "population_loss": c * (gap + float(population.noise) ** 2),
            "teacher_cosine": m[:, None, None],
        }
        return table(quantities, values, marks)

    @classmethod
    def example(cls):
        return Experiment(
            SingleIndex((0.0, 1.0)),
            NetworkTeacher(SingleIndex((0.0, 1.0)), n=20, d=20),
            SGD(rate=0.02, batch=256, sampling="fresh"),
            Clock(steps=200, marks=21),
        )
