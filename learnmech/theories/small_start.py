"""Small starts: two linear layers from an ordinary small random start, with the constant of every
mode's time."""

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.teachers import LinearTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.initial.gaussian import SmallGaussian
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
from learnmech.theories.deep_linear import OF_MAPS, plain_layers, said_of_maps, weights
from learnmech.theories.lambda_balanced import riccati_step
from learnmech.theories.modes import Modes, modes_of

Matrix = Float[np.ndarray, "rows columns"]
Vector = Float[np.ndarray, " m"]
SMALL = 0.02  # errors there are of a hundredth of it
SOUGHT = 1e-6


def first_strengths(W_1: Matrix, W_2: Matrix, modes: Modes) -> Vector:
    """a0_k = r_k^2/2, the strength from which mode k grows alone: r_k is what is left of
    q_k = (W_1 v_k + W_2' u_k)/sqrt(2) beside those of all stronger modes (Gram-Schmidt).

    A stronger mode takes its own direction of the hidden units first, and there nothing else
    grows. 0 for modes beyond the hidden width.
    """
    rows = (W_1 @ modes.V + W_2.T @ modes.U).T / np.sqrt(2)
    # the triangle of QR holds what Gram-Schmidt leaves on its diagonal
    left = np.abs(np.diag(np.linalg.qr(rows.T, mode="r")))
    return np.concatenate([left**2 / 2, np.zeros(len(rows) - len(left))])


def growth(s: Vector, rate: float = 0.0) -> Vector:
    """The rate at which a mode grows out of the saddle: s under flow, ln(1 + rate s)/rate under
    descent, whose steps multiply it by 1 + rate s."""
    return np.log1p(rate * s) / rate if rate else s


