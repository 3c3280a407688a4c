"""Zipf's law under a squared loss: how much is left of the loss when every word is learned at the
rate of its frequency."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from learnmech.machine.late import late

if TYPE_CHECKING:
    from scipy import special
else:
    special = late("scipy.special")

Times = Float[np.ndarray, " t"]


def zipf_shares(words: int, exponent: float) -> Float[np.ndarray, " words"]:
    """pi_k = z k^-exponent, the shares of so many words."""
    shares = np.arange(1.0, words + 1) ** -exponent
    return shares / shares.sum()


def share_left(shares: Float[np.ndarray, " words"], times: Times) -> Times:
    """L/L_0 = sum_k pi_k e^(-2 pi_k t) of a linear layer on one-hot words from 0 under flow, every
    word of one size of target, c = 1/(2n).

    With n for 2t it is the probability that the next word is new after n words, but for (1 -
    pi)^n in place of e^(-n pi).
    """
    return np.exp(-2 * np.asarray(times)[:, None] * shares) @ shares


def share_left_of_many(words: int, exponent: float, times: Times) -> Times:
    """The same by an integral over the rank: at exponent 1, z [E_1(2zt/V) - E_1(2zt)], so that t =
    V^tau leaves 1 - tau + O(1/ln V); above 1 of endless words, (z^(1/a)/a) Gamma(1 - 1/a)
    (2t)^(-(1 - 1/a)), for t >> 1.

    Off by the sum less its integral, of the order of the largest term, e^(-2zt) or 1/(2t).
    Source: Hutter 2021; Kunstner & Bach 2025.
    """
    times = np.asarray(times, np.float64)
    if exponent == 1:
        z = zipf_shares(words, 1.0)[0]
        return z * (special.exp1(2 * z * times / words) - special.exp1(2 * z * times))
    z, a = 1 / special.zeta(exponent), exponent
    return z ** (1 / a) / a * special.gamma(1 - 1 / a) * (2 * times) ** -(1 - 1 / a)
