"""Landscape of deep linear networks: the saddle at the origin, the minima, the critical points.
At c = 1/(2n), whitened inputs."""

import itertools

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " m"]
Matrix = Float[np.ndarray, "rows columns"]


def origin_spectrum(s: Vector, hidden: int, d: int, k: int) -> Vector:
    """Eigenvalues of the Hessian at the origin of two layers, ascending: ±s_m, each `hidden`
    times, and zeros; a strict saddle. S_xx plays no part."""
    size = hidden * (d + k)
    found = np.repeat(np.concatenate([s, -s]), hidden)
    return np.sort(np.concatenate([found, np.zeros(size - len(found))]))


def minimum_spectrum(W_1: Matrix, W_2: Matrix) -> Vector:
    """Nonzero eigenvalues of the Hessian of two layers where W_2 W_1 = S_yx, ascending: all sums
    eig_i(W_2W_2') + eig_j(W_1'W_1)."""
    outer, inner = np.linalg.eigvalsh(W_2 @ W_2.T), np.linalg.eigvalsh(W_1.T @ W_1)
    return np.sort((outer[:, None] + inner[None, :]).ravel())


def minimum_sharpness(W_1: Matrix, W_2: Matrix) -> float:
    """The largest of them, |W_2|_2^2 + |W_1|_2^2."""
    return float(np.linalg.norm(W_2, 2) ** 2 + np.linalg.norm(W_1, 2) ** 2)


def balanced_sharpness(s_max: float, depth: int) -> float:
    """Sharpness at a balanced minimum of any depth: L s_max^(2-2/L)."""
    return depth * s_max ** (2 - 2 / depth)


def critical_losses(s: Vector, floor: float = 0.0) -> Vector:
    """Losses of the 2^rank critical points of the mode picture, ascending: floor + (1/2) sum of
    s_m^2 over the modes not learned."""
    s = s[s > s.max(initial=0.0) * len(s) * np.finfo(float).eps]
    return np.sort(
        [
            floor + 0.5 * sum(s[list(left)] ** 2)
            for r in range(len(s) + 1)
            for left in itertools.combinations(range(len(s)), r)
        ]
    )


def plateau_losses(s: Vector, floor: float = 0.0) -> Vector:
    """Losses of the saddles passed from a small start, in order: floor + (1/2) sum of s_m^2 over
    the modes still to learn, the strongest learned first."""
    left = np.concatenate([np.cumsum((np.sort(s)[::-1] ** 2)[::-1])[::-1], [0.0]])
    return floor + 0.5 * left
