"""Rungs: what was found of each axis, and how it shows itself."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from learnmech.figures.ladder import ladder_plot
from learnmech.language.display import ladders
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.studies.ladders import phenomena
from learnmech.studies.ladders.designs import Design
from learnmech.studies.ladders.distances import RULE, Distance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from learnmech.experiment.recipe import Experiment


@dataclasses.dataclass(frozen=True)
class Rung:
    """The experiment with some axes off: which, the one that was `added` last, what was set for it
    (of the first seed), how far each quantity is from the full experiment's, and which theories
    apply there.

    `unlike` are quantities that mean something else here, and are not compared. `near_edge` is the
    rate over the rule's edge at the start, where one is known. `again` are the distances at the
    best of half, the same and twice the rate, {quantity: (factor, distance)}, where the rate lost
    its meaning. `kept` says of every phenomenon whether it is kept, lost, wavers or cannot be said.
    """

    axes: tuple[str, ...]
    added: str
    experiment: "Experiment"
    words: str
    distances: dict[str, Distance]
    unlike: tuple[str, ...] = ()
    theories: tuple[str, ...] = ()
    near_edge: float | None = None
    again: dict[str, tuple[float, Distance]] = dataclasses.field(default_factory=dict)
    kept: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Ladder:
    """Each axis off alone, and all one after another in the order that loses least.

    `left` says of every axis that was not turned off why. `curves` are {axes: {quantity: (seeds,
    marks)}}, those of the full experiment under (). `design` is what all combinations say, where
    they were run.
    """

    experiment: "Experiment"
    seeds: tuple[int, ...]
    tolerance: float
    times: np.ndarray
    curves: dict[tuple[str, ...], dict[str, np.ndarray]]
    alone: tuple[Rung, ...]
    together: tuple[Rung, ...]
    left: dict[str, str]
    design: Design | None = None

    @property
    def quantities(self) -> tuple[str, ...]:
        """What was compared."""
        return tuple(self.curves[()])

    def rung(self, *axes: str) -> Rung:
        """The rung with these axes off."""
        wanted = set(axes)
        return next(one for one in (*self.alone, *self.together) if set(one.axes) == wanted)

    def plain(self) -> dict:
        """What was found as plain data."""

        def said(rung):
            return {
                "axes": list(rung.axes),
                "added": rung.added,
                "set": rung.words,
                "distances": {
                    name: found._asdict() | {"verdict": found.verdict(self.tolerance)}
                    for name, found in rung.distances.items()
                },
                "unlike": list(rung.unlike),
                "theories": list(rung.theories),
                "near_edge": rung.near_edge,
                "again": {
                    name: {"rate": rate, **found._asdict()}
                    for name, (rate, found) in rung.again.items()
                },
                "kept": rung.kept,
            }

        return {
            "fingerprint": self.experiment.fingerprint,
            "seeds": list(self.seeds),
            "tolerance": self.tolerance,
            "quantities": list(self.quantities),
            "rule": RULE,
            "kept_rule": phenomena.RULE,
            "alone": [said(one) for one in self.alone],
            "together": [said(one) for one in self.together],
            "left": self.left,
            "design": None if self.design is None else self.design.plain(),
        }

    def tables(self) -> tuple[Table, ...]:
        """For every quantity what each axis was worth, alone and together, and at the end what
        theories apply on the way."""
        return ladders.tables(self.plain())

    def show(self) -> "Figure":
        """How far each axis off is from the full experiment, quantity by quantity."""
        return ladder_plot(self.plain())

    def __str__(self):
        return as_text(*self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables()))
