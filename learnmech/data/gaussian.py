"""Gaussian inputs: a covariance, and targets from a linear map with noise."""

import numpy as np

from learnmech.data.base import Data, Drawn, View, whiten
from learnmech.data.population import LinearGaussian
from learnmech.errors import refused
from learnmech.language.parts import Knob, Numbers, array, knob, structure


class Gaussian(Data):
    """x ~ N(0, C), y = B x + noise, B with entries N(0, 1/d) unless given.

    `covariance` is `isotropic` (C = I), `power-law` (eigenvalues i^-exponent) or `given` (a (d, d)
    matrix in `matrix`). `whitened` makes S_xx = I exact on the training set (n >= d); the test set
    gets the same transformation.
    """

    n: int = structure(default=100, at_least=1, meaning="training samples")
    d: int = structure(default=10, at_least=1, meaning="inputs")
    k: int = structure(default=1, at_least=1, meaning="outputs")
    covariance: str = structure(
        default="isotropic",
        choices=("isotropic", "power-law", "given"),
        meaning="of the inputs: C = I, eigenvalues i^-exponent, or the matrix that is given",
    )
    exponent: Knob = knob(
        default=1.0, meaning="of the eigenvalues i^-exponent of a power-law covariance"
    )
    matrix: Numbers | None = array(default=None, meaning="the covariance (d, d), where it is given")
    map: Numbers | None = array(
        default=None,
        meaning="the linear map (k, d) from inputs to targets; random entries unless given",
    )
    noise: Knob = knob(
        default=0.0, at_least=0, meaning="standard deviation of the noise on targets"
    )
    whitened: bool = structure(
        default=False, meaning="whether S_xx = I exactly on the training set, which needs n >= d"
    )
    test: int = structure(default=0, at_least=0, meaning="test samples")

    def coherent(self):
        if (self.covariance == "given") != (self.matrix is not None):
            raise refused(
                "Gaussian",
                "a matrix exactly when covariance is given",
                f"covariance={self.covariance!r}",
                "Set covariance='given' and matrix together",
            )
        if self.matrix is not None:
            if (
                self.matrix.shape != (self.d, self.d)
                or not np.allclose(self.matrix, self.matrix.T)
                or np.linalg.eigvalsh(self.matrix)[0] < -1e-12 * abs(self.matrix).max()
            ):
                raise refused(
                    "Gaussian",
                    f"a symmetric positive semidefinite ({self.d}, {self.d}) matrix",
                    f"shape {self.matrix.shape}",
                    "Give a covariance matrix",
                )
        if self.map is not None and self.map.shape != (self.k, self.d):
            raise refused(
                "Gaussian",
                f"a ({self.k}, {self.d}) map",
                f"shape {self.map.shape}",
                "Set k and d to the shape of the map",
            )
        if self.whitened and self.n < self.d:
            raise refused(
                "Gaussian",
                f"n >= d = {self.d} to be whitened",
                f"n = {self.n}",
                "Draw more samples, or do not whiten",
            )

    def draw(self, rng):
        root = self._root()
        X, X_test = (
            rng.standard_normal((self.n, self.d)) @ root,
            rng.standard_normal((self.test, self.d)) @ root,
        )
        B = (
            rng.standard_normal((self.k, self.d)) / np.sqrt(self.d)
            if self.map is None
            else self.map
        )
        noise, noise_test = (
            float(self.noise) * rng.standard_normal((n, self.k)) for n in (self.n, self.test)
        )
        if self.whitened:
            X, transform = whiten(X)
            X_test = X_test @ transform
        train = View(X, X @ B.T + noise)
        test = View(X_test, X_test @ B.T + noise_test) if self.test else None
        if self.whitened:  # by its own samples: others of the population are not
            return Drawn(train, test)
        own = root if self.covariance == "given" else np.diag(root).copy()
        population = LinearGaussian(own, np.asarray(B), np.asarray(float(self.noise)))
        return Drawn(train, test, population=population)

    def _root(self):
        if self.covariance == "isotropic":
            return np.eye(self.d)
        if self.covariance == "power-law":
            return np.diag(np.arange(1, self.d + 1) ** (-0.5 * float(self.exponent)))
        values, vectors = np.linalg.eigh(np.asarray(self.matrix))
        return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T

    @classmethod
    def example(cls):
        return cls(n=12, d=3, k=2, noise=0.1, test=5)
