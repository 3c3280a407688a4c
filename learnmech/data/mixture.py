"""Mixtures: classes that are Gaussians around means of their own."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from learnmech.data.base import Data, Drawn, View
from learnmech.data.population import Population
from learnmech.data.samples import targets_of
from learnmech.errors import refused
from learnmech.language.parts import Knob, knob, structure
from learnmech.language.trees import Array


class Mixed(Population):
    """A class at random, x ~ N(mean of the class, diag(spread)^2), and the class's target."""

    means: Float[Array, "k d"]
    spread: Float[Array, " d"]
    targets: Float[Array, "k c"]
    count: int = eqx.field(static=True)

    def sample(self, key, count):
        classes, inputs = jax.random.split(key)
        codes = jax.random.randint(classes, (count,), 0, self.count)
        noise = jax.random.normal(inputs, (count, self.means.shape[1]), self.means.dtype)
        return View(self.means[codes] + noise * self.spread, self.targets[codes])


class GaussianMixture(Data):
    """`classes` Gaussians, each as likely: x = separation u_c + Lambda^(1/2) z, z ~ N(0, I), with
    orthonormal u_c drawn at random, so that two means are sqrt(2) separation apart.

    Lambda has eigenvalues i^-exponent (0: isotropic) along the axes. Of two isotropic classes no
    learner is right more often than Phi(separation/sqrt(2)).
    """

    n: int = structure(default=100, at_least=1, meaning="training samples")
    d: int = structure(default=10, at_least=2, meaning="inputs")
    classes: int = structure(default=2, at_least=2, meaning="classes, at most d")
    separation: Knob = knob(default=2.0, at_least=0, meaning="length of the mean of each class")
    exponent: Knob = knob(
        default=0.0, at_least=0, meaning="of the eigenvalues i^-exponent within a class"
    )
    coding: str = structure(
        default="one-hot",
        choices=("one-hot", "signs", "sign"),
        meaning="targets of a class: a 1 in its column, +1 there and -1 elsewhere, or one column",
    )
    test: int = structure(default=0, at_least=0, meaning="test samples")

    def coherent(self):
        if self.classes > self.d:
            raise refused(
                "GaussianMixture", f"at most d = {self.d} classes", self.classes, "Raise d"
            )
        if self.coding == "sign" and self.classes != 2:
            raise refused(
                "GaussianMixture", "two classes for coding = sign", self.classes, "Set one-hot"
            )

    def draw(self, rng):
        U = np.linalg.qr(rng.standard_normal((self.d, self.classes)))[0].T
        means = float(self.separation) * U
        spread = np.arange(1, self.d + 1) ** (-0.5 * float(self.exponent))
        targets = targets_of(np.arange(self.classes), self.classes, self.coding)
        views: list[Any] = []
        for count in (self.n, self.test):
            codes = rng.integers(0, self.classes, count)
            X = means[codes] + rng.standard_normal((count, self.d)) * spread
            views.append(View(X, targets[codes]) if count else None)
        population = Mixed(means, spread, targets, self.classes)
        return Drawn(
            views[0], views[1], tuple(map(str, range(self.classes))), population=population
        )

    @classmethod
    def example(cls):
        return cls(n=12, d=3, classes=3, exponent=0.5, test=5)
