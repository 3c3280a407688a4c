"""Alignment: how alike two kernels are, by estimates that are biased or not, and how well one
fits the targets."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from learnmech.language.trees import Array, length, leveled

Square = Float[Array, "n n"]


def centered(kernel: Square) -> Square:
    """H K H, H = I - 11'/n; 0 of a constant."""
    return _varying(
        kernel - jnp.mean(kernel, axis=0) - jnp.mean(kernel, axis=1)[:, None] + jnp.mean(kernel),
        kernel,
    )


def _varying(center, kernel):
    """What is left of a kernel once it is centered, 0 where that is round-off: an alignment
    would be that of the round-off of a constant."""
    return jnp.where(length(center) <= 16 * jnp.finfo(kernel.dtype).eps * length(kernel), 0, center)


def u_centered(kernel: Square) -> Square:
    """K with its diagonal left out and its rows centered so that they sum to 0:
    K_ij - (r_i + r_j)/(n - 2) + r/((n - 1)(n - 2)) off the diagonal, 0 on it.

    r_i is the sum of row i without its diagonal, r that of all; n >= 4. Inner products of such
    matrices have no bias.  Source: Székely & Rizzo 2014, sec. 3.
    """
    n = kernel.shape[0]
    off = 1 - jnp.eye(n, dtype=kernel.dtype)
    bare = kernel * off
    rows = jnp.sum(bare, axis=1)
    return _varying(
        off
        * (bare - (rows[:, None] + rows[None, :]) / (n - 2) + jnp.sum(rows) / ((n - 1) * (n - 2))),
        bare,
    )


def hsic(one: Square, two: Square, debiased: bool = False) -> Float[Array, ""]:
    """Hilbert-Schmidt independence criterion of two symmetric kernels on n paired samples:
    HSIC_0 = tr(K H L H)/(n - 1)^2, H = I - 11'/n.

    `debiased`: HSIC_1, whose mean over draws of the samples is the criterion itself, 0 where what
    the kernels are made of is independent, and which can be negative. With K~ = K and L~ = L
    without their diagonals, n >= 4: [tr(K~ L~) + 1'K~1 1'L~1/((n - 1)(n - 2)) - 2/(n - 2)
    1'K~L~1]/(n(n - 3)); computed as the inner product of both `u_centered`, in which nothing
    cancels. Source: Gretton et al. 2005; Song et al. 2012, eq. 5.
    """
    return hsic_among(jnp.stack([one, two]), debiased)[0, 1]


def hsic_among(kernels: Float[Array, "m n n"], debiased: bool = False) -> Float[Array, "m m"]:
    """`hsic` of each of m kernels with each: one product of matrices, once they are centered."""
    n = kernels.shape[1]
    flat = jax.vmap(u_centered if debiased else centered)(kernels).reshape(len(kernels), -1)
    return flat @ flat.T / (n * (n - 3) if debiased else (n - 1) ** 2)


def cka_among(dependence: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """CKA of each kernel with each, HSIC_lm/sqrt(HSIC_ll HSIC_mm), from `hsic_among`; 0 where
    one of them is constant."""
    sizes = jnp.sqrt(jnp.diagonal(dependence))
    sizes = sizes[:, None] * sizes[None, :]
    return jnp.where(sizes == 0, 0, dependence / jnp.where(sizes == 0, 1, sizes))


def cka(one: Square, two: Square, debiased: bool = False) -> Float[Array, ""]:
    """Centered kernel alignment HSIC(K, L)/sqrt(HSIC(K, K) HSIC(L, L)), 1 where one is the other up
    to a factor and a constant.

    Of XX' and YY' it is the linear CKA of X and Y. With HSIC_0 it is <HKH, HLH>/(|HKH|_F |HLH|_F),
    which nears 1 for whatever has many more features than samples; `debiased`, with HSIC_1, it does
    not, and is about 0 (of either sign) for what is independent. 0 where one of them is constant.
    Source: Kornblith et al. 2019; Murphy, Zylberberg & Fyshe 2024 (debiased).
    """
    center = u_centered if debiased else centered
    return _cosine(center(leveled(one)), center(leveled(two)))


def target_alignment(kernel: Square, Y: Float[Array, "n k"]) -> Float[Array, ""]:
    """<K, YY'>/(|K|_F |YY'|_F), y'Ky/(|K|_F |y|^2) of one output: 1 where the kernel is YY'.
    Source: Cristianini et al. 2001."""
    return _cosine(kernel, Y @ Y.T)


def _cosine(one, two):
    one, two = leveled(one), leveled(two)
    size = jnp.linalg.norm(one) * jnp.linalg.norm(two)
    return jnp.where(size == 0, 0, jnp.sum(one * two) / jnp.where(size == 0, 1, size))
