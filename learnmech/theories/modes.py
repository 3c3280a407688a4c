"""Modes: deep linear networks whose singular modes are learned each on its own."""

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.base import singular_modes
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.initial.balanced import Aligned
from learnmech.machine.late import late
from learnmech.rules.descent import GradientDescent
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
)
from learnmech.theories.deep_linear import (
    OF_MAPS,
    balanced,
    correlations,
    plain_layers,
    product,
    said_of_maps,
    weights,
)

if TYPE_CHECKING:
    from scipy import integrate
else:
    integrate = late("scipy.integrate")

Vector = Float[np.ndarray, " m"]
ALIGNED = 1e-6


class Modes(NamedTuple):
    """S_yx = U diag(s) V', the power g_m = v_m' S_xx v_m of each input mode, and the strengths
    a_m = u_m' W_0 v_m at the start."""

    U: Float[np.ndarray, "k m"]
    s: Vector
    V: Float[np.ndarray, "d m"]
    g: Vector
    a0: Vector

    def maps(self, strengths: Float[np.ndarray, "t m"]) -> Float[np.ndarray, "t k d"]:
        """U diag(a) V' for every row of strengths."""
        return np.einsum("km,tm,dm->tkd", self.U, strengths, self.V)

    def off(self, W: Float[np.ndarray, "*t k d"]) -> float:
        """How far maps are from aligned: max |W - U diag(u'Wv) V'|_F / max |W|_F."""
        diagonal = np.einsum("km,...kd,dm->...m", self.U, W, self.V)
        rest = np.linalg.norm(
            W - np.einsum("km,...m,dm->...kd", self.U, diagonal, self.V), axis=(-2, -1)
        )
        size = np.linalg.norm(W, axis=(-2, -1)).max()
        return float(rest.max() / size) if size else 0.0


def modes_of(start: Start) -> Modes:
    """The modes of the training data, and where a deep linear network starts on them; a strength
    that is round-off of the largest is 0.

    Through a layer with fewer units than there are modes the others never grow, whatever round-off
    makes of their strengths.
    """
    S_xx, _ = correlations(start.data.train)
    U, s, V = singular_modes(start.data.train)
    W = product(weights(start))
    a0 = np.einsum("km,kd,dm->m", U, W, V)
    below = max(W.shape) * np.finfo(start.experiment.precision).eps * np.abs(a0).max(initial=0)
    return Modes(
        U, s, V, np.einsum("dm,de,em->m", V, S_xx, V), np.where(np.abs(a0) <= below, 0, a0)
    )


def begun(start: Start, modes: Modes) -> Condition:
    """The condition that each mode with a target begins beyond round-off as far as the narrowest
    layer has room; or all at 0, where they stay."""
    sought = modes.s > np.finfo(float).eps * modes.s.max(initial=0)
    room = min([len(modes.s), *(len(layer) for layer in weights(start)[:-1])])
    there, needed = int((modes.a0 != 0).sum()), min(room, int(sought.sum()))
    return Condition(
        "modes that begin beyond round-off", there, needed, there == 0 or there >= needed
    )


def decoupled_inputs(start: Start) -> Condition:
    """The condition S_xx V = V diag(g): whitened inputs, or input and target modes that commute."""
    S_xx, _ = correlations(start.data.train)
    V = singular_modes(start.data.train)[2]
    moved = S_xx @ V
    size = float(np.linalg.norm(moved))
    off = float(np.linalg.norm(moved - V * np.sum(V * moved, 0))) / size if size else 0.0
    return Condition(
        "the target's input modes are eigenvectors of S_xx (whitened or commuting), relative",
        off,
        ALIGNED,
        off <= ALIGNED,
        fact="inputs",
        wants=("whitened",),
    )


def flow_strengths(
    a0: Vector, s: Vector, g: Vector, depth: int, times: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "t m"]:
    """Strengths a(t) of aligned balanced modes under flow: da/dt = L a^(2-2/L) (s - g a), at
    c = 1/(2n).

    L = 2 is the logistic a_0/(e^(-2st) + a_0 g (1 - e^(-2st))/s). For other L, y = ln(a/|s - g a|)
    gives dy/dt = L s a^(1-2/L), which is never stiff. A mode that starts at a < 0 is the mirror
    image of one with target -s.  Source: Saxe et al. 2014.
    """
    sign = np.where(a0 < 0, -1.0, 1.0)
    return sign * np.stack(
        [
            _one_strength(abs(a), p * target, power, depth, times)
            for a, p, target, power in zip(a0, sign, s, g)
        ],
        axis=-1,
    )


def _one_strength(a0, s, g, depth, times):
    if depth == 1:
        return a0 * np.exp(-g * times) + s * (-np.expm1(-g * times) / g if g > 0 else times)
    if a0 == 0 or s == g * a0:
        return np.full(len(times), a0)
    if depth == 2:
        left = np.exp(-2 * abs(s) * times)
        gone = -np.expm1(-2 * abs(s) * times) / abs(s) if s else 2 * times
        return a0 / (left + g * a0 * gone) if s >= 0 else a0 * left / (1 + g * a0 * gone)
    if s <= 1e-3 * g * a0:
        return _shrinking(a0, s, g, depth, times)
    side = np.sign(s - g * a0)

    def strength(y):
        return side * s / (np.exp(-y) + side * g)

    y0 = np.log(a0 / abs(s - g * a0))
    solved = integrate.solve_ivp(
        lambda t, y: depth * s * strength(y) ** (1 - 2 / depth),
        (0, times[-1]),
        [y0],
        method="DOP853",
        t_eval=times,
        rtol=1e-12,
        atol=1e-12,
    )
    return strength(solved.y[0])


