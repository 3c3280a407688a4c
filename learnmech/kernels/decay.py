"""Decay: what is left of a deviation after some time of flow, or after some steps of descent, in
directions of known rates."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Rates = Float[np.ndarray, " n"]
Table = Float[np.ndarray, "m n"]


class Decay(NamedTuple):
    """At every mark and in every direction of rate h: the share `left` of a deviation, and the
    `gain` (1 - left)/h, which is time where h = 0."""

    left: Table
    gain: Table


def flow(h: Rates, times: Float[np.ndarray, " m"]) -> Decay:
    """left = e^{-ht}, gain = (1 - e^{-ht})/h, t where h = 0."""
    t = np.asarray(times, float)[:, None]
    gone = -np.expm1(-h * t)
    return Decay(np.exp(-h * t), np.where(h > 0, gone / np.where(h > 0, h, 1), t))


def descent(h: Rates, rate: float, steps: Float[np.ndarray, " m"]) -> Decay:
    """left = (1 - rate h)^k, gain = (1 - (1 - rate h)^k)/h, rate k where h = 0."""
    k, below = np.asarray(steps)[:, None], rate * h < 1
    exponent = k * np.log1p(-rate * np.where(below, h, 0.0))
    left = np.where(below, np.exp(exponent), (1 - rate * h) ** k)
    gone = np.where(below, -np.expm1(exponent), 1 - left)
    return Decay(left, np.where(h > 0, gone / np.where(h > 0, h, 1), rate * k))


def momentum_decay(h: Rates, rate: float, momentum: float, steps: Float[np.ndarray, " m"]) -> Table:
    """What is left after k steps of heavy ball of a deviation 1 started at rest, in each direction.

    (e, v) <- (e - eta(b v + h e), b v + h e), a two-by-two matrix to the power k, by repeated
    squaring: defective cases need no care.
    """
    step = np.zeros((len(h), 2, 2))
    step[:, 0, 0] = 1 - rate * h
    step[:, 0, 1] = -rate * momentum
    step[:, 1, 0] = h
    step[:, 1, 1] = momentum
    return np.stack([np.linalg.matrix_power(step, int(k))[:, 0, 0] for k in steps])


def heavy_ball(h: Rates, rate: float, momentum: float, steps: Float[np.ndarray, " m"]) -> Decay:
    """Of heavy ball started at rest; the gain is where a weight gets that a unit force pulls
    against h: x <- x - eta v, v <- b v + h x - 1."""
    step = np.zeros((len(h), 3, 3))
    step[:, 0] = np.stack(
        [1 - rate * h, np.full(len(h), -rate * momentum), np.full(len(h), rate)], axis=1
    )
    step[:, 1] = np.stack([h, np.full(len(h), momentum), np.full(len(h), -1.0)], axis=1)
    step[:, 2, 2] = 1.0
    gain = np.stack([np.linalg.matrix_power(step, int(k))[:, 0, 2] for k in steps])
    return Decay(momentum_decay(h, rate, momentum, steps), gain)


def forever(h: Rates) -> Decay:
    """At infinite time: nothing is left where h > 0, and all where h = 0, in which directions
    nothing is gained."""
    return Decay(
        np.where(h > 0, 0.0, 1.0)[None], np.where(h > 0, 1 / np.where(h > 0, h, 1), 0.0)[None]
    )
