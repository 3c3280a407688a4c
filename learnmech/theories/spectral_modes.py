"""Spectral modes: deep linear networks under spectral descent, where every mode grows alike and
the weak ones are finished first."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.initial.balanced import Aligned
from learnmech.machine.late import late
from learnmech.rules.spectral import SpectralDescent, SpectralFlow
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
from learnmech.theories.modes import ALIGNED, Vector, begun, decoupled_inputs, modes_of

if TYPE_CHECKING:
    from scipy import integrate
else:
    integrate = late("scipy.integrate")


def pull(w: Vector, s: Vector, g: Vector, depth: int, eps: float, factor: float) -> Vector:
    """dw/dt = G/(|G| + eps), G = factor (s - g w^L) w^(L-1): what a layer's singular values move by
    on aligned modes; factor = 2cn, of no effect at eps = 0.

    A pull below round-off of the largest is none, as in the rule.
    """
    G = factor * (s - g * w**depth) * w ** (depth - 1)
    there = np.abs(G) > np.finfo(float).eps * max(len(w), 1) * np.abs(G).max(initial=0)
    return np.where(there, G / np.where(there, np.abs(G) + eps, 1), 0)


def spectral_strengths(
    a0: Vector,
    s: Vector,
    g: Vector,
    depth: int,
    rate: float,
    steps: np.ndarray,
    eps: float,
    factor: float,
) -> Float[np.ndarray, "t m"]:
    """Strengths of aligned balanced modes under spectral descent, exactly: every layer carries
    w = |a|^(1/L), w <- w + rate * pull."""
    sign = np.where(a0 < 0, -1.0, 1.0)
    w, reached, step = np.abs(a0) ** (1 / depth), [], 0
    for mark in steps:
        while step < mark:
            w, step = w + rate * pull(w, sign * s, g, depth, eps, factor), step + 1
        reached.append(sign * w**depth)
    return np.array(reached)


def amplified(
    a0: Vector,
    s: Vector,
    g: Vector,
    beside: Vector,
    depth: int,
    rate: float,
    steps: int,
    eps: float,
    factor: float,
) -> float:
    """How many times round-off has grown after so many steps, in an input or output without a
    target into which a mode leaks.

    A leak c of a mode into such a direction of power `beside` is pulled by w^(2L-2) beside c,
    normed with the mode's own pull |G|, so that
    c <- c (1 - rate factor w^(2L-2) beside/(|G| + eps)). About its end a mode flutters from |G| to
    |G'|; where one of them is small enough, c grows.
    """
    w, target, grown = np.abs(a0) ** (1 / depth), np.where(a0 < 0, -s, s), np.ones_like(s)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(steps):
            G = np.abs(factor * (target - g * w**depth) * w ** (depth - 1)) + eps
            moved = pull(w, target, g, depth, eps, factor)
            grown = np.where(
                moved == 0,
                grown,
                1 + grown * np.abs(1 - rate * factor * w ** (2 * depth - 2) * beside / G),
            )
            w = w + rate * moved
    return float(grown.max(initial=1))


def spectral_half_time(a0: float, s: float, depth: int) -> float:
    """When a mode of whitened inputs reaches s/2 from a_0 under spectral flow at eps = 0:
    (s/2)^(1/L) - a_0^(1/L), the sooner the weaker, for every c."""
    return float((s / 2) ** (1 / depth) - a0 ** (1 / depth))


class SpectralModes(Theory):
    """Deep linear network, aligned and balanced, under spectral descent or flow: every singular
    value of each layer grows at rate 1, up to s^(1/L).

    w = a^(1/L) of each mode moves by `pull`, so that small modes finish first: the order of
    gradient descent (`Decoupled`) is reversed. Under descent the recursion is exact, with its
    flutter about the end, until that has amplified round-off (`amplified`); under flow at eps > 0
    it is one equation per mode.
    """

    source: ClassVar[str] = (
        "textbook: the polar factor of aligned gradients; Bernstein & Newhouse 2024"
    )
    predicts: ClassVar[tuple[str, ...]] = OF_MAPS

    def known(self, start):
        conditions = self._needed(start)
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
            _all_sought(start),
            *((balanced(start),) if len(start.params) > 1 else ()),
        )

    def further(self, start):
        yield _quiet(start, modes_of(start))

    def _needed(self, start):
        batch = getattr(start.rule, "batch", 0)
        whole = Condition(
            "every step sees all samples (batch)",
            batch,
            0,
            batch == 0,
            fact="all-samples",
            wants=("yes",),
        )
        momentum = getattr(start.rule, "momentum", None)
        alone = Condition(
            "a step sees its own gradient alone (momentum)",
            "none" if momentum is None else float(momentum),
            "none",
            momentum is None,
        )
        return (
            plain_layers(start),
            squared_loss(start),
            no_ridge(start),
            rule_is(start, SpectralDescent, SpectralFlow),
            whole,
            alone,
        )

    def predict(self, start, clock=None):
        need(self, start, *self._needed(start))
        marks, modes, depth = start.marked(clock), modes_of(start), len(start.params)
        eps, factor = float(start.rule.eps), time_factor(start)
        if start.rule.flows:
            strengths = _flowing(modes, depth, eps, factor, marks.times)
        else:
            strengths = spectral_strengths(
                modes.a0, modes.s, modes.g, depth, float(start.rule.rate), marks.steps, eps, factor
            )
        return said_of_maps(start, marks, modes.maps(strengths), mode_strength=strengths)

    @classmethod
    def example(cls):
        data = Gaussian(n=20, d=4, k=3, whitened=True, test=5)
        return Experiment(
            DeepLinear(hidden=(4,)),
            data,
            SpectralDescent(rate=0.01),
            Clock(steps=80, every=10),
            Aligned(strength=0.01),
        )


def _flowing(modes, depth, eps, factor, times):
    sign = np.where(modes.a0 < 0, -1.0, 1.0)
    begun = np.abs(modes.a0) ** (1 / depth)
    solved = integrate.solve_ivp(
        lambda t, w: pull(w, sign * modes.s, modes.g, depth, eps, factor),
        (0.0, float(times[-1])),
        begun,
        "LSODA",
        times,
        rtol=1e-11,
        atol=1e-13,
    )
    return sign * solved.y.T**depth


def _quiet(start, modes):
    """The condition that what flutters about its end does not amplify round-off until it is
    seen."""
    S_xx, _ = correlations(start.data.train)
    (k, m), d = modes.U.shape, len(S_xx)
    idle = np.linalg.eigvalsh(S_xx - modes.V * modes.g @ modes.V.T)[-1] if d > m else 0.0
    beside = np.maximum(idle, modes.g if k > m else 0.0)
    grown = 1.0
    if not start.rule.flows and beside.any():
        knobs = (
            float(start.rule.rate),
            int(start.marks.steps[-1]),
            float(start.rule.eps),
            time_factor(start),
        )
        grown = amplified(modes.a0, modes.s, modes.g, beside, len(start.params), *knobs)
    value, bound = grown * float(np.finfo(start.experiment.precision).eps), resolved(start, 1e-8)
    return Condition(
        "round-off as far as fluttering modes amplify it", value, bound, value <= bound
    )


def _all_sought(start):
    s = modes_of(start).s
    share = float(s.min() / s.max()) if s.max() > 0 else 0.0
    # where a mode without target dies, round-off decides which way its polar factor turns
    return Condition(
        "every mode has a target, at least so large beside the largest", share, 1e-8, share >= 1e-8
    )
