"""Norms: pre-activations brought to unit size, over the samples of a batch or over the units of
a layer."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.architectures.base import Tap
from learnmech.architectures.dense import Normed, multiplied
from learnmech.architectures.scalings import LayerScale
from learnmech.errors import refused
from learnmech.language.trees import Array

NORMS = ("none", "batch", "layer", "rms")


def check_norm(of: Normed, widths: tuple[int, ...]) -> None:
    """Refuse a layer norm of one unit, which is 0, and what belongs to a norm where there is
    none."""
    who, norm = type(of).__name__, of.norm
    if norm == "layer" and 1 in widths:
        raise refused(
            who,
            "layers of two units or more for norm='layer', which takes off their mean",
            "a width of 1",
            "Widen it, or set norm to rms",
        )
    if of.eps is not None and norm == "none":
        raise refused(
            who,
            "a norm to whose variance eps is added",
            "norm='none'",
            "Set norm to batch, layer or rms, or drop eps",
        )
    if of.running_momentum is not None and norm != "batch":
        raise refused(
            who,
            "norm='batch' for running_momentum, since others keep no statistics",
            f"norm='{norm}'",
            "Set norm to batch, or drop it",
        )


def with_norms(of: Normed, params: dict, layers: list[str]) -> dict:
    """Parameters with a gain of 1 and a shift of 0 for every unit of these layers where they are
    affine; with a running mean of 0 and variance of 1 where such are kept."""
    units = {name: len(params[name]["weight"]) for name in layers}

    def added(h):
        gains = {"gain": np.ones(h), "shift": np.zeros(h)} if of.affine else {}
        return gains | (
            {}
            if of.running_momentum is None
            else {"running_mean": np.zeros(h), "running_variance": np.ones(h)}
        )

    return {
        name: layer | (added(units[name]) if name in units else {})
        for name, layer in params.items()
    }


def normed(
    of: Normed, layer: dict, scale: LayerScale, z: Float[Array, "n h"], tap: Tap, name: str
) -> Float[Array, "n h"]:
    """gain (z - mean)/sqrt(variance + eps) + q shift, tapped as `layerK.normed`; z itself where
    there is neither norm nor gain.

    `batch`: mean and variance of each unit over the samples, tapped as `layerK.mean` and
    `layerK.variance` (h,). `layer`: of each sample over its units. `rms`: the same about 0. Without
    eps nothing is added to the variance, so that the scale of z falls out exactly; where z does not
    vary to round-off the result is 0. q is the scaling's factor on biases.  Source: Ioffe & Szegedy
    2015; Ba et al. 2016; Zhang & Sennrich 2019.
    """
    if of.norm == "none" and "gain" not in layer:
        return z
    unit = z if of.norm == "none" else _unit(of.norm, of.eps, z, tap, name)
    if "gain" in layer:
        unit = layer["gain"] * unit + multiplied(scale.bias, layer["shift"])
    return tap(f"{name}.normed", unit)


def _unit(norm, eps, z, tap, name):
    axis = 0 if norm == "batch" else 1
    mean = (
        jnp.zeros((), z.dtype)
        if norm == "rms"
        else jnp.mean(z, axis=axis, keepdims=norm == "layer")
    )
    if norm == "batch":
        mean = tap(f"{name}.mean", mean)
    variance = jnp.mean((z - mean) ** 2, axis=axis, keepdims=norm != "batch")
    if norm == "batch":
        variance = tap(f"{name}.variance", variance)
    if eps is not None:
        return (z - mean) / jnp.sqrt(variance + jnp.asarray(eps, z.dtype))
    varies = variance > (100 * jnp.finfo(z.dtype).eps) ** 2 * (mean**2 + variance)
    return jnp.where(varies, (z - mean) / jnp.sqrt(jnp.where(varies, variance, 1)), 0)
