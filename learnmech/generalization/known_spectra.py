"""Known spectra: eigenvalues of kernels on the circle, the sphere and the hypercube, and those that
fall as a power of their place."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.machine.late import late

if TYPE_CHECKING:
    from scipy import integrate, special
else:
    integrate, special = late("scipy.integrate"), late("scipy.special")

Profile = Callable[[np.ndarray], np.ndarray]


class Levels(NamedTuple):
    """Eigenvalues of a kernel operator, the level of each and how many eigenfunctions it has."""

    values: Float[np.ndarray, " m"]
    multiplicity: Float[np.ndarray, " m"]


def circle(kind: str, levels: int) -> Levels:
    """Of ReLU kernels on the circle, frequencies k = 0 to levels - 1 (two eigenfunctions each, one
    for k = 0), sw^2 = 2 without biases.

    `step` (pi - t)/pi: 1/2, 2/(pi k)^2 for odd k, else 0. `nngp` (sin t + (pi - t) cos t)/pi:
    4/(pi^2 (k^2 - 1)^2) for even k, 1/4 for k = 1. `ntk` of one hidden layer, that + cos t
    (pi - t)/pi: (2k^2 + 6)/(pi (k^2 - 1))^2 for even k, 1/2 for k = 1. Other odd k vanish. Source:
    Basri et al. 2019; Bietti & Mairal 2019.
    """
    if kind not in ("step", "nngp", "ntk"):
        raise refused("circle", "step, nngp or ntk", repr(kind), "Choose one of these")
    k = np.arange(levels, dtype=float)
    even = k % 2 == 0
    if kind == "step":
        values = np.where(k == 0, 0.5, np.where(even, 0, 2 / (np.pi * np.maximum(k, 1)) ** 2))
    else:
        below = np.where(k == 1, 1, np.pi**2 * (k**2 - 1) ** 2)
        top = 4 if kind == "nngp" else 2 * k**2 + 6
        values = np.where(k == 1, 0.25 if kind == "nngp" else 0.5, np.where(even, top / below, 0))
    return Levels(values, np.where(k == 0, 1.0, 2.0))


def sphere(profile: Profile, d: int, levels: int) -> Levels:
    """Of a kernel K(x.x'/|x||x'|) on the sphere in d >= 3 dimensions, by degree k: int K P_k w/int
    w, w = (1 - t^2)^{(d-3)/2}, P_k the Legendre polynomials of the dimension with P_k(1) = 1, and
    C(d+k-1, k) - C(d+k-3, k-2) eigenfunctions.

    Few eigenfunctions a level are unlike Gaussian ones: with d = 3 learning curves lie 1.4 to 1.75
    above the theory, with d = 10 within 8 %."""
    if d < 3:
        raise refused("sphere", "d >= 3 dimensions", d, "Ask circle for d = 2")
    half = (d - 2) / 2

    def averaged(function):  # t = cos a: smooth at both ends
        def inside(a):
            return function(np.cos(a)) * np.sin(a) ** (d - 2)

        return integrate.quad(inside, 0, np.pi, epsabs=1e-14, epsrel=1e-12, limit=400)[0]

    whole = averaged(lambda t: 1.0)
    values, many = [], []
    for k in range(levels):
        at_one = special.eval_gegenbauer(k, half, 1.0)
        values.append(
            averaged(
                lambda t, k=k, one=at_one: (
                    float(profile(np.asarray(t))) * special.eval_gegenbauer(k, half, t) / one
                )
            )
            / whole
        )
        many.append(math.comb(d + k - 1, k) - (math.comb(d + k - 3, k - 2) if k > 1 else 0))
    return Levels(_cut(np.array(values)), np.array(many, float))


def cube(profile: Profile, d: int) -> Levels:
    """Of a kernel K(x.x'/d) on the hypercube {-1, 1}^d, by the size k of a parity: the mean of K
    times the Krawtchouk polynomial of degree k over C(d, k), and C(d, k) eigenfunctions."""
    if d < 1:
        raise refused("cube", "d >= 1 dimensions", d, "Give how many")
    seen = np.asarray(profile(1 - 2 * np.arange(d + 1) / d), float)
    values = []
    for k in range(d + 1):
        rows = [
            math.comb(d, j)
            * sum((-1) ** i * math.comb(j, i) * math.comb(d - j, k - i) for i in range(k + 1))
            / (2**d * math.comb(d, k))
            for j in range(d + 1)
        ]
        values.append(math.fsum(one * float(value) for one, value in zip(rows, seen, strict=True)))
    many = np.array([math.comb(d, k) for k in range(d + 1)], float)
    return Levels(_cut(np.array(values)), many)


def _cut(values):
    """Without what round-off leaves of eigenvalues that are 0."""
    return np.where(values > 1e-13 * np.abs(values).max(initial=0.0), values, 0.0)


def power_law_spectrum(exponent: float, modes: int) -> Float[np.ndarray, " m"]:
    """i^-exponent for i = 1 to modes."""
    return np.arange(1, modes + 1, dtype=float) ** -exponent


def power_law_kappa(b: float, n: float) -> float:
    """[pi/(b n sin(pi/b))]^b: kappa of eigenvalues i^-b, b > 1, without a ridge, for many n.
    Source: Simon et al. 2023."""
    _checked(b, 2.0, n)
    return (np.pi / (b * n * np.sin(np.pi / b))) ** b


def power_law_error(a: float, b: float, n: float) -> float:
    """The test error of eigenvalues i^-b and power i^-a, without ridge or noise, for many n: ((1-s)
    pi/sin(pi s)) [pi/(b n sin(pi/b))]^{a-1}, s = (a-1)/b < 2; of a steeper target b kappa^2 zeta(a
    - 2b). Slow near s = 2. Derived here; the exponent: Spigler et al. 2020."""
    kappa, s = power_law_kappa(b, n), (a - 1) / b
    _checked(b, a, n)
    if s == 2:
        raise refused(
            "power_law_error", "a - 1 other than 2b", a, "It falls with a logarithm there"
        )
    if s > 2:
        return b * kappa**2 * float(special.zeta(a - 2 * b))
    size = 1.0 if abs(s - 1) < 1e-12 else (1 - s) * np.pi / np.sin(np.pi * s)
    return size * kappa**s


def power_law_best(a: float, b: float) -> tuple[float, float]:
    """(exponent of the error in 1/n, exponent of the ridge in n) with noise and the best ridge, of
    eigenvalues i^-b and power i^-a: t/(1+t), t = min(a - 1, 2b), and 1 - b/(1+t). Reached slowly:
    .416 at n = 10^4 for 1/3 (a = 1.5, b = 2). Source: Cui et al. 2021."""
    _checked(b, a, 1.0)
    t = min(a - 1, 2 * b)
    return t / (1 + t), 1 - b / (1 + t)


def _checked(b, a, n):
    if not (b > 1 and a > 1 and n > 0):
        got = f"a = {a:g}, b = {b:g}, n = {n:g}"
        raise refused("A power law", "exponents a, b > 1 and n > 0", got, "Sums diverge else")
