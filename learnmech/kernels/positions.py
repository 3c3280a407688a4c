"""Positions: the kernels of infinitely wide convolutional networks, between the positions of
inputs, in tiles of pairs of inputs."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.activations.duals import hermite
from learnmech.kernels.frames import A, Frame
from learnmech.kernels.own import all_known, own_of, own_walked
from learnmech.kernels.pairs import pair_of, walked
from learnmech.kernels.recursion import rough
from learnmech.language.trees import Array
from learnmech.machine.memory import check_memory

TILE = 2**20  # numbers in one array of a tile
ARRAYS = 14  # of a tile's size at once, measured at full kernels of rectifiers with padding


def at_once(
    steps: tuple, X1: Float[Array, "n1 d"], X2: Float[Array, "n2 d"] | None, tangent: bool
) -> tuple[A, A | None]:
    """Both kernels of all pairs at once, which can be traced."""
    start, rest = steps[0], steps[1:]
    frame, other = Frame().after(start), X1 if X2 is None else X2
    rows, columns = (
        own_walked(rest, own_of(jnp.asarray(X), frame), frame, hermite.UNSEEN)[0]
        for X in (X1, other)
    )
    pair = walked(
        rest,
        rows,
        columns,
        pair_of(jnp.asarray(X1), jnp.asarray(other), frame, tangent, rough(rest)),
        frame,
    )
    return pair.k, pair.t


def in_tiles(steps: tuple, X: Float[np.ndarray, "n d"], tangent: bool, most: int) -> tuple:
    """(tile, size): what gives the kernels of `size` rows of X by as many columns, and the size,
    for up to `most` rows."""
    start, rest = steps[0], steps[1:]
    frames = [Frame().after(start)]
    for step in rest:
        frames.append(frames[-1].after(step))
    entries = max(frame.entries for frame in frames)
    _check(X, frames, entries)
    size = max(1, min(most, math.isqrt(TILE // entries) if entries < TILE else 1))
    size = -(-most // -(-most // size))
    known = all_known(rest, X, frames[0], entries)

    def tile(rows, columns):
        chosen = [
            np.concatenate([index, np.repeat(index[-1:], size - len(index))])
            for index in (rows, columns)
        ]
        sides = [jax.tree.map(lambda x, index=index: x[index], known) for index in chosen]
        here, there = sides
        found = _walked_tile(rest, here, there, X[chosen[0]], X[chosen[1]], frames[0], tangent)
        return tuple(np.asarray(value)[: len(rows), : len(columns)] for value in found)

    return tile, size


def _check(X, frames, entries):
    remedy = (
        "Shrink the inputs, pool them first, or leave pooling out of the network: without it"
        " positions need no kernels with each other"
    )
    sides = 8 * len(X) * sum(2 * frame.positions for frame in frames)
    check_memory(
        f"The kernel of inputs of {frames[0].positions} positions",
        sides + 8 * ARRAYS * max(entries, TILE),
        remedy,
    )


@eqx.filter_jit
def _walked_tile(steps, rows, columns, X1, X2, frame, tangent):
    pair = walked(steps, rows, columns, pair_of(X1, X2, frame, tangent, rough(steps)), frame)
    return (pair.k, pair.t) if tangent else (pair.k,)
