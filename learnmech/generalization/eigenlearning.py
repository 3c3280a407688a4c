"""Eigenlearning: what a kernel learns of a population from n samples, mode by mode."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.errors import refused

Values = Float[np.ndarray, " m"]
# Of ln kappa: 40 halvings more than float64 has digits.
TOLERANCE, TURNS = 1e-15, 200


class Eigenlearning(NamedTuple):
    """What is said of n samples: kappa, the learnability l_i = lam_i/(lam_i + kappa) of each mode,
    the overfitting coefficient E_0, and the errors on test and training samples.

    An error is the mean of |f - y|^2, summed over outputs, without 1/2 and with the label noise.
    """

    n: float
    ridge: float
    kappa: float
    learnability: Values
    overfitting: float
    test: float
    train: float


def spectral(who: str, values, power=None, multiplicity=None) -> tuple[np.ndarray, ...]:
    """(eigenvalues, power, multiplicities) as arrays of one length, or a refusal in one
    sentence."""
    values = np.asarray(values, np.float64)
    power = np.zeros_like(values) if power is None else np.asarray(power, np.float64)
    many = np.ones_like(values) if multiplicity is None else np.asarray(multiplicity, np.float64)
    if values.ndim != 1 or not values.size or not values.shape == power.shape == many.shape:
        got = f"shapes {values.shape}, {power.shape} and {many.shape}"
        raise refused(who, "eigenvalues and power of each", got, "Give one of each for every mode")
    for name, these in (("eigenvalues", values), ("power", power), ("multiplicities", many)):
        if not np.isfinite(these).all() or these.min() < 0:
            worst = these.min() if np.isfinite(these).all() else "NaN or infinity"
            raise refused(who, f"{name} >= 0", worst, "Check how they were computed")
    return values, power, many


def asked(who: str, n: float, ridge: float, noise: float = 0.0) -> None:
    """Refuse what is no number of samples, ridge or noise."""
    if not 0 < n < np.inf:
        raise refused(who, "n > 0 samples", n, "Give how many samples are trained on")
    for name, value in (("ridge", ridge), ("noise", noise)):
        if not 0 <= value < np.inf:
            raise refused(who, f"{name} >= 0", value, f"Give {name}=0 for none")


def kappa_of(
    values: Values,
    n: float,
    ridge: float = 0.0,
    multiplicity: Values | None = None,
    size: float = np.inf,
) -> float:
    """The effective ridge kappa, n = sum l_i + (ridge/kappa)(1 - sum l_i/N), l_i = lam_i/(lam_i +
    kappa); N the `size` of a finite pool, infinite for a population.

    The kernel is unnormalised, K + ridge I, and lam_i are eigenvalues of its operator (of a pool of
    N samples those of K over N). Without a ridge and with no more modes than samples kappa is 0.
    Source: Simon et al. 2023; for a finite pool derived here.
    """
    values, _, many = spectral("kappa", values, None, multiplicity)
    asked("kappa", n, ridge)
    there = values > 0
    lam, many = values[there], many[there]
    rank, whole = float(many.sum()), float(many @ lam)
    if ridge == 0 and rank <= n:
        return 0.0
    if ridge > 0:
        low = ridge / (n if np.isinf(size) else size)
    else:
        low = float(lam.min()) * (rank - n) / n
    if low >= (high := (whole + ridge) / n):
        return low

    def lacking(log):
        kappa = np.exp(log)
        taken = float(many @ (lam / (lam + kappa)))
        return taken + ridge / kappa * (1 - taken / size) - n

    return float(np.exp(root(lacking, np.log(low), np.log(high))))


def root(falling, low: float, high: float) -> float:
    """Where a function that falls from low to high crosses 0; an end where it does not."""
    from scipy.optimize import brentq

    if falling(low) <= 0:
        return low
    if falling(high) >= 0:
        return high
    return brentq(falling, low, high, xtol=TOLERANCE, rtol=4 * np.finfo(float).eps, maxiter=TURNS)


def shares(values: Values, kappa: float) -> Values:
    """l_i = lam_i/(lam_i + kappa); without kappa 1 where there is an eigenvalue, 0 where none."""
    return np.where(values > 0, values / np.where(values > 0, values + kappa, 1.0), 0.0)


def eigenlearning(
    values: Values,
    power: Values,
    n: float,
    ridge: float = 0.0,
    noise: float = 0.0,
    multiplicity: Values | None = None,
) -> Eigenlearning:
    """What kernel regression with K + ridge I learns from n samples of a population of which these
    are the eigenvalues lam_i and the target's power v_i^2 in each mode.

    E_0 = n/(n - sum l_i^2), test = E_0 (sum (1 - l_i)^2 v_i^2 + noise), train = (1 - sum l_i/n)^2
    test. `noise` is the variance of the labels' noise, summed over outputs; with a `multiplicity` a
    level stands for so many eigenvalues, and its power is that of all of them. To leading order in
    1/n, for eigenfunctions that are alike enough to Gaussian ones. Not for eigenvalues of a pool
    beyond a tenth of its samples (`Spectrum` is). Source: Bordelon et al. 2020; Canatar et al.
    2021; Simon et al. 2023.
    """
    values, power, many = spectral("eigenlearning", values, power, multiplicity)
    asked("eigenlearning", n, ridge, noise)
    kappa = kappa_of(values, n, ridge, many)
    share = shares(values, kappa)
    left = n - float(many @ share**2)
    over = n / left if left > 0 else np.inf
    missed = float((1 - share) ** 2 @ power) + noise
    test = over * missed if missed > 0 else 0.0
    train = (max(n - float(many @ share), 0.0) / n) ** 2
    if ridge == 0 and float(many[values > 0].sum()) < n:  # at kappa = 0 both are limits
        train_error = (n - float(many[values > 0].sum())) / n * missed
    else:
        train_error = train * test if train > 0 else 0.0
    return Eigenlearning(n, ridge, kappa, share, over, test, train_error)


def best_ridge(
    values: Values,
    power: Values,
    n: float,
    noise: float = 0.0,
    multiplicity: Values | None = None,
) -> float:
    """The ridge of the least test error of `eigenlearning`; 0 where none helps.

    noise/c where v_i^2 = c lam_i, as of a target drawn from the kernel's own process.
    """
    values, power, many = spectral("best_ridge", values, power, multiplicity)
    top = float(many @ values)
    return least(lambda ridge: eigenlearning(values, power, n, ridge, noise, many).test, top)


def least(error, scale: float, decades: int = 12) -> float:
    """The ridge of the least error, looked for over so many decades below 100 times the trace;
    0 where the error is no larger there."""
    from scipy.optimize import minimize_scalar

    tried = np.log(scale) + np.log(10.0) * np.linspace(-decades, 2, 4 * decades)
    errors = [error(float(np.exp(one))) for one in tried]
    at = int(np.argmin(errors))
    ends = tried[max(at - 1, 0)], tried[min(at + 1, len(tried) - 1)]
    found = minimize_scalar(
        lambda log: error(float(np.exp(log))),
        bounds=ends,
        method="bounded",
        options={"xatol": 1e-9},
    )
    return 0.0 if error(0.0) <= min(found.fun, errors[at]) else float(np.exp(found.x))


def of_linear(
    covariance: Float[np.ndarray, "d d"], weights: Float[np.ndarray, "d k"]
) -> tuple[Values, Values]:
    """(eigenvalues, power) of linear regression, K = XX', on inputs of mean 0 and this second
    moment S, with targets x'B: lam_i those of S, v_i^2 = lam_i |u_i'B|^2."""
    S, B = np.asarray(covariance, np.float64), np.asarray(weights, np.float64)
    B = B[:, None] if B.ndim == 1 else B
    if S.ndim != 2 or S.shape[0] != S.shape[1] or len(B) != len(S):
        got = f"shapes {S.shape} and {B.shape}"
        raise refused("of_linear", "S (d, d) and weights (d, k)", got, "Give both for d inputs")
    lam, vectors = np.linalg.eigh(S)
    lam = np.where(lam > 0, lam, 0.0)[::-1]
    return lam, lam * ((vectors[:, ::-1].T @ B) ** 2).sum(axis=1)


def shifted(
    train: Float[np.ndarray, "d d"],
    test: Float[np.ndarray, "d d"],
    weights: Float[np.ndarray, "d k"],
    n: float,
    ridge: float = 0.0,
    noise: float = 0.0,
) -> float:
    """The excess error of linear ridge regression (without the noise of the test labels) on inputs
    of another second moment T than that of training, S.

    kappa^2 B'RTRB + (E_in/n) tr(SRTR), R = (S + kappa I)^{-1}, E_in the test error on S and kappa
    that of training. Source: Canatar et al. 2021; Patil et al. 2024.
    """
    S, T = np.asarray(train, np.float64), np.asarray(test, np.float64)
    B = np.asarray(weights, np.float64)
    B = B[:, None] if B.ndim == 1 else B
    if S.shape != T.shape:
        got = f"shapes {S.shape} and {T.shape}"
        raise refused("shifted", "second moments of one shape", got, "Give both for d inputs")
    values, power = of_linear(S, B)
    inside = eigenlearning(values, power, n, ridge, noise)
    lam, vectors = np.linalg.eigh(S)
    lam = np.where(lam > 0, lam, 0.0)
    if inside.kappa > 0:
        R = (vectors / (lam + inside.kappa)) @ vectors.T
        missed = inside.kappa * R @ B
    else:  # limits: R within the span of S, kappa R the projection outside of it
        there = lam > 0
        R = (vectors[:, there] / lam[there]) @ vectors[:, there].T
        missed = vectors[:, ~there] @ (vectors[:, ~there].T @ B)
    bias = float(np.sum(missed * (T @ missed)))
    return bias + inside.test / n * float(np.trace(S @ R @ T @ R))
