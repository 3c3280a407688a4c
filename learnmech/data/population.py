"""Populations: what a source draws from, so that every step can see samples that no step saw."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from learnmech.architectures.base import Architecture
from learnmech.data.base import View
from learnmech.errors import unwritten
from learnmech.language.trees import Array, Params


class Population(eqx.Module):
    """Samples without end, by a key. Subclasses give `sample`, which can be traced."""

    def sample(self, key: Array, count: int) -> View:
        """So many samples, a function of the key alone."""
        raise unwritten(self, "sample")


class LinearGaussian(Population):
    """x = R'z with z ~ N(0, I), so that C = R'R, and y = B x + noise N(0, I)."""

    root: Float[Array, "d d"]
    map: Float[Array, "k d"]
    noise: Float[Array, ""]

    def sample(self, key, count):
        inputs, errors = jax.random.split(key)
        X = jax.random.normal(inputs, (count, self.root.shape[0]), self.root.dtype) @ self.root
        noise = jax.random.normal(errors, (count, self.map.shape[0]), self.root.dtype)
        return View(X, X @ self.map.T + self.noise * noise)

    def squared_error(self, W: Float[Array, "k d"]) -> Float[Array, ""]:
        """E |W x - y|^2 = tr((W - B) C (W - B)') + k noise^2 of a linear map."""
        off = (W - self.map) @ self.root.T
        return jnp.sum(off * off) + self.map.shape[0] * self.noise**2


class Taught(Population):
    """x ~ N(0, I) and y = scale teacher(x) + noise N(0, I)."""

    teacher: Architecture
    params: Params
    scale: Float[Array, ""]
    noise: Float[Array, ""]
    d: int = eqx.field(static=True)

    def sample(self, key, count):
        inputs, errors = jax.random.split(key)
        X = jax.random.normal(inputs, (count, self.d), self.scale.dtype)
        Y = self.scale * self.teacher.forward(self.params, X)
        return View(X, Y + self.noise * jax.random.normal(errors, Y.shape, Y.dtype))
