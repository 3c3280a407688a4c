"""Recurrences: what a rule that is linear in the gradient does with it, in four numbers, from which
its edge, its flow and its steps on a quadratic follow."""

from typing import NamedTuple


class Recurrence(NamedTuple):
    """v+ = kept v + taken g, w+ = w - rate (along v+ + straight g), g the gradient, for adaptive
    rules divided by what is held fixed.

    `words` say the rate at which it stands at its threshold, as a person writes it, {h} the
    curvature.
    """

    kept: float
    taken: float
    along: float
    straight: float
    words: str

    @property
    def threshold(self) -> float:
        """rate times curvature above which steps on a quadratic grow: where -1 is an eigenvalue of
        the step, z - 1 = -rate h (along taken z/(z - kept) + straight) at z = -1."""
        return 2 / (self.along * self.taken / (1 + self.kept) + self.straight)

    def said(self, curvature: str) -> str:
        """The rate at the threshold in words, by what the curvature is called."""
        return self.words.replace("{h}", curvature)

    @property
    def push(self) -> float:
        """How far a unit gradient that lasts moves the weights in the end, over the rate."""
        return self.along * self.taken / (1 - self.kept) + self.straight


PLAIN = Recurrence(0.0, 1.0, 1.0, 0.0, "2/{h}")


def heavy(b: float) -> Recurrence:
    """Of heavy ball: v adds up gradients."""
    return Recurrence(b, 1.0, 1.0, 0.0, "2(1 + momentum)/{h}")


def looking_ahead(b: float) -> Recurrence:
    """Of Nesterov's form: the step is along momentum v beside the gradient itself."""
    return Recurrence(b, 1.0, b, 1.0, "2(1 + momentum)/((1 + 2 momentum) {h})")


def averaging(b: float, name: str = "momentum") -> Recurrence:
    """Of an exponential moving average of gradients; `name` is that of its share b."""
    return Recurrence(b, 1 - b, 1.0, 0.0, f"2(1 + {name})/((1 - {name}) {{h}})")
