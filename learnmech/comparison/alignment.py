"""Alignment: what is seen and what is said at the marks both have, and how far they are apart."""

from typing import TYPE_CHECKING

import numpy as np

from learnmech.errors import refused
from learnmech.machine.late import late

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")

# A size at which squares are about to overflow: where what is said has grown beyond it, it says
# that the run diverges.
FARTHEST = 1e150


def matched(
    seen: "xr.DataArray", said: "xr.DataArray"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(times, seen, said) at the times and labels both sides have; a prediction that stands
    still is held against the last mark seen."""
    if "time" not in said.dims:
        last = seen.isel(time=-1) if "time" in seen.dims else seen
        return np.atleast_1d(float(last["time"]))[:1], last.values[None], said.values[None]
    # axes without labels are held to one shape by who asks
    bare = [d for d in {*seen.dims, *said.dims} if d not in seen.coords or d not in said.coords]
    seen, said = xr.align(seen, said, join="inner", exclude=["time", *bare])
    here, there = _common(seen, said)
    if len(here) < min(2, seen.sizes["time"], said.sizes["time"]):
        found = f"{len(here) or 'none'} of {seen.sizes['time']} in common"
        raise refused(
            "compare",
            "marks both sides have, and more than one",
            found,
            "Run both on the same clock, and at one rate where it counts steps",
        )
    return seen["time"].values[here], seen.values[here], said.values[there]


def _common(seen, said):
    """Where the marks are that both sides have: by step where the same steps are at the same
    times, since time may stand still; by time otherwise."""
    if "step" in seen.coords and "step" in said.coords:
        _, here, there = np.intersect1d(
            seen["step"].values, said["step"].values, return_indices=True
        )
        if np.array_equal(seen["time"].values[here], said["time"].values[there]):
            return here, there
    return np.intersect1d(seen["time"].values, said["time"].values, return_indices=True)[1:]


def relative_error(seen: np.ndarray, said: np.ndarray) -> tuple[float, tuple[int, ...]]:
    """(max |seen - said| / max |said|, where it is largest): relative to the quantity's own scale,
    |seen - said| itself where that is 0.

    Entries NaN on either side are left out; NaN where nothing else is there. One that is infinite
    on one side alone is infinitely far off, unless what is said has grown so large that the other
    side must overflow.
    """
    with np.errstate(all="ignore"):
        both = np.isfinite(seen) & np.isfinite(said)
        agree = (np.isinf(seen) & ((seen == said) | (np.abs(said) > FARTHEST))) | (
            np.isinf(said) & (np.abs(seen) > FARTHEST)
        )
        apart = ~both & ~np.isnan(seen) & ~np.isnan(said) & ~agree
    if not (both | apart).any():
        return float("nan"), (0,) * seen.ndim
    gap = np.full(seen.shape, -1.0)
    gap[both] = np.abs(seen[both] - said[both])
    gap[apart] = np.inf
    where = np.unravel_index(int(np.argmax(gap)), gap.shape)
    scale = np.abs(said[both]).max(initial=0.0)
    error = float(gap[where] / scale) if scale > 0 else float(gap[where])
    return error, tuple(int(i) for i in where)


def _seen_at(values: "xr.DataArray") -> np.ndarray:
    """At which marks there is a number; also of none."""
    return np.isfinite(values.values).any(axis=tuple(range(1, values.ndim)))


def known_marks(one) -> int:
    """How many marks have a number; 2 of what has no axis of time."""
    if "time" not in one.dims:
        return 2
    return int(_seen_at(one).sum())


def gone(seen: "xr.DataArray") -> "xr.DataArray":
    """Of a run that diverged: what is read as NaN behind the last mark with a number counts as
    infinite there, not as unread."""
    if "time" not in seen.dims:
        return seen
    known = _seen_at(seen)
    last = int(np.flatnonzero(known)[-1]) if known.any() else -1
    values = seen.values.copy()
    values[last + 1 :][np.isnan(values[last + 1 :])] = np.inf
    return seen.copy(data=values)
