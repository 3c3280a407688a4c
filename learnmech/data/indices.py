"""Targets that hang on a few directions of the inputs: single- and multi-index, and parity."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.data.base import Data, Drawn, View
from learnmech.data.population import Population
from learnmech.errors import refused
from learnmech.language.parts import Knob, knob, structure
from learnmech.language.trees import Array

INPUTS = ("gaussian", "sphere", "hypercube")


def _hermite(xp, z, degree):
    """He_degree(z)/sqrt(degree!), of mean square 1 over z ~ N(0, 1)."""
    below, value = xp.zeros_like(z), xp.ones_like(z)
    for order in range(degree):
        below, value = value, z * value - order * below
    return value / math.sqrt(math.factorial(degree))


def _value(xp, link, degree, Z):
    """The target (n, 1) of projections Z (n, r)."""
    count = Z.shape[1]
    if link == "product":
        found = xp.prod(Z, axis=1)
    elif link == "sign":
        found = xp.where(xp.prod(Z, axis=1) >= 0, 1.0, -1.0).astype(Z.dtype)
    elif link == "staircase":
        found = xp.sum(xp.cumprod(Z, axis=1), axis=1) / math.sqrt(count)
    elif link == "relu":
        found = xp.sum(xp.maximum(Z, 0), axis=1) / math.sqrt(count)
    else:
        found = xp.sum(_hermite(xp, Z, degree), axis=1) / math.sqrt(count)
    return found[:, None]


class Indexed(Population):
    """x of one law, y = link(W x) + noise N(0, 1)."""

    directions: Float[Array, "r d"]
    noise: Float[Array, ""]
    inputs: str = eqx.field(static=True)
    link: str = eqx.field(static=True)
    degree: int = eqx.field(static=True)

    def sample(self, key, count):
        inputs, errors = jax.random.split(key)
        d, dtype = self.directions.shape[1], self.directions.dtype
        if self.inputs == "hypercube":
            X = jax.random.rademacher(inputs, (count, d), dtype)
        else:
            X = jax.random.normal(inputs, (count, d), dtype)
        if self.inputs == "sphere":
            X = X * (math.sqrt(d) / jnp.linalg.norm(X, axis=1, keepdims=True))
        Y = _value(jnp, self.link, self.degree, X @ self.directions.T)
        return View(X, Y + self.noise * jax.random.normal(errors, Y.shape, dtype))


def _drawn(rng, inputs, directions, link, degree, noise, counts):
    """Views of so many samples each, and the population that they are of."""
    views: list[Any] = []
    d = directions.shape[1]
    for count in counts:
        X = rng.standard_normal((count, d))
        if inputs == "hypercube":
            X = np.where(X >= 0, 1.0, -1.0)
        if inputs == "sphere":
            X *= math.sqrt(d) / np.linalg.norm(X, axis=1, keepdims=True)
        Y = _value(np, link, degree, X @ directions.T)
        views.append(View(X, Y + noise * rng.standard_normal(Y.shape)) if count else None)
    population = Indexed(directions, np.asarray(noise), inputs, link, degree)
    return Drawn(views[0], views[1], population=population)


class MultiIndex(Data):
    """y = g(W x) + noise with r orthonormal directions W (r, d): of d inputs only a few count.

    `inputs` are `gaussian` (N(0, I)), uniform on a `sphere` of |x|^2 = d, or on the `hypercube` of
    +1 and -1. The `link` g is `hermite`, sum_j He_degree(z_j)/sqrt(degree! r), of information
    exponent `degree`; `product`, z_1 ... z_r; `sign`, the sign of that; `staircase`, (z_1 + z_1 z_2
    + ... )/sqrt(r); or `relu`, sum_j max(z_j, 0)/sqrt(r). With r = 1 a single index. `directions`
    are drawn at `random`, or are the first `axes`.  Source: Ben Arous et al. 2021; Abbe et al. 2022
    for the staircase.
    """

    n: int = structure(default=100, at_least=1, meaning="training samples")
    d: int = structure(default=20, at_least=1, meaning="inputs")
    indices: int = structure(default=1, at_least=1, meaning="directions that count, r")
    link: str = structure(
        default="hermite",
        choices=("hermite", "product", "sign", "staircase", "relu"),
        meaning="the target as a function of the projections on those directions",
    )
    degree: int = structure(
        default=2, at_least=1, meaning="of the Hermite polynomial, its information exponent"
    )
    inputs: str = structure(default="gaussian", choices=INPUTS, meaning="the law of the inputs")
    directions: str = structure(
        default="random", choices=("random", "axes"), meaning="drawn, or the first r axes"
    )
    noise: Knob = knob(
        default=0.0, at_least=0, meaning="standard deviation of the noise on targets"
    )
    test: int = structure(default=0, at_least=0, meaning="test samples")

    def coherent(self):
        if self.indices > self.d:
            raise refused(
                "MultiIndex", f"at most d = {self.d} indices", self.indices, "Lower indices"
            )

    def draw(self, rng):
        W = np.eye(self.indices, self.d)
        if self.directions == "random":
            W = np.linalg.qr(rng.standard_normal((self.d, self.indices)))[0].T.copy()
        counts, noise = (self.n, self.test), float(self.noise)
        return _drawn(rng, self.inputs, W, self.link, self.degree, noise, counts)

    @classmethod
    def example(cls):
        return cls(n=12, d=4, indices=2, link="staircase", inputs="sphere", noise=0.1, test=5)


class Parity(Data):
    """y = x_1 x_2 ... x_k of inputs +1 and -1, uniform on the hypercube: nothing less than all k
    bits together says anything of y.  Source: Barak et al. 2022.
    """

    n: int = structure(default=100, at_least=1, meaning="training samples")
    d: int = structure(default=10, at_least=1, meaning="inputs, bits")
    bits: int = structure(default=2, at_least=1, meaning="bits that count, k")
    flipped: Knob = knob(
        default=0.0, at_least=0, at_most=1, meaning="probability that a training target is flipped"
    )
    test: int = structure(default=0, at_least=0, meaning="test samples")

    def coherent(self):
        if self.bits > self.d:
            raise refused("Parity", f"at most d = {self.d} bits", self.bits, "Lower bits")

    def draw(self, rng):
        W = np.eye(self.bits, self.d)
        drawn = _drawn(rng, "hypercube", W, "product", 1, 0.0, (self.n, self.test))
        wrong = rng.random((self.n, 1)) < float(self.flipped)
        train = View(drawn.train.X, np.where(wrong, -drawn.train.Y, drawn.train.Y))
        return Drawn(train, drawn.test, population=None if self.flipped > 0 else drawn.population)

    @classmethod
    def example(cls):
        return cls(n=12, d=4, test=5)
