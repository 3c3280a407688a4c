"""Hermite eigenstructure: the spectrum of a kernel that depends on norms and angle, from the
covariance of the inputs and the kernel's Taylor coefficients alone."""

import dataclasses
import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.architectures.base import Architecture
from learnmech.architectures.grids import on_grid
from learnmech.errors import refused
from learnmech.generalization.eigenlearning import Eigenlearning, eigenlearning
from learnmech.kernels.infinite import kernel

Values = Float[np.ndarray, " p"]
# Where the kernel is sampled, |rho| at most so much, and at how many points: of ReLU kernels the
# Taylor coefficients are off by 1e-16 10^l there, the least of 28 pairs that were tried (8 times
# the points are worse, as their monomials cancel).
REACH, NODES = 0.6, 28
# Of the kernel at rho = 1, times 10^l: coefficients below it are round-off of the sampling.
ROUND_OFF = 1e-14
LEVELS = 8


class Profile(NamedTuple):
    """A kernel of norms and angle on |x|^2 = d: c_l, l! times its Taylor coefficients in rho =
    x.x'/d at 0, and its value at rho = 1."""

    coefficients: Float[np.ndarray, " l"]
    whole: float


def profile_of(
    source: Architecture | Callable[[np.ndarray], np.ndarray],
    get: str = "ntk",
    variance: float = 1.0,
    levels: int = LEVELS,
) -> Profile:
    """c_0 to c_levels of the infinitely wide network's kernel (`ntk` or `nngp`) among inputs of
    |x|^2/d = variance, or of a function K(rho).

    By Chebyshev interpolation in rho, Taylor coefficients to about 1e-16 10^l of K(1). Refuses an
    architecture whose kernel depends on more than norms and angle, as a convolution's does."""
    if isinstance(source, Architecture):
        if get not in ("ntk", "nngp"):
            raise refused("profile_of", "ntk or nngp", repr(get), "Choose one of these")
        d = math.prod(getattr(source, "shape", (2,)))  # of a convolution, which has its own
        if on_grid(source.limit(d, tangent=get == "ntk")):
            remedy = "Take the kernel's own eigenvalues, kernels.infinite.kernel"
            what = "a kernel that depends on norms and angle alone"
            raise refused("profile_of", what, type(source).__name__, remedy)
        values = _of_architecture(source, get, variance)
    else:
        values = source
    nodes = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    seen = np.asarray(values(np.append(REACH * nodes, 1.0)), float)
    whole = float(seen[-1])
    series = np.polynomial.chebyshev.chebfit(nodes, seen[:-1], NODES - 1)
    level = np.arange(levels + 1)
    taylor = np.polynomial.chebyshev.cheb2poly(series)[: levels + 1] / REACH**level
    taylor = np.where(taylor > ROUND_OFF * 10.0**level * whole, taylor, 0.0)
    return Profile(taylor * [math.factorial(one) for one in level], whole)


def _of_architecture(architecture, get, variance):
    def values(rho):
        one = np.sqrt(2 * variance) * np.array([[1.0, 0.0]])
        others = np.sqrt(2 * variance) * np.stack([rho, np.sqrt(1 - rho**2)], axis=1)
        return np.asarray(kernel(architecture, one, others, get=get))[0]

    return values


class Mode(NamedTuple):
    """One Hermite mode: its eigenvalue, and the place of the input direction of every factor, as
    (0, 0, 3) for He_2(z_0) He_1(z_3)/sqrt(2)."""

    value: float
    factors: tuple[int, ...]


def modes(profile: Profile, gamma: Values, count: int) -> list[Mode]:
    """The `count` largest lam_alpha = c_|alpha| prod gamma_i^alpha_i, the largest first; gamma_i
    are the covariance's eigenvalues over their sum."""

    def of_level(level, c):
        for weight, factors in _products(gamma, level):
            yield -float(c) * weight, factors

    streams = [of_level(level, c) for level, c in enumerate(profile.coefficients) if c > 0]
    largest = itertools.islice(heapq.merge(*streams), count)
    return [Mode(-value, factors) for value, factors in largest]


