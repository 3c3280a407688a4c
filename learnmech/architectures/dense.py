"""Dense layers: what most architectures are made of, drawn and moved as a scaling says."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.architectures.base import Architecture, Sublayer
from learnmech.architectures.scalings import SP, LayerScale, Scaling
from learnmech.errors import refused
from learnmech.language import trees
from learnmech.language.parts import Knob, knob, part
from learnmech.language.trees import Array, Params


def layer_scales(scaling: Scaling, params: Params) -> dict[str, LayerScale]:
    """The scale of every dense layer, read off the shapes of its weights."""
    layers = trees.layers_of(params)
    depth = len(layers)
    return {
        name: scaling.layer(index, depth, layer["weight"].shape[1], layer["weight"].shape[0])
        for index, (name, layer) in enumerate(layers.items(), 1)
    }


def drawn_layer(
    rng: np.random.Generator, scale: LayerScale, fan_in: int, fan_out: int, bias: bool = False
) -> dict:
    """One dense layer, each entry from N(0, std^2) of its scale."""
    layer = {"weight": float(scale.std) * rng.standard_normal((fan_out, fan_in))}
    return layer | ({"bias": float(scale.bias_std) * rng.standard_normal(fan_out)} if bias else {})


def draw_dense(
    rng: np.random.Generator, widths: tuple[int, ...], scaling: Scaling, bias: bool = False
) -> dict:
    """Dense layers of these widths (inputs first, outputs last), each entry from N(0, std^2) of
    its scale."""
    params, depth = {}, len(widths) - 1
    for index, (fan_in, fan_out) in enumerate(zip(widths[:-1], widths[1:], strict=True), 1):
        params[f"layer{index}"] = drawn_layer(
            rng, scaling.layer(index, depth, fan_in, fan_out), fan_in, fan_out, bias
        )
    return params


class Dense(Architecture):
    """An architecture whose layers are all dense, {weight (out, in), perhaps bias}, under one
    scaling."""

    scaling: Scaling = part(
        default=SP(),
        kw_only=True,
        meaning="how weights, their start and their rates grow with width",
    )

    def dense_layers(self, params):
        found, reads = {}, None
        for name, scale in layer_scales(self.scaling, params).items():
            found[name] = Sublayer(
                reads,
                scale.weight,
                scale.bias if "bias" in params[name] else 0.0,
                scale.sgd,
                scale.bias_sgd,
            )
            reads = f"{name}.post"
        return found

    def rate_factors(self, params, family="sgd"):
        factors = {"weight": family, "bias": f"bias_{family}", "shift": f"bias_{family}"}
        scales = layer_scales(self.scaling, params)
        gains = {name: _gain_factor(scales[name], family) for name in params}

        def factor(name, leaf):
            if not self.role(f"{name}.{leaf}").learned:
                return 0.0
            return gains[name] if leaf == "gain" else getattr(scales[name], factors[leaf])

        return {
            name: {leaf: factor(name, leaf) for leaf in layer} for name, layer in params.items()
        }


class Normed(Dense):
    """Dense layers behind which there may be a norm (`architectures.norms`); subclasses have the
    fields `norm` and `affine`."""

    eps: Knob | None = knob(
        default=None,
        above=0,
        kw_only=True,
        since="0.5",
        meaning=(
            "what a norm adds to the variance, in its units; PyTorch's 1e-5. Unset nothing is"
            " added, so that the scale falls out exactly"
        ),
    )
    running_momentum: Knob | None = knob(  # type: ignore[assignment]  # None of an architecture as such
        default=None,
        above=0,
        at_most=1,
        kw_only=True,
        since="0.5",
        meaning=(
            "share of each step's batch in the running mean and variance of a batch norm, which"
            " outputs on test inputs then take; PyTorch's 0.1. Unset they take those of the"
            " training inputs"
        ),
    )

    @property
    def mixes_samples(self):  # type: ignore[override]  # of its kind in others, of its norm here
        return self.norm == "batch"

    def check(self, X):
        if self.mixes_samples and X.shape[0] < 2:
            raise refused(
                "A batch norm",
                "two samples or more to take statistics of",
                X.shape[0],
                "Raise rule.batch or draw more samples, or use layer norm",
            )

    def dense_layers(self, params):
        return (
            None
            if self.affine or self.running_momentum is not None
            else super().dense_layers(params)
        )


def _gain_factor(scale, family):
    """A gain is moved as a bias, whose multiplier q it does not have: q^2 of its rate for
    SGD-like rules, q for others, so that q falls out."""
    return getattr(scale, f"bias_{family}") * scale.bias ** (2 if family == "sgd" else 1)


def dense(layer: dict, scale: LayerScale, h: Float[Array, "n fan_in"]) -> Float[Array, "n fan_out"]:
    """z = p h W' + q b."""
    z = multiplied(scale.weight, h @ layer["weight"].T)
    return z + multiplied(scale.bias, layer["bias"]) if "bias" in layer else z


def multiplied(factor, x):
    if isinstance(factor, (int, float)) and factor == 1:
        return x
    return jnp.asarray(factor, x.dtype) * x
