"""Laziness: how far features moved, and how far the network is from its tangent at the start."""

import jax
import jax.numpy as jnp

from learnmech.instruments.base import Instrument, relative_size
from learnmech.language import trees
from learnmech.language.quantity import Quantity


def features(system, params) -> dict:
    """{layer: its features on the training inputs}: the signal after its nonlinearity, else the
    one before; in natural order, flat. Without layers the outputs."""
    signals = system.architecture.signals(params, system.train.X)
    layers = sorted(
        {name.rpartition(".")[0] for name in signals if name.endswith((".pre", ".post"))},
        key=trees.natural,
    )
    features = {
        layer: signals.get(f"{layer}.post", signals.get(f"{layer}.pre")) for layer in layers
    } or {"output": signals["output"]}
    return {
        layer: h.reshape(h.shape[0], -1) for layer, h in features.items()
    }  # a grid of positions is so many features


def feature_axis(
    layers: tuple[str, ...], params
) -> tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]:
    """(the name of the axis over layers that have features, its labels): `layer` where they are
    those that have parameters, else an axis of its own."""
    axis = "layer" if layers == tuple(trees.layers_of(params)) else "feature_layer"
    return axis, ((axis, layers),)


class FeatureMovement(Instrument):
    """|h_l(t) - h_l(0)|_F/|h_l(0)|_F on the training inputs: how far each layer's features moved
    from the start.

    h_l is `layerK.post`, or `layerK.pre` where a layer has no other signal, as the last, whose
    features are the outputs. Infinite where a layer began at zero and moved.  Source: Chizat et al.
    2019.
    """

    def quantities(self, system, params):
        axis, labels = feature_axis(tuple(trees.shapes_of(features, system, params)), params)
        return (
            Quantity(
                "feature_movement",
                (axis,),
                "1",
                "|h - h_0|/|h_0|",
                "change of each layer's features over their size at the start",
                labels,
            ),
        )

    def read(self, moment):
        now, origin = (
            features(moment.system, params) for params in (moment.state.params, moment.origin)
        )
        return {
            "feature_movement": jnp.stack(
                [relative_size(h - origin[layer], origin[layer]) for layer, h in now.items()]
            )
        }


class LinearizationError(Instrument):
    """|f_t - f_lin|_F/|f_t - f_0|_F with f_lin = f_0 + J_0 (params - params_0): the share of what
    was learned that the tangent at the start does not tell.

    On the training inputs and, where there are any, on the test inputs; 0 where nothing moved. One
    forward-mode product. Source: Lee et al. 2019; Chizat et al. 2019.
    """

    def quantities(self, system, params):
        symbol = "|f - f_lin|/|f - f_0|"
        meaning = (
            "distance of the outputs from those of the tangent at the start, over how far they"
            " moved"
        )
        train = Quantity("linearization_error", (), "1", symbol, meaning)
        test = Quantity(
            "test_linearization_error",
            (),
            "1",
            f"{symbol} on test",
            f"{meaning}, on the test inputs",
        )
        return (train,) if system.test is None else (train, test)

    def read(self, moment):
        system, params, origin = moment.system, moment.state.params, moment.origin

        def error(X):
            before, moved = jax.jvp(
                lambda p: system.outputs(p, X), (origin,), (trees.subtract(params, origin),)
            )
            change = system.outputs(params, X) - before
            return relative_size(change - moved, change)

        seen = {"linearization_error": error(system.train.X)}
        return (
            seen
            if system.test is None
            else seen | {"test_linearization_error": error(system.test.X)}
        )
