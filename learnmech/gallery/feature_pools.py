"""Feature pools: ridge regression with k random ReLU features on n samples of a pool, measured, and
the pool of the kernel that they sample."""

from typing import NamedTuple

import numpy as np

from learnmech.generalization.random_features import random_features_of_pool
from learnmech.generalization.spectrum import Spectrum
from learnmech.kernels.infinite import kernel


class FeaturePool(NamedTuple):
    """The inputs, targets and spectrum of the kernel E F F'/k, F = sqrt(2) relu(sqrt(2/d) X w), w ~
    N(0, I): the nngp of one hidden layer of ReLU, sw^2 = 2."""

    X: np.ndarray
    Y: np.ndarray
    spectrum: Spectrum

    @classmethod
    def of(cls, architecture, view) -> "FeaturePool":
        """From a network of one hidden layer of ReLU, sw^2 = 2, and a view."""
        X, Y = np.asarray(view.X, float), np.asarray(view.Y, float)
        return cls(X, Y, Spectrum.of(np.asarray(kernel(architecture, X, get="nngp")), Y))

    def said(self, n: int, k: int, ridge: float) -> float:
        """The held-out error by `random_features_of_pool`."""
        return random_features_of_pool(self.spectrum.values, self.spectrum.power, n, k, ridge).test

    def measured(self, n: int, k: int, ridge: float, draws: int = 4, seed: int = 0) -> np.ndarray:
        """The held-out error of every draw of features and training samples."""
        rng, found = np.random.default_rng(seed), []
        for _ in range(draws):
            W = rng.standard_normal((self.X.shape[1], k))
            F = np.sqrt(2 / k) * np.maximum(np.sqrt(2 / self.X.shape[1]) * self.X @ W, 0)
            order = rng.permutation(len(F))
            train, out = order[:n], order[n:]
            left, s, right = np.linalg.svd(F[train], full_matrices=False)
            kept = s > s[0] * max(n, k) * np.finfo(float).eps
            inverse = np.where(kept, s / np.where(kept, s**2 + ridge, 1), 0)
            w = right.T @ (inverse[:, None] * (left.T @ self.Y[train]))
            found.append(((F[out] @ w - self.Y[out]) ** 2).sum() / len(out))
        return np.array(found)
