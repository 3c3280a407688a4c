"""Outputs: arrays of outputs as matrices, kernels between them as matrices, and back;
eigenvectors and solutions of a kernel."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.kernels.resolution import MARGIN
from learnmech.language.trees import Array
from learnmech_tangents.empirical import axes_of

SINGULAR = "Give diag_reg > 0, drop repeated inputs, or ask for a finite t"


class Outputs(NamedTuple):
    """Outputs of shape y.shape: a kernel between them has two indices for each kept axis and is
    the identity along the traced ones."""

    shape: tuple[int, ...]
    kept: tuple[int, ...]
    traced: tuple[int, ...]

    @classmethod
    def of(cls, y, trace_axes) -> "Outputs":
        """Of these targets."""
        traced = axes_of(trace_axes, y.ndim, "predict")
        return cls(
            tuple(y.shape), tuple(axis for axis in range(y.ndim) if axis not in traced), traced
        )

    def rows(self, values: Float[Array, "..."]) -> Float[Array, "m c"]:
        """Kept axes as rows, traced ones as columns."""
        moved = jnp.transpose(values, (*self.kept, *self.traced))
        return moved.reshape(-1, math.prod(self.shape[axis] for axis in self.traced))

    def back(self, rows: Float[Array, "*t m c"], sizes: tuple[int, ...]) -> Float[Array, "..."]:
        """Rows, perhaps of many times, as outputs whose kept axes have these sizes."""
        lead = rows.shape[:-2]
        whole = rows.reshape(*lead, *sizes, *(self.shape[axis] for axis in self.traced))
        order = np.argsort((*self.kept, *self.traced))
        return jnp.transpose(whole, (*range(len(lead)), *(len(lead) + int(axis) for axis in order)))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the kept axes."""
        return tuple(self.shape[axis] for axis in self.kept)

    def others(self, kernel) -> tuple[int, ...]:
        """Sizes of the kept axes of other outputs, from their kernel with these."""
        return tuple(kernel.shape[::2])

    def shaped(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of outputs whose kept axes have these sizes."""
        whole = list(self.shape)
        for axis, size in zip(self.kept, sizes, strict=True):
            whole[axis] = size
        return tuple(whole)

    def matrix(
        self, kernel, who: str = "predict", name: str = "k_train_train"
    ) -> Float[Array, "m1 m2"]:
        """A kernel (n1, n2, k1, k2, ...) as a matrix."""
        expected, shape = self.sizes, jnp.shape(kernel)
        if (
            len(shape) != 2 * len(expected)
            or shape[1::2] != expected
            or (name == "k_train_train" and shape[::2] != expected)
        ):
            lengths = " by ".join(str(size) for size in expected)
            remedy = "Let trace_axes name the axes of y_train which the kernel lacks"
            raise refused(
                who,
                f"{name} with two indices for each of {lengths} outputs that are not traced",
                f"shape {shape}",
                remedy,
            )
        return flat(kernel)


def flat(kernel) -> Float[Array, "m1 m2"]:
    """A kernel (n1, n2, k1, k2, ...) as a matrix."""
    count = len(kernel.shape) // 2
    moved = kernel.transpose(*range(0, 2 * count, 2), *range(1, 2 * count, 2))
    return moved.reshape(math.prod(kernel.shape[::2]), -1)


def zipped(matrix: Float[Array, "*t m m"], sizes: tuple[int, ...]) -> Float[Array, "..."]:
    """A matrix between outputs of these sizes, perhaps of many times, as a kernel (n, n, k, k,
    ...)."""
    lead, count = matrix.ndim - 2, len(sizes)
    whole = matrix.reshape(*matrix.shape[:-2], *sizes, *sizes)
    return jnp.transpose(
        whole,
        (*range(lead), *(lead + side * count + axis for axis in range(count) for side in (0, 1))),
    )


def _known(x):
    return not isinstance(x, jax.core.Tracer)


def regularized(K: Float[Array, "m m"], diag_reg: float, absolute: bool) -> Float[Array, "m m"]:
    """K + diag_reg I, or K + diag_reg mean(diagonal of K) I."""
    library = np if _known(K) else jnp
    return K + diag_reg * (1.0 if absolute else library.trace(K) / len(K)) * library.eye(len(K))


def _finite(K, who):
    if _known(K) and not np.isfinite(np.asarray(K)).all():
        raise refused(
            who,
            "a train-train kernel of finite numbers",
            "NaN or infinity",
            "Remove or replace the bad entries",
        )


def eigen(K: Float[Array, "m m"], precision=None) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """Eigenvalues, those that are 0 to the round-off of the `precision` the kernel came in as 0,
    and eigenvectors."""
    _finite(K, "predict")
    values, vectors = scipy.linalg.eigh(np.asarray(K)) if _known(K) else jnp.linalg.eigh(K)
    library = np if _known(K) else jnp
    return library.where(values > _floor(values, K, precision), values, 0), vectors


def _floor(values, K, precision):
    """`resolved_eigenvalue`, traced or not."""
    kind = np.dtype(K.dtype if precision is None else precision)
    return (
        MARGIN
        * len(K)
        * float(np.finfo(kind if kind.kind == "f" else np.float64).eps)
        * (np if _known(K) else jnp).abs(values).max()
    )


def solver(K: Float[Array, "m m"], who: str, precision=None):
    """b -> K^-1 b by a Cholesky factor; refuses a kernel that is singular to round-off, by its
    rank: a factor may pass or not. Traced, it gives NaN there."""
    _finite(K, who)
    if not _known(K):
        values = jnp.linalg.eigvalsh(jax.lax.stop_gradient(K))
        whole = values[0] > _floor(values, K, precision)
        factor = jax.scipy.linalg.cho_factor(K, lower=True)
        return lambda b: jnp.where(whole, jax.scipy.linalg.cho_solve(factor, b), jnp.nan)
    K = np.asarray(K)
    values = np.linalg.eigvalsh(K)
    if not values[0] > _floor(values, K, precision):
        rank = int((values > _floor(values, K, precision)).sum())
        got = (
            f"one of rank {rank} of {len(values)}, eigenvalues from {values[0]:.3g} to"
            f" {values[-1]:.3g}"
        )
        raise refused(who, "a train-train kernel that is positive definite", got, SINGULAR)
    lower = np.linalg.cholesky(K)

    def solved(b):
        return (
            jnp.asarray(scipy.linalg.cho_solve((lower, True), b))
            if _known(b)
            else jax.scipy.linalg.cho_solve((jnp.asarray(lower), True), b)
        )

    return solved
