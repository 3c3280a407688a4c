"""The noise scale of gradients: on Gaussian inputs in closed form, and what one step can gain at a
batch and a rate."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " d"]


class NoiseScales(NamedTuple):
    """Of the gradient g of a mean loss and the covariance C of those of samples: |g|^2, g'Hg, and
    the batches at which noise is as large as the gradient, tr C/|g|^2, and as its curvature, tr
    HC/g'Hg."""

    square: float
    bend: float
    simple: float
    curved: float

    def best_rate(self, batch: float) -> float:
        """(|g|^2/g'Hg)/(1 + B_noise/B): the rate at which one step lowers a quadratic loss most, on
        average over batches."""
        return self.square / self.bend / (1 + self.curved / batch)

    def gain(self, rate: float, batch: float) -> float:
        """What one step at this rate lowers a quadratic loss by, on average over batches: rate
        |g|^2 - (rate^2/2) g'Hg (1 + B_noise/B), at the best rate (1/2)(|g|^4/g'Hg)/(1 + B_noise/B),
        half of its most at B = B_noise."""
        return rate * self.square - rate**2 / 2 * self.bend * (1 + self.curved / batch)


def gaussian_noise(lam: Vector, off: Vector, noise: float) -> NoiseScales:
    """Of the loss |x'w - y|^2/2 at w = w* + off, x ~ N(0, diag lam), targets with noise of this
    variance: C = R Lam + g g', R = sum lam off^2 + noise, g = Lam off, exact.  Source: McCandlish
    et al. 2018 for the scales."""
    g, risk = lam * off, np.sum(lam * off**2) + noise
    square, bend = float(g @ g), float(g @ (lam * g))
    return NoiseScales(
        square,
        bend,
        float(risk * lam.sum() + square) / square,
        float(risk * np.sum(lam**2) + bend) / bend,
    )


def without_replacement(n: int, batch: float) -> float:
    """What stands for 1/B where a batch is of distinct samples among n: (n - B)/(B (n - 1))."""
    return (n - batch) / (batch * (n - 1))
