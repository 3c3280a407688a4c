"""The certificate: whether the theory of learning curves on a finite pool speaks of a kernel and
its targets."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize

from learnmech.kernels.learner import KernelLearner

# |ln(leave-one-out/GCV)| up to which the theory is claimed: of eleven real data sets.
CLAIMED = 0.1


class Certificate(NamedTuple):
    """Leave-one-out error over generalized cross-validation of the whole pool: the theory's own
    value at n = N - 1 is GCV, the truth there leave-one-out, and its error grows from 0 towards
    this ratio as n goes to N. `leverage_spread` is std/mean over the pool of sum_j l_j u_ij^2 at n
    = N/2, a second sight. Neither is sufficient."""

    leave_one_out: float
    gcv: float
    leverage_spread: float

    @property
    def ratio(self) -> float:
        """Leave-one-out over GCV."""
        return self.leave_one_out / self.gcv if self.gcv > 0 else float("nan")

    @property
    def holds(self) -> bool:
        """Whether both are within 10 % of one another."""
        return bool(abs(np.log(self.ratio)) <= CLAIMED) if self.ratio > 0 else False

    @property
    def words(self) -> str:
        """Its word in a sentence."""
        if not np.isfinite(self.ratio):
            return "undecided: leave-one-out or GCV is 0 or no number"
        said = f"leave-one-out over GCV {self.ratio:.3g}"
        return f"{'claimed' if self.holds else 'not claimed'}: {said}"


def certificate(
    kernel: Float[np.ndarray, "N N"], Y: Float[np.ndarray, "N k"], ridge: float = 0.0
) -> Certificate:
    """Of a kernel on N samples and their targets, at a ridge beside the kernel, K + ridge I.

    With G = (K + ridge I)^{-1}: GCV = (|G Y|^2/N)/(tr G/N)^2; leave-one-out residuals (G Y)_i/G_ii;
    of a singular kernel without a ridge their limits.  Source: Golub, Heath & Wahba 1979.
    """
    learner = KernelLearner.of(kernel, Y, 0.5)
    N, values = len(learner.values), learner.values
    along = learner.vectors.T @ learner.Y
    power = (along**2).sum(axis=1)
    told = float(np.sum((learner.Y - learner.leave_one_out(ridge)) ** 2)) / N
    if ridge > 0 or values[0] > 0:
        inverse = 1 / (values + ridge)
        gcv = float(inverse**2 @ power) / N / float(inverse.mean()) ** 2
    else:
        gcv = float(power[values == 0].sum()) / N / float((values == 0).mean()) ** 2
    leverages = learner.vectors**2 @ _shares(values, ridge)
    return Certificate(told, gcv, float(leverages.std() / leverages.mean()))


def _shares(values, ridge):
    """l_i = lam_i/(lam_i + kappa) at n = N/2 of the pool, lam = values/N: n = sum l + (ridge/kappa)
    (1 - sum l/N)."""
    N, lam = len(values), values / len(values)

    def short(log_kappa):
        kappa = np.exp(log_kappa)
        total = float((lam / (lam + kappa)).sum())
        return total + ridge / kappa * (1 - total / N) - N / 2

    rank = int((values > 0).sum())
    if not ridge and rank <= N / 2:  # fewer modes than samples: each is learned whole
        return (values > 0).astype(float)
    low, high = np.log(lam[-1]) - 60, np.log(lam[-1] + ridge) + np.log(N) + 5
    kappa = np.exp(optimize.brentq(short, low, high))
    return lam / (lam + kappa)
