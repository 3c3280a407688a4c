"""Alignment: how alike two kernels are, and how well one fits the targets."""

import jax.numpy as jnp
from jaxtyping import Float

from learnmech.trees import Array

Square = Float[Array, "n n"]


def centered(kernel: Square) -> Square:
    """H K H, H = I - 11'/n."""
    return kernel - jnp.mean(kernel, axis=0) - jnp.mean(kernel, axis=1)[:, None] + jnp.mean(kernel)


def cka(one: Square, two: Square) -> Float[Array, ""]:
    """Centered kernel alignment <HKH, HLH>/(|HKH|_F |HLH|_F): 1 where one is the other up to a factor. Of XX' and YY' it is the linear CKA of X and Y.

    0 where one of them is constant.  Source: Kornblith et al. 2019.
    """
    return _cosine(centered(one), centered(two))


def target_alignment(kernel: Square, Y: Float[Array, "n k"]) -> Float[Array, ""]:
    """<K, YY'>/(|K|_F |YY'|_F), y'Ky/(|K|_F |y|^2) of one output: 1 where the kernel is YY'.  Source: Cristianini et al. 2001."""
    return _cosine(kernel, Y @ Y.T)


def _cosine(one, two):
    size = jnp.linalg.norm(one) * jnp.linalg.norm(two)
    return jnp.where(size == 0, 0, jnp.sum(one * two) / jnp.where(size == 0, 1, size))