def _shrinking(a0, s, g, depth, times):
    """A mode whose target is far below it or of the other sign: with p = a^(2/L-1),
    dp/dt = (L - 2)(g a - s), which never blows up."""
    power = 2 / depth - 1
    solved = integrate.solve_ivp(
        lambda t, p: (depth - 2) * (g * p ** (1 / power) - s),
        (0, times[-1]),
        [a0**power],
        method="DOP853",
        t_eval=times,
        rtol=1e-12,
        atol=1e-12,
    )
    return solved.y[0] ** (1 / power)


def descent_strengths(
    a0: Vector, s: Vector, g: Vector, depth: int, rate: float, steps: np.ndarray
) -> Float[np.ndarray, "t m"]:
    """Strengths of aligned balanced modes under descent, exactly: every layer carries w = a^(1/L),
    w <- w + rate (s - g w^L) w^(L-1), at c = 1/(2n)."""
    sign = np.where(a0 < 0, -1.0, 1.0)
    w, target, reached, step = np.abs(a0) ** (1 / depth), sign * s, [], 0
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # above the critical rate strengths diverge, as the run's do
        for mark in steps:
            while step < mark:
                w, step = w + rate * (target - g * w**depth) * w ** (depth - 1), step + 1
            reached.append(sign * w**depth)
    return np.array(reached)


def half_time(a0: float, s: float, depth: int) -> float:
    """When a mode of whitened inputs reaches s/2 from a_0, at c = 1/(2n): ln(s/a_0 - 1)/(2s) for
    L = 2; in general the integral of da/(L a^(2-2/L)(s - a)).

    For L > 2 and small a_0 it grows as a_0^(2/L-1)/(s(L-2)): a plateau, where L = 2 waits only for
    a logarithm.
    """
    if depth == 2:
        return float(np.log(s / a0 - 1) / (2 * s))
    value, _ = integrate.quad(
        lambda x: np.exp(x * (2 / depth - 1)) / (s - np.exp(x)),
        np.log(a0),
        np.log(s / 2),
        epsabs=0,
        epsrel=1e-11,
        limit=400,
    )
    return value / depth


def escape_time(s: float, eps: float) -> float:
    """When a two-layer network with weight entries of size eps leaves the saddle along a mode of
    strength s: ln(1/eps)/s to leading order."""
    return float(np.log(1 / eps) / s)


class Decoupled(Theory):
    """Deep linear network, aligned and balanced: each singular mode grows on its own, da/dt = L
    a^(2-2/L) (s - g a).

    Inputs whitened (g = 1), or with S_xx sharing the target's input modes (eigenvalues g). L = 2 is
    the logistic a = s e^{2st}/(e^{2st} - 1 + s/a_0); other L one equation per mode. Under descent
    the recursion of w = a^(1/L) is exact. At another c than 1/(2n), 2cn multiplies t and rate.
    """

    source: ClassVar[str] = "Saxe, McClelland & Ganguli 2014"
    predicts: ClassVar[tuple[str, ...]] = OF_MAPS

    def domain(self, start):
        conditions = (
            plain_layers(start),
            squared_loss(start),
            no_ridge(start),
            rule_is(start, GradientFlow, GradientDescent),
        )
        if not conditions[0].holds:
            return conditions
        modes, bound = modes_of(start), resolved(start, ALIGNED)
        off = modes.off(product(weights(start)))
        aligned = Condition(
            "aligned at t = 0: W_0 = U diag(a) V' on the target's modes, relative",
            off,
            bound,
            off <= bound,
            fact="start",
            wants=("aligned",),
        )
        return (
            *conditions,
            decoupled_inputs(start),
            aligned,
            begun(start, modes),
            *((balanced(start),) if len(start.params) > 1 else ()),
        )

    def predict(self, start, clock=None):
        need(
            self,
            start,
            plain_layers(start),
            squared_loss(start),
            no_ridge(start),
            rule_is(start, GradientFlow, GradientDescent),
        )
        marks = start.marked(clock)
        modes = modes_of(start)
        depth = len(start.params)
        factor = time_factor(start)
        if start.rule.flows:
            strengths = flow_strengths(modes.a0, modes.s, modes.g, depth, factor * marks.times)
        else:
            strengths = descent_strengths(
                modes.a0, modes.s, modes.g, depth, factor * float(start.rule.rate), marks.steps
            )
        return said_of_maps(start, marks, modes.maps(strengths), mode_strength=strengths)

    @classmethod
    def example(cls):
        data = Gaussian(n=20, d=4, k=3, whitened=True, test=5)
        return Experiment(
            DeepLinear(hidden=(4,)),
            data,
            GradientFlow(rtol=1e-10, atol=1e-12, solver="dopri8"),
            Clock(time=12.0, marks=25),
            Aligned(strength=0.01),
        )
