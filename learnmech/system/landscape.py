"""The system: a landscape at rest. Architecture, drawn data and loss; nothing moves."""

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util
from jaxtyping import Float, Int, Shaped

from learnmech.architectures.base import Architecture
from learnmech.data.base import Drawn, View, is_ids, singular_modes
from learnmech.data.population import LinearGaussian, Population
from learnmech.errors import refused
from learnmech.kernels.empirical import tangent_kernel
from learnmech.language import trees
from learnmech.language.faults import unfit
from learnmech.language.origins import in_library
from learnmech.language.trees import Array, Params
from learnmech.losses.base import Loss
from learnmech.losses.squared import Squared
from learnmech.system import passes


class Reduced(eqx.Module):
    """Samples that a linear map cannot tell from the n given ones: X = Q R, so |X W' - Y|^2 = |R W'
    - Q'Y|^2 + floor.

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
    """Architecture, drawn data and loss: outputs, loss, gradient and Hessian anywhere in parameter
    space.

    `modes` are there where inputs and targets are vectors. `entries` is how many entries of a
    target are counted per training sample, where a target has several: a mean over samples is one
    over them. One number for all batches: divided by a batch's own count, the mean gradient of
    batches would be biased (six sequences of 1 to 8 tokens in batches of two: 0.0697 for 0.0085).
    """

    architecture: Architecture
    loss_function: Loss
    train: View
    test: View | None
    reduced: Reduced | None
    modes: Modes | None
    entries: Float[Array, ""] | None
    population: Population | None

    def outputs(self, params: Params, X: Shaped[Array, "n ..."]) -> Float[Array, "n ..."]:
        """f on a batch; of a network that mixes samples, mixed as among the training samples, or
        where it keeps running statistics by those."""
        part = passes.part_of(self.architecture, params, X)
        if part is not None:
            return passes.joined(
                lambda some: self._of(some, self.architecture.forward(params, some)), X, part
            )
        if X is self.train.X:
            return self._of(X, self.architecture.forward(params, X))
        return self._of(X, self.architecture.elsewhere(params, X, self.train.X))

    def _of(self, X, outputs):
        """The outputs, where they are those of as many samples."""
        if not isinstance(outputs, (jax.Array, np.ndarray)) or outputs.shape[:1] != X.shape[:1]:
            what = f"outputs of {X.shape[0]} samples"
            raise unfit(self.architecture, "forward", what, trees.kind_of(outputs))
        return outputs

    def signals(self, params: Params, X: Shaped[Array, "n ..."]) -> dict[str, Array]:
        """Every named signal of a batch, mixed as the outputs are."""
        if X is self.train.X and self.architecture.running_momentum is not None:
            return self.architecture.signals(params, X)
        seen: dict[str, Array] = {}
        self.architecture.elsewhere(
            params, X, self.train.X, lambda name, value: seen.setdefault(name, value)
        )
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

    @property
    def tested(self) -> View:
        """The test view; refuses where there is none."""
        if self.test is None:
            raise refused(
                "A loss on the test view",
                "test samples",
                "none",
                "Draw some by the `test` knob of the data",
            )
        return self.test

    def loss_on(self, params: Params, view: View) -> Float[Array, ""]:
        """The loss on a view, without ridge; n is the view's own.

        In parts where all of it would take much memory. To be differentiated, each part is passed
        again, so that its signals need not be kept.
        """
        part = self.part(params, view)
        if part is None:
            return self.price(self.outputs(params, view.X), view)
        n = view.X.shape[0]
        again = jax.checkpoint(lambda some, counted: self._share(params, some, counted, n))
        return passes.summed(again, view, part)

    def part(self, params: Params, view: View) -> int | None:
        """How many samples of a view are priced at once; None where all are."""
        if not self.loss_function.additive:
            return None
        return passes.part_of(self.architecture, params, view.X)

    def _share(self, params, some, counted, n):
        """What those of some samples that are counted add to the loss of all n."""
        outputs = self.architecture.forward(params, some.X)
        weight = counted.astype(outputs.dtype)
        if some.weight is not None:
            weight = some.weight * jnp.expand_dims(weight, tuple(range(1, some.weight.ndim)))
        price = self.price(outputs, dataclasses.replace(some, weight=weight))
        return price * (some.X.shape[0] / n) if self.loss_function.is_mean else price

    def price(self, outputs: Float[Array, "n ..."], view: View) -> Float[Array, ""]:
        """What the loss takes for these outputs on a view."""
        weight = view.weight
        if view.mask is not None:
            asked = view.mask.astype(outputs.dtype)
            weight = (
                asked
                if weight is None
                else asked
                * (
                    weight
                    if weight.ndim == asked.ndim
                    else jnp.expand_dims(weight, tuple(range(1, asked.ndim)))
                )
            )
        loss = self.loss_function
        # another shape would be spread over the targets in silence; a loss of one's own may take it
        if in_library(type(loss).__module__) and not loss.takes_ids:
            if getattr(outputs, "shape", None) != view.Y.shape:
                what = f"outputs of shape {view.Y.shape}"
                raise unfit(self.architecture, "forward", what, trees.kind_of(outputs))
        price = loss.value(outputs, view.Y, weight)
        if not trees.is_array_like(price) or jnp.shape(price):
            raise unfit(loss, "value", "one number", trees.kind_of(price))
        return price if self.entries is None else price / self.entries

    @property
    def knows_its_population(self) -> bool:
        """Whether the loss of all samples that there could be is known in closed form: a mean of
        squares, of a network whose error the population `knows`."""
        squares = isinstance(self.loss_function, Squared) and self.loss_function.is_mean
        return squares and self.population is not None and self.population.knows(self.architecture)

    def population_loss(self, params: Params) -> Float[Array, ""]:
        """c n E |f(x) - y|^2 over the population, ridge included: what the training loss goes to as
        n grows. c n is 1/2 for `half-mean` and 1 for `mean`."""
        assert self.population is not None  # as PopulationLoss has seen to
        error = self.population.squared_error_of(self.architecture, params)
        return self.loss_function.constant(1) * error + self.penalty(params)

    def fresh(self, key: Array, count: int) -> "System":
        """The same landscape on so many samples of the population, drawn by this key."""
        assert self.population is not None  # as the rule has seen to
        return dataclasses.replace(self, train=self.population.sample(key, count), reduced=None)

    def fresh_gradient(self, params: Params, key: Array, count: int) -> "System":
        """The same landscape on as few samples as there are outputs, which have at these parameters
        the loss and the gradient of a batch of so many fresh ones, in law
        (`LinearGaussian.condensed`); at others they have not."""
        assert isinstance(self.population, LinearGaussian)  # as the rule has seen to
        held = jax.lax.stop_gradient(self.architecture.matrix(params))
        few = self.population.condensed(held, key, count)
        return dataclasses.replace(self, train=few, reduced=None)

    def test_loss(self, params: Params) -> Float[Array, ""]:
        """The loss on the test view, without ridge."""
        return self.loss_on(params, self.tested)

    def value_and_gradient(self, params: Params) -> tuple[Float[Array, ""], Params]:
        """The training loss and its gradient; part by part where the loss is (`loss_on`)."""
        part = None if self.reduced is not None else self.part(params, self.train)
        if part is None:
            return jax.value_and_grad(self.loss)(params)
        n = self.train.X.shape[0]

        def of(some, counted):
            return jax.value_and_grad(lambda p: self._share(p, some, counted, n))(params)

        loss, gradient = passes.summed(of, self.train, part)
        if isinstance(self.penalty(params), float):  # it costs nothing
            return loss, gradient
        price, pull = jax.value_and_grad(lambda p: jnp.asarray(self.penalty(p), loss.dtype))(params)
        return loss + price, trees.add(gradient, pull)

    def hessian(self, params: Params) -> Callable[[Params], Params]:
        """The Hessian of the training loss as an operator v -> Hv, linearized once."""
        return jax.linearize(jax.grad(self.loss), params)[1]

    def tangent_kernel(
        self,
        params: Params,
        X1: Shaped[Array, "n ..."],
        X2: Shaped[Array, "m ..."] | None = None,
        full: bool = False,
    ) -> Float[Array, "n m"] | Float[Array, "n m k k"]:
        """The tangent kernel between inputs (X2 None: X1): the mean over outputs of T_cc, or
        `full` T_cc'(x, x')."""
        found: Any = tangent_kernel(
            self.architecture, params, X1, X2, full
        )  # not by layer, and so an array
        return found

    def at(self, indices: Int[Array, " b"]) -> "System":
        """The same landscape on these training samples alone."""
        batch = self.train.at(indices)
        self.architecture.check(batch.X)
        return dataclasses.replace(self, train=batch, reduced=None)

    def at_step(self, key: Array, step: Int[Array, ""] | int) -> "System":
        """The landscape this step sees: with what the architecture draws anew at every step (the
        masks of a dropout), by the run's key and the step alone."""
        if not self.architecture.stochastic:
            return self
        own = jax.random.fold_in(
            jax.random.fold_in(key, zlib.crc32(b"architecture") & 0x7FFFFFFF), step
        )
        return dataclasses.replace(self, architecture=self.architecture.sample(own), reduced=None)


