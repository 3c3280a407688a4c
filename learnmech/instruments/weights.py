"""Weights: the parameters themselves, how large they are and how far they went."""

import jax.numpy as jnp
import numpy as np

from learnmech.instruments.base import Instrument
from learnmech.language import trees
from learnmech.language.quantity import Quantity


def layer_quantity(name, units, symbol, meaning, params, among=None):
    """A quantity with one number per layer; where these are not all `among` which they are, on
    an axis of their own."""
    layers = tuple(trees.layers_of(params))
    axis = "layer" if among is None or layers == tuple(trees.layers_of(among)) else "weight_layer"
    return Quantity(name, (axis,), units, symbol, meaning, ((axis, layers),))


def per_layer(measure, *trees_):
    """One number per layer, in natural order."""
    names = trees.layers_of(trees_[0])
    return jnp.stack([measure(*(tree[name] for tree in trees_)) for name in names])


class Weights(Instrument):
    """Every parameter array, under its path."""

    def quantities(self, system, params):
        axes = trees.axes_among(
            {path: np.shape(leaf) for path, leaf in trees.leaves_by_path(params).items()}
        )
        units = {path: system.architecture.role(path).units for path in axes}
        return tuple(
            Quantity(path, own, units[path], path, f"parameters {path}")
            for path, own in axes.items()
        )

    def rests_on(self, quantity):
        return "nothing"

    def read(self, moment):
        return trees.leaves_by_path(moment.state.params)


class Norms(Instrument):
    """Euclidean norms of each layer's parameters, gradient and update."""

    def quantities(self, system, params):
        return (
            layer_quantity(
                "weight_norm", "param", "|W|", "norm of each layer's parameters", params
            ),
            layer_quantity(
                "gradient_norm", "loss/param", "|g|", "norm of each layer's gradient", params
            ),
            layer_quantity(
                "update_norm",
                "param",
                "|dW|",
                "norm of each layer's update (for flows: velocity)",
                params,
            ),
        )

    def rests_on(self, quantity):
        return "params" if quantity == "weight_norm" else "outputs"

    def read(self, moment):
        seen = {
            "weight_norm": moment.state.params,
            "gradient_norm": moment.gradient,
            "update_norm": moment.update,
        }
        learned = moment.system.architecture.learned
        return {name: per_layer(trees.norm, learned(tree)) for name, tree in seen.items()}


class Distance(Instrument):
    """Distance moved from the start, per layer, and relative to the size of the start."""

    def quantities(self, system, params):
        return (
            layer_quantity(
                "distance", "param", "|W - W_0|", "distance of each layer from its start", params
            ),
            layer_quantity(
                "relative_distance",
                "1",
                "|W - W_0|/|W_0|",
                "distance of each layer from its start over the start's norm",
                params,
            ),
        )

    def rests_on(self, quantity):
        return "params"

    def read(self, moment):
        params, origin = map(
            moment.system.architecture.learned, (moment.state.params, moment.origin)
        )
        moved = per_layer(lambda w, w0: trees.norm(trees.subtract(w, w0)), params, origin)
        return {"distance": moved, "relative_distance": moved / per_layer(trees.norm, origin)}
