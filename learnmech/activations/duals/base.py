"""The dual of an activation by its name, and its values at pairs of variances."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.activations.duals import hermite
from learnmech.activations.duals.closed import Closed, Cos, Erf, Gelu, Linear, Monomial, Sin
from learnmech.activations.duals.pieces import Clipped, Exponential, Pieces
from learnmech.activations.duals.rough import Rough
from learnmech.activations.functions import SELU, activation
from learnmech.errors import refused
from learnmech.language.trees import Array

A = Float[Array, "..."]


class Quadrature:
    """An activation without a closed form, of a name or any smooth function of one number, by
    Hermite series."""

    def __init__(self, name: str | Callable):
        self.name, self.s = name, name if callable(name) else activation(name)

    def mean(self, a: A) -> A:
        """E s(u)."""
        return hermite.mean(self.s, a)

    def variance(self, a: A) -> A:
        """E s(u)^2."""
        return hermite.square(self.s, a)


@functools.cache
def dual(name: str | Callable) -> Closed | Pieces | Rough | Quadrature:
    """What the activation of that name, or a smooth function of one number, becomes at infinite
    width."""
    if callable(name):
        return Quadrature(name)
    activation(name)
    base, _, number = name.partition(":")
    if base in ("relu", "leaky-relu"):
        return Rough(0.0 if base == "relu" else float(number or 0.01))
    if base in ("square", "cube", "monomial"):
        return Monomial({"square": 2, "cube": 3}.get(base) or int(number))
    if base in ("elu", "selu"):
        return Exponential(*(SELU if base == "selu" else (1.0, 1.0)))
    closed: dict[str, type[Closed | Pieces]] = {
        "linear": Linear,
        "erf": Erf,
        "gelu": Gelu,
        "sin": Sin,
        "cos": Cos,
        "hardtanh": Clipped,
    }
    return closed[base]() if base in closed else Quadrature(name)


def product(name: str, a: A, b: A, k: A) -> A:
    """E s(u)s(v) for (u, v) ~ N(0, [[a, k], [k, b]]); a, b > 0 and |k| <= sqrt(ab), shapes
    broadcast.

    What is made of pieces (elu, selu, hardtanh) is good to 1e-12. Hermite series are too, or
    refused; traced, where nothing can be refused, up to variance 8 of tanh. The correlation of
    activations with a kink at 0 (relu, selu) is known to round-off of k here; kernels carry that of
    relu more exactly.
    """
    return _values(name, a, b, k)[0]


def slope(name: str, a: A, b: A, k: A) -> A:
    """E s'(u)s'(v), which is the derivative of `product` by k."""
    return _values(name, a, b, k)[1]


def mean(name: str, a: A) -> A:
    """E s(u) for u ~ N(0, a)."""
    dual(name)  # an unknown name is refused before anything is compiled
    return alone(name, jnp.asarray(a, float))[1]


@functools.partial(jax.jit, static_argnums=0)
def alone(name: str, a: A) -> tuple[A, A]:
    """(E s(u)^2, E s(u)) for u ~ N(0, a)."""
    one = dual(name)
    return one.variance(a), one.mean(a)


def _values(name, a, b, k):
    one = dual(name)
    a, b, k = (x if isinstance(x, jax.core.Tracer) else np.asarray(x, float) for x in (a, b, k))
    known = not any(isinstance(x, jax.core.Tracer) for x in (a, b))
    if known:
        _check(name, a, b, None if isinstance(k, jax.core.Tracer) else k)
    if not isinstance(one, Quadrature):
        return _in_closed_form(name, a, b, k)
    terms = hermite.enough(name, one.s, np.maximum(a, b)) if known else hermite.UNSEEN
    a, b, k = (np if known and not isinstance(k, jax.core.Tracer) else jnp).broadcast_arrays(
        a, b, k
    )
    sides = hermite.matched(*(hermite.series(one.s, side.ravel(), terms) for side in (a, b)))
    return _of_series(*sides, a, b, k)


@functools.partial(jax.jit, static_argnums=0)
def _in_closed_form(name, a, b, k):
    one: Any = dual(name)
    a, b, k = jnp.broadcast_arrays(a, b, k)
    return (
        one.pair(a, b, a + b - 2 * k, a + b + 2 * k)[:2]
        if isinstance(one, Rough)
        else one.pair(a, b, k)
    )


@jax.jit
def _of_series(here, there, a, b, k):
    size = jnp.sqrt(a * b).ravel()
    return tuple(
        value.reshape(k.shape)
        for value in hermite.pair(here, there, k.ravel() / size, size, outer=False)
    )


def _check(name, a, b, k):
    who = f"The dual of {name}"
    for variances in (a, b):
        if not (np.isfinite(variances).all() and (variances > 0).all()):
            raise refused(
                who,
                "variances that are positive and finite",
                float(np.min(variances)),
                "Give a, b > 0",
            )
    if k is not None and not (np.abs(k) <= np.sqrt(a * b) * (1 + 1e-12)).all():
        raise refused(
            who,
            "|k| <= sqrt(ab)",
            float(np.max(np.abs(k) / np.sqrt(a * b))),
            "Give covariances of a positive semidefinite pair",
        )
