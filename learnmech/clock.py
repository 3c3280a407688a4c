"""The clock: when an experiment is looked at, in steps or in time."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from learnmech.errors import refused
from learnmech.parts import Knob, Part, knob, structure

MOST_STEPS, MOST_MARKS = 10**15, 10**8


class Marks(NamedTuple):
    """The moments to look at: times (float64) and, for a rule that steps, whole step counts; what had to be rounded is noted."""

    times: Float[np.ndarray, " m"]
    steps: Int[np.ndarray, " m"] | None
    note: str = ""


class Clock(Part):
    """Marks from 0 to an end in `steps` or in `time`: every `every`-th step, or `marks` of them, evenly or geometrically spaced.

    Time is t = sum of base rates, t = step * rate at a constant rate. A clock in time drives a rule that steps after rounding to whole steps, and says so.
    """

    steps: Knob | None = knob(None, whole=True, at_least=1)
    time: Knob | None = knob(None, above=0)
    every: Knob | None = knob(None, whole=True, at_least=1)
    marks: int = structure(201, at_least=2)
    spacing: str = structure("linear", choices=("linear", "log"))

    def coherent(self):
        if self.marks > MOST_MARKS:
            raise refused("Clock", f"at most {MOST_MARKS:g} marks", f"{self.marks:g}", "Mark fewer moments")
        if (self.steps is None) == (self.time is None):
            got = "neither" if self.steps is None else "both"
            raise refused("Clock", "an end in steps or in time", got, "Give one of steps and time")

    def marked(self, rate: float | None, elapsed: Callable | None = None) -> Marks:
        """The marks for a rule of this base rate, or for a flow (rate None); `elapsed` gives the times of whole steps where the rate is not constant."""
        if rate is None:
            if self.time is None:
                raise refused("Clock", "an end in time for a rule that flows", f"steps={int(self.steps)}", "Give clock.time instead of clock.steps")
            if self.every is not None:
                raise refused("Clock", "no every for a rule that flows", f"every={int(self.every)}", "Give clock.marks instead of clock.every")
            return Marks(self._spaced(float(self.time)), None)
        if self.steps is not None:
            return self._stepped(int(self.steps), rate, elapsed, "")
        wanted = self._spaced(float(self.time)) / rate if elapsed is None else _steps_at(self._spaced(float(self.time)), elapsed)
        last = int(min(np.rint(wanted[-1]), 2 * MOST_STEPS))
        if last < 1:
            raise refused("Clock", f"a time of at least one step of rate {rate:g}", float(self.time), "Lengthen clock.time or lower rule.rate")
        if self.every is not None or last > MOST_STEPS:
            return self._stepped(last, rate, elapsed, "")
        steps = np.unique(np.rint(wanted).astype(np.int64))
        off = float(np.abs(wanted - np.rint(wanted)).max())
        note = f"marks were moved to whole steps, by up to {off:.2g} of a step" if off > 1e-9 else ""
        return Marks(steps * rate if elapsed is None else elapsed(steps), steps, note)

    def _stepped(self, last, rate, elapsed, note):
        count = last // int(self.every) if self.every is not None else self.marks
        if last > MOST_STEPS or count > MOST_MARKS:
            raise refused(
                "Clock", f"at most {MOST_STEPS:g} steps and {MOST_MARKS:g} marks", f"{last:g} and {count:g}", "Shorten the clock, or mark fewer steps"
            )
        if self.every is not None:
            steps = np.arange(0, last + 1, int(self.every))
            steps = steps if steps[-1] == last else np.append(steps, last)
        else:
            steps = np.unique(np.rint(self._spaced(float(last), first=1.0)).astype(np.int64))
        return Marks(steps * rate if elapsed is None else elapsed(steps), steps, note)

    def _spaced(self, end, first=None):
        if self.spacing == "linear":
            return np.linspace(0.0, end, self.marks)
        return np.concatenate([[0.0], np.geomspace(min(first or end * 1e-4, end), end, self.marks - 1) if self.marks > 2 else [end]])


def _steps_at(times, elapsed):
    """The steps (with fractions) after which these times have passed, by bisection and a line between whole steps."""
    low, high = np.zeros(len(times), np.int64), np.ones(len(times), np.int64)
    while (short := elapsed(high) < times).any():
        if high.max() > MOST_STEPS:
            raise refused("Clock", "a time that the rule's schedule reaches", float(times[-1]), "Shorten clock.time, or give clock.steps")
        low, high = np.where(short, high, low), np.where(short, 2 * high, high)
    while (high - low > 1).any():
        middle = (low + high) // 2
        short = elapsed(middle) < times
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    before, after = elapsed(low), elapsed(high)
    return low + (times - before) / np.where(after > before, after - before, 1)
