"""Rises: how each mode of the data was learned, in which steps, and whether these are a
staircase."""

from typing import NamedTuple

import numpy as np

LEVELS = (0.1, 0.5, 0.9)
RULE = (
    "A step ends at a mark where all its modes, and those before, have come to 90 % of their"
    " strength and no other to 10 %. A staircase has two or more, and every mode after the first"
    " step waits: it takes as long to come to 10 % as from there to half, or longer."
)


class Rise(NamedTuple):
    """How a mode was learned: its number and strength s, its fraction at the first mark, and the
    times at which it came to 10 %, half and 90 % of s.

    Times are first passages, interpolated between marks; NaN where it did not come there, that of
    the first mark where it was there from the start. `rise` is the time from 10 % to 90 %, `gap`
    that between the two marks where it came to half: what is shorter is not resolved. `step` is
    that in which it was learned, counted from 1, and 0 where it has not come to 90 %.
    """

    mode: int
    strength: float
    start: float
    tenth: float
    half: float
    ninetieth: float
    gap: float
    step: int = 0

    @property
    def rise(self) -> float:
        """The time from 10 % to 90 %."""
        return self.ninetieth - self.tenth


def first_mark(fraction, level) -> int:
    """The first mark at which a fraction has come to a level; the count of marks where none has."""
    there = fraction >= level
    return int(np.argmax(there)) if there.any() else len(fraction)


def passage(times, fraction, place, level) -> float:
    """When a fraction came to a level, which it first has at the mark `place`."""
    if place == len(times):
        return float("nan")
    if place == 0 or not np.isfinite(fraction[place - 1]):
        return float(times[place])
    before, after = fraction[place - 1], fraction[place]
    return float(
        times[place - 1] + (times[place] - times[place - 1]) * (level - before) / (after - before)
    )


def steps_of(passed, order, marks) -> list[list[int]]:
    """The modes that came to 90 %, those between two cuts together; a cut is a mark at which all
    before it are there and none behind it has come to 10 %."""
    steps: list[list[int]] = [[]]
    learned = [m for m in order if passed[m][2] < marks]
    for place, m in enumerate(learned):
        steps[-1].append(m)
        rest = [n for n in range(len(passed)) if n not in learned[: place + 1]]
        if place + 1 < len(learned) and max(passed[n][2] for n in learned[: place + 1]) < min(
            passed[n][0] for n in rest
        ):
            steps.append([])
    return [step for step in steps if step]


def judged(times, rises, steps, passed, order) -> tuple[str, tuple[str, ...]]:
    """The verdict, and what decided it."""
    missing = [one for one in rises if not one.step]
    between = [_between(rises, one, two) for one, two in zip(steps[:-1], steps[1:], strict=True)]
    waits = [rises[m] for step in steps[1:] for m in step]
    waited = [_waited(one, times[0]) for one in waits]
    if missing:
        ended = tuple(
            f"mode {one.mode} has come to {_highest(one)} by the last mark, at {times[-1]:.6g}"
            for one in missing[:6]
        )
        verdict = f"not reached within the clock: {_modes([one.mode for one in missing])}"
        return verdict, (*ended, *between)
    if len(rises) == 1:
        return "not a staircase: one mode alone", (f"mode {rises[0].mode} is the only one",)
    if len(steps) > 1:
        rising = [one for one in waits if not _has_waited(one, times[0])]
        if rising:
            return "not a staircase: modes rise from the start", (
                *between,
                *(_waited(one, times[0]) for one in rising),
            )
        return "a staircase", (*between, *waited)
    touching = next(
        (
            (a, b)
            for a, b in zip(order[:-1], order[1:], strict=True)
            if passed[a][2] == passed[b][0]
        ),
        None,
    )
    closest = max(
        zip(order[:-1], order[1:], strict=True),
        key=lambda pair: rises[pair[1]].tenth - rises[pair[0]].ninetieth,
    )
    said = _between(rises, [closest[0]], [closest[1]])
    if touching is not None:
        a, b = (rises[m].mode for m in touching)
        return f"undecided: marks too far apart to tell modes {a} and {b}", (
            said,
            f"marks there are {rises[touching[0]].gap:.3g} apart",
        )
    return "not a staircase: modes rise together", (said,)


def _between(rises, one, two) -> str:
    last = max((rises[m] for m in one), key=lambda r: r.ninetieth)
    first = min((rises[m] for m in two), key=lambda r: r.tenth)
    return (
        f"mode {last.mode} at 90 % by {last.ninetieth:.6g}, mode {first.mode} at 10 % by"
        f" {first.tenth:.6g}"
    )


def _has_waited(one, begun) -> bool:
    return one.tenth - begun >= one.half - one.tenth


def _waited(one, begun) -> str:
    return (
        f"mode {one.mode} took {one.tenth - begun:.4g} to 10 %, and {one.half - one.tenth:.4g} from"
        " there to half"
    )


def _highest(one) -> str:
    if one.half == one.half:
        return "half and not to 90 %"
    return "10 % and not to half" if one.tenth == one.tenth else "less than 10 %"


def _modes(names) -> str:
    return f"mode{'s' if len(names) > 1 else ''} {', '.join(map(str, names))}"