def half_times(a0: Vector, s: Vector, rate: float = 0.0) -> Vector:
    """When each mode comes to s/2 from a0: ln(s/a0 - 1)/(2 s) times descent's own factor
    rate s/ln(1 + rate s), less (3/4) ln 2 rate; at c = 1/(2n). Infinite for modes that do not
    begin.

    The factor is that of growth out of the saddle; the rest is what steps gain on the way up,
    where the modified flow is d ln a/dt = 2 (s - a)(1 - (rate/2)(s - 3a)). Together off by
    O(rate^2).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        alone = np.log(s / a0 - 1) / (2 * growth(s, rate)) - 0.75 * np.log(2) * rate
        return np.where((s > 0) & (a0 > 0), alone, np.inf)


def stepped(a: Float[np.ndarray, "t m"], s: Vector, rate: float) -> Float[np.ndarray, "t m"]:
    """Strengths of the logistic of descent's growth brought forward by (3 rate/4) ln(s/(s - a)),
    what steps gain on the way up."""
    left = np.maximum(1 - a / np.where(s > 0, s, np.inf), np.finfo(float).tiny)
    gained = left ** (-1.5 * rate * growth(s, rate))
    return np.where((a > 0) & (a < s), a * gained / (left + a * gained / np.maximum(s, 1e-300)), a)


def together(a0: Vector, s: Vector) -> Vector:
    """For each mode but the strongest, how much of it the modes before it find as they come to
    half: the largest a0_k e^(2 s_k t_j)/s_k over j < k, at most 1.

    `half_times` is the limit of all of these small; where they are not, modes that overlap at the
    start disturb each other's times by about this over 2 s_k.
    """
    times = half_times(a0, s)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = [
            np.max(1 / (1 + np.exp(np.minimum(2 * s[k] * (times[k] - times[:k]), 700.0))))
            for k in range(1, len(s))
        ]
    return np.array(shares)


def maps_along(
    W_1: Matrix, W_2: Matrix, S_yx: Matrix, times: Float[np.ndarray, " t"], rate: float = 0.0
) -> Float[np.ndarray, "t k d"]:
    """W_2W_1 at these times, S_xx = I, for a start so small that it may be called balanced.

    Q = [W_1'; W_2] under dQ/dt = FQ - QQ'Q/2, F = [[0, S_yx'], [S_yx, 0]] (`riccati_step`). Under
    descent each eigenvalue f of F grows as `growth` says, and ends where it does under flow.
    """
    d = W_1.shape[1]
    F = np.block([[np.zeros((d, d)), S_yx.T], [S_yx, np.zeros((len(S_yx),) * 2)]])
    f, P = np.linalg.eigh(F)
    grown = growth(f, rate)
    ends = np.sqrt(np.where(np.abs(f) > 1e-12 * f.max(initial=0), grown / np.where(f, f, 1), 1.0))
    Q, reached, maps = ends[:, None] * (P.T @ np.concatenate([W_1.T, W_2])), 0.0, []
    for time in times:
        # spans so short that nothing overflows within one
        pieces = int(np.ceil(np.abs(grown).max(initial=0) * (time - reached)))
        for _ in range(pieces):
            Q = riccati_step(Q, np.eye(len(f)), grown, (time - reached) / pieces)
        reached = time
        whole = P @ (Q / ends[:, None])
        maps.append(whole[d:] @ whole[:d].T)
    return np.array(maps)


class SmallStart(Theory):
    """Two linear layers from a small random start, neither aligned nor balanced, whitened inputs:
    when each mode is learned, with the constant.

    Q = [W_1'; W_2] obeys the Riccati equation of balanced layers up to what the start is
    unbalanced by, which is of second order in its size and is conserved; the map comes from it
    (`maps_along`). Modes apart from one another are logistic, a_k = s_k/(1 + (s_k/a0_k - 1)
    e^(-2 s_k t)), from a0_k = r_k^2/2 by Gram-Schmidt of the start's rows in the mode basis
    (`first_strengths`), at half at `half_times`. Descent has its own factor, ln(1 + rate s)/(rate
    s), and gains a little on the way up (`stepped`): strengths are off by O(rate^2), the map beside
    the modes by O(rate). At another c than 1/(2n), 2cn multiplies t and rate.
    """

    source: ClassVar[str] = (
        "Braun et al. 2022 (the Riccati equation); Karkada et al. 2025; the constant is ours"
    )
    predicts: ClassVar[tuple[str, ...]] = OF_MAPS
    limits: ClassVar[tuple[Limit, ...]] = (Limit("initial.std", 2.0, True),)
    tolerance: ClassVar[float] = 0.01  # a limit: what counts is the order

    def known(self, start):
        conditions = self._needed(start)
        if not all(one.holds for one in conditions[:2]):
            return conditions
        return (*conditions, whitened_inputs(start), *_small(start))

    def _needed(self, start):
        count = len(start.params)
        return (
            Condition("two layers", count, 2, count == 2, fact="depth", wants=("2",)),
            plain_layers(start),
            squared_loss(start),
            no_ridge(start),
            rule_is(start, GradientFlow, GradientDescent),
        )

    def predict(self, start, clock=None):
        need(self, start, *self._needed(start), whitened_inputs(start))
        marks, (W_1, W_2), pace = start.marked(clock), weights(start), time_factor(start)
        modes, rate = modes_of(start), stride(start)
        S_yx = modes.U * modes.s @ modes.V.T
        need(self, start, _short_step(modes, rate))
        maps = maps_along(W_1, W_2, S_yx, pace * marks.times, rate)
        if rate:
            a = np.einsum("km,tkd,dm->tm", modes.U, maps, modes.V)
            maps += modes.maps(stepped(a, modes.s, rate) - a)
        return said_of_maps(start, marks, maps)

    @classmethod
    def example(cls):
        return Experiment(
            DeepLinear(hidden=(4,)),
            LinearTeacher(strengths=(3.0, 2.0, 1.0), n=20, d=4, k=3),
            GradientFlow(rtol=1e-10, atol=1e-14, solver="dopri8"),
            Clock(time=8.0, marks=33),
            SmallGaussian(std=1e-3),
        )


def stride(start: Start) -> float:
    """2cn times the rate of the steps, 0 for a flow."""
    return 0.0 if start.rule.flows else time_factor(start) * float(start.rule.rate)


def _short_step(modes, rate):
    found = float(rate * modes.s.max(initial=0))
    return Condition("steps are short beside the modes: rate s", found, 0.5, found <= 0.5)


def unbalanced(start: Start) -> float:
    """|W_2'W_2 - W_1W_1'|_2 of the start, times the time until the last mode that is sought within
    the clock is at half: what the theory leaves out, relative."""
    (W_1, W_2), modes = weights(start), modes_of(start)
    gap = np.linalg.norm(W_2.T @ W_2 - W_1 @ W_1.T, 2)
    sought = modes.s > SOUGHT * modes.s.max(initial=0)
    times = half_times(first_strengths(W_1, W_2, modes), modes.s, stride(start))
    end = time_factor(start) * float(start.marks.times[-1])
    # a mode that begins at half or above has its own time, 1/(2 s), to be disturbed in
    reached = np.minimum(np.fmax(times[sought], 0.5 / modes.s[sought]), end)
    return float(gap * np.max(reached, initial=0.0))


def _small(start):
    modes, rate = modes_of(start), stride(start)
    size = unbalanced(start)
    yield Condition(
        "the start is small: what it is unbalanced by times the time to half of the last mode",
        size,
        SMALL,
        size <= SMALL,
    )
    if rate:
        yield _short_step(modes, rate)
