"""Curves: a number as a function of a number, few enough samples to look at all of them."""

import numpy as np

from learnmech.data.base import Data, Drawn, View
from learnmech.errors import refused
from learnmech.language.parts import structure


class Chebyshev(Data):
    """y = T_degree(x) = cos(degree arccos x) at n evenly spaced x from -1 to 1: a one-dimensional
    fit whose wiggles grow with the degree.

    The test view, where `test` > 0, lies evenly between. Nothing is drawn.  Source: Cohen et al.
    2021, appendix.
    """

    degree: int = structure(default=4, at_least=1, meaning="degree of the polynomial")
    n: int = structure(default=20, at_least=2, meaning="training samples")
    test: int = structure(default=0, at_least=0, meaning="test samples")

    def coherent(self):
        if self.degree >= self.n:
            raise refused(
                "Chebyshev",
                "more samples than the degree",
                f"degree = {self.degree}, n = {self.n}",
                "Raise n, or lower the degree",
            )

    def draw(self, rng):
        return Drawn(
            self._at(np.linspace(-1, 1, self.n)),
            self._at(np.linspace(-1, 1, self.test + 2)[1:-1]) if self.test else None,
        )

    def _at(self, x):
        return View(x[:, None], np.cos(self.degree * np.arccos(x))[:, None])

    @classmethod
    def example(cls):
        return cls(degree=3, n=12, test=5)
