"""Compute-optimal training of power-law random features: the risk of one pass at every size, and
the local slopes of its envelope."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.theories.online import online_map

Row = Float[np.ndarray, " s"]


class Phase(NamedTuple):
    """The powers of compute f = d r as which the best size d* and the risk go, as f becomes
    large."""

    size: float
    risk: float


def phase(alpha: float, beta: float) -> Phase:
    """The exponents for inputs x_j = j^-alpha z_j and a target b_j = j^-beta, 2 alpha > 1, beta not
    at 1/2 or alpha.

    At sizes that can be run the local slopes are still on their way to these: of three cases with d
    up to 1024 -.46 to -.48 for -.533, -.83 to -.73 for -.75, -.66 to -.51 for -.643. Hold slopes
    against `frontier`, not against these.  Source: Paquette et al. 2024.
    """
    if not (2 * alpha > 1 and beta > 0 and beta not in (0.5, alpha)):
        raise refused(
            "phase",
            "2 alpha > 1, and beta > 0 on no line between phases",
            f"alpha = {alpha:g}, beta = {beta:g}",
            "Move off the line beta = 1/2 or beta = alpha",
        )
    if beta < 0.5:
        return Phase(1 / (2 * alpha + 1), -(2 * alpha + 2 * beta - 1) / (2 * alpha + 1))
    if beta < alpha:
        return Phase(beta / (alpha + beta), -(2 * alpha + 2 * beta - 1) / (2 * (alpha + beta)))
    return Phase(0.5, -(4 * alpha - 1) / (4 * alpha))


class Features(NamedTuple):
    """A learner of d random features of the inputs as online SGD meets it: eigenvalues of their
    covariance, the distance from the best weights along each, from 0, and the variance of what no
    weights reach."""

    lam: Row
    off: Row
    floor: float

    @classmethod
    def drawn(cls, alpha: float, beta: float, inputs: int, size: int, seed: int = 0) -> "Features":
        """Features u = F'x, entries of F (inputs, size) normal of variance 1/size, of x_j =
        j^-alpha z_j and y = sum_j j^-beta x_j."""
        j = np.arange(1.0, inputs + 1)
        F = np.random.default_rng(seed).standard_normal((inputs, size)) / np.sqrt(size)
        lam, axes = np.linalg.eigh(F.T @ (j[:, None] ** (-2 * alpha) * F))
        lam = lam.clip(min=np.finfo(float).tiny)
        cross = axes.T @ (F.T @ j ** (-2 * alpha - beta))
        best = cross / lam
        return cls(lam, best, float(max(np.sum(j ** (-2 * alpha - 2 * beta)) - cross @ best, 0.0)))

    def risks(self, rate: float, steps: Row, batch: int = 1) -> Row:
        """E (f - y)^2 after so many steps of online SGD from 0, exact (`theories.online`): inputs
        and residual are jointly Gaussian, so that what no weights reach is noise."""
        growth, V = np.linalg.eigh(online_map(self.lam, rate, batch))
        growth, begun = growth.clip(min=0), self.off**2 @ V
        kick, seen = rate**2 / batch * self.floor * (self.lam @ V), self.lam @ V
        power = growth ** np.asarray(steps, float)[:, None]
        rest = np.where(growth == 1, 1, 1 - growth)
        sums = np.where(growth == 1, np.asarray(steps, float)[:, None], (1 - power) / rest)
        return (power * begun + sums * kick) @ seen + self.floor


class Frontier(NamedTuple):
    """The least risk at each compute, the size that gives it, and the local slope of ln risk in ln
    compute there."""

    compute: Row
    risk: Row
    size: Row
    slope: Row


def frontier(
    alpha: float,
    beta: float,
    sizes: list[int],
    compute: Row,
    inputs: int = 2000,
    share: float = 0.5,
) -> Frontier:
    """The compute-optimal envelope over these sizes at computes d r, one pass of batch 1, each
    size at `share` of the rate 2/(tr + 2 lam_max) below which its noise cannot grow.

    The slope is the risk's along the envelope, by differences of neighbors: it is local, and at the
    ends of the sizes the envelope is that of one size alone.
    """
    found = []
    for size in sizes:
        features = Features.drawn(alpha, beta, inputs, size)
        rate = share * 2 / (features.lam.sum() + 2 * features.lam.max())
        found.append(features.risks(rate, compute / size))
    risks = np.array(found)
    best = risks.argmin(axis=0)
    least = risks[best, np.arange(len(compute))]
    slope = np.gradient(np.log(least), np.log(compute))
    return Frontier(compute, least, np.asarray(sizes)[best], slope)
