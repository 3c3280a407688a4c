"""What the central flow leaves out: how long an oscillation takes to set in, and what steps make of
the loss and the sharpness that a flow does not."""

import numpy as np
from jaxtyping import Float, Int

from learnmech.experiment.recipe import Start
from learnmech.theories.central_course import ACCURACY, BLOCK, Told, course


def mean_about(
    steps: Int[np.ndarray, " m"],
    values: Float[np.ndarray, "m ..."],
    at: Int[np.ndarray, " q"],
    window: int,
) -> Float[np.ndarray, "q ..."]:
    """The mean over the finite values within window/2 steps of each of the steps `at`; NaN where
    the window reaches beyond the first or the last step."""
    half, known = window // 2, np.isfinite(values)
    low, high = np.searchsorted(steps, at - half), np.searchsorted(steps, at + half, side="right")
    sums, counts = (
        np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(part, axis=0)])
        for part in (np.where(known, values, 0.0), known)
    )
    count = counts[high] - counts[low]
    means = np.where(count > 0, sums[high] - sums[low], np.nan) / np.maximum(count, 1)
    means[(at < steps[0] + half) | (at > steps[-1] - half)] = np.nan
    return means


def _sets_in(tops, first, steady, unit):
    """(by how much of the edge an eigenvalue rises at each step, in how many steps an oscillation
    along it has grown): rate lambda at each step, at the edge from the `first` on.

    Below the edge what is off along its direction is multiplied by 1 - rate lambda at each step and
    fed by round-off, `unit` of it; once there, the eigenvalue is taken to go on rising as it did, s
    of the edge at each step, until growth by 1 + 2 s n at the n-th has made `steady` of it.
    """
    off = unit
    for top in tops[:first]:
        off = np.hypot((1 - top) * off, unit)
    before = max(first - 50, 0)
    rising = max((tops[first] - tops[before]) / 2 / (first - before), 0.0)
    return rising, np.sqrt(np.log(max(steady / off, 1)) / rising) if rising > 0 else np.inf


def lacked(told: Told, rate: float, window: int, unit: float) -> float:
    """What the mean loss lacks until the oscillation has set in: its part of the loss at first,
    by the steps this takes over the window (1 at most), over the largest mean loss."""
    oscillates = told.spread > 0
    first = int(np.argmax(oscillates))
    if not oscillates.any() or first == 0:
        return 0.0
    steady = np.sqrt(told.spread[first : first + window].max())
    steps = _sets_in(rate * told.eigenvalues[:, 0], first, steady, unit)[1]
    means = mean_about(
        np.arange(len(told.loss)), np.asarray(told.loss), np.arange(len(told.loss)), window
    )
    return float(min(steps / window, 1) * steady**2 / rate / np.nanmax(means))


def overshot(told: Told, rate: float, window: int, unit: float) -> tuple[float, float, float]:
    """By how much of the edge an eigenvalue goes beyond it until an oscillation along it has set
    in: the largest at its height, s n, and on average; the most of any further one on average.

    Up to s n in n steps and down as fast, s n^2 over the window; s n where that takes more than a
    window.
    """
    beyond, heights = [], []
    for tops in rate * told.eigenvalues.T:
        there = tops > 2 * (1 - ACCURACY)
        first, rising, steps = int(np.argmax(there)), 0.0, 0.0
        if there.any() and first > 0:
            rising, steps = _sets_in(
                tops, first, np.sqrt(told.spread[first : first + window].max()), unit
            )
        heights.append(float(rising * steps) if rising > 0 else 0.0)
        beyond.append(heights[-1] * float(min(steps / window, 1)))
    return heights[0], beyond[0], max(beyond[1:])


def hurried(start: Start, told: Told, k: int) -> float:
    """By how much of the sharpness the flow's, walked in whole steps of the rule, differs from what
    is said, at the end of the first steps or before the edge.

    That is what steps make of the sharpness while the loss falls fast, which lasts.
    """
    whole, edge = course(start, BLOCK - 1, k, parts=1), 2 / float(start.rule.rate)
    one, other = whole.eigenvalues[:, 0], told.eigenvalues[: len(whole.loss), 0]
    near = ~(np.fmax(one[: len(other)], other) < (1 - ACCURACY) * edge)
    last = (int(np.argmax(near)) if near.any() else len(other)) - 1
    return abs(float(one[last] / other[last]) - 1) if last >= 0 else 0.0


def stepped(loss: Float[np.ndarray, " n"], window: int, marks: Int[np.ndarray, " m"]) -> float:
    """What steps make of the mean loss that a flow does not, to leading order, over the largest
    mean loss; means over the marks in a window.

    Along a mode a step is 1 - x where the flow is exp(-x), x^2/2 off: of a loss that falls by d in
    one step and by rho d in the next, d (1 - rho)/4, which then falls as the mode does.
    """
    falls, off = loss[:-1] - loss[1:], [0.0]
    lasting = np.clip(np.append(falls[1:], 0.0) / np.where(falls == 0, 1, falls), 0, 1)
    for fall, rho in zip(np.abs(falls), lasting, strict=True):
        off.append(rho * off[-1] + fall * (1 - rho) / 4)
    missed, means = (mean_about(marks, one[marks], marks, window) for one in (np.array(off), loss))
    return float(np.nanmax(missed) / np.nanmax(means))
