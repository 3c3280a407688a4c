"""Norms: pre-activations brought to unit size, over the samples of a batch or over the units of a layer."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.architectures.base import Tap, multiplied
from learnmech.errors import refused
from learnmech.scalings import LayerScale
from learnmech.trees import Array

NORMS = ("none", "batch", "layer", "rms")


def check_norm(who: str, norm: str, widths: tuple[int, ...]) -> None:
    """Refuse a layer norm of one unit, which is 0."""
    if norm == "layer" and 1 in widths:
        raise refused(who, "layers of two units or more for norm='layer', which takes off their mean", "a width of 1", "Widen it, or set norm to rms")


def with_gains(params: dict, layers: list[str], affine: bool) -> dict:
    """Parameters with a gain of 1 and a shift of 0 for every unit of these layers, where they are affine."""
    if not affine:
        return params
    units = {name: len(params[name]["weight"]) for name in layers}
    return {name: layer | ({"gain": np.ones(units[name]), "shift": np.zeros(units[name])} if name in units else {}) for name, layer in params.items()}


def normed(norm: str, layer: dict, scale: LayerScale, z: Float[Array, "n h"], tap: Tap, name: str) -> Float[Array, "n h"]:
    """gain (z - mean)/sqrt(variance) + q shift, tapped as `layerK.normed`; z itself where there is neither norm nor gain.

    `batch`: mean and variance of each unit over the samples, tapped as `layerK.mean` and `layerK.variance` (h,). `layer`: of each sample over its units.
    `rms`: the same about 0. Nothing is added to the variance, so that the scale of z falls out exactly; where z does not vary to round-off the result is 0.
    q is the scaling's factor on biases.  Source: Ioffe & Szegedy 2015; Ba et al. 2016; Zhang & Sennrich 2019.
    """
    if norm == "none" and "gain" not in layer:
        return z
    unit = z if norm == "none" else _unit(norm, z, tap, name)
    if "gain" in layer:
        unit = layer["gain"] * unit + multiplied(scale.bias, layer["shift"])
    return tap(f"{name}.normed", unit)


def _unit(norm, z, tap, name):
    axis = 0 if norm == "batch" else 1
    mean = jnp.zeros((), z.dtype) if norm == "rms" else jnp.mean(z, axis=axis, keepdims=norm == "layer")
    if norm == "batch":
        mean = tap(f"{name}.mean", mean)
    variance = jnp.mean((z - mean) ** 2, axis=axis, keepdims=norm != "batch")
    if norm == "batch":
        variance = tap(f"{name}.variance", variance)
    varies = variance > (100 * jnp.finfo(z.dtype).eps) ** 2 * (mean**2 + variance)
    return jnp.where(varies, (z - mean) / jnp.sqrt(jnp.where(varies, variance, 1)), 0)


def check_batch(X: Float[Array, "n d"]) -> None:
    """Refuse to take the statistics of one sample."""
    if X.shape[0] < 2:
        raise refused("A batch norm", "two samples or more to take statistics of", X.shape[0], "Raise rule.batch or draw more samples, or use layer norm")
