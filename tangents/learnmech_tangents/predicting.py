"""Predicting: what every predict_fn is made with, the targets, the kernel of a name, and parts that
are computed once."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.language.trees import Array

KINDS = ("nngp", "ntk")


def targets(y_train) -> Float[Array, "..."]:
    """Targets as an array of floats."""
    y = jnp.asarray(y_train, float)
    if y.ndim < 1:
        raise refused("predict", "y_train with an axis of samples", "a number", "Give shape (n, k)")
    return y


def once(make):
    """A function of one name that remembers what it made."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = make(name)
        return made[name]

    return get


def broadcasting(function):
    """A function in which arrays broadcast also where the user has forbidden it
    (`jax_numpy_rank_promotion`)."""

    @functools.wraps(function)
    def called(*args, **kwargs):
        with jax.numpy_rank_promotion("allow"):
            return function(*args, **kwargs)

    return called


def is_array(kernel) -> bool:
    """Whether a kernel is an array, not a Kernel or namedtuple."""
    return hasattr(kernel, "shape") and hasattr(kernel, "dtype")


def part(kernel, name, who="predict"):
    """The kernel of that name, of a Kernel or namedtuple; an array is whatever it is asked for."""
    if is_array(kernel):
        return kernel
    found = getattr(kernel, name, None)
    if found is None:
        raise refused(
            who,
            f"a kernel with {name}",
            f"a {type(kernel).__name__} without",
            f"Ask kernel_fn for get={KINDS!r}",
        )
    return found
