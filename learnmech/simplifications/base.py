"""What every simplification promises: the same question asked of a simpler experiment."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from learnmech.errors import refused, unwritten
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.language import trees
from learnmech.language.parts import Part
from learnmech.simplifications.facts import facts_of


@dataclasses.dataclass(frozen=True)
class Turned:
    """What a simplification made: the simpler experiment, and what was set for it from the one
    that it was made of, by name."""

    experiment: Experiment
    tuned: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def words(self) -> str:
        """What was set, in a line."""
        return ", ".join(f"{name} = {value:.4g}" for name, value in self.tuned.items())


class Simplification(Part):
    """One axis of complexity turned off. Subclasses give `axis`, what facts it `needs` and `turns`,
    `off`, and `turned`.

    `needs` {fact: the values at which it can be applied}, `turns` {fact: its value afterwards}, of
    `simplifications.facts.FACTS`. `keeps` {name: a function of a start} says what is the same of
    both starts, to round-off. One that `draws` uses random numbers of its own, from the
    experiment's seed. Applied twice it gives the same experiment as once.
    """

    axis: ClassVar[str]
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    turns: ClassVar[Mapping[str, str]] = {}
    keeps: ClassVar[Mapping[str, Callable[[Start], np.ndarray]]] = {}
    draws: ClassVar[bool] = False

    def off(self, start: Start) -> str:
        """Why there is nothing to turn off, in a few words; empty where there is."""
        raise unwritten(self, "off")

    def lacks(self, start: Start) -> str:
        """Why it cannot be applied, beside the facts that it needs; empty where it can."""
        return ""

    def turned(self, start: Start) -> Turned:
        """The simpler experiment, of one where there is something to turn off and nothing
        lacks."""
        raise unwritten(self, "turned")

    def why_not(self, experiment: Experiment | Start) -> str:
        """Why it does not apply: already off, or what lacks; empty where it applies."""
        start = prepare(experiment)
        already = self.off(start)
        if already:
            return f"already {already}"
        found = facts_of(start)
        for fact, values in self.needs.items():
            if found[fact] not in values:
                return f"{fact} is {found[fact]}, and not {' or '.join(values)}"
        return self.lacks(start)

    def simplify(self, experiment: Experiment | Start) -> Turned:
        """The simpler experiment, with what was set for it; the same one where there is nothing
        to turn off. Refuses one to which it cannot be applied."""
        start = prepare(experiment)
        if self.off(start):
            return Turned(start.experiment)
        lacking = self.why_not(start)
        if lacking:
            raise refused(
                type(self).__name__,
                f"an experiment to which turning off {self.axis} applies",
                f"one where {lacking}",
                "Turn off what is in its way first, or leave this axis on",
            )
        return self.turned(start)

    def apply(self, experiment: Experiment | Start) -> Experiment:
        """The simpler experiment alone."""
        return self.simplify(experiment).experiment


def changed(start: Start, tuned: Mapping[str, float] | None = None, **parts: Any) -> Turned:
    """The experiment with some of its parts replaced, and what was set for them."""
    return Turned(dataclasses.replace(start.experiment, **parts), tuned or {})


def outputs_at_start(start: Start) -> np.ndarray:
    """f on the training inputs at t = 0."""
    return np.asarray(start.system.outputs(start.state.params, start.system.train.X), np.float64)


def params_at_start(start: Start) -> np.ndarray:
    """Every weight at t = 0, in the natural order of paths."""
    return trees.flat_of(start.params)
