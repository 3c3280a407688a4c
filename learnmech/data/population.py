"""Populations: what a source draws from, so that every step can see samples that no step saw."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.architectures.base import Architecture
from learnmech.data.base import View
from learnmech.errors import unwritten
from learnmech.language.trees import Array, Params


class Population(eqx.Module):
    """Samples without end, by a key. Subclasses give `sample`, which can be traced, and where it is
    known in closed form `squared_error_of`."""

    def sample(self, key: Array, count: int) -> View:
        """So many samples, a function of the key alone."""
        raise unwritten(self, "sample")

    def knows(self, architecture: Architecture) -> bool:
        """Whether the mean squared error of this network over all samples is known in closed
        form."""
        return False

    def squared_error_of(self, architecture: Architecture, params: Params) -> Float[Array, ""]:
        """E |f(x) - y|^2 over all samples that there could be, of a network that it `knows`."""
        raise unwritten(self, "squared_error_of")


class LinearGaussian(Population):
    """x = R'z with z ~ N(0, I), so that C = R'R, and y = B x + noise N(0, I).

    Where R is diagonal its diagonal (d,) alone may be given: d products in place of d^2, and the
    same samples.
    """

    root: Float[Array, "d d"] | Float[Array, " d"]
    map: Float[Array, "k d"]
    noise: Float[Array, ""]

    def sample(self, key, count):
        inputs, errors = jax.random.split(key)
        X = self._rooted(jax.random.normal(inputs, (count, self.d), self.root.dtype))
        noise = jax.random.normal(errors, (count, self.map.shape[0]), self.root.dtype)
        return View(X, X @ self.map.T + self.noise * noise)

    def condensed(self, W: Float[Array, "k d"], key: Array, count: int) -> View:
        """k samples in the place of `count` fresh ones: at the linear map W their mean squared
        error and its gradient are distributed, jointly, as those of the batch.

        The errors E = X (W - B)' - noise (count, k) hang on Z along the k directions R (W - B)' = U
        T alone: E = P T - noise, P = Z U normal. Beside those Z is independent of E, so that E'Z =
        E'P U' + S Xi (I - U U') with E'E = S S' and Xi (k, d) normal. With S as a root by
        eigenvectors, the rows S^-1 E'Z R and the errors S' have the same E'E and E'X.
        """
        along, errors, beside = jax.random.split(key, 3)
        k, dtype = W.shape[0], self.root.dtype
        U, T = _basis(self._turned((W - self.map).T))
        P = jax.random.normal(along, (count, U.shape[1]), dtype)
        E = P @ T - self.noise * jax.random.normal(errors, (count, k), dtype)
        Xi = jax.random.normal(beside, (k, self.d), dtype)
        values, V = jnp.linalg.eigh(E.T @ E) if k > 1 else (jnp.sum(E * E, axis=0), jnp.eye(1))
        size = jnp.sqrt(values.clip(min=0)).astype(dtype)
        V = V.astype(dtype)
        first = V.T @ (E.T @ P) / jnp.where(size > 0, size, 1)[:, None]
        # a mean over k samples is to be that over `count`
        scale = np.sqrt(k / count).astype(dtype)
        X = scale * self._rooted(first @ U.T + Xi - (Xi @ U) @ U.T)
        return View(X, X @ W.T - scale * (V * size).T)

    def _turned(self, columns):
        """R of columns: what a direction of x is in z."""
        return columns * self.root[:, None] if self.root.ndim == 1 else self.root @ columns

    @property
    def d(self) -> int:
        """Inputs of a sample."""
        return self.root.shape[0]

    @property
    def covariance(self) -> Float[Array, "d d"]:
        """C = R'R of the inputs."""
        return jnp.diag(self.root**2) if self.root.ndim == 1 else self.root.T @ self.root

    def _rooted(self, Z):
        """Z R, of rows z."""
        return Z * self.root if self.root.ndim == 1 else Z @ self.root

    def knows(self, architecture):
        return architecture.is_linear

    def squared_error_of(self, architecture, params):
        return self.squared_error(architecture.matrix(params))

    def squared_error(self, W: Float[Array, "k d"]) -> Float[Array, ""]:
        """E |W x - y|^2 = tr((W - B) C (W - B)') + k noise^2 of a linear map."""
        off = W - self.map
        off = off * self.root if self.root.ndim == 1 else off @ self.root.T
        return jnp.sum(off * off) + self.map.shape[0] * self.noise**2


def _basis(columns):
    """(U, T), columns = U T and U orthonormal; of one column without a call of LAPACK, which would
    take longer than a step."""
    if columns.shape[1] > 1:
        return jnp.linalg.qr(columns)
    size = jnp.sqrt(jnp.sum(columns * columns))
    first = jnp.zeros_like(columns).at[0, 0].set(1)
    return jnp.where(size > 0, columns / jnp.where(size > 0, size, 1), first), size[None, None]


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

    def knows(self, architecture):
        return architecture.gap_known(self.teacher)

    def squared_error_of(self, architecture, params):
        gap = architecture.mean_gap(params, self.teacher, self.params, self.scale)
        return gap + self.noise**2


class Tokens(Population):
    """x is the one-hot row of a token i, drawn with probability p_i, and y the one-hot row of the
    next, drawn with probabilities P_i."""

    shares: Float[Array, " v"]
    following: Float[Array, "v v"]

    def sample(self, key, count):
        first, second = jax.random.split(key)
        size, dtype = len(self.shares), self.shares.dtype
        tokens = jax.random.categorical(first, jnp.log(self.shares), shape=(count,))
        after = jax.random.categorical(second, jnp.log(self.following)[tokens])
        return View(
            jax.nn.one_hot(tokens, size, dtype=dtype), jax.nn.one_hot(after, size, dtype=dtype)
        )

    @property
    def variances(self) -> Float[Array, " v"]:
        """V_i = 1 - |P_i|^2: the variance of the target of a token, summed over its entries."""
        return 1 - jnp.sum(self.following**2, axis=1)

    def knows(self, architecture):
        return architecture.is_linear

    def squared_error_of(self, architecture, params):
        off = architecture.matrix(params).T - self.following
        return jnp.sum(self.shares * (jnp.sum(off * off, axis=1) + self.variances))
