"""Composition: layers one after another, repeated and side by side, and signals that branch and
add."""

import jax

from learnmech.errors import refused
from learnmech_tangents.layers import Layer, kind, lone
from learnmech_tangents.signals import Law, Signals, summed


class Serial(Layer):
    """Layers one after another; straight where all are and no smooth activation meets a rough
    one."""

    def __init__(self, layers: list[Layer]):
        self.layers = layers
        self.flattens = bool(layers) and layers[0].flattens
        self.pools, self.reads = (
            any(getattr(layer, name) for layer in layers) for name in ("pools", "reads")
        )

    @property
    def straight(self):
        kinds = {kind(name) for name in self.activations()}
        return all(layer.straight for layer in self.layers) and not {"rough", "smooth"} <= kinds

    def activations(self) -> list[str]:
        """The activations in it, straight layers only."""
        return [name for layer in self.layers for name in layer.activations()]

    def init(self, key, input_shape):
        params = []
        for layer in self.layers:
            key, own = jax.random.split(key)
            input_shape, drawn = layer.init(own, input_shape)
            params.append(drawn)
        return input_shape, params

    def apply(self, params, inputs, **kwargs):
        for layer, own in zip(self.layers, params, strict=True):
            inputs = layer.apply(own, inputs, **kwargs)
        return inputs

    def law(self, law):
        for layer in self.layers:
            law = layer.law(law)
        return law

    def steps(self, law):
        found = []
        for layer in self.layers:
            found += layer.steps(law)
            law = layer.law(law)
        return tuple(found)

    def on(self, signals):
        for layer in self.layers:
            signals = layer.on(signals)
        return signals


class Repeat(Layer):
    """A layer n times, each with parameters of its own, stacked along a new first axis."""

    def __init__(self, layer: Layer, n: int):
        self.layer, self.n, self.straight = layer, n, layer.straight
        self.pools, self.reads = layer.pools, layer.reads

    def activations(self):
        return self.layer.activations()

    def init(self, key, input_shape):
        shape, _ = self.layer.init(key, input_shape)
        if shape != input_shape:
            raise refused(
                "repeat",
                "a layer whose outputs are of the shape of its inputs",
                f"{input_shape} to {shape}",
                "Write serial(*[layer] * n)",
            )

        def drawn(key, _):
            key, own = jax.random.split(key)
            return key, self.layer.init(own, input_shape)[1]

        return shape, jax.lax.scan(drawn, key, None, self.n)[1]

    def apply(self, params, inputs, **kwargs):
        return jax.lax.scan(
            lambda x, own: (self.layer.apply(own, x, **kwargs), None), inputs, params, self.n
        )[0]

    def law(self, law):
        for _ in range(self.n):
            law = self.layer.law(law)
        return law

    def steps(self, law):
        found = []
        for _ in range(self.n):
            found += self.layer.steps(law)
            law = self.layer.law(law)
        return tuple(found)

    def on(self, signals):
        for _ in range(self.n):
            signals = self.layer.on(signals)
        return signals


class Parallel(Layer):
    """Layers side by side, each on an input of its own."""

    straight = False

    def __init__(self, layers: list[Layer]):
        self.layers = layers
        self.pools, self.reads = (
            any(getattr(layer, name) for layer in layers) for name in ("pools", "reads")
        )

    def _each(self, inputs):
        several = (
            isinstance(inputs, (list, tuple))
            and not isinstance(inputs, Law)
            and not any(isinstance(one, int) for one in inputs)
        )
        if not several or len(inputs) != len(self.layers):
            got = len(inputs) if several else "one"
            raise refused(
                "parallel",
                f"{len(self.layers)} inputs, one for each of its layers",
                got,
                f"Put FanOut({len(self.layers)}) before it",
            )
        return zip(self.layers, inputs, strict=True)

    def init(self, key, input_shape):
        pairs = zip(self._each(input_shape), jax.random.split(key, len(self.layers)), strict=True)
        shapes, params = zip(
            *(layer.init(one, shape) for (layer, shape), one in pairs), strict=True
        )
        return shapes, params

    def apply(self, params, inputs, **kwargs):
        return [
            layer.apply(own, one, **kwargs)
            for own, (layer, one) in zip(params, self._each(inputs), strict=True)
        ]

    def law(self, law):
        return [layer.law(one) for layer, one in self._each(law)]

    def on(self, signals):
        return [layer.on(one) for layer, one in self._each(signals)]


class FanOut(Layer):
    """One signal, many times."""

    straight = False

    def __init__(self, num: int):
        self.num = num

    def init(self, key, input_shape):
        return [input_shape] * self.num, ()

    def apply(self, params, inputs, **kwargs):
        return [inputs] * self.num

    def law(self, law):
        return [law._replace(is_fresh=False)] * self.num

    def on(self, signals):
        return [signals.replace(law=law) for law in self.law(lone(signals).law)]


class FanInSum(Layer):
    """The sum of branches. Kernels add where cross-covariances vanish: where every branch but
    one ends in a Dense layer of its own."""

    straight = False

    def init(self, key, input_shape):
        if len({tuple(shape[1:]) for shape in input_shape}) > 1:
            raise refused(
                "FanInSum",
                "branches of one width",
                " and ".join(str(shape[-1]) for shape in input_shape),
                "Give their last layers one out_dim",
            )
        return input_shape[0], ()

    def apply(self, params, inputs, **kwargs):
        return sum(inputs[1:], start=inputs[0])

    def law(self, law):
        if not isinstance(law, (list, tuple)) or isinstance(law, Law):
            raise refused(
                "FanInSum", "branches", "one signal", "Put FanOut(n) and parallel(...) before it"
            )
        if any(branch.is_input for branch in law):
            raise refused(
                "FanInSum",
                "branches whose width can grow",
                "the inputs as they are",
                "Put a Dense layer before FanOut, or into that branch",
            )
        shared = sum(not branch.is_fresh for branch in law)
        if shared > 1:
            remedy = "End all branches but one in a Dense layer"
            raise refused(
                "FanInSum",
                "branches independent of each other given their inputs",
                f"{shared} of {len(law)} that do not end in a Dense layer",
                remedy,
            )
        if len({(branch.grid, branch.full) for branch in law}) > 1:
            shapes = " and ".join(str((*one.grid, one.width)) for one in law)
            raise refused(
                "FanInSum",
                "branches of one shape",
                shapes,
                "Give them the same strides and padding",
            )
        return law[0]._replace(
            is_gaussian=all(branch.is_gaussian for branch in law), is_fresh=shared == 0
        )

    def on(self, signals):
        law = self.law(
            signals.law if isinstance(signals, Signals) else [one.law for one in signals]
        )
        return summed(signals, law)