def landscape(architecture: Architecture, loss: Loss, data: Drawn, dtype) -> System:
    """The system in a precision; a squared loss on a linear map with n > d is reduced to d
    samples. Refuses targets the loss has no price for."""
    architecture.check(data.train.X)
    for side, view in (("train", data.train), ("test", data.test)):
        if view is not None:
            if is_ids(view.Y) and not loss.takes_ids:
                raise refused(
                    type(loss).__name__,
                    "targets that are real numbers",
                    f"ids, the {side} targets",
                    "Use CrossEntropy, or one-hot targets",
                )
            loss.check(view.Y, side)
    linear = architecture.is_linear and isinstance(loss, Squared) and data.train.weight is None
    reduced = (
        Reduced.of(data.train)
        if linear and data.of_vectors and data.train.X.shape[0] > data.train.X.shape[1]
        else None
    )
    modes = Modes(*singular_modes(data.train)) if data.of_vectors else None
    entries = _entries(loss, data)
    train, test = (
        None if view is None else _on_device(view, architecture.separable)
        for view in (data.train, data.test)
    )
    held = (loss, train, test, reduced, modes, entries, data.population)
    return System(architecture, *trees.cast(held, dtype))


def _entries(loss, data):
    """Counted entries per training sample, where a mean over them is taken and a target of ids
    has several."""
    targets, mask = data.spaces[1], data.train.mask
    entries = (
        float(np.mean(np.sum(mask.reshape(len(mask), -1), axis=1)))
        if mask is not None
        else float(targets.size)
    )
    if not loss.is_mean or targets.vocabulary is None or entries == 1:
        return None
    return np.asarray(entries)


