"""Duals: what an activation becomes at infinite width, Gaussian expectations of it and of its
products.

(u, v) ~ N(0, [[a, k], [k, b]]). Closed forms where there are any, Hermite series to 1e-12
otherwise.
"""

from learnmech.activations.duals.base import dual, mean, product, slope

__all__ = ["dual", "mean", "product", "slope"]
