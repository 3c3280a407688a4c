"""The hidden manifold: inputs of many dimensions folded from few, by which the targets go."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.data.base import Data, Drawn, View
from learnmech.data.population import Population
from learnmech.language.parts import Knob, knob, structure
from learnmech.language.trees import Array

FOLDS = ("sign", "tanh", "relu", "erf")


def _erf(xp, z):
    if xp is jnp:
        return jax.scipy.special.erf(z)
    from scipy import special

    return special.erf(z)


def _bent(xp, name, z):
    if name == "sign":
        return xp.where(z >= 0, 1.0, -1.0).astype(z.dtype)
    if name == "relu":
        return xp.maximum(z, 0)
    return xp.tanh(z) if name == "tanh" else _erf(xp, z) if name == "erf" else z


def _view(xp, hidden, F, W, v, fold, bend, noise):
    root = math.sqrt(F.shape[0])
    return View(
        _bent(xp, fold, hidden @ F / root), (_bent(xp, bend, hidden @ W.T / root) @ v) + noise
    )


class Folded(Population):
    """Hidden c ~ N(0, I), x = fold(F'c/sqrt(D)), y = v'bend(W c/sqrt(D)) + noise N(0, 1)."""

    F: Float[Array, "D d"]
    W: Float[Array, "m D"]
    v: Float[Array, "m 1"]
    noise: Float[Array, ""]
    fold: str = eqx.field(static=True)
    bend: str = eqx.field(static=True)

    def sample(self, key, count):
        inputs, errors = jax.random.split(key)
        hidden = jax.random.normal(inputs, (count, self.F.shape[0]), self.F.dtype)
        noise = self.noise * jax.random.normal(errors, (count, 1), self.F.dtype)
        return _view(jnp, hidden, self.F, self.W, self.v, self.fold, self.bend, noise)


class HiddenManifold(Data):
    """x = fold(F'c/sqrt(D)) in d dimensions of hidden c ~ N(0, I) in D, y = v'bend(W c/sqrt(D)) +
    noise: the target goes by where a sample is on the manifold, and not by x alone.

    F (D, d), W (units, D) have entries N(0, 1), v entries N(0, 1/units).  Source: Goldt et al.
    2020.
    """

    n: int = structure(default=100, at_least=1, meaning="training samples")
    d: int = structure(default=50, at_least=1, meaning="inputs")
    hidden: int = structure(default=5, at_least=1, meaning="hidden dimensions, D")
    units: int = structure(default=2, at_least=1, meaning="units of the teacher on them")
    fold: str = structure(default="tanh", choices=FOLDS, meaning="what folds the manifold")
    bend: str = structure(
        default="erf", choices=("linear", *FOLDS), meaning="activation of the teacher's units"
    )
    noise: Knob = knob(
        default=0.0, at_least=0, meaning="standard deviation of the noise on targets"
    )
    test: int = structure(default=0, at_least=0, meaning="test samples")

    def draw(self, rng):
        F = rng.standard_normal((self.hidden, self.d))
        W = rng.standard_normal((self.units, self.hidden))
        v = rng.standard_normal((self.units, 1)) / math.sqrt(self.units)
        views: list[Any] = []
        for count in (self.n, self.test):
            hidden = rng.standard_normal((count, self.hidden))
            noise = float(self.noise) * rng.standard_normal((count, 1))
            views.append(_view(np, hidden, F, W, v, self.fold, self.bend, noise) if count else None)
        noise = np.asarray(float(self.noise))
        return Drawn(views[0], views[1], population=Folded(F, W, v, noise, self.fold, self.bend))

    @classmethod
    def example(cls):
        return cls(n=12, d=6, hidden=3, noise=0.1, test=5)
