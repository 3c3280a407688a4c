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
        return through(self.steps(lone(signals).law), signals, self.law(signals.law))


def lone(signals):
    if not isinstance(signals, Signals):
        raise refused(
            "A layer",
            "one kernel",
            f"{len(signals)}",
            "Add the branches by FanInSum() first, or use parallel",
        )
    return signals


class Dense(Layer):
    """ntk: z = W_std/sqrt(fan_in) W h + b_std b, entries from N(0, 1);
    K -> W_std^2 K + b_std^2 =: K', T -> K' + W_std^2 T.

    standard: z = W h/sqrt(s0) + b, W of variance W_std^2 s0/fan_in, b of b_std^2; K -> K',
    T -> (fan_in/s0) K + 1 + W_std^2 T (no 1 without bias).
    """

    def __init__(
        self,
        out_dim: int,
        W_std: float,
        b_std: float | None,
        parameterization: str,
        s: tuple[int, int],
    ):
        self.out_dim = out_dim
        self.W_std = W_std
        self.b_std = b_std
        self.standard = parameterization == "standard"
        self.s = s

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


# Functions with kinks that have kernels of their own here.
KINKED: dict[Callable, str] = {
    jax.nn.relu: "relu",
    jax.nn.elu: "elu",
    jax.nn.selu: "selu",
    jax.nn.hard_tanh: "hardtanh",
}


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
        self.function = function
        self.activation = activation
        self.size = size
        self.stretch = stretch
        self.shift = shift

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
        law = self.law(lone(signals).law)
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
        return summed([part.on(signals) for part in self.parts], self.law(lone(signals).law))


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
