"""The spectrum of a pool: one eigendecomposition of a kernel on N samples, and all that it says of
learning from n of them."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.generalization.eigenlearning import asked, kappa_of, least, shares
from learnmech.generalization.pool import OfPool, of_pool, within
from learnmech.kernels.learner import KernelLearner, squares_of

# |ln(leave-one-out/GCV)| up to which the theory of a finite pool is claimed: of 11 real data sets.
# Of least squares on digits those of a spread of leverages of .31 were within 5 %, of .42 11 % off,
# of 1.12 (rare pixels) by a factor of up to 3.7, with a ratio of 1.01.
CLAIMED, UNEVEN = 0.1, 0.4


class Certificate(NamedTuple):
    """Whether the theory of a finite pool speaks of this kernel and these targets: leave-one-out
    error over generalized cross-validation of the whole pool.

    The theory's own value at n = N - 1 is GCV, the truth there leave-one-out: its error grows from
    0 towards this ratio as n goes to N. `leverage_spread`, std/mean over the pool of sum_j l_j
    u_ij^2, decides beside it where the fit is one of least squares (a singular kernel without a
    ridge), as where some features are rare. Necessary, not sufficient.
    """

    leave_one_out: float
    gcv: float
    leverage_spread: float
    least_squares: bool = False

    @property
    def ratio(self) -> float:
        """Leave-one-out over GCV."""
        return self.leave_one_out / self.gcv if self.gcv > 0 else float("nan")

    @property
    def uneven(self) -> bool:
        """Whether this is least squares with uneven leverages."""
        return self.least_squares and self.leverage_spread > UNEVEN

    @property
    def holds(self) -> bool:
        """Whether leave-one-out and GCV are within 10 % of one another, and nothing is `uneven`."""
        return self.ratio > 0 and abs(float(np.log(self.ratio))) <= CLAIMED and not self.uneven

    @property
    def words(self) -> str:
        """Its word in a sentence."""
        said = f"leave-one-out over GCV {self.ratio:.3g}"
        if not np.isfinite(self.ratio):
            return "undecided: leave-one-out or GCV is 0 or no number"
        if self.holds:
            return f"claimed: {said}"
        if self.uneven:
            return f"not claimed: least squares with leverages of spread {self.leverage_spread:.2g}"
        off = "above" if self.ratio > 1 else "below"
        return f"not claimed: {said}, the error measured lies {off} as n nears N"


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """The eigenvalues and vectors of a kernel on a pool of N samples, with their targets Y.

    `values` are those of K over N, the largest first; `power` v_i^2 = |u_i'Y|^2/N, the mean square
    of the targets in each mode. Every method takes `ridge`, that beside the unnormalised kernel,
    K + ridge I: rho/(2c) for a ridge rho on |w|^2/2 beside a loss c sum |f - y|^2. Errors are means
    over samples of |f - y|^2, summed over outputs.
    """

    learner: KernelLearner

    @classmethod
    def of(cls, kernel: Float[np.ndarray, "N N"], Y: Float[np.ndarray, "N k"]) -> "Spectrum":
        """From a kernel among the samples of the pool and their targets.

        Refuses a kernel that is not symmetric, or has an eigenvalue below -1e-6 of its largest,
        which is said."""
        Y = np.asarray(Y, np.float64)
        return cls(KernelLearner.of(kernel, Y[:, None] if Y.ndim == 1 else Y, 0.5))

    @property
    def size(self) -> int:
        """N."""
        return len(self.learner.values)

    @property
    def values(self) -> Float[np.ndarray, " N"]:
        """The eigenvalues of K over N, the largest first; those that are 0 to round-off are 0."""
        return self.learner.values[::-1] / self.size

    @functools.cached_property
    def power(self) -> Float[np.ndarray, " N"]:
        """v_i^2 of all outputs together, in the order of `values`."""
        return (self.coefficients**2).sum(axis=1) / self.size

    @functools.cached_property
    def coefficients(self) -> Float[np.ndarray, "N k"]:
        """u_i'Y, in the order of `values`."""
        return (self.learner.vectors.T @ self.learner.Y)[::-1]

    def kappa(self, n: float, ridge: float = 0.0) -> float:
        """The effective ridge of n of the N samples (`kappa_of`)."""
        self._check("kappa", n, ridge)
        return kappa_of(self.values, n, ridge, None, self.size)

    def learnability(self, n: float, ridge: float = 0.0) -> Float[np.ndarray, " N"]:
        """l_i = lam_i/(lam_i + kappa): how much of each mode is learned from n samples."""
        return shares(self.values, self.kappa(n, ridge))

    def error(self, n: float, ridge: float = 0.0) -> OfPool:
        """The errors on the held-out and the trained samples after training on n (`of_pool`)."""
        self._check("error", n, ridge)
        return of_pool(self.values, self.power, n, ridge)

    def leave_one_out(self, ridge: float = 0.0) -> Float[np.ndarray, "N k"]:
        """The residuals y_i - f(x_i) of the fit to all samples but i, exactly."""
        asked("leave_one_out", 1, ridge)
        return self.learner.Y - self.learner.leave_one_out(ridge)

    def gcv(self, ridge: float = 0.0) -> float:
        """Generalized cross-validation of the whole pool, (|GY|^2/N)/(tr G/N)^2, G = (K + ridge
        I)^{-1}; of a singular kernel without a ridge its limit, s/(1 - M/N)^2, M the rank and s the
        mean squared residual. Source: Golub, Heath & Wahba 1979."""
        asked("gcv", 1, ridge)
        values = self.values * self.size
        if ridge > 0 or values[-1] > 0:
            inverse = 1 / (values + ridge)
            return float((inverse**2) @ self.power) / float(inverse.mean()) ** 2
        left = values == 0
        return float(self.power[left].sum()) / float(left.mean()) ** 2

    def leverage_spread(self, n: float, ridge: float = 0.0) -> float:
        """std/mean over the pool of the leverages h_i = sum_j l_j u_ij^2 at n samples."""
        share = self.learnability(n, ridge)[::-1]
        found = squares_of(self.learner.vectors, share)
        return float(found.std() / found.mean()) if found.mean() > 0 else float("nan")

    def certificate(self, ridge: float = 0.0, n: float | None = None) -> Certificate:
        """Whether `error` is claimed at this ridge: leave-one-out over GCV, and the spread of
        leverages at n (None: half of the pool)."""
        told = float((self.leave_one_out(ridge) ** 2).sum() / self.size)
        spread = self.leverage_spread(self.size / 2 if n is None else n, ridge)
        squares = ridge == 0 and self.learner.rank < self.size
        return Certificate(told, self.gcv(ridge), spread, squares)

    def residual(self, n: float, ridge: float = 0.0) -> Float[np.ndarray, "N k"]:
        """The mean of y_i - f(x_i) over training sets of n that are without sample i, for each:
        ((I - L)Y)_i (1 - w)/(1 - a), L = sum l_j u_j u_j'. Which samples will be misread."""
        found = self.error(n, ridge)
        kept = ((1 - found.learnability)[:, None] * self.coefficients)[::-1]
        return self.learner.vectors @ kept * (1 - found.pull) / (1 - n / self.size)

    def margins(self, n: float, ridge: float = 0.0) -> Float[np.ndarray, " N"]:
        """How far the mean output at each sample, held out, is on its own class's side: the output
        of the class less the largest other, or y f of one column. Below 0 it will be misread by
        most training sets of n. For targets that are classes."""
        return margins_of(self.learner.Y - self.residual(n, ridge), self.learner.Y)

    def best_ridge(self, n: float) -> float:
        """The ridge of the least predicted held-out error; 0 where none helps."""
        self._check("best_ridge", n, 0.0)
        values, power = self.values, self.power
        trace = float(values.sum()) * self.size
        return least(lambda ridge: of_pool(values, power, n, ridge).test, trace)

    def _check(self, who, n, ridge):
        asked(who, n, ridge)
        within(who, n, self.size)


def are_classes(Y: Float[np.ndarray, "N k"]) -> bool:
    """Whether targets are classes: one column of two signs, or one largest entry a row that stands
    out alike in all."""
    if Y.shape[1] == 1:
        return bool(np.all((Y == 1) | (Y == -1)) and Y.min() < Y.max())
    top = np.sort(Y, axis=1)
    return bool(np.all(top[:, -1] > top[:, -2]) and np.all(np.ptp(top, axis=0) == 0))


def margins_of(
    outputs: Float[np.ndarray, "N k"], Y: Float[np.ndarray, "N k"]
) -> Float[np.ndarray, " N"]:
    """The output of each sample's own class less the largest other; y f of one column of signs."""
    if not are_classes(Y):
        remedy = "Give one-hot targets, or +1 and -1"
        raise refused("margins", "targets that are classes", "other numbers", remedy)
    if Y.shape[1] == 1:
        return (outputs * Y)[:, 0]
    own = Y.argmax(axis=1)
    rows = np.arange(len(Y))
    others = outputs.copy()
    others[rows, own] = -np.inf
    return outputs[rows, own] - others.max(axis=1)
