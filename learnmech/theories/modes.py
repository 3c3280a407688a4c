"""Modes: deep linear networks whose singular modes are learned each on its own."""

from typing import ClassVar, NamedTuple

import numpy as np
import scipy.integrate
import xarray as xr
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.clock import Clock, Marks
from learnmech.data.gaussian import Gaussian
from learnmech.errors import refused
from learnmech.experiment import Experiment, Start
from learnmech.initial.balanced import Aligned
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.instruments.modes import EndToEnd, ModeStrengths
from learnmech.instruments.weights import layer_quantity
from learnmech.parts import structure
from learnmech.rules.descent import GradientDescent
from learnmech.rules.flow import GradientFlow
from learnmech.tables import table
from learnmech.theories.base import Condition, Limit, Theory, constant, need, no_ridge, rule_is, squared_loss, time_factor
from learnmech.theories.deep_linear import balanced, correlations, plain_layers, product, weights

Vector = Float[np.ndarray, " m"]
ALIGNED = 1e-6


class Modes(NamedTuple):
    """S_yx = U diag(s) V', the power g_m = v_m' S_xx v_m of each input mode, and the strengths a_m = u_m' W_0 v_m at the start."""

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
        rest = np.linalg.norm(W - np.einsum("km,...m,dm->...kd", self.U, diagonal, self.V), axis=(-2, -1))
        size = np.linalg.norm(W, axis=(-2, -1)).max()
        return float(rest.max() / size) if size else 0.0


def modes_of(start: Start) -> Modes:
    """The modes of the training data, and where a deep linear network starts on them."""
    S_xx, S_yx = correlations(start.data.train)
    U, s, Vt = np.linalg.svd(S_yx, full_matrices=False)
    V = Vt.T
    return Modes(U, s, V, np.einsum("dm,de,em->m", V, S_xx, V), np.einsum("km,kd,dm->m", U, product(weights(start)), V))


def decoupled_inputs(start: Start) -> Condition:
    """The condition S_xx V = V diag(g): whitened inputs, or input and target modes that commute."""
    S_xx, S_yx = correlations(start.data.train)
    V = np.linalg.svd(S_yx, full_matrices=False)[2].T
    moved = S_xx @ V
    off = float(np.linalg.norm(moved - V * np.sum(V * moved, 0)) / np.linalg.norm(moved))
    return Condition("the target's input modes are eigenvectors of S_xx (whitened or commuting), relative", off, ALIGNED, off <= ALIGNED)


def flow_strengths(a0: Vector, s: Vector, g: Vector, depth: int, times: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t m"]:
    """Strengths a(t) of aligned balanced modes under flow: da/dt = L a^(2-2/L) (s - g a), at c = 1/(2n).

    With y = ln(a/|s - g a|) this is dy/dt = L s a^(1-2/L): a logistic curve where L = 2, and never stiff for other L.
    A mode that starts at a < 0 is the mirror image of one with target -s.  Source: Saxe et al. 2014.
    """
    sign = np.where(a0 < 0, -1.0, 1.0)
    return sign * np.stack([_one_strength(abs(a), p * target, power, depth, times) for a, p, target, power in zip(a0, sign, s, g)], axis=-1)


def _one_strength(a0, s, g, depth, times):
    if depth == 1:
        return a0 * np.exp(-g * times) + s * times * (-np.expm1(-g * times) / (g * times) if g > 0 else 1.0) if g > 0 and times.all() else _line(a0, s, g, times)
    if a0 == 0 or s == g * a0:
        return np.full(len(times), a0)
    if s == 0:
        power = 2 - 2 / depth
        return (a0**-power + depth * power * g * times) ** (-1 / power)
    side = np.sign(s - g * a0)

    def strength(y):
        return side * s / (np.exp(-y) + side * g)

    y0 = np.log(a0 / abs(s - g * a0))
    if depth == 2:
        return strength(y0 + 2 * s * times)
    solved = scipy.integrate.solve_ivp(
        lambda t, y: depth * s * strength(y) ** (1 - 2 / depth), (0, times[-1]), [y0], method="DOP853", t_eval=times, rtol=1e-12, atol=1e-12
    )
    return strength(solved.y[0])
