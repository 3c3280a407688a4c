"""Slopes: how steeply a spectrum falls over a stated range of modes, and what of the tail of the
samples is not Gaussian."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

FEWEST = 8
"""Modes in a range, below which no slope is told."""


class Slope(NamedTuple):
    """The exponent b of values ~ i^-b over the modes `first` to `last` (from 1), and its error: the
    standard error of the line and half of what the slopes of the two halves of the range differ by,
    in squares. The halves' own slopes tell whether it is a power law at all."""

    value: float
    error: float
    first: int
    last: int
    halves: tuple[float, float]

    def __str__(self):
        early, late = self.halves
        return (
            f"{self.value:.2f} ± {self.error:.2f} (modes {self.first} to {self.last}; halves"
            f" {early:.2f}, {late:.2f})"
        )


def spectral_slope(values: Float[np.ndarray, " m"], samples: int) -> Slope | None:
    """The slope of eigenvalues, the largest first, over the modes 3 to a third of the rank or of
    the samples, whichever is less: the first modes are a law of their own, the last ones are bent
    by the finite number of samples. None where those are fewer than `FEWEST`."""
    return _fitted(values, *_range(values, samples))


def power_slope(
    power: Float[np.ndarray, " m"], values: Float[np.ndarray, " m"], samples: int, floor: float = 0
) -> Slope | None:
    """That of the target power in each mode, over the same modes, in the means of up to four bins
    to an octave, each counted by its modes: single ones scatter by as much as they are. It ends
    before the first bin below three times the `floor`, what of the noise falls on a mode."""
    first, last = _range(values, samples)
    if last - first + 1 < FEWEST:
        return None
    edges = np.unique(np.round(first * 2 ** np.arange(0, np.log2((last + 1) / first), 0.25)))
    edges = np.append(edges, last + 1).astype(int)
    centers, means, counts = [], [], []
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        if power[start - 1 : end - 1].mean() < 3 * floor:
            last = start - 1
            break
        if end > start:
            centers.append(np.exp(np.mean(np.log(np.arange(start, end)))))
            means.append(power[start - 1 : end - 1].mean())
            counts.append(end - start)
    held = np.array([centers, means, counts]).reshape(3, -1)
    centers, means, counts = held[:, held[1] > 0]
    return _line(centers, means, counts, first, last)


def _range(values, samples):
    rank = int((values > values[0] * len(values) * np.finfo(float).eps).sum()) if len(values) else 0
    return 3, min(rank, samples) // 3


def _fitted(values, first, last):
    if last - first + 1 < FEWEST:
        return None
    modes = np.arange(first, last + 1)
    return _line(modes, values[first - 1 : last], np.ones(len(modes)), first, last)


def _line(modes, values, counts, first, last):
    x, y, w = np.log(modes), np.log(values), counts / counts.sum()
    if len(x) < 4:
        return None
    left = x <= (x[0] + x[-1]) / 2
    halves = tuple(_fall(x[part], y[part], w[part])[0] for part in (left, ~left))
    slope, rest = _fall(x, y, w)
    spread = x - w @ x
    line = np.sqrt((w @ rest**2) / (len(x) - 2) / (w @ spread**2))
    off = (halves[1] - halves[0]) / 2
    error = float(np.hypot(line, off)) if np.isfinite(off) else float(line)
    return Slope(slope, error, first, last, halves)


def _fall(x, y, w):
    """(minus the slope of the line through weighted points, what it leaves); NaN of one point."""
    if len(x) < 2:
        return float("nan"), np.zeros(len(x))
    w = w / w.sum()
    off = x - w @ x
    slope = (w * off) @ y / ((w * off) @ off)
    return -float(slope), y - w @ y - slope * off


def participation(values: Float[np.ndarray, " m"]) -> float:
    """The effective dimension, (sum of eigenvalues)^2 over the sum of their squares."""
    return float(values.sum() ** 2 / (values @ values)) if values.any() else 0.0


def kurtosis(Z: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " m"]:
    """E (z - E z)^4/var^2 of each column, 3 of a Gaussian; NaN of a constant one."""
    off = Z - Z.mean(0)
    scale = np.abs(off).max(0)
    off = off / np.where(scale > 0, scale, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.mean(off**4, 0) / np.mean(off**2, 0) ** 2
