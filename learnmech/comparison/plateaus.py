"""Plateaus: where the loss rests."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# Marks among which plateaus are looked for.
LOOKED_AT = 4000
BAND, FALL, LEAST, SPAN = 0.01, 0.05, 0.01, 4
PLATEAUS = (
    "A plateau: 4 marks or more within 1 % of what the loss has yet to fall (that being 1 % of its "
    "whole fall or more), no shorter than the next 5 % of that take."
)


class Plateau(NamedTuple):
    """A stretch of time over which the loss rests: from, to, the loss there, and the time it then
    took to fall by 5 % of what it had yet to fall."""

    start: float
    end: float
    loss: float
    fall: float


def plateaus(
    times: Float[np.ndarray, " marks"], loss: Float[np.ndarray, " marks"]
) -> tuple[Plateau, ...]:
    """The plateaus of a loss over time, by PLATEAUS; of more than 4000 marks, 4000 of them are
    looked at."""
    times, loss = np.asarray(times, float), np.asarray(loss, float)
    whole = np.isfinite(loss)
    times, loss = times[whole], loss[whole]
    if len(loss) > LOOKED_AT:
        few = np.linspace(0, len(loss) - 1, LOOKED_AT).round().astype(int)
        times, loss = times[few], loss[few]
    if len(loss) < SPAN or not loss[0] > loss.min():
        return ()
    floor, found, at = loss.min(), [], 0
    while at < len(loss):
        left = loss[at] - floor
        if left < LEAST * (loss[0] - floor) or left <= 0:
            at += 1
            continue
        away = np.abs(loss[at:] - loss[at]) > BAND * left
        end = at + int(np.argmax(away)) - 1 if away.any() else len(loss) - 1
        below = loss[end:] <= loss[at] - (BAND + FALL) * left
        fallen = end + int(np.argmax(below)) if below.any() else len(loss)
        lasts = times[end] - times[at]
        if end - at + 1 >= SPAN and fallen < len(loss) and lasts >= times[fallen] - times[end]:
            found.append(
                Plateau(
                    float(times[at]),
                    float(times[end]),
                    float(loss[at]),
                    float(times[fallen] - times[end]),
                )
            )
            at = fallen
        else:
            at += 1
    return tuple(found)
