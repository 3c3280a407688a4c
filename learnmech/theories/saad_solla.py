"""Teacher and student: a committee of erf units that learns online from another, by its order
parameters."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.committee import Committee
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

Overlap = Float[np.ndarray, "s s"]
LARGE = 200


def products(C: Overlap) -> Overlap:
    """E erf(z_a) erf(z_b) of fields z ~ N(0, C): (2/pi) asin(2 c_ab/sqrt((1 + 2 c_aa)(1 + 2
    c_bb)))."""
    size = np.sqrt(1 + 2 * np.diag(C))
    return 2 / np.pi * np.arcsin(2 * C / (size[:, None] * size))


def slopes(C: Overlap) -> Float[np.ndarray, "s s s"]:
    """E erf'(z_i) z_j erf(z_a), [i, j, a]: (2/pi)(c_ja (1 + c_ii) - c_ij c_ia)/((1 + c_ii)
    sqrt((1 + c_ii)(1 + c_aa) - c_ia^2)) at 2C."""
    c = 2 * C
    own = 1 + np.diag(c)
    root = np.sqrt(own[:, None] * own - c**2)
    top = c[None] * own[:, None, None] - c[:, :, None] * c[:, None, :]
    return 2 / np.pi * top / (own[:, None, None] * root[:, None, :])


def double_slopes(C: Overlap, K: int) -> Float[np.ndarray, "K K s s"]:
    """E erf'(z_i) erf'(z_j) erf(z_a) erf(z_b), i and j among the first K: twice the I_4 of Saad &
    Solla at 2C, (4/pi^2) asin(L_0/sqrt(L_1 L_2))/sqrt(L_4)."""
    c = 2 * C
    own = 1 + np.diag(c)
    i, j = own[:K, None, None, None], own[None, :K, None, None]
    ij = c[:K, :K, None, None]
    ia, ib = c[:K, None, :, None], c[:K, None, None, :]
    ja, jb = c[None, :K, :, None], c[None, :K, None, :]
    L4 = i * j - ij**2
    L0 = L4 * c - ja * jb * i - ia * ib * j + ij * ia * jb + ij * ib * ja

    def left(at, ka, kb):
        return L4 * at - kb**2 * i - ka**2 * j + 2 * ij * ka * kb

    L1, L2 = left(own[:, None], ia, ja), left(own[None, :], ib, jb)
    return 8 / np.pi**2 * np.arcsin((L0 / np.sqrt(L1 * L2)).clip(-1, 1)) / np.sqrt(L4)


def both_slopes(C: Overlap) -> Overlap:
    """E erf'(z_i) erf'(z_j) = (4/pi)/sqrt((1 + 2 c_ii)(1 + 2 c_jj) - 4 c_ij^2)."""
    own = 1 + 2 * np.diag(C)
    return 4 / np.pi / np.sqrt(own[:, None] * own - 4 * C**2)


def velocity(Q, R, T, v, teacher, noise, rate, readout_rate, batch):
    """(dQ, dR, dv)/dtau, tau = steps/d, as d -> infinity: Q = WW'/d, R = WW*'/d, T = W*W*'/d, v and
    `teacher` the readouts, `noise` the variance of that on targets.

    With D = f - f*: dR_in = -rate v_i E D phi'_i z_n; dQ_ij = -rate (v_i E D phi'_i z_j + v_j E D
    phi'_j z_i) + (rate^2/B) v_i v_j E phi'_i phi'_j (D^2 + noise); dv_i = -readout_rate E D phi_i.
    Source: Saad & Solla 1995; Goldt et al. 2019.
    """
    K = len(v)
    C, weights = np.block([[Q, R], [R.T, T]]), np.concatenate([v, -teacher])
    pull = np.einsum("ija,a->ij", slopes(C)[:K], weights) * v[:, None]
    spread = np.einsum("ijab,a,b->ij", double_slopes(C, K), weights, weights)
    spread += noise * both_slopes(C)[:K, :K]
    own = pull[:, :K]
    dQ = -rate * (own + own.T) + rate**2 / batch * np.outer(v, v) * spread
    return dQ, -rate * pull[:, K:], -readout_rate * (products(C)[:K] @ weights)


class SaadSolla(Theory):
    """A committee of erf units that learns online from a committee: its overlaps and its
    population's loss by closed equations, exact as the inputs become many.

    tau = steps/d; `velocity` by DOP853. At a finite d the course is off by O(1/sqrt d), most where
    it leaves the plateau, whose end hangs on small differences between units.
    """

    source: ClassVar[str] = "Saad & Solla 1995; Goldt et al. 2019"
    predicts: ClassVar[tuple[str, ...]] = ("population_loss", "student_overlap", "teacher_overlap")
    of_fresh: ClassVar[bool] = True
    # of one run at d = 1500, relative to the largest: 1 to 5%, up to 17% as it leaves the plateau
    tolerance: ClassVar[float] = 0.17

    def domain(self, start):
        population, student = start.data.population, start.system.architecture
        theirs = type(population.teacher).__name__ if isinstance(population, Taught) else "none"
        d = start.data.train.X.shape[-1]
        return (
            Condition(
                "a committee, taught by a committee",
                f"{type(student).__name__} by {theirs}",
                "Committee by Committee",
                isinstance(student, Committee) and theirs == "Committee",
            ),
            Condition("inputs are many", d, LARGE, d >= LARGE),
            squared_loss(start),
            mean_loss(start),
            no_ridge(start),
            rule_is(start, SGD),
            fresh_batches(start),
        )

    def predict(self, start, clock=None):
        need(self, start, *(one for one in self.domain(start) if one.claim != "inputs are many"))
        marks, population, params = start.marked(clock), start.data.population, start.params
        W, v = (np.asarray(params[layer]["weight"], np.float64) for layer in ("layer1", "layer2"))
        theirs = population.params["layer1"]["weight"]
        d, K, c = W.shape[1], len(W), start.experiment.loss.constant(1)
        scale, noise = float(population.scale), float(population.noise) ** 2
        teacher = scale * population.params["layer2"]["weight"][0]
        rate, T = float(start.rule.rate) * 2 * c, theirs @ theirs.T / d
        moves = d * rate * start.system.architecture.rate_factors(params)["layer2"]["weight"]
        parts = [(K, K), (K, len(T)), (K,)]
        cuts = np.cumsum([int(np.prod(shape)) for shape in parts])[:-1]

        def apart(flat):
            return [x.reshape(s) for x, s in zip(np.split(flat, cuts), parts, strict=True)]

        def change(tau, flat):
            Q, R, v = apart(flat)
            batch = int(start.rule.batch)
            moved = velocity(Q, R, T, v, teacher, noise, rate, moves, batch)
            return np.concatenate([np.ravel(x) for x in moved])

        begun = np.concatenate([(W @ W.T / d).ravel(), (W @ theirs.T / d).ravel(), v[0]])
        course = _solved(change, begun, np.asarray(marks.steps) / d)
        loss, Qs, Rs = [], [], []
        for Q, R, v in map(apart, course):
            C, weights = np.block([[Q, R], [R.T, T]]), np.concatenate([v, -teacher])
            loss.append(c * (weights @ products(C) @ weights + noise))
            Qs.append(Q)
            Rs.append(R)
        quantities = PopulationLoss().quantities(start.system, start.state.params)
        quantities += Overlaps().quantities(start.system, start.state.params)[:2]
        values = (np.array(one) for one in (loss, Qs, Rs))
        return table(quantities, dict(zip((q.name for q in quantities), values)), marks)

    @classmethod
    def example(cls):
        return Experiment(
            Committee(hidden=2),
            NetworkTeacher(Committee(hidden=2), n=20, d=1500),
            SGD(rate=0.4, batch=1, sampling="fresh"),
            Clock(steps=6000, marks=21),
        )


def _solved(change, begun, times):
    if times[-1] == 0:
        return np.tile(begun, (len(times), 1))
    span, kept = (0.0, times[-1]), {"rtol": 1e-9, "atol": 1e-11}
    return integrate.solve_ivp(change, span, begun, "DOP853", t_eval=times, **kept).y.T
