"""The posterior: what Bayes makes of a Gaussian process and data."""

import dataclasses

import numpy as np
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.kernels.learner import KernelLearner, Outputs, Square


@dataclasses.dataclass(frozen=True)
class Posterior:
    """Mean (q, k) and covariance (q, q) of a Gaussian process given data, the condition number
    of what was inverted, and ln p(Y) of each output."""

    mean: Float[np.ndarray, "q k"]
    cov: Float[np.ndarray, "q q"]
    condition_number: float
    log_marginal_likelihood: Float[np.ndarray, " k"]


def posterior(
    nngp: Square,
    Y: Outputs,
    cross: Float[np.ndarray, "q n"],
    own: Float[np.ndarray, "q q"],
    noise: float = 0.0,
) -> Posterior:
    """The posterior of f ~ GP(0, K) at other inputs given y = f + noise: mean = K_x (K + s I)^{-1}
    Y, cov = K_xx - K_x (K + s I)^{-1} K_x', s = noise^2.

    Refuses a matrix that is singular to round-off; nothing is added to it beyond the noise.
    Source: Lee et al. 2018.
    """
    own, nngp = np.asarray(own, np.float64), np.asarray(nngp)
    if not 0 <= noise < np.inf:
        raise refused(
            "The posterior", "noise >= 0", noise, "Give the standard deviation of the noise"
        )
    if nngp.ndim != 2 or nngp.shape[0] != nngp.shape[1] or own.shape != 2 * np.shape(cross)[:1]:
        got = f"shapes {nngp.shape}, {np.shape(cross)} and {own.shape}"
        raise refused(
            "The posterior",
            "kernels (n, n), (q, n) and (q, q)",
            got,
            "Give them between and among the training and the other inputs",
        )
    learner = KernelLearner.of(nngp + (noise**2 * np.eye(len(nngp))).astype(nngp.dtype), Y, 0.5)
    if not learner.values[0] > 0:
        remedy = "Give a noise, or drop repeated inputs"
        raise refused(
            "The posterior",
            "an invertible kernel",
            f"one of rank {learner.rank} of {len(learner.values)}, condition number inf",
            remedy,
        )
    half = (np.asarray(cross) @ learner.vectors) / np.sqrt(learner.values)
    return Posterior(
        learner.limit(cross),
        own - half @ half.T,
        learner.condition_number,
        learner.log_marginal_likelihood(),
    )
