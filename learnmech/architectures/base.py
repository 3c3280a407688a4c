"""What every architecture promises, and the dense layer most of them are made of."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech import trees
from learnmech.parts import Part
from learnmech.scalings import SP, LayerScale, Scaling
from learnmech.trees import Array, Params

Tap = Callable[[str, Array], Array]


def keep(name: str, value: Array) -> Array:
    """The tap that lets every signal pass unchanged."""
    return value


class Architecture(Part):
    """A map f(params, X). Subclasses give `init` and `forward`; every named signal passes through `tap`."""

    mixes_samples: ClassVar[bool] = False
    is_linear: ClassVar[bool] = False

    def init(self, rng: np.random.Generator, d: int, k: int) -> dict:
        """Parameters for d inputs and k outputs drawn in float64 as the scaling prescribes: {layer: {name: array}}."""
        raise NotImplementedError

    def forward(self, params: Params, X: Float[Array, "n d"], tap: Tap = keep) -> Float[Array, "n k"]:
        """Outputs on a batch."""
        raise NotImplementedError

    def matrix(self, params: Params) -> Float[Array, "k d"]:
        """The end-to-end map W of a network that is linear in its inputs, f = W x."""
        raise NotImplementedError

    def rate_factors(self, params: Params, family: str = "sgd") -> dict:
        """Factors on the base rate, a tree like params, for `sgd`-like or `adam`-like rules."""
        return jax.tree.map(lambda _: 1.0, params)

    def signals(self, params: Params, X: Float[Array, "n d"]) -> dict[str, Array]:
        """Every named signal of one forward pass."""
        seen = {}

        def note(name, value):
            seen[name] = value
            return value

        self.forward(params, X, note)
        return seen


def layer_scales(scaling: Scaling, params: Params) -> dict[str, LayerScale]:
    """The scale of every dense layer, read off the shapes of its weights."""
    layers = trees.layers_of(params)
    depth = len(layers)
    return {name: scaling.layer(index, depth, layer["weight"].shape[1], layer["weight"].shape[0]) for index, (name, layer) in enumerate(layers.items(), 1)}


def draw_dense(rng: np.random.Generator, widths: tuple[int, ...], scaling: Scaling, bias: bool = False) -> dict:
    """Dense layers of these widths (inputs first, outputs last), each entry from N(0, std^2) of its scale."""
    params, depth = {}, len(widths) - 1
    for index, (fan_in, fan_out) in enumerate(zip(widths[:-1], widths[1:], strict=True), 1):
        scale = scaling.layer(index, depth, fan_in, fan_out)
        layer = {"weight": float(scale.std) * rng.standard_normal((fan_out, fan_in))}
        if bias:
            layer["bias"] = float(scale.bias_std) * rng.standard_normal(fan_out)
        params[f"layer{index}"] = layer
    return params


class Dense(Architecture):
    """An architecture whose layers are all dense, {weight (out, in), perhaps bias}, under one scaling."""

    scaling: Scaling = eqx.field(default=SP(), kw_only=True)

    def rate_factors(self, params, family="sgd"):
        factors = {"weight": family, "bias": f"bias_{family}"}
        scales = layer_scales(self.scaling, params)
        return {name: {leaf: getattr(scales[name], factors[leaf]) for leaf in layer} for name, layer in params.items()}


def dense(layer: dict, scale: LayerScale, h: Float[Array, "n fan_in"]) -> Float[Array, "n fan_out"]:
    """z = p h W' + q b."""
    z = multiplied(scale.weight, h @ layer["weight"].T)
    return z + multiplied(scale.bias, layer["bias"]) if "bias" in layer else z


def multiplied(factor, x):
    if isinstance(factor, (int, float)) and factor == 1:
        return x
    return jnp.asarray(factor, x.dtype) * x
