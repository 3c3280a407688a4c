"""Freezing: what of the parameters stands still, and the landscape that is left to the rest."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util
from jaxtyping import Bool, Float, PyTree

from learnmech.architectures.base import keep
from learnmech.architectures.wrapper import Seen
from learnmech.language import trees
from learnmech.language.trees import Array, Params
from learnmech.system.landscape import System


class Frozen(eqx.Module):
    """What stands still: whole arrays, single entries of others, and directions in the space of all
    parameters.

    `leaves` are paths; `entries` {path: mask, true where still}; `directions` (m, p) orthonormal
    rows in the order of `ravel_pytree`. A whole array is taken out of what the rule sees. An entry
    has gradient zero and is kept by selection, to the bit; along a direction gradient and update
    are projected out, which holds to round-off.
    """

    leaves: tuple[str, ...] = eqx.field(static=True, default=())
    entries: dict[str, Bool[Array, "..."]] = eqx.field(default_factory=dict)
    directions: Float[Array, "m p"] | None = None

    def __bool__(self):
        return bool(self.leaves or self.entries or self.directions is not None)

    def free(self, tree: PyTree) -> PyTree:
        """The tree without the arrays that are frozen whole (None in their place); for
        parameters and for what has their shape inside, as a memory."""
        return jax.tree_util.tree_map_with_path(
            lambda keys, leaf: None if self._whole(trees.path_of(keys)) else leaf,
            tree,
            is_leaf=_empty,
        )

    def _whole(self, path):
        return any(path == leaf or path.endswith("." + leaf) for leaf in self.leaves)

    def combined(self, free: PyTree, held: PyTree) -> PyTree:
        """The free tree with the held arrays in the places where it has None."""
        return eqx.combine(free, held)

    def kept(self, new: PyTree, old: PyTree) -> PyTree:
        """The new tree with every frozen entry as it was, by selection; of parameters or of a
        memory."""

        def select(keys, one, other):
            path = trees.path_of(keys)
            mask = next(
                (
                    m
                    for name, m in self.entries.items()
                    if path == name or path.endswith("." + name)
                ),
                None,
            )
            return (
                one if mask is None or mask.shape != jnp.shape(one) else jnp.where(mask, other, one)
            )

        return jax.tree_util.tree_map_with_path(select, new, old)

    def still(self, update: Params, like: Params) -> Params:
        """The update of all parameters: zero where frozen, without its part along frozen
        directions."""
        full = self.kept(self.combined(update, trees.zeros_like(like)), trees.zeros_like(like))
        return full if self.directions is None else _without(self.directions, full)


def _empty(node):
    """Whether a node holds nothing, as what stands in a memory for an array that another part of
    the rule moves."""
    return isinstance(node, tuple) and not jax.tree.leaves(node)


def _without(directions, tree):
    flat, unflatten = flatten_util.ravel_pytree(tree)
    rows = directions.astype(flat.dtype)
    return unflatten(flat - rows.T @ (rows @ flat))


class _Narrowed(Seen):
    """An architecture whose frozen arrays are no parameters."""

    held: Params
    frozen: Frozen

    def forward(self, params, X, tap=keep):
        return self.of.forward(self.frozen.combined(params, self.held), X, tap)

    def elsewhere(self, params, X, among, tap=keep):
        return self.of.elsewhere(self.frozen.combined(params, self.held), X, among, tap)

    def learned(self, params):
        return self.of.learned(self.frozen.combined(params, self.held))

    def matrix(self, params):
        return self.of.matrix(self.frozen.combined(params, self.held))

    def rate_factors(self, params, family="sgd"):
        return self.frozen.free(
            self.of.rate_factors(self.frozen.combined(params, self.held), family)
        )


class Narrowed(System):
    """The landscape over what is not frozen: its parameters are the tree without the frozen
    arrays, its gradient is zero at frozen entries."""

    whole: System
    held: Params
    frozen: Frozen

    @classmethod
    def of(cls, system: System, params: Params, frozen: Frozen) -> "Narrowed":
        """The landscape around these parameters."""
        narrow = _Narrowed(system.architecture, params, frozen)
        parts = (
            system.loss_function,
            system.train,
            system.test,
            system.reduced,
            system.modes,
            system.entries,
            system.population,
        )
        return cls(narrow, *parts, system, params, frozen)

    def _full(self, params):
        full = self.frozen.kept(self.frozen.combined(params, self.held), self.held)
        if self.frozen.directions is None:
            return full
        return trees.add(
            self.held, _without(self.frozen.directions, trees.subtract(full, self.held))
        )

    def outputs(self, params, X):
        return self.whole.outputs(self._full(params), X)

    def loss(self, params):
        return self.whole.loss(self._full(params))

    def loss_on(self, params, view):
        return self.whole.loss_on(self._full(params), view)

    def value_and_gradient(self, params):
        if self.reduced is not None or self.part(params, self.train) is None:
            return super().value_and_gradient(params)
        full, pull = jax.vjp(self._full, params)
        loss, gradient = self.whole.value_and_gradient(full)
        return loss, pull(gradient)[0]

    def at(self, indices):
        return Narrowed.of(self.whole.at(indices), self.held, self.frozen)

    def fresh(self, key, count):
        return Narrowed.of(self.whole.fresh(key, count), self.held, self.frozen)

    def fresh_gradient(self, params, key, count):
        few = self.whole.fresh_gradient(self._full(params), key, count)
        return Narrowed.of(few, self.held, self.frozen)

    def population_loss(self, params):
        return self.whole.population_loss(self._full(params))

    def at_step(self, key, step):
        return (
            Narrowed.of(self.whole.at_step(key, step), self.held, self.frozen)
            if self.architecture.stochastic
            else self
        )


def orthonormal(rows: Float[np.ndarray, "m p"]) -> Float[np.ndarray, "r p"]:
    """Orthonormal rows that span the same space; dependent ones drop out."""
    _, s, V = np.linalg.svd(np.atleast_2d(rows), full_matrices=False)
    return V[s > s.max() * 1e-12] if s.size else V
