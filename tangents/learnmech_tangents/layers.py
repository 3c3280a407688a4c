"""Layers: what each draws, computes, and does to the kernels of its signals at infinite width."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.grids import Read
from learnmech.architectures.limits import Activate, Affine
from learnmech.errors import refused
from learnmech_tangents.signals import Law, Signals, summed, through


def affine(
    signal: float, bias: float = 0.0, learned: float = 0.0, learned_bias: float = 0.0
) -> Affine:
    """K -> signal K + bias, T -> learned K + learned_bias + signal T."""
    return Affine(*(np.asarray(float(x)) for x in (signal, bias, signal, learned, learned_bias)))


class Layer:
    """A layer, or a network of layers. `init` and `apply` are of its finite form; `law`, `steps`
    and `on` of the infinite one."""

    flattens = False
    straight = True
    pools = False
    reads = False

    def init(self, key, input_shape):
        """(output_shape, params)."""
        return input_shape, ()

    def apply(self, params, inputs, **kwargs):
        """Outputs on a batch (n, channels)."""
        return inputs

    def activations(self) -> list:
        """The activations in it, by name or as functions; of straight layers."""
        return []

    def law(self, law):
        """The law of its outputs from that of its inputs; refuses what has no limit."""
        return law

    def steps(self, law) -> tuple:
        """What it does to kernels, as steps; of straight layers."""
        return ()

    def on(self, signals):
        """The kernels of its outputs from those of its inputs."""
        return through(self.steps(_alone(signals).law), signals, self.law(signals.law))


def _alone(signals):
    if not isinstance(signals, Signals):
        raise refused(
            "A layer",
            "one kernel",
            f"{len(signals)}",
            "Add the branches by FanInSum() first, or use parallel",
        )
    return signals


class Dense(Layer):
    """ntk: z = W_std/sqrt(fan_in) W h + b_std b, entries from N(0, 1); K -> W_std^2 K + b_std^2 =:
    K', T -> K' + W_std^2 T.

    standard: z = W h/sqrt(s0) + b, W of variance W_std^2 s0/fan_in, b of b_std^2; K -> K', T ->
    (fan_in/s0) K + 1 + W_std^2 T (no 1 without bias).
    """

    def __init__(
        self,
        out_dim: int,
        W_std: float,
        b_std: float | None,
        parameterization: str,
        s: tuple[int, int],
    ):
        self.out_dim, self.W_std, self.b_std, self.standard, self.s = (
            out_dim,
            W_std,
            b_std,
            parameterization == "standard",
            s,
        )

    def init(self, key, input_shape):
        fan_in, fan_out = input_shape[-1], self.out_dim * (self.s[1] if self.standard else 1)
        weight_key, bias_key = jax.random.split(key)
        W = jax.random.normal(weight_key, (fan_in, fan_out))
        b = (
            None
            if self.b_std is None
            else jax.random.normal(bias_key, (1,) * (len(input_shape) - 1) + (fan_out,))
        )
        if self.standard:
            W = W * self.W_std / math.sqrt(fan_in / self.s[0])
            b = None if b is None else b * self.b_std
        return (*input_shape[:-1], fan_out), (W, b)

    def apply(self, params, inputs, **kwargs):
        W, b = params
        z = (
            math.sqrt(1 / self.s[0]) if self.standard else self.W_std / math.sqrt(inputs.shape[-1])
        ) * jnp.dot(inputs, W)
        return z if b is None else z + (b if self.standard else self.b_std * b)

    def law(self, law):
        if isinstance(law, list):
            raise refused(
                "Dense",
                "one signal",
                f"{len(law)} branches",
                "Add them by FanInSum() first, or use parallel",
            )
        return law._replace(
            width=self.out_dim * (self.s[1] if self.standard else 1),
            is_gaussian=True,
            is_fresh=True,
            is_input=False,
        )

    def steps(self, law):
        signal, bias = self.W_std**2, (self.b_std or 0.0) ** 2
        if self.standard:
            return (
                affine(
                    signal,
                    bias,
                    known_width("Dense", law) / self.s[0],
                    0.0 if self.b_std is None else 1.0,
                ),
            )
        return (affine(signal, bias, signal, bias),)


def known_width(who: str, law: Law) -> int:
    """How many units its inputs have."""
    if law.width is None:
        raise refused(
            who,
            "the width of its inputs in the standard parameterization",
            "a Kernel without shape1",
            "Give Kernel its shape1 and shape2",
        )
    return law.width


def kind(activation: str | Callable) -> str:
    """rough, smooth or linear: what becomes of the distances between signals."""
    if callable(activation):
        return "smooth"
    base = activation.partition(":")[0]
    return "rough" if base in ("relu", "leaky-relu") else "linear" if base == "linear" else "smooth"


class Activation(Layer):
    """h = size s(stretch z) + shift, s odd where there is a shift: K -> size^2 E s s + shift^2."""

    def __init__(
        self,
        function: Callable,
        activation: str | Callable,
        size: float = 1.0,
        stretch: float = 1.0,
        shift: float = 0.0,
    ):
        self.function, self.activation, self.size, self.stretch, self.shift = (
            function,
            activation,
            size,
            stretch,
            shift,
        )

    def apply(self, params, inputs, **kwargs):
        return self.function(inputs)

    def activations(self):
        return [self.activation]

    def law(self, law):
        if isinstance(law, list) or not law.is_gaussian:
            got = (
                f"{len(law)} branches"
                if isinstance(law, list)
                else "the inputs"
                if law.is_input
                else "signals that are not Gaussian"
            )
            raise refused(
                "An activation", "Gaussian signals", got, "Put a Dense or Conv layer before it"
            )
        return law._replace(is_gaussian=False, is_fresh=False)

    def steps(self, law):
        before = () if self.stretch == 1 else (affine(self.stretch**2),)
        after = () if self.size == 1 and self.shift == 0 else (affine(self.size**2, self.shift**2),)
        return (*before, Activate(self.activation), *after)

    def on(self, signals):
        law = self.law(_alone(signals).law)
        return through(
            self.steps(signals.law),
            signals.replace(apart=None, joint=None)
            if kind(self.activation) == "smooth"
            else signals,
            law,
        )


class Wave(Layer):
    """h = size sin(stretch z + phase) = size (cos(phase) sin(stretch z) + sin(phase) cos(stretch
    z)): one is odd, the other even, so that their kernels add."""

    straight = False

    def __init__(self, size: float, stretch: float, phase: float):
        self.parts = [
            Activation(jnp.sin, "sin", size * math.cos(phase), stretch),
            Activation(jnp.cos, "cos", size * math.sin(phase), stretch),
        ]
        self.function = lambda z: size * jnp.sin(stretch * z + phase)

    def apply(self, params, inputs, **kwargs):
        return self.function(inputs)

    def law(self, law):
        return self.parts[0].law(law)

    def on(self, signals):
        return summed([part.on(signals) for part in self.parts], self.law(_alone(signals).law))


class Flatten(Layer):
    """(n, ...) -> (n, d): K -> mean over positions of K(p, p)."""

    flattens = True
    reads = True

    def init(self, key, input_shape):
        return (input_shape[0], math.prod(input_shape[1:])), ()

    def apply(self, params, inputs, **kwargs):
        return inputs.reshape(len(inputs), -1)

    def law(self, law):
        if isinstance(law, list):
            raise refused(
                "Flatten",
                "one signal",
                f"{len(law)} branches",
                "Add them by FanInSum() first, or use parallel",
            )
        if not law.grid:
            return law
        width = None if law.width is None else law.width * math.prod(law.grid)
        return law._replace(width=width, is_gaussian=False, grid=(), full=False)

    def steps(self, law):
        return (Read(),) if law.grid else ()


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
        return [signals.replace(law=law) for law in self.law(_alone(signals).law)]


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
