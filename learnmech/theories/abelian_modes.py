"""Abelian modes: two layers under cross-entropy whose map is symmetric under a group, mode by
mode of its characters."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float, Int

from learnmech.architectures.linear import DeepLinear
from learnmech.data.arrays import Arrays
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.initial.given import Given
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.language.parts import structure
from learnmech.losses.classes import CrossEntropy
from learnmech.machine.late import late
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import (
    Condition,
    Theory,
    constant,
    cross_entropy,
    need,
    no_ridge,
    rule_is,
)
from learnmech.theories.deep_linear import plain_layers, product, weights

if TYPE_CHECKING:
    from scipy import integrate, special
else:
    integrate = late("scipy.integrate")
    special = late("scipy.special")

Group = tuple[int, ...]
Matrix = Float[np.ndarray, "K K"]


def differences(group: Group) -> Int[np.ndarray, "K K"]:
    """The element i - j of a product of cyclic groups, for all its elements i and j, counted in
    the order of arrays of this shape."""
    places = np.array(np.unravel_index(np.arange(np.prod(group)), group))
    orders = np.array(group)[:, None, None]
    return np.ravel_multi_index(
        tuple((places[:, :, None] - places[:, None, :]) % orders), group
    ).reshape(int(np.prod(group)), -1)


def circulant(row: Float[np.ndarray, " K"], group: Group) -> Matrix:
    """The matrix w(i - j) over the group: of a cyclic group a circulant matrix."""
    return row[differences(group)]


def character_sums(row: Float[np.ndarray, " K"], group: Group) -> Float[np.ndarray, " K"]:
    """sum_x w(x) chi_k(x) over the characters of the group: the eigenvalues of `circulant`, real
    where w(x) = w(-x)."""
    return np.fft.fftn(row.reshape(group)).real.ravel()


def from_characters(s: Float[np.ndarray, " K"], group: Group) -> Float[np.ndarray, " K"]:
    """w of which the `character_sums` are s."""
    return np.fft.ifftn(s.reshape(group)).real.ravel()


def short_of_one(row: Float[np.ndarray, " K"], group: Group) -> Float[np.ndarray, " K"]:
    """1 - phat_k, p the softmax of w: the sum of p(x)(1 - chi_k(x)) over x != 0, in which nothing
    cancels where p(0) is all but 1."""
    rest = np.exp(row - row.max())
    whole, rest[0] = rest.sum(), 0.0
    hat = character_sums(rest / whole, group)
    return np.maximum(hat[0] - hat, 0.0)


def character_strengths(
    s: Float[np.ndarray, " K"], group: Group, times: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "t K"]:
    """s_k(t) of ds_k/dt = (2/K) s_k (1 - phat_k), p the softmax of w = `from_characters` of s: by
    ln s_k, which is never stiff. A mode at 0 stays there, and so does that of the trivial
    character, whose pull is 0."""
    K, alive = len(s), s > 0
    ends = np.where(alive, s, 0.0)

    def strengths(logs):
        now = ends.copy()
        now[alive] = np.exp(logs)
        return now

    solved = integrate.solve_ivp(
        lambda t, y: 2 / K * short_of_one(from_characters(strengths(y), group), group)[alive],
        (0.0, float(times[-1])),
        np.log(s[alive]),
        "DOP853",
        times,
        rtol=1e-12,
        atol=1e-13,
    )
    return np.array([strengths(y) for y in solved.y.T])


def simplex_time(a: float, a0: float, K: int) -> float:
    """When W_2W_1 = a (I - 11'/K) has come from a0 to a, at c = 1/n: da/dt = 2a/(e^a + K - 1), so
    t = (Ei(a) - Ei(a0))/2 + ((K - 1)/2) ln(a/a0)."""
    return float((special.expi(a) - special.expi(a0)) / 2 + (K - 1) / 2 * np.log(a / a0))


class AbelianModes(Theory):
    """Two layers W_2 = W_1' on K one-hot words, each its own class, under cross-entropy: where
    W_2W_1 = w(i - j) over an abelian group it stays so, and its characters are its modes.

    ds_k/dt = (2/K) s_k (1 - phat_k), p the softmax of w, s_k and phat_k their sums over the
    characters of `group`, the orders of the cyclic groups whose product it is ((2, 2, 2) has
    Hadamard's, none is the cyclic group of K). All modes alike are the simplex, a (I - 11'/K), at a
    after `simplex_time`. At another c than 1/n, cn multiplies t.
    """

    source: ClassVar[str] = "derived here; Varre et al. 2025 for the simplex"
    predicts: ClassVar[tuple[str, ...]] = ("loss", "end_to_end")
    tolerance: ClassVar[float] = 1e-8  # a flow at a relative tolerance of 1e-11 per step
    group: tuple[int, ...] = structure(
        default=(),
        at_least=2,
        since="0.5",
        meaning="orders of the cyclic groups whose product it is; none: that of all classes",
    )

    def known(self, start):
        count, K = len(start.params), start.data.train.X.shape[1]
        conditions = (
            Condition("two layers", count, 2, count == 2, fact="depth", wants=("2",)),
            plain_layers(start),
            cross_entropy(start),
            no_ridge(start),
            rule_is(start, GradientFlow),
            _each_its_own(start),
            Condition(
                "classes, as many as the group has elements", K, _size(self, K), _fits(self, K)
            ),
        )
        if not all(one.holds for one in conditions):
            return conditions
        (W_1, W_2), W = weights(start), product(weights(start))
        size = max(float(np.abs(W_1).max()), np.finfo(float).tiny)
        apart = float(np.abs(W_2 - W_1.T).max()) / size
        off = float(np.abs(W - circulant(W[:, 0], self._of(K))).max()) / size**2
        return (
            *conditions,
            Condition("W_2 = W_1' at t = 0, relative", apart, 1e-12, apart <= 1e-12),
            Condition("W_2W_1 = w(i - j) over the group, relative", off, 1e-10, off <= 1e-10),
        )

    def _of(self, K) -> Group:
        return self.group or (K,)

    def predict(self, start, clock=None):
        need(self, start, *self.known(start))
        marks, K = start.marked(clock), start.data.train.X.shape[1]
        factor, group = constant(start) * K, self._of(K)
        s = character_sums(product(weights(start))[:, 0], group)
        s = np.where(s > 1e-13 * s.max(initial=0.0), s, 0.0)
        rows = [
            from_characters(one, group)
            for one in character_strengths(s, group, factor * marks.times)
        ]
        told = {
            "loss": factor * np.array([np.log1p(np.exp(w[1:] - w[0]).sum()) for w in rows]),
            "end_to_end": np.array([circulant(w, group) for w in rows]),
        }
        quantities = tuple(
            q for one in (Loss(), EndToEnd()) for q in one.quantities(start.system, start.params)
        )
        return table(quantities, told, marks)

    @classmethod
    def example(cls):
        return symmetric_start((5,), np.array([0.0, 0.03, 0.01, 0.01, 0.03]), 30.0, 31)


def symmetric_start(group: Group, s: Float[np.ndarray, " K"], time: float, marks: int):
    """An experiment whose map is w(i - j) over the group at t = 0, of these strengths on its
    characters (those of k and -k alike), under flow."""
    K = len(s)
    root = circulant(from_characters(np.sqrt(s), group), group)
    return Experiment(
        DeepLinear(hidden=(K,)),
        Arrays(X=np.eye(K), Y=np.eye(K)),
        GradientFlow(rtol=1e-11, atol=1e-13, solver="dopri8"),
        Clock(time=time, marks=marks),
        Given.of({"layer1": {"weight": root}, "layer2": {"weight": root.T}}),
        CrossEntropy(),
    )


def _size(theory, K):
    return int(np.prod(theory._of(K)))


def _fits(theory, K):
    return _size(theory, K) == K


def _each_its_own(start: Start) -> Condition:
    X, Y = (np.asarray(side) for side in (start.data.train.X, start.data.train.Y))
    own = X.shape == Y.shape and bool((X == np.eye(*X.shape)).all() and (Y == X).all())
    return Condition(
        "inputs and targets are I, each word its own class", "I" if own else "others", "I", own
    )
