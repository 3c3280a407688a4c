"""Checks: one number measured against one predicted, and its verdict."""

import dataclasses
import math

from learnmech.theories.base import Condition


@dataclasses.dataclass(frozen=True)
class Check:
    """One number measured against one predicted.

    `bound` says how: `within` the tolerance (relative to predicted, absolute where that is 0),
    `below` or `above` predicted. `premises` are what it takes for the claim to be one here;
    `reached` is whether the run came as far as it looks.
    """

    claim: str
    measured: float
    predicted: float
    tolerance: float
    reason: str
    bound: str = "within"
    premises: tuple[Condition, ...] = ()
    reached: bool = True

    @property
    def error(self) -> float:
        """|measured - predicted| / |predicted|."""
        gap = abs(self.measured - self.predicted)
        return gap / abs(self.predicted) if self.predicted else gap

    @property
    def verdict(self) -> str:
        """`outside domain` or `undecided` where a premise does not hold or is not known to, `not
        reached` within the clock, else `holds` or `fails`; `undecided` where a number is none."""
        judged = by_conditions(self.premises)
        if judged is not None:
            return judged
        if not self.reached:
            return "not reached"
        if any(math.isnan(x) for x in (self.measured, self.predicted, self.tolerance)):
            return "undecided"
        return "holds" if self._met() else "fails"

    def _met(self):
        if self.bound == "below":
            return self.measured < self.predicted
        if self.bound == "above":
            return self.measured > self.predicted
        return self.error <= self.tolerance

    @property
    def holds(self) -> bool:
        """Whether the number is where the claim puts it, and the claim is one here."""
        return self.verdict == "holds"

    @property
    def words(self) -> str:
        """The verdict in words, with the premise that is missing: `outside domain: two layers: 4
        (bound 2)`, `not reached within the clock`."""
        verdict = self.verdict
        if verdict == "not reached":
            return "not reached within the clock"
        missing = [
            one.words
            for one in self.premises
            if not one.holds and one.decided == (verdict == "outside domain")
        ]
        return f"{verdict}: {missing[0]}" if missing else verdict


def by_conditions(conditions) -> str | None:
    """The verdict where conditions alone give it: outside domain where one is decided not to
    hold, undecided where one is not known to."""
    missing = [condition for condition in conditions if not condition.holds]
    if not missing:
        return None
    return "outside domain" if any(condition.decided for condition in missing) else "undecided"
