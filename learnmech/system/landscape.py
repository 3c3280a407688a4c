"""The system: a landscape at rest. Architecture, drawn data and loss; nothing moves."""

import zlib
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util
from jaxtyping import Float, Int

from learnmech.architectures.base import Architecture
from learnmech.data.base import Drawn, View, singular_modes
from learnmech.kernels.empirical import tangent_kernel
from learnmech.language import trees
from learnmech.language.trees import Array, Params
from learnmech.losses.base import Loss
from learnmech.losses.squared import Squared


class Reduced(eqx.Module):
    """Samples that a linear map cannot tell from the n given ones: X = Q R, so |X W' - Y|^2 = |R W' - Q'Y|^2 + floor.

    Never negative, and exact for any rank of X; the squares of the data are never formed.
    """

    X: Float[Array, "d d"]
    Y: Float[Array, "d k"]
    floor: Float[Array, ""]

    @classmethod
    def of(cls, view: View) -> "Reduced":
        """From a view with more samples than inputs."""
        Q, R = np.linalg.qr(np.asarray(view.X, np.float64))
        Y = np.asarray(view.Y, np.float64)
        projected = Q.T @ Y
        return cls(R, projected, np.asarray(np.sum((Y - Q @ projected) ** 2)))


class Modes(eqx.Module):
    """The singular modes of the training data, S_yx = U diag(s) V', the strongest first."""

    U: Float[Array, "k m"]
    s: Float[Array, " m"]
    V: Float[Array, "d m"]


class System(eqx.Module):
    """Architecture, drawn data and loss: outputs, loss, gradient and Hessian anywhere in parameter space."""

    architecture: Architecture
    loss_function: Loss
    train: View
    test: View | None
    reduced: Reduced | None
    modes: Modes

    def outputs(self, params: Params, X: Float[Array, "n d"]) -> Float[Array, "n k"]:
        """f on a batch; of a network that mixes samples, mixed as among the training samples, or where it keeps running statistics by those."""
        if X is self.train.X:
            return self.architecture.forward(params, X)
        return self.architecture.elsewhere(params, X, self.train.X)

    def signals(self, params: Params, X: Float[Array, "n d"]) -> dict[str, Array]:
        """Every named signal of a batch, mixed as the outputs are."""
        if X is self.train.X and self.architecture.running_momentum is not None:
            return self.architecture.signals(params, X)
        seen = {}
        self.architecture.elsewhere(params, X, self.train.X, lambda name, value: seen.setdefault(name, value))
        return seen

    def loss(self, params: Params) -> Float[Array, ""]:
        """The training loss, ridge included."""
        if self.reduced is not None:
            errors = self.reduced.X @ self.architecture.matrix(params).T - self.reduced.Y
            c = self.loss_function.constant(self.train.X.shape[0])
            return c * (jnp.sum(errors * errors) + self.reduced.floor) + self.penalty(params)
        return self.loss_on(params, self.train) + self.penalty(params)

    def penalty(self, params: Params) -> Float[Array, ""] | float:
        """The loss's price on the parameters that gradients move."""
        return self.loss_function.penalty(self.architecture.learned(params))

    def loss_on(self, params: Params, view: View) -> Float[Array, ""]:
        """The loss on a view, without ridge; n is the view's own."""
        return self.loss_function.value(self.outputs(params, view.X), view.Y, view.weight)

    def test_loss(self, params: Params) -> Float[Array, ""]:
        """The loss on the test view, without ridge."""
        return self.loss_on(params, self.test)

    def value_and_gradient(self, params: Params) -> tuple[Float[Array, ""], Params]:
        """The training loss and its gradient."""
        return jax.value_and_grad(self.loss)(params)

    def hessian(self, params: Params) -> Callable[[Params], Params]:
        """The Hessian of the training loss as an operator v -> Hv, linearized once."""
        return jax.linearize(jax.grad(self.loss), params)[1]

    def tangent_kernel(
        self, params: Params, X1: Float[Array, "n d"], X2: Float[Array, "m d"] | None = None, full: bool = False
    ) -> Float[Array, "n m"] | Float[Array, "n m k k"]:
        """The tangent kernel between inputs (X2 None: X1): the mean over outputs of T_cc, or `full` T_cc'(x, x')."""
        return tangent_kernel(self.architecture, params, X1, X2, full)

    def at(self, indices: Int[Array, " b"]) -> "System":
        """The same landscape on these training samples alone."""
        view = self.train
        batch = View(view.X[indices], view.Y[indices], None if view.weight is None else view.weight[indices])
        self.architecture.check(batch.X)
        return System(self.architecture, self.loss_function, batch, self.test, None, self.modes)

    def at_step(self, key: Array, step: Int[Array, ""] | int) -> "System":
        """The landscape this step sees: with what the architecture draws anew at every step (the masks of a dropout), by the run's key and the step alone."""
        if not self.architecture.draws:
            return self
        own = jax.random.fold_in(jax.random.fold_in(key, zlib.crc32(b"architecture") & 0x7FFFFFFF), step)
        return System(self.architecture.drawn(own), self.loss_function, self.train, self.test, None, self.modes)


def landscape(architecture: Architecture, loss: Loss, data: Drawn, dtype) -> System:
    """The system in a precision; a squared loss on a linear map with n > d is reduced to d samples. Refuses targets the loss has no price for."""
    architecture.check(data.train.X)
    for side, view in (("train", data.train), ("test", data.test)):
        if view is not None:
            loss.check(view.Y, side)
    linear = architecture.is_linear and isinstance(loss, Squared) and data.train.weight is None
    reduced = Reduced.of(data.train) if linear and data.train.X.shape[0] > data.train.X.shape[1] else None
    train, test, reduced, modes = trees.cast((data.train, data.test, reduced, Modes(*singular_modes(data.train))), dtype)
    return System(architecture, trees.cast(loss, dtype), train, test, reduced, modes)


@eqx.filter_jit
def _hessian_columns(system, params, vectors):
    flat, unflatten = flatten_util.ravel_pytree(params)
    product = system.hessian(params)
    return jax.lax.map(lambda v: flatten_util.ravel_pytree(product(unflatten(v)))[0], vectors)


def hessian_matrix(system: System, params: Params) -> Float[np.ndarray, "p p"]:
    """The Hessian of the training loss as a matrix, rows and columns in the order of `ravel_pytree`; for small networks."""
    size = sum(np.size(leaf) for leaf in jax.tree.leaves(params))
    return np.asarray(_hessian_columns(system, params, jnp.eye(size, dtype=jax.tree.leaves(params)[0].dtype)))
