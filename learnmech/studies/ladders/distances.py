"""Distances: how far a simpler experiment's curve is from the full one's, how well that is known,
and how much curves scatter by themselves."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

RULE = (
    "kept: the distance with two resolutions is within the tolerance; changed: less two it is"
    " beyond; undecided: neither, or one seed alone, which has no resolution"
)


class Distance(NamedTuple):
    """How far one quantity of a simpler experiment is from the full one's, over its marks and
    relative to the range R of the full curve.

    `farthest` is the largest |mean over seeds of the difference|/R, at mark `mark`, and `mean` its
    mean over time. `resolution` is the standard error of that largest difference, paired by seed,
    `spread` the standard deviation of the full run itself from seed to seed there, both over R: two
    things, which may differ by a factor of ten. `logarithm` is the largest |ln| of the ratio of the
    curves and `last` their last ratio, of quantities above 0, which are small without being near.
    `start` is the difference at t = 0.
    """

    farthest: float
    mean: float
    resolution: float
    spread: float
    logarithm: float
    last: float
    start: float
    mark: int

    def verdict(self, tolerance: float) -> str:
        """kept, changed or undecided, by RULE."""
        if np.isinf(self.farthest):
            return "changed"
        if np.isnan(self.resolution):
            return "undecided"
        if self.farthest + 2 * self.resolution <= tolerance:
            return "kept"
        return "changed" if self.farthest - 2 * self.resolution > tolerance else "undecided"


def distance(
    full: Float[np.ndarray, "seeds marks"],
    rung: Float[np.ndarray, "seeds marks"],
    times: Float[np.ndarray, " marks"],
) -> Distance:
    """The distance of two sets of curves over the same marks and seeds. One that diverged is
    infinitely far, never clipped."""
    seeds = len(full)
    reference = full.mean(0)
    size = float(np.ptp(reference)) or float(np.abs(reference).max()) or 1.0
    if not np.isfinite(rung).all() or not np.isfinite(full).all():
        nothing = float("nan")
        return Distance(np.inf, np.inf, nothing, nothing, np.inf, nothing, nothing, -1)
    apart = (rung - full) / size
    mean = np.abs(apart.mean(0))
    at = int(np.argmax(mean))
    span = float(times[-1] - times[0])
    several = seeds > 1
    positive = bool((full > 0).all() and (rung > 0).all())
    ratio = rung.mean(0) / reference if positive else np.array([np.nan])
    return Distance(
        float(mean[at]),
        float(np.trapezoid(mean, times) / span) if span > 0 else float(mean.mean()),
        float(apart[:, at].std(ddof=1) / np.sqrt(seeds)) if several else float("nan"),
        float(full[:, at].std(ddof=1) / size) if several else float("nan"),
        float(np.abs(np.log(ratio)).max()),
        float(ratio[-1]),
        float(apart.mean(0)[0]),
        at,
    )
