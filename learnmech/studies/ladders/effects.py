"""Effects: what each axis and each pair of axes is worth over a design of two levels, and which of
it is more than the noise of seeds."""

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from learnmech.machine.late import late

if TYPE_CHECKING:
    from scipy import special
else:
    special = late("scipy.special")

LEVEL = 0.05
LEAST_SEEDS = 3
RULE = (
    "* an effect: p < 0.05 by Holm over all effects of the quantity, in t with S + 3 degrees of"
    " freedom of contrasts paired by seed; a pair is called an interaction where ln finds it too"
)
Design2 = Int[np.ndarray, "cells axes"]
Values = Float[np.ndarray, "cells seeds"]


class Contrast(NamedTuple):
    """The mean over seeds of one contrast, its standard error, and its p after Holm."""

    size: float
    error: float
    p: float


NOTHING = Contrast(float("nan"), float("nan"), float("nan"))


def pairs(count: int) -> list[tuple[int, ...]]:
    """The effects that are asked for: each axis, and each two of them, by place."""
    return [(i,) for i in range(count)] + list(itertools.combinations(range(count), 2))


def columns(off: Design2) -> Float[np.ndarray, "cells effects"]:
    """The contrast of each effect over the cells: the product of its axes' signs, +1 where an axis
    is off."""
    signs = 2.0 * np.asarray(off) - 1
    return np.stack([signs[:, list(one)].prod(1) for one in pairs(signs.shape[1])], axis=1)


def per_seed(off: Design2, values: Values) -> Float[np.ndarray, "effects seeds"]:
    """Each effect at each seed, by least squares on the mean, the axes and their pairs.

    Over all 2^k cells that of axis a is mean(off) - mean(on); that of a pair half the difference of
    what a costs with b off and with b on, sum_c sign_a sign_b y_c / (cells/2).
    Where cells are missing it is what least squares leaves of it.
    """
    matrix = np.concatenate([np.ones((len(off), 1)), columns(off)], axis=1)
    found, _, rank, _ = np.linalg.lstsq(matrix, values, rcond=None)
    if rank < matrix.shape[1]:
        # a fraction in which pairs are aliases of each other: each is the contrast of its column
        return 2 * matrix[:, 1:].T @ values / len(off)
    return 2 * found[1:]


def contrasts(seeds: Float[np.ndarray, "effects seeds"]) -> list[Contrast]:
    """The effects tested together: variances moderated, v = (4 median_j v_j + (S - 1) v_j)/(S + 3)
    of the variances v_j of their means, t with S + 3 degrees of freedom, p by Holm over all.

    Fewer than three seeds have no p, one has no error. The prior of four degrees of freedom lends
    every effect the others' variance (as Smyth 2004 does with genes): with S = 3 an effect's own
    has 2, and t with 2 asks for 4.3 standard errors of one in twenty.
    """
    count = seeds.shape[1]
    means = seeds.mean(1)
    if count < 2:
        return [Contrast(float(one), float("nan"), float("nan")) for one in means]
    own = seeds.var(1, ddof=1) / count
    errors = np.sqrt((4 * np.median(own) + (count - 1) * own) / (count + 3))
    if count < LEAST_SEEDS:
        return [
            Contrast(float(one), float(e), float("nan"))
            for one, e in zip(means, errors, strict=True)
        ]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(means == 0, 0.0, np.abs(means) / errors)
    p = holm(2 * special.stdtr(count + 3, -t))
    return [Contrast(*map(float, one)) for one in zip(means, errors, p, strict=True)]


def holm(p: Float[np.ndarray, " effects"]) -> Float[np.ndarray, " effects"]:
    """p-values such that those below a level are, all together, wrong in no more than this share
    of families (Holm 1979)."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    grown = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty(len(p))
    found[order] = np.minimum(grown, 1.0)
    return found


def half_width(one: Contrast, seeds: int) -> float:
    """Half of the 95% interval of a contrast by itself."""
    return float(special.stdtrit(seeds + 3, 0.975)) * one.error


def resting_on(off: Design2, values: Values, starred: list[int]) -> dict[int, list[int]]:
    """{effect: the cells without any one of which its star is gone}, of the effects with a star.

    Only where there are more cells than effects, none the alias of another, and one can be spared.
    """
    found: dict[int, list[int]] = {}
    if len(off) <= 1 + len(pairs(off.shape[1])) or any(aliases(off)):
        return found
    for cell in range(len(off)):
        left = np.delete(np.arange(len(off)), cell)
        again = contrasts(per_seed(off[left], values[left]))
        for effect in starred:
            if not again[effect].p < LEVEL:
                found.setdefault(effect, []).append(cell)
    return found


def aliases(off: Design2) -> list[list[int]]:
    """For each effect the others that no run of this design tells from it."""
    grid = columns(off)
    alike = np.abs(grid.T @ grid) == len(off)
    return [[j for j in np.nonzero(row)[0].tolist() if j != i] for i, row in enumerate(alike)]
