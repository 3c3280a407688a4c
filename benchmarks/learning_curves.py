"""Learning curves: measured and predicted, beside scikit-learn's learning_curve over KernelRidge on
the same kernel matrix; and the memory that they take."""

import concurrent.futures
import multiprocessing

import numpy as np

from benchmarks.base import Benchmark, Goal, peak
from learnmech.comparison.learning_curves import learning_curve

N, SIZES, SPLITS, RIDGE, LARGE = 2000, 8, 8, 0.1, 4000


def pool(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian kernel of so many samples, and the sign of one input."""
    X = np.random.default_rng(0).standard_normal((size, 60))
    square = (X**2).sum(1)
    K = X @ X.T
    K *= 2
    K -= square[:, None]
    K -= square
    K /= 120
    np.exp(K, out=K)
    return K, np.sign(X[:, :1])


def grown(size: int) -> float:
    """Peak memory of a learning curve above what the process held before, in kernels, that of the
    pool among them."""
    learning_curve(*pool(300), ridge=RIDGE, splits=1)
    before = peak()
    K, Y = pool(size)
    learning_curve(K, Y, ridge=RIDGE, splits=1)
    return (peak() - before) * 1024 / K.nbytes


def _in_a_fresh_process(call) -> float:
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(grown, LARGE).result()


def benchmarks() -> list[Benchmark]:
    """The curve with its theory, the measured curve alone, the theory beside one `eigh`, and the
    memory."""
    from scipy.linalg import eigh
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.model_selection import ShuffleSplit
    from sklearn.model_selection import learning_curve as of_sklearn

    K, Y = pool(N)
    sizes = np.linspace(0.05, 0.8, SIZES) * N
    parts = ShuffleSplit(SPLITS, train_size=int(0.8 * N), test_size=int(0.2 * N), random_state=0)

    def ours(splits=SPLITS):
        return learning_curve(K, Y, n=sizes.astype(int), ridge=RIDGE, splits=splits)

    def peer():
        return of_sklearn(
            KernelRidge(alpha=RIDGE, kernel="precomputed"),
            K,
            Y,
            train_sizes=sizes.astype(int),
            cv=parts,
            scoring="neg_mean_squared_error",
        )

    def says(one, two):
        gap = one.test[0, -1] / -two[2].mean(axis=1)[-1] - 1
        return f"errors at .8 N differ by {abs(gap):.0e}, of other splits"

    return [
        Benchmark("learning-curve", Goal("speed-up", 20), ours, peer, repetitions=3, says=says),
        Benchmark(
            "curve-theory",
            Goal("overhead", 1.3),
            lambda: ours(0),
            lambda: eigh(K),
            repetitions=3,
        ),
        Benchmark(
            "curve-memory",
            Goal("kernels", 3),
            lambda: None,
            timed=_in_a_fresh_process,
            repetitions=1,
        ),
    ]