def _products(gamma: Values, level: int) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Products of `level` of gamma (sorted, the largest first), the largest first: from each the
    next are those with one factor moved on."""
    first = (0,) * level
    heap, seen = [(-(float(gamma[0]) ** level), first)], {first}
    while heap:
        weight, factors = heapq.heappop(heap)
        yield -weight, factors
        for at in range(level):
            moved = (*factors[:at], factors[at] + 1, *factors[at + 1 :])
            last = at + 1 == level or moved[at] <= moved[at + 1]
            if last and moved[at] < len(gamma) and gamma[moved[at]] > 0 and moved not in seen:
                seen.add(moved)
                heapq.heappush(heap, (-math.prod(float(gamma[i]) for i in moved), moved))


@dataclasses.dataclass(frozen=True)
class HermiteSpectrum:
    """Eigenvalues of a kernel from the covariance of the inputs: the strongest modes, what is left
    of the trace (which acts as a ridge), the target's power in each mode and what is left of it
    (which acts as noise).

    `dimension` is the effective one, 1/sum gamma_i^2, and `spread` that of |x|^2, std/mean:
    eigenvalues are trusted where the first is above 10 and the second below 0.4 (`trusted`).
    """

    modes: tuple[Mode, ...]
    values: Values
    power: Values
    rest: float
    noise: float
    dimension: float
    spread: float

    @property
    def trusted(self) -> bool:
        """Whether the inputs are of high enough dimension and even enough norms."""
        return self.dimension > 10 and self.spread < 0.4

    def error(self, n: float, ridge: float = 0.0) -> Eigenlearning:
        """The errors after n samples, by `eigenlearning` with what is left as ridge and noise. Keep
        the number of modes far below that of the samples their coefficients were fitted on."""
        return eigenlearning(self.values, self.power, n, ridge + self.rest, self.noise)


def hermite_spectrum(
    source: Architecture | Callable[[np.ndarray], np.ndarray],
    X: Float[np.ndarray, "n d"],
    Y: Float[np.ndarray, "n k"],
    count: int,
    get: str = "ntk",
    levels: int = LEVELS,
) -> HermiteSpectrum:
    """The `count` strongest modes of a kernel on inputs with the covariance of X, phi_alpha = prod
    He_alpha_i(z_i)/sqrt(alpha_i!), z the components of X over their standard deviations, and the
    power of Y in each, by QR of the modes on the samples in their order.

    Source: Karkada et al. 2025.
    """
    X, Y = np.asarray(X, np.float64), np.asarray(Y, np.float64)
    Y = Y[:, None] if Y.ndim == 1 else Y
    if X.ndim != 2 or len(X) != len(Y) or not 0 < count < len(X):
        got = f"shapes {X.shape} and {Y.shape}, {count} modes"
        remedy = "Give both for the same samples, and fewer modes than samples"
        raise refused(
            "hermite_spectrum", "inputs (n, d), targets (n, k) and modes < n", got, remedy
        )
    lam, vectors = np.linalg.eigh(X.T @ X / len(X))
    lam, vectors = np.where(lam > lam[-1] * 1e-12, lam, 0.0)[::-1], vectors[:, ::-1]
    gamma, there = lam / lam.sum(), lam > 0
    # a function of rho alone knows no norms: it is that on |x|^2 = d
    profile = profile_of(source, get, float(lam.sum()) / X.shape[1], levels)
    strongest = modes(profile, gamma, count)
    z = X @ vectors[:, there] / np.sqrt(lam[there])
    features = np.stack([_feature(z, one.factors) for one in strongest], axis=1)
    Q, _ = np.linalg.qr(features)
    power = ((Q.T @ Y) ** 2).sum(axis=1) / len(X)
    values = np.array([one.value for one in strongest])
    norms = (X**2).sum(axis=1)
    return HermiteSpectrum(
        tuple(strongest),
        values,
        power,
        max(profile.whole - float(values.sum()), 0.0),
        max(float((Y**2).sum()) / len(X) - float(power.sum()), 0.0),
        1 / float(gamma @ gamma),
        float(norms.std() / norms.mean()),
    )


def _feature(z, factors):
    """prod He_alpha_i(z_i)/sqrt(alpha_i!)."""
    feature = np.ones(len(z))
    for place in sorted(set(factors)):
        degree = factors.count(place)
        one = np.polynomial.hermite_e.hermeval(z[:, place], np.eye(degree + 1)[degree])
        feature = feature * one / math.sqrt(math.factorial(degree))
    return feature
