"""Activations: the nonlinearities s of f = W_L s(W_{L-1} ... s(W_1 x)), by name."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Float

from learnmech.errors import nearest, refused
from learnmech.language.trees import Array

Z = Float[Array, "..."]


def linear(z: Z) -> Z:
    """z"""
    return z


def relu(z: Z) -> Z:
    """max(z, 0), of derivative 0 at 0"""
    # asked this way round NaN stays NaN, which `z > 0` would make 0 of; elsewhere the bits are the
    # same, those of slopes too, and the time is
    return jnp.where(z <= 0, 0, z)


def leaky_relu(z: Z, slope: float = 0.01) -> Z:
    """z above 0, slope z below"""
    return jnp.where(z > 0, z, slope * z)


def tanh(z: Z) -> Z:
    """tanh z"""
    return jnp.tanh(z)


def sigmoid(z: Z) -> Z:
    """1/(1 + e^-z)"""
    return jax.nn.sigmoid(z)


def erf(z: Z) -> Z:
    """2/sqrt(pi) times the integral of e^(-u^2) from 0 to z"""
    return jax.lax.erf(z)


def gelu(z: Z) -> Z:
    """z Phi(z), Phi the Gaussian distribution function (exact)"""
    return jax.nn.gelu(z, approximate=False)


def gelu_tanh(z: Z) -> Z:
    """the tanh approximation of gelu"""
    return jax.nn.gelu(z, approximate=True)


def silu(z: Z) -> Z:
    """z/(1 + e^-z), also called swish"""
    return jax.nn.silu(z)


def softplus(z: Z) -> Z:
    """ln(1 + e^z)"""
    return jax.nn.softplus(z)


SELU = 1.0507009873554805, 1.6732632423543772
"""Scale and alpha of selu, at which activations of mean 0 and variance 1 keep both from layer to
layer (Klambauer et al. 2017)."""


def elu(z: Z) -> Z:
    """z above 0, e^z - 1 below"""
    return jnp.where(z > 0, z, jnp.expm1(jnp.minimum(z, 0)))


def selu(z: Z) -> Z:
    """1.0507 z above 0, 1.0507 * 1.6733 (e^z - 1) below"""
    scale, alpha = SELU
    return scale * jnp.where(z > 0, z, alpha * jnp.expm1(jnp.minimum(z, 0)))


def hardtanh(z: Z) -> Z:
    """z between -1 and 1, -1 below and 1 above, of derivative 0 at both"""
    return jnp.where(z >= 1, 1, jnp.where(z <= -1, -1, z))


def sin(z: Z) -> Z:
    """sin z"""
    return jnp.sin(z)


def cos(z: Z) -> Z:
    """cos z"""
    return jnp.cos(z)


def square(z: Z) -> Z:
    """z^2"""
    return z * z


def cube(z: Z) -> Z:
    """z^3"""
    return z * z * z


ACTIVATIONS = {
    "linear": linear,
    "relu": relu,
    "leaky-relu": leaky_relu,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "erf": erf,
    "gelu": gelu,
    "gelu-tanh": gelu_tanh,
    "silu": silu,
    "swish": silu,
    "softplus": softplus,
    "elu": elu,
    "selu": selu,
    "hardtanh": hardtanh,
    "sin": sin,
    "cos": cos,
    "square": square,
    "cube": cube,
}


def activation(name: str):
    """The function of that name; `leaky-relu:0.2` gives the slope, `monomial:4` the power z^4."""
    base, _, number = name.partition(":")
    try:
        if base == "monomial" and 1 <= int(number) <= 100:
            return lambda z: z ** int(number)
        if base == "leaky-relu" and number:
            slope = float(number)
            if not math.isfinite(slope):
                raise ValueError
            return lambda z: leaky_relu(z, slope)
    except ValueError:
        pass
    if base not in ACTIVATIONS or number:
        raise refused(
            "An activation",
            "a known name",
            repr(name),
            nearest(name, [*ACTIVATIONS, "leaky-relu:0.1", "monomial:4"]),
        )
    return ACTIVATIONS[base]