def _on_device(view, separable):
    """A view whose ids are whole numbers of 32 bits, and pixels as they are, there once for all
    steps; and so its mask. A network that mixes samples knows the training inputs by their array,
    which pixels have anew wherever they are asked for: for it they are numbers once for all."""
    if view.unit is not None and not separable:
        view = View(view.X, view.Y, view.weight, view.mask)
    ids = {
        name: jnp.asarray(
            getattr(view, name), jnp.int32 if name == "Y" or view.unit is None else None
        )
        for name in ("held", "Y")
        if is_ids(getattr(view, name))
    }
    return dataclasses.replace(
        view, **ids, mask=None if view.mask is None else jnp.asarray(view.mask)
    )


@eqx.filter_jit
def _hessian_columns(system, params, vectors):
    flat, unflatten = flatten_util.ravel_pytree(params)
    product = system.hessian(params)
    return jax.lax.map(lambda v: flatten_util.ravel_pytree(product(unflatten(v)))[0], vectors)


def hessian_matrix(system: System, params: Params) -> Float[np.ndarray, "p p"]:
    """The Hessian of the training loss as a matrix, rows and columns in the order of
    `ravel_pytree`; for small networks."""
    size = sum(np.size(leaf) for leaf in jax.tree.leaves(params))
    return np.asarray(
        _hessian_columns(system, params, jnp.eye(size, dtype=jax.tree.leaves(params)[0].dtype))
    )
