"""Propagation: how signals and what comes back to them grow, shrink and align from layer to
layer."""

import math

import jax
import jax.numpy as jnp

from learnmech.errors import refused
from learnmech.instruments.base import Instrument
from learnmech.language import trees
from learnmech.language.quantity import Quantity


def _hidden(signals):
    """The names of the hidden layers: all that have pre-activations but the last, in natural
    order."""
    layers = sorted(
        (name.removesuffix(".pre") for name in signals if name.endswith(".pre")), key=trees.natural
    )
    return layers[:-1]


def variance(z):
    """The mean over inputs of |z|^2/h."""
    return jnp.mean(z * z)


def correlation(z):
    """The mean over pairs of distinct inputs of z.z'/(|z| |z'|); 0 for an input without a
    signal."""
    z = trees.leveled(z.reshape(len(z), -1), axis=1)
    norms = jnp.linalg.norm(z, axis=1, keepdims=True)
    units = z / jnp.where(norms == 0, 1, norms)
    n, whole = z.shape[0], jnp.sum(units, axis=0)
    return (whole @ whole - jnp.sum(units * units)) / (n * (n - 1))


def back_signals(system, params, layers):
    """{layer: the mean over training inputs of the sum over outputs of |df/dz|^2}."""
    X = system.train.X
    shapes = system.architecture.signal_shapes(params, X)
    still = {
        f"{layer}.pre": jnp.zeros(shapes[f"{layer}.pre"].shape, shapes[f"{layer}.pre"].dtype)
        for layer in layers
    }

    def moved(shifts):
        return system.architecture.forward(
            params, X, lambda name, value: value + shifts[name] if name in shifts else value
        )

    outputs, back = jax.vjp(moved, still)

    def of_one(column):
        slopes = back(jnp.broadcast_to(column, outputs.shape))[0]
        return jnp.stack([jnp.sum(slopes[f"{layer}.pre"] ** 2) for layer in layers])

    columns = jnp.eye(math.prod(outputs.shape[1:]), dtype=outputs.dtype)
    columns = columns.reshape(-1, *outputs.shape[1:])
    return jnp.sum(jax.lax.map(of_one, columns), axis=0) / X.shape[0]


class Propagation(Instrument):
    """Of the pre-activations z of every hidden layer, `layerK.pre` on the training inputs: their
    size, how alike inputs are there, what comes back.

    `preactivation_variance` is the mean over inputs of |z|^2/h; `preactivation_correlation` that
    over pairs of distinct inputs of z.z'/(|z| |z'|), not centered (where there are two inputs or
    more), over all units at all positions where a signal has such; `back_signal_ratio` the mean
    over inputs of sum over outputs of |df/dz|^2, over that of the last hidden layer (0 where
    nothing comes back there). Source: Poole et al. 2016; Schoenholz et al. 2017.
    """

    def check(self, system):
        if system.architecture.mixes_samples:
            raise refused(
                "Propagation",
                "a network that treats samples one by one",
                repr(system.architecture),
                "Watch signals by their address instead",
            )

    def quantities(self, system, params):
        layers = _hidden(system.architecture.signal_shapes(params, system.train.X))
        if not layers:
            raise refused(
                "Propagation",
                "a hidden layer with pre-activations",
                repr(system.architecture),
                "Watch another instrument",
            )
        labels = (("hidden_layer", tuple(layers)),)
        found = [
            Quantity(
                "preactivation_variance",
                ("hidden_layer",),
                "1",
                "|z|^2/h",
                "mean square of each hidden layer's pre-activations",
                labels,
            ),
            Quantity(
                "preactivation_correlation",
                ("hidden_layer",),
                "1",
                "z.z'/(|z| |z'|)",
                "mean correlation of distinct inputs at each hidden layer",
                labels,
            ),
            Quantity(
                "back_signal_ratio",
                ("hidden_layer",),
                "1",
                "|df/dz|^2 over the last's",
                "squared back-signal of each hidden layer over the last's",
                labels,
            ),
        ]
        return tuple(found if system.train.X.shape[0] > 1 else found[::2])

    def read(self, moment):
        system, params = moment.system, moment.state.params
        signals = system.architecture.signals(params, system.train.X)
        layers = _hidden(signals)
        back = back_signals(system, params, layers)
        seen = {
            "preactivation_variance": jnp.stack(
                [variance(signals[f"{layer}.pre"]) for layer in layers]
            ),
            "back_signal_ratio": jnp.where(
                back[-1] == 0, 0, back / jnp.where(back[-1] == 0, 1, back[-1])
            ),
        }
        if system.train.X.shape[0] > 1:
            seen["preactivation_correlation"] = jnp.stack(
                [correlation(signals[f"{layer}.pre"]) for layer in layers]
            )
        return seen
