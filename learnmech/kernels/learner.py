"""The kernel learner: what descent and flow on a squared loss do to the outputs of a model whose
tangent kernel stands still."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.kernels.decay import Decay
from learnmech.kernels.resolution import resolved_eigenvalue
from learnmech.machine.late import late

if TYPE_CHECKING:
    from scipy import linalg
else:
    linalg = late("scipy.linalg")

Square = Float[np.ndarray, "n n"]
Outputs = Float[np.ndarray, "n k"]
Cross = Float[np.ndarray, "m n"]
# Samples beyond which the eigenvectors are found within three matrices of n x n, that of the kernel
# among them, where divide and conquer takes four.
LARGE, ROWS = 2048, 512


@dataclasses.dataclass(frozen=True)
class KernelLearner:
    """f(t) for loss c sum_i |f_i - y_i|^2 and a fixed kernel T = U diag(values) U' on the training
    inputs, every output with the same kernel.

    df/dt = -2c T (f - Y): with rates h = 2c values, train f = Y + U left(h) U'(f_0 - Y), elsewhere
    f = f_0 + 2c T_x U gain(h) U'(Y - f_0) with gain = (1 - left)/h (`kernels.decay`), which needs
    no inverse: a singular kernel is no trouble at finite times. Eigenvalues below round-off
    (`resolved_eigenvalue`) count as 0, `rank` is how many do not; nothing is added to the kernel.
    Source: Jacot et al. 2018; Lee et al. 2019.
    """

    values: Float[np.ndarray, " n"]
    vectors: Square
    Y: Outputs
    start: Outputs
    c: float

    @classmethod
    def of(
        cls, kernel: Square, Y: Outputs, c: float, start: Outputs | None = None
    ) -> "KernelLearner":
        """From the kernel between the training inputs (None: outputs that start at 0)."""
        precision = np.asarray(kernel).dtype
        kernel, Y = np.asarray(kernel, np.float64), np.asarray(Y, np.float64)
        begun = np.zeros_like(Y) if start is None else np.asarray(start, np.float64)
        n = len(Y) if Y.ndim else 0
        if kernel.shape != (n, n) or Y.ndim != 2 or not Y.size:
            raise refused(
                "KernelLearner",
                "a kernel (n, n) and targets (n, k)",
                f"shapes {kernel.shape} and {Y.shape}",
                "Give both for the same inputs",
            )
        if begun.shape != Y.shape:
            raise refused(
                "KernelLearner",
                f"outputs at the start of shape {Y.shape}",
                f"shape {begun.shape}",
                "Give f_0 at the training inputs",
            )
        if not c > 0:
            raise refused(
                "KernelLearner",
                "c > 0, the constant of the loss",
                c,
                "Give c of loss = c sum |f - y|^2",
            )
        for name, values in (("the kernel", kernel), ("Y", Y), ("start", begun)):
            if not np.isfinite(values).all():
                raise refused(
                    "KernelLearner",
                    f"finite numbers in {name}",
                    "NaN or infinity",
                    "Remove or replace the bad entries",
                )
        off, largest = _asymmetry(kernel)
        if off > 1e-6 * largest:
            raise refused(
                "KernelLearner",
                "a symmetric kernel",
                f"entries that differ by {off:.2g}",
                "Give the kernel of the inputs with themselves",
            )
        values, vectors = linalg.eigh(kernel, driver="evd" if n <= LARGE else "evr")
        if values[0] < -1e-6 * values[-1]:
            raise refused(
                "KernelLearner",
                "a kernel without negative eigenvalues",
                f"{values[0]:.3g}",
                "Give a kernel, or check how it was computed",
            )
        floor = resolved_eigenvalue(values, precision)
        return cls(np.where(values > floor, values, 0.0), vectors, Y, begun, float(c))

    @property
    def rates(self) -> Float[np.ndarray, " n"]:
        """h = 2c values: how fast the residual decays in each eigendirection."""
        return 2 * self.c * self.values

    @property
    def rank(self) -> int:
        """How many eigenvalues of the kernel are not 0 to round-off."""
        return int((self.values > 0).sum())

    @property
    def condition_number(self) -> float:
        """The largest eigenvalue of the kernel over the smallest; infinite where it is singular
        to round-off."""
        return float(self.values[-1] / self.values[0]) if self.values[0] > 0 else float("inf")

    def stable_rate(self, momentum: float = 0.0) -> float:
        """The rate above which descent diverges, 2(1 + momentum)/h_max: 1/(c lambda_max) without
        momentum."""
        return float(2 * (1 + momentum) / self.rates[-1]) if self.rates[-1] > 0 else float("inf")

    def fit_times(self, share: float = 0.99) -> Float[np.ndarray, " n"]:
        """When flow has fitted this share of each eigenmode, ln(1/(1 - share))/h: infinite in
        null directions."""
        if not 0 < share < 1:
            raise refused("fit_times", "a share between 0 and 1", share, "Give for example 0.99")
        with np.errstate(divide="ignore"):
            return -np.log1p(-share) / self.rates

    def fit_steps(self, rate: float, share: float = 0.99) -> Float[np.ndarray, " n"]:
        """How many steps of descent leave 1 - share of each eigenmode, ln(1 - share)/ln|1 - rate
        h|, one at least. Refuses a rate above the stable one."""
        if not 0 < share < 1:
            raise refused("fit_steps", "a share between 0 and 1", share, "Give for example 0.99")
        if not 0 < rate < self.stable_rate():
            raise refused(
                "Descent with this kernel",
                f"a rate between 0 and {self.stable_rate():.6g}, 1/(c lambda_max)",
                f"{rate:g}",
                "Lower the rate",
            )
        x = rate * self.rates
        with np.errstate(divide="ignore"):
            each = np.where(x < 1, np.log1p(-np.minimum(x, 1)), np.log(np.abs(1 - x)))
            return np.where(x > 0, np.maximum(np.log1p(-share) / each, 1), np.inf)

    def outputs(self, decay: Decay) -> Float[np.ndarray, "m n k"]:
        """f on the training inputs at every mark."""
        return self.Y + self._turned(decay.left, self.start - self.Y)

    def residual(self, decay: Decay) -> Float[np.ndarray, "m n k"]:
        """f - Y on the training inputs at every mark, to its own round-off."""
        return self._turned(decay.left, self.start - self.Y)

    def elsewhere(
        self, cross: Float[np.ndarray, "q n"], start: Float[np.ndarray, "q k"] | float, decay: Decay
    ) -> Float[np.ndarray, "m q k"]:
        """f at other inputs, from the kernel between them and the training inputs and from where
        f starts there."""
        seen, gap = self._seen(cross), self.vectors.T @ (self.Y - self.start)
        moved = np.einsum("qj,tj,jk->tqk", seen, decay.gain, gap, optimize=True)
        return start + 2 * self.c * moved

    def limit(
        self,
        cross: Float[np.ndarray, "q n"],
        start: Float[np.ndarray, "q k"] | float = 0.0,
        ridge: float = 0.0,
    ) -> Float[np.ndarray, "q k"]:
        """f at infinite time, f_0(x) + T_x (T + ridge I)^{-1} (Y - f_0): kernel regression; with a
        ridge rho on |w - w_0|^2/2 in the loss, ridge = rho/(2c).

        Refuses a kernel that is singular to round-off where no ridge is given.
        """
        self._check_ridge(ridge)
        if not self._invertible(ridge):
            remedy = "Give a ridge, drop repeated inputs, or ask for a finite time"
            raise refused(
                "Kernel regression",
                "an invertible kernel",
                f"one of rank {self.rank} of {len(self.values)}, condition number inf",
                remedy,
            )
        return start + (self._seen(cross) / (self.values + ridge)) @ (
            self.vectors.T @ (self.Y - self.start)
        )

    def leverages(self, ridge: float = 0.0) -> Float[np.ndarray, " n"]:
        """How much each output on the training inputs follows its own target: the diagonal of
        T (T + ridge I)^{-1}, between 0 and 1.

        Their sum is the effective number of parameters. Without a ridge the diagonal of the
        projection on the range of T: 1 throughout where T is invertible, and of least squares where
        it is not.  Source: Hoaglin & Welsch 1978.
        """
        self._check_ridge(ridge)
        share = (
            self.values / (self.values + ridge)
            if self._invertible(ridge)
            else (self.values > 0).astype(float)
        )
        return squares_of(self.vectors, share)

    def leave_one_out(self, ridge: float = 0.0) -> Outputs:
        """What kernel regression on all training inputs but one says at that one, for each:
        y_i - a_i/B_ii, B = (T + ridge I)^{-1}, a = B (Y - f_0).

        Without a ridge on a singular T that of least squares (of least norm),
        y_i - r_i/(1 - leverage_i), r the residual; an input whose direction no other has is told by
        the others' fit, with no share of it: y_i - (T^+ Y)_i/(T^+)_ii.  Source: Allen 1974; Golub,
        Heath & Wahba 1979; the pseudo-inverse in blocks: Rohde 1965.
        """
        self._check_ridge(ridge)
        gap = self.Y - self.start
        if self._invertible(ridge):
            inverse = 1 / (self.values + ridge)
            weights = self.vectors @ (inverse[:, None] * (self.vectors.T @ gap))
            return self.Y - weights / squares_of(self.vectors, inverse)[:, None]
        null = self.values == 0
        outside, inside = self.vectors[:, null], self.vectors[:, ~null]
        residual, free = outside @ (outside.T @ gap), (outside**2).sum(axis=1)
        # of an input that the others do not span, by the pseudo-inverse in the inverse's place
        inverse = 1 / self.values[~null]
        weights = inside @ (inverse[:, None] * (inside.T @ gap))
        alone = free <= np.sqrt(np.finfo(float).eps)
        own = np.where(alone, (inside**2) @ inverse, free)
        told = gap - np.where(alone[:, None], weights, residual) / own[:, None]
        return self.start + told

    def log_marginal_likelihood(self, noise: float = 0.0) -> Float[np.ndarray, " k"]:
        """ln p(Y) of each output under y = f + noise, f ~ GP(f_0, T): -(1/2) g'C^{-1}g - (1/2) ln
        det C - (n/2) ln 2 pi, C = T + noise^2 I, g = Y - f_0.

        Refuses a C that is singular to round-off, under which data have no density.  Source:
        Rasmussen & Williams 2006, eq. 2.30.
        """
        if not 0 <= noise < np.inf:
            raise refused(
                "The marginal likelihood",
                "noise >= 0",
                noise,
                "Give the standard deviation of the noise",
            )
        values = self.values + noise**2
        if not values[0] > resolved_eigenvalue(values):
            rank = int((values > resolved_eigenvalue(values)).sum())
            raise refused(
                "The marginal likelihood",
                "an invertible covariance",
                f"one of rank {rank} of {len(values)}",
                "Give a noise, or drop repeated inputs",
            )
        along = self.vectors.T @ (self.Y - self.start)
        return -0.5 * (
            np.sum(along**2 / values[:, None], axis=0)
            + np.sum(np.log(values))
            + len(values) * np.log(2 * np.pi)
        )

    def _invertible(self, ridge):
        """Whether T + ridge I is: a ridge that is itself round-off beside T adds nothing."""
        return self.values[0] + ridge > resolved_eigenvalue(self.values)

    @staticmethod
    def _check_ridge(ridge):
        if not 0 <= ridge < np.inf:
            raise refused("Kernel regression", "ridge >= 0", ridge, "Give a ridge of 0 or more")

    def ensemble(
        self,
        decay: Decay,
        nngp: Square,
        cross: Cross,
        nngp_cross: Cross,
        nngp_test: Float[np.ndarray, "q q"],
    ) -> "Ensemble":
        """Mean and covariance over random starts f_0 ~ GP(0, K) at every mark, for the same output
        at two inputs.

        Test: B = 2c T_x U gain U', mean = B Y, cov = K_xx + B K B' - B K_Xx - K_xX B'. Train: E = U
        left U', mean = (I - E) Y, cov = E K E'.
        """
        train_mean, train_cov, mean, cov = [], [], [], []
        seen = self._seen(cross)
        for left, gain in zip(*decay, strict=True):
            E = (self.vectors * left) @ self.vectors.T
            B = 2 * self.c * (seen * gain) @ self.vectors.T
            train_mean.append(self.Y - E @ self.Y)
            train_cov.append(E @ nngp @ E.T)
            mean.append(B @ self.Y)
            mixed = B @ nngp_cross.T
            cov.append(nngp_test + B @ nngp @ B.T - mixed - mixed.T)
        return Ensemble(*(np.stack(part) for part in (train_mean, train_cov, mean, cov)))

    def _seen(self, cross):
        """T_x U: the kernel to other inputs in the eigendirections. In null directions it is 0,
        and what round-off leaves of that must not grow with time."""
        cross, n = np.asarray(cross, np.float64), len(self.values)
        if cross.ndim != 2 or cross.shape[1] != n:
            remedy = "Give a row for every other input, a column for every training input"
            raise refused(
                "KernelLearner",
                f"a kernel (q, {n}) between other inputs and the training inputs",
                f"shape {cross.shape}",
                remedy,
            )
        seen = cross @ self.vectors
        lost = (self.values == 0) & (
            np.abs(seen) <= n * np.finfo(float).eps * np.abs(cross).max(initial=0.0)
        )
        return np.where(lost, 0.0, seen)

    def _turned(self, shares, deviation):
        """U diag(share) U' deviation for every row of shares."""
        seen = self.vectors.T @ deviation
        return np.einsum("ij,tj,jk->tik", self.vectors, shares, seen, optimize=True)


def squares_of(vectors: Square, weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """sum_j weights_j u_ij^2 for every i, without a matrix of squares."""
    return np.einsum("ij,ij,j->i", vectors, vectors, weights)


def _asymmetry(kernel):
    """(the largest difference of two entries that should be one, the largest entry), in blocks of
    rows, so that no other matrix is made."""
    off = largest = 0.0
    for at in range(0, len(kernel), ROWS):
        rows = kernel[at : at + ROWS]
        off = max(off, float(np.abs(rows - kernel[:, at : at + ROWS].T).max(initial=0.0)))
        largest = max(largest, float(np.abs(rows).max(initial=0.0)))
    return off, largest


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Mean (marks, n, k) and covariance (marks, n, n) over random starts, on the training inputs
    and elsewhere."""

    train_mean: Float[np.ndarray, "m n k"]
    train_cov: Float[np.ndarray, "m n n"]
    mean: Float[np.ndarray, "m q k"]
    cov: Float[np.ndarray, "m q q"]
