"""Random features: kernel regression with k random features in the kernel's place, on a population
and on a finite pool; and least squares on the first p of D inputs."""

from typing import NamedTuple

import numpy as np

from learnmech.errors import refused
from learnmech.generalization.eigenlearning import Values, asked, kappa_of, root, shares, spectral
from learnmech.generalization.pool import projected, within


class OfFeatures(NamedTuple):
    """What is said of n samples and k features: kappa of the samples, gamma of the features, and
    the errors on test and training samples (None: not said)."""

    n: float
    k: float
    ridge: float
    kappa: float
    gamma: float
    test: float
    train: float | None


class _Solved(NamedTuple):
    kappa: float
    gamma: float
    z: float
    q: float
    missed: float


def random_features(
    values: Values,
    power: Values,
    n: float,
    k: float,
    ridge: float = 0.0,
    noise: float = 0.0,
) -> OfFeatures:
    """The test error of ridge regression with k random features F of a kernel of these eigenvalues,
    K^ = FF'/k, on n samples of a population.

    n = z + ridge/kappa, k = z + k kappa/gamma, z = sum lam/(lam + gamma), q = sum (lam/(lam +
    gamma))^2: test = [sum_i (gamma/(lam_i + gamma) - kappa lam_i/(lam_i + gamma)^2 k/(k - q)) v_i^2
    + noise]/[1 - (q(k - 2z) + z^2)/(n(k - q))]. Without a ridge z = min(n, k), and the error peaks
    at k = n. Within a factor 2 of k = n without a ridge real features were 15 to 22 % above it.
    Source: Simon et al. 2023 (2311.14646); Defilippis et al. 2024; Atanasov et al. 2024.
    """
    values, power, _ = spectral("random_features", values, power)
    asked("random_features", n, ridge, noise)
    _features(k)
    found = _solved(values, power, n, k, ridge, np.inf)
    spread = 1 - (found.q * (k - 2 * found.z) + found.z**2) / (n * (k - found.q))
    missed = found.missed + noise
    test = 0.0 if not missed > 0 else missed / spread if spread > 0 else np.inf
    return OfFeatures(n, k, ridge, found.kappa, found.gamma, test, None)


def random_features_of_pool(
    values: Values, power: Values, n: float, k: float, ridge: float = 0.0
) -> OfFeatures:
    """The held-out and training error of ridge regression with k random features on n of the N
    samples of a pool, whose kernel's eigenvalues over N and target power these are.

    n = z + (ridge/kappa)(1 - z/N), k = z + k kappa/gamma; then as `of_pool` with df = z/N,
    df2 = (q(k - 2z) + z^2)/((k - q)N) and the bias of `random_features`. Derived here.
    """
    values, power, _ = spectral("random_features_of_pool", values, power)
    asked("random_features_of_pool", n, ridge)
    _features(k)
    size = len(values)
    within("random_features_of_pool", n, size)
    found = _solved(values, power, n, k, ridge, size)
    df2 = (found.q * (k - 2 * found.z) + found.z**2) / ((k - found.q) * size)
    full = ridge == 0 and min(k, float((values > 0).sum())) >= n
    _, test, train = projected(n / size, found.z / size, df2, found.missed, full)
    return OfFeatures(n, k, ridge, found.kappa, found.gamma, test, train)


def _features(k):
    if not 0 < k < np.inf:
        raise refused("random_features", "k > 0 features", k, "Give how many there are")


def _solved(values, power, n, k, ridge, size) -> _Solved:
    """Both equations: for every kappa the second gives gamma, as a ridge k kappa over k samples
    does, and the first falls with kappa."""
    rank = float((values > 0).sum())

    def gamma_of(kappa):
        return kappa_of(values, k, k * kappa) if kappa > 0 else kappa_of(values, k)

    if ridge == 0:
        gamma = kappa_of(values, min(n, k))
        kappa = gamma * (1 - n / k) if n < k and gamma > 0 else 0.0
    else:

        def lacking(log):
            kappa = np.exp(log)
            z = float(shares(values, gamma_of(kappa)).sum())
            return z + ridge / kappa * (1 - z / size) - n

        low = ridge / (n if np.isinf(size) else size)
        kappa = float(np.exp(root(lacking, np.log(low), np.log((values.sum() + ridge) / n))))
        gamma = gamma_of(kappa)
    share = shares(values, gamma)
    z, q = float(share.sum()), float(share @ share)
    if ridge == 0:  # what it is, without the root's own round-off
        z = min(n, k, rank)
    inside = np.where(values > 0, values + gamma, 1.0)
    slope = kappa * share / inside * (k / (k - q)) if kappa > 0 else 0.0
    return _Solved(kappa, gamma, z, q, float((1 - share - slope) @ power))


def least_squares(n: int, d: int, noise: float = 0.0, weights: float = 0.0) -> float:
    """The mean excess error of least squares (of least norm) on n isotropic Gaussian samples of d
    inputs, exactly: noise d/(n - d - 1) for d <= n - 2; r2 (1 - n/d) + noise n/(d - n - 1) for
    d >= n + 2, r2 = |b|^2 the `weights`; infinite between. Source: Hastie et al. 2022."""
    asked("least_squares", n, 0.0, noise)
    if d <= n - 2:
        return noise * d / (n - d - 1)
    if d >= n + 2:
        return weights * (1 - n / d) + noise * n / (d - n - 1)
    return np.inf


def first_inputs(n: int, p: int, weights: Values, noise: float = 0.0) -> float:
    """The mean test error of least squares on the first p of D isotropic Gaussian inputs, y = b.x +
    noise, exactly, with the noise of the test labels.

    (|b_rest|^2 + noise)(1 + p/(n - p - 1)) for p <= n - 2, |b_T|^2 (1 - n/p) + (|b_rest|^2 +
    noise)(1 + n/(p - n - 1)) for p >= n + 2, T the first p: a curve of double descent, infinite
    between. Source: Belkin, Hsu & Xu 2020.
    """
    asked("first_inputs", n, 0.0, noise)
    b = np.asarray(weights, np.float64)
    if not 0 <= p <= len(b):
        raise refused("first_inputs", f"p from 0 to {len(b)}, the inputs", p, "Lower p")
    used, rest = float(b[:p] @ b[:p]), float(b[p:] @ b[p:]) + noise
    if p <= n - 2:
        return rest * (1 + p / (n - p - 1))
    if p >= n + 2:
        return used * (1 - n / p) + rest * (1 + n / (p - n - 1))
    return np.inf
