"""The finite pool: errors of kernel regression trained on n samples of a pool of N and tested on
the others, from the spectrum of the pool."""

from typing import NamedTuple

import numpy as np

from learnmech.errors import refused
from learnmech.generalization.eigenlearning import Values, asked, kappa_of, shares, spectral


class OfPool(NamedTuple):
    """What is said of n of N samples: kappa, learnabilities, the share `pull` of its own residual
    that a trained sample keeps, and the mean of |f - y|^2, summed over outputs, on the N - n others
    and on the n trained."""

    n: float
    ridge: float
    kappa: float
    learnability: Values
    pull: float
    test: float
    train: float


def within(who: str, n: float, size: int) -> None:
    """Refuse more samples than leave one of the pool to test on."""
    if n > size - 1:
        remedy = "Lower n, so that samples remain to test on"
        raise refused(who, f"n <= {size - 1}, a pool of {size} less one", n, remedy)


def of_pool(values: Values, power: Values, n: float, ridge: float = 0.0) -> OfPool:
    """The errors after training on n of N samples drawn without replacement, tested on the N - n
    others; `values` are the eigenvalues of the pool's kernel over N, `power` v_i^2 = |u_i'Y|^2/N.
    The labels are as they are, their noise is part of Y.

    a = n/N, df = sum l_i/N, df2 = sum l_i^2/N, bias = sum (1 - l_i)^2 v_i^2, kappa that of
    `kappa_of` with size N, w = (a - df)/(1 - df) (0 without a ridge where the rank is above n),
    D = a - 2aw + w^2 - df2 (1 - w)^2: test = a (1 - w)^2 bias/((1 - a) D), train = (1 - a) w^2
    bias/(a D). Exact to leading order for eigenvectors in general position; whether those of a pool
    are, its certificate says. Derived here (free probability of a random projection).
    """
    values, power, _ = spectral("of_pool", values, power)
    asked("of_pool", n, ridge)
    size = len(values)
    within("of_pool", n, size)
    kappa = kappa_of(values, n, ridge, None, size)
    share = shares(values, kappa)
    full = ridge == 0 and int((values > 0).sum()) >= n
    missed = float((1 - share) ** 2 @ power)
    pull, test, train = projected(
        n / size, float(share.sum()) / size, float(share @ share) / size, missed, full
    )
    return OfPool(n, ridge, kappa, share, pull, test, train)


def projected(a: float, df: float, df2: float, missed: float, full: bool) -> tuple[float, ...]:
    """(w, held-out, train) from a = n/N, degrees of freedom over N and the error that is missed;
    `full` where the fit goes through every trained sample."""
    pull = 0.0 if full else (a - df) / (1 - df)
    spread = a - 2 * a * pull + pull**2 - df2 * (1 - pull) ** 2
    if not missed > 0:
        return pull, 0.0, 0.0
    if not spread > 0:  # as many modes as samples, without a ridge
        return pull, np.inf, 0.0
    test = a * (1 - pull) ** 2 * missed / ((1 - a) * spread)
    return pull, test, (1 - a) * pull**2 * missed / (a * spread)
