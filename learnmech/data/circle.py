"""The circle: inputs at angles, targets that are waves around it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.data.base import Data, Drawn, View
from learnmech.data.population import Population
from learnmech.errors import refused
from learnmech.language.parts import Knob, knob, structure
from learnmech.language.trees import Array


def _view(xp, angles, frequencies, amplitudes, noise):
    X = xp.stack([xp.cos(angles), xp.sin(angles)], axis=1)
    Y = xp.cos(angles[:, None] * frequencies) @ amplitudes
    return View(X, Y[:, None] + noise)


class Around(Population):
    """An angle at random, x = (cos, sin) of it, y = sum_j a_j cos(k_j angle) + noise N(0, 1)."""

    frequencies: Float[Array, " m"]
    amplitudes: Float[Array, " m"]
    noise: Float[Array, ""]

    def sample(self, key, count):
        inputs, errors = jax.random.split(key)
        dtype = self.frequencies.dtype
        angles = jax.random.uniform(inputs, (count,), dtype, 0, 2 * np.pi)
        noise = self.noise * jax.random.normal(errors, (count, 1), dtype)
        return _view(jnp, angles, self.frequencies, self.amplitudes, noise)


class Circle(Data):
    """x = (cos t, sin t), y = sum_j amplitude_j cos(frequency_j t) + noise: on the circle waves are
    the eigenfunctions of every kernel of the angle.

    The training angles lie evenly from 0 on, or are `drawn` at random; those of the test always
    are.  Source: Basri et al. 2019.
    """

    n: int = structure(default=64, at_least=1, meaning="training samples")
    frequencies: tuple[int, ...] = structure(default=(1, 3, 4), meaning="waves around the circle")
    amplitudes: tuple[float, ...] = structure(
        default=(), meaning="of each wave; none: 1 throughout"
    )
    drawn: bool = structure(
        default=False, meaning="whether training angles are drawn, and do not lie evenly"
    )
    noise: Knob = knob(
        default=0.0, at_least=0, meaning="standard deviation of the noise on targets"
    )
    test: int = structure(default=0, at_least=0, meaning="test samples")

    def coherent(self):
        if not self.frequencies or min(self.frequencies) < 0:
            raise refused(
                "Circle", "frequencies of 0 or more, one at least", self.frequencies, "Give some"
            )
        if self.amplitudes and len(self.amplitudes) != len(self.frequencies):
            raise refused(
                "Circle",
                f"an amplitude for each of the {len(self.frequencies)} frequencies",
                len(self.amplitudes),
                "Give as many, or none",
            )

    def draw(self, rng):
        k = np.array(self.frequencies, np.float64)
        a = np.array(self.amplitudes or [1.0] * len(k), np.float64)
        even = 2 * np.pi * np.arange(self.n) / self.n
        views: list[Any] = []
        for count, angles in ((self.n, None if self.drawn else even), (self.test, None)):
            if angles is None:
                angles = rng.uniform(0, 2 * np.pi, count)
            noise = float(self.noise) * rng.standard_normal((count, 1))
            views.append(_view(np, angles, k, a, noise) if count else None)
        return Drawn(views[0], views[1], population=Around(k, a, np.asarray(float(self.noise))))

    @classmethod
    def example(cls):
        return cls(n=12, frequencies=(1, 2), amplitudes=(1.0, 0.5), noise=0.1, test=5)
