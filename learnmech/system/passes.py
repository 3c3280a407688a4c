"""Passes: all samples of a view through a network, in parts where all at once would take too much
memory."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from learnmech.architectures.base import Architecture
from learnmech.language.trees import Array, Params

PASS_BYTES = 2**28
"""What the signals of one part of a pass may take. A run's last bits depend on it, so that it is
one number everywhere, never the memory that happens to be free, and stands in provenance."""
SURELY_WHOLE = 4096
"""Samples that are never parted, whose signals need not be counted."""

Parts = TypeVar("Parts")


def part_of(architecture: Architecture, params: Params, X: Shaped[Array, "n ..."]) -> int | None:
    """How many samples go through at once, by shapes alone: as many as have signals of PASS_BYTES;
    None where all do, or where the outputs of samples are not their own."""
    n = X.shape[0]
    if n <= SURELY_WHOLE or not architecture.separable:
        return None
    signals = architecture.signal_shapes(params, X).values()
    size = sum(int(np.prod(one.shape)) * one.dtype.itemsize for one in signals)
    parts = -(-size // PASS_BYTES)
    return None if parts <= 1 else -(-n // parts)


def summed(of_part: Callable, view: Parts, part: int):
    """The sum over all samples of a tree of floats that a function gives for (some samples, which
    of them count).

    All parts are of one size and go through one loop: the last one begins within the one before it,
    and what was in that does not count again. A smaller part beside the loop would be compiled with
    what is done with the sum, multiplied and added in one, and so rounded by what is read of it:
    with `norms` watched Adam's states differed in their last bits.
    """
    n = jax.tree.leaves(view)[0].shape[0]

    def of(i):
        begin = jnp.minimum(i * part, n - part)
        return of_part(_at(view, begin, part), begin + jnp.arange(part) >= i * part)

    nothing = jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), jax.eval_shape(of, 0))
    whole, _ = jax.lax.scan(
        lambda so_far, i: (jax.tree.map(jnp.add, so_far, of(i)), None),
        nothing,
        jnp.arange(-(-n // part)),
    )
    return whole


def joined(of_part: Callable, X: Shaped[Array, "n ..."], part: int) -> Array:
    """What a function gives for each part of X, one behind the other."""
    n = X.shape[0]
    begins = jnp.minimum(jnp.arange(-(-n // part)) * part, n - part)
    found = jax.lax.map(lambda begin: of_part(_at(X, begin, part)), begins)
    whole = found[:-1].reshape(-1, *found.shape[2:])
    return jnp.concatenate([whole, found[-1, len(whole) + part - n :]])


def _at(view, begin, size):
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, begin, size), view)
