"""Measured learning curves of a kernel: random training sets of a pool, one factorization for every
n of a split."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.generalization.spectrum import Spectrum
from learnmech.kernels.resolution import resolved_eigenvalue
from learnmech.machine.late import late

if TYPE_CHECKING:
    from scipy import linalg
else:
    linalg = late("scipy.linalg")

# Condition numbers up to which residuals keep six digits through a Cholesky factor.
CONDITION = 1e10


class Measured(NamedTuple):
    """Mean of |f - y|^2, summed over outputs, of every split: on the held-out samples and on the
    trained, (n, splits); and the mean residual y - f of each sample where it was held out, (n, N,
    k), NaN where it never was."""

    test: Float[np.ndarray, "m splits"]
    train: Float[np.ndarray, "m splits"]
    residual: Float[np.ndarray, "m N k"]


def measured(
    kernel: Float[np.ndarray, "N N"],
    spectrum: Spectrum,
    sizes: Sequence[int],
    ridge: float = 0.0,
    splits: int = 8,
    seed: int = 0,
) -> Measured:
    """Kernel regression trained on the first n of `splits` random orders of the pool, for every n,
    and tested on all others.

    One Cholesky factor of the largest n serves all smaller ones, whose factors are its corners. A
    kernel that is singular (to ten digits) has the fit of least norm without a ridge.
    """
    Y, size = spectrum.learner.Y, spectrum.size
    rng, k = np.random.default_rng(seed), Y.shape[1]
    test, train = np.empty((len(sizes), splits)), np.empty((len(sizes), splits))
    total, count = np.zeros((len(sizes), size, k)), np.zeros((len(sizes), size, 1))
    lowest, top = spectrum.learner.values[0] + ridge, spectrum.learner.values[-1] + ridge
    firm = lowest > 0 and top / lowest <= CONDITION
    for split in range(splits):
        order = rng.permutation(size)
        if firm:
            said = _by_factor(kernel, Y, order, sizes, ridge)
        else:
            said = _by_modes(kernel, Y, order, sizes, ridge)
        for at, (n, outputs) in enumerate(zip(sizes, said, strict=True)):
            residual = Y - outputs
            out = order[n:]
            test[at, split] = (residual[out] ** 2).sum() / len(out)
            train[at, split] = (residual[order[:n]] ** 2).sum() / n
            total[at, out] += residual[out]
            count[at, out] += 1
    with np.errstate(invalid="ignore"):
        return Measured(test, train, total / np.where(count > 0, count, np.nan))


def _by_factor(kernel, Y, order, sizes, ridge) -> Iterator[np.ndarray]:
    """The outputs at all samples after each n, from one Cholesky factor."""
    most, k = max(sizes), Y.shape[1]
    first = order[:most]
    # of a symmetric matrix the transpose is the same in the order that LAPACK overwrites
    block = np.asarray(kernel[np.ix_(first, first)], np.float64).T
    block[np.diag_indices(most)] += ridge
    factor = linalg.cholesky(block, lower=True, overwrite_a=True, check_finite=False)
    half = linalg.solve_triangular(factor, Y[first], lower=True, check_finite=False)
    weights = np.zeros((len(Y), len(sizes) * k))
    for at, n in enumerate(sizes):
        weights[first[:n], at * k : (at + 1) * k] = linalg.solve_triangular(
            factor[:n, :n], half[:n], lower=True, trans=1, check_finite=False
        )
    outputs = kernel @ weights
    for at in range(len(sizes)):
        yield outputs[:, at * k : (at + 1) * k]


def _by_modes(kernel, Y, order, sizes, ridge) -> Iterator[np.ndarray]:
    """The outputs at all samples after each n, from the eigenvectors of its kernel; modes that are
    0 to round-off are left out."""
    for n in sizes:
        trained = order[:n]
        block = np.asarray(kernel[np.ix_(trained, trained)], np.float64)
        values, vectors = linalg.eigh(block, check_finite=False)
        kept = values > resolved_eigenvalue(values)
        vectors, values = vectors[:, kept], values[kept]
        weights = np.zeros_like(Y)
        weights[trained] = vectors @ ((vectors.T @ Y[trained]) / (values + ridge)[:, None])
        yield kernel @ weights
