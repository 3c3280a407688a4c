"""The clock: when an experiment is looked at, in steps or in time."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from learnmech.errors import refused
from learnmech.language.parts import Knob, Part, knob, plain, structure

MOST_STEPS, MOST_MARKS = 10**15, 10**8


class Marks(NamedTuple):
    """The moments to look at: times (float64) and, for a rule that steps, whole step counts;
    what had to be rounded is noted."""

    times: Float[np.ndarray, " m"]
    steps: Int[np.ndarray, " m"] | None
    note: str = ""


def _moments(given):
    """The moments as a tuple, whole numbers as ints, so that 10 and 10.0 are one text; what are
    no numbers, as it is."""
    if given is None or isinstance(given, (str, dict)) or not np.iterable(given):
        return given
    plain_ones = tuple(plain(one) for one in given)
    whole = [isinstance(one, float) and abs(one) < 2**53 and one == int(one) for one in plain_ones]
    return tuple(int(one) if short else one for one, short in zip(plain_ones, whole, strict=True))


class Clock(Part):
    """Marks from 0 to an end in `steps` or in `time`: every `every`-th step, or `marks` of them,
    evenly or geometrically spaced, or those given by `at`.

    Time is t = sum of base rates, t = step * rate at a constant rate. A clock in time drives a rule
    that steps after rounding to whole steps, and says so. Moments given by `at` are counted as the
    end is; without an end the last of them is it, in steps for a rule that steps and in time for a
    flow. 0 and the end are marks too.
    """

    steps: Knob | None = knob(default=None, whole=True, at_least=1, meaning="the end, in steps")
    time: Knob | None = knob(
        default=None, above=0, meaning="the end, in time: the sum of the base rates, in param²/loss"
    )
    every: Knob | None = knob(
        default=None,
        whole=True,
        at_least=1,
        meaning="steps from a mark to the next, in place of a number of `marks`",
    )
    marks: int = structure(
        default=201, at_least=2, meaning="how many moments are looked at, 0 and the end among them"
    )
    spacing: str = structure(
        default="linear",
        choices=("linear", "log"),
        meaning="whether marks are evenly or geometrically spaced",
    )
    at: tuple[float, ...] | None = eqx.field(
        static=True,
        converter=_moments,
        default=None,
        kw_only=True,
        metadata={
            "role": "structure",
            "choices": None,
            "bounds": {},
            "meaning": (
                "the moments to look at, ascending, in place of `marks` and `spacing`: steps, or"
                " times where the end is in time"
            ),
        },
    )

    def coherent(self):
        if self.marks > MOST_MARKS or len(self.at or ()) > MOST_MARKS:
            raise refused(
                "Clock",
                f"at most {MOST_MARKS:g} marks",
                f"{max(self.marks, len(self.at or ())):g}",
                "Mark fewer moments",
            )
        if self.at is not None:
            self._check_moments()
        elif self.steps is None and self.time is None:
            raise refused(
                "Clock",
                "an end in steps or in time",
                "neither",
                "Give one of steps and time, or moments by at",
            )
        if self.steps is not None and self.time is not None:
            raise refused(
                "Clock", "an end in steps or in time", "both", "Give one of steps and time"
            )

    def _check_moments(self):
        found = np.asarray(self.at, float)
        if self.every is not None:
            raise refused("Clock", "one of at and every", "both", "Drop every")
        if not np.isfinite(found).all():
            raise refused("Clock", "finite moments in at", f"{self.at}", "Remove what is no number")
        if len(found) and found[0] < 0:
            raise refused(
                "Clock",
                "moments from 0 on in at",
                f"{self._given()[0]}",
                "Remove what is before the start",
            )
        if not len(found) or found[-1] == 0:
            raise refused(
                "Clock", "a moment after 0 in at", f"{self.at}", "Give for example at=(0, 10, 100)"
            )
        if (np.diff(found) <= 0).any():
            place = int(np.argmax(np.diff(found) <= 0))
            got, remedy = (
                f"{self._given()[place]}, then {self._given()[place + 1]}",
                "Sort them, and drop what stands twice",
            )
            raise refused("Clock", "moments in ascending order, each once, in at", got, remedy)
        if self.time is None and self.steps is not None:
            self._whole()
        end = self.time if self.steps is None else self.steps
        if end is not None and found[-1] > end:
            raise refused(
                "Clock",
                f"moments within the run, up to {plain(end):g}, in at",
                f"{self._given()[-1]}",
                "Lengthen the clock, or drop the moment",
            )

    def _whole(self):
        """The moments as whole steps, with 0 and the end."""
        broken = [one for one in self._given() if one != int(one)]
        if broken:
            remedy = "Round it, or give clock.time, in which moments are times"
            raise refused(
                "Clock", "whole steps in at, for a rule that steps", f"{broken[0]}", remedy
            )
        return np.unique(
            np.array(
                [
                    0,
                    *(int(one) for one in self._given()),
                    int(self._given()[-1] if self.steps is None else self.steps),
                ],
                np.int64,
            )
        )

    def _given(self) -> tuple[float, ...]:
        """The moments, where some were given, as `coherent` saw to of a clock without an end."""
        return self.at or ()

    def marked(self, rate: float | None, elapsed: Callable | None = None) -> Marks:
        """The marks for a rule of this base rate, or for a flow (rate None); `elapsed` gives the
        times of whole steps where the rate is not constant."""
        if rate is None:
            if self.time is None and self.steps is None:
                return Marks(self._spaced(float(self._given()[-1])), None)
            if self.time is None:
                raise refused(
                    "Clock",
                    "an end in time for a rule that flows",
                    f"steps={int(self.steps or 0)}",
                    "Give clock.time instead of clock.steps",
                )
            if self.every is not None:
                raise refused(
                    "Clock",
                    "no every for a rule that flows",
                    f"every={int(self.every)}",
                    "Give clock.marks instead of clock.every",
                )
            return Marks(self._spaced(float(self.time)), None)
        if self.time is None:
            return self._stepped(
                int(self._given()[-1] if self.steps is None else self.steps), rate, elapsed, ""
            )
        wanted = (
            self._spaced(float(self.time)) / rate
            if elapsed is None
            else _steps_at(self._spaced(float(self.time)), elapsed)
        )
        last = int(min(np.rint(wanted[-1]), 2 * MOST_STEPS))
        if last < 1:
            raise refused(
                "Clock",
                f"a time of at least one step of rate {rate:g}",
                float(self.time),
                "Lengthen clock.time or lower rule.rate",
            )
        if self.every is not None or last > MOST_STEPS:
            return self._stepped(last, rate, elapsed, "")
        steps = np.unique(np.rint(wanted).astype(np.int64))
        off = float(np.abs(wanted - np.rint(wanted)).max())
        note = (
            f"marks were moved to whole steps, by up to {off:.2g} of a step" if off > 1e-9 else ""
        )
        return Marks(steps * rate if elapsed is None else elapsed(steps), steps, note)

    def _stepped(self, last, rate, elapsed, note):
        count = (
            last // int(self.every)
            if self.every is not None
            else self.marks
            if self.at is None
            else len(self.at)
        )
        if last > MOST_STEPS or count > MOST_MARKS:
            raise refused(
                "Clock",
                f"at most {MOST_STEPS:g} steps and {MOST_MARKS:g} marks",
                f"{last:g} and {count:g}",
                "Shorten the clock, or mark fewer steps",
            )
        if self.at is not None:
            steps = self._whole()
        elif self.every is not None:
            steps = np.arange(0, last + 1, int(self.every))
            steps = steps if steps[-1] == last else np.append(steps, last)
        else:
            steps = np.unique(np.rint(self._spaced(float(last), first=1.0)).astype(np.int64))
        return Marks(steps * rate if elapsed is None else elapsed(steps), steps, note)

    def _spaced(self, end, first=None):
        if self.at is not None:
            return np.unique(np.array([0.0, *self.at, end], float))
        if self.spacing == "linear":
            return np.linspace(0.0, end, self.marks)
        return np.concatenate(
            [
                [0.0],
                (
                    np.geomspace(min(first or end * 1e-4, end), end, self.marks - 1)
                    if self.marks > 2
                    else [end]
                ),
            ]
        )


def _steps_at(times, elapsed):
    """The steps (with fractions) after which these times have passed, by bisection and a line
    between whole steps."""
    low, high = np.zeros(len(times), np.int64), np.ones(len(times), np.int64)
    while (short := elapsed(high) < times).any():
        if high.max() > MOST_STEPS:
            raise refused(
                "Clock",
                "a time that the rule's schedule reaches",
                float(times[-1]),
                "Shorten clock.time, or give clock.steps",
            )
        low, high = np.where(short, high, low), np.where(short, 2 * high, high)
    while (high - low > 1).any():
        middle = (low + high) // 2
        short = elapsed(middle) < times
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    before, after = elapsed(low), elapsed(high)
    return low + (times - before) / np.where(after > before, after - before, 1)
