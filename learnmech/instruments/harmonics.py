"""Harmonics: how much of what a network says is of which degree, over Gaussian inputs and around a
circle."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.instruments.base import Instrument
from learnmech.language.parts import Knob, knob, structure
from learnmech.language.quantity import Quantity
from learnmech.language.trees import Array


def hermite_products(X: Float[Array, "n d"], degree: int) -> list[Float[Array, "n n"]]:
    """h_k(x, x') = sum over |alpha| = k of H_alpha(x) H_alpha(x'), k from 0 to the degree, H the
    normalized Hermite polynomials: projections on degree k over x ~ N(0, I).

    By Mehler's formula sum_k rho^k h_k = (1 - rho^2)^{-d/2} exp[(rho x.x' - rho^2 (|x|^2 +
    |x'|^2)/2)/(1 - rho^2)], whose logarithm has the coefficients x.x' (odd) and d/k - (|x|^2 +
    |x'|^2)/2 (even), so that k h_k = sum_m m a_m h_{k-m}: any d, and no polynomial is listed.
    """
    d, dot, size = X.shape[1], X @ X.T, jnp.sum(X * X, axis=1)
    halves = (size[:, None] + size) / 2
    found: list[Any] = [jnp.ones_like(dot)]
    for k in range(1, degree + 1):
        parts = [(m * dot if m % 2 else d - m * halves) * found[k - m] for m in range(1, k + 1)]
        found.append(sum(parts[1:], parts[0]) / k)
    return found


class HermitePower(Instrument):
    """The power of the outputs in each Hermite degree over x ~ N(0, I), up to `degree`, summed over
    outputs, with the standard error.

    E f^2 = sum_k power_k. From the training inputs, which must be standard normal, by all pairs of
    different samples: without bias, and a power that is 0 may be read below it. Of the targets by
    `of`. In samples^2 products for each degree; resolves powers down to about sqrt(2 C(d+k-1, k))/n
    of E f^2.
    """

    degree: int = structure(default=4, at_least=0, meaning="the highest degree that is read")
    of: str = structure(
        default="outputs", choices=("outputs", "targets", "error"), meaning="whose power is read"
    )
    samples: int = structure(
        default=0,
        at_least=0,
        meaning="training inputs that it is taken on, the first so many; 0: all",
    )

    def check(self, system):
        X = system.train.X
        who, what = "HermitePower", "inputs that are standard normal"
        if system.modes is None:
            raise refused(who, what, "ids, or samples of several axes", "Watch another instrument")
        X = np.asarray(X[: self.samples or None], np.float64)
        if len(X) < 3 or self.samples > system.train.X.shape[0]:
            raise refused(who, "3 samples or more, of those there are", len(X), "Set samples to 0")
        off = np.abs(X.T @ X / len(X) - np.eye(X.shape[1])).max()
        # an entry of X'X/n is off by sqrt(2/n) at most, one standard error
        if off > 7 * np.sqrt(2 / len(X)):
            got = f"a second moment that is off the identity by {off:.3g}"
            raise refused(who, what, got, "Whiten the inputs")

    def quantities(self, system, params):
        labels = (("degree", tuple(range(self.degree + 1))),)
        name = {"outputs": "hermite_power", "targets": "target_hermite_power"}.get(
            self.of, "error_hermite_power"
        )
        return (
            Quantity(
                name, ("degree",), "output^2", "P_k", f"power of the {self.of} by degree", labels
            ),
            Quantity(
                f"{name}_error", ("degree",), "output^2", "s.e.", "its standard error", labels
            ),
        )

    def rests_on(self, quantity):
        return "params"

    def read(self, moment):
        system, count = moment.system, self.samples or None
        X, Y = system.train.X[:count], system.train.Y[:count]
        f = (
            Y
            if self.of == "targets"
            else system.outputs(moment.state.params, system.train.X)[:count]
        )
        f = f - Y if self.of == "error" else f
        n, alike = len(X), f @ f.T
        powers, errors = [], []
        for products in hermite_products(X, self.degree):
            pairs = alike * products
            each = (jnp.sum(pairs, axis=1) - jnp.diag(pairs)) / (n - 1)
            powers.append(jnp.mean(each))
            # twice the scatter of a sample's own mean, which also holds that of its pairs
            errors.append(2 * jnp.std(each) / jnp.sqrt(n))
        name = self.quantities(system, None)[0].name
        return {name: jnp.stack(powers), f"{name}_error": jnp.stack(errors)}


class FourierPower(Instrument):
    """The power of the outputs in each angular frequency around a circle in the plane of two
    inputs, summed over outputs.

    f = sum_k a_k cos kt + b_k sin kt: power_0 = a_0^2, power_k = (a_k^2 + b_k^2)/2, which add up to
    the mean of f^2. The network is asked at `points` even angles, whatever the samples are; what
    there is beyond half of them is folded back.
    """

    frequencies: int = structure(
        default=8, at_least=0, meaning="the highest frequency that is read, in turns of the circle"
    )
    points: int = structure(default=256, at_least=2, meaning="angles at which the network is asked")
    radius: Knob = knob(default=1.0, above=0, meaning="of the circle, in units of the inputs")

    def coherent(self):
        if 2 * self.frequencies >= self.points:
            raise refused(
                "FourierPower",
                f"more than {2 * self.frequencies} points, two for each frequency",
                self.points,
                "Raise points",
            )

    def check(self, system):
        if system.modes is None or system.train.X.shape[1] != 2:
            got = "other samples" if system.modes is None else f"{system.train.X.shape[1]} inputs"
            raise refused("FourierPower", "two inputs", got, "Watch another instrument")

    def quantities(self, system, params):
        labels = (("frequency", tuple(range(self.frequencies + 1))),)
        meaning = "power of the outputs by angular frequency"
        return (Quantity("fourier_power", ("frequency",), "output^2", "P_k", meaning, labels),)

    def rests_on(self, quantity):
        return "params"

    def read(self, moment):
        angles = 2 * np.pi * np.arange(self.points) / self.points
        circle = self.radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        X = jnp.asarray(circle, moment.system.train.X.dtype)
        waves = jnp.fft.rfft(moment.system.outputs(moment.state.params, X), axis=0) / self.points
        power = jnp.sum(jnp.abs(waves) ** 2, axis=1)[: self.frequencies + 1]
        return {"fourier_power": power * jnp.where(jnp.arange(self.frequencies + 1) == 0, 1, 2)}
