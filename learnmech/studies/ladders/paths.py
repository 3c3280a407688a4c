"""Paths: which axes to turn off, and no more, so that a theory speaks of what is left."""

import dataclasses
import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from learnmech.errors import Refused
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.language import catalog
from learnmech.simplifications.base import Simplification
from learnmech.simplifications.facts import facts_of
from learnmech.simplifications.network import Shallow
from learnmech.simplifications.orders import ordered, simplified
from learnmech.simplifications.samples import GaussianInputs
from learnmech.theories.base import Theory

# A path of more axes than this is no explanation, and a search that has looked at so many rungs
# has not found one.
LONGEST, LOOKED_AT = 7, 60
# Steps of no path: other targets ask another question, and of infinite width what is linear is so
# in the kernel's features, of which theories of the inputs do not speak.
ELSEWHERE = ("labels", "infinite width", "late features")
Goal = tuple[str, tuple[str, ...]]

# What an experiment must be for a limit to have been taken, beside the domain: a theory that is a
# limit is in its domain everywhere, and no step leads to where it is exact.
AT_LIMIT: Mapping[str, Goal] = {
    "architecture.width": ("linear-in-params", ("yes",)),
    "architecture.alpha": ("linear-in-params", ("yes",)),
    "architecture.of.width": ("linear-in-params", ("yes",)),
}


class Path(NamedTuple):
    """The simplifications after which a theory speaks, in their order; whether they lead to its
    `limit` as well as into its domain. Without `steps` it speaks of the experiment itself.

    Where none was found `found` is false, and `why` is the condition that no step turns.
    """

    theory: str
    steps: tuple[Simplification, ...]
    limit: bool
    found: bool = True
    why: str = ""

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that are turned off."""
        return tuple(one.axis for one in self.steps)

    @property
    def words(self) -> str:
        """It in a line."""
        where = "at its limit" if self.limit else "in its domain"
        if not self.found:
            return f"no path: {self.why}"
        if not self.steps:
            return f"it is {where}"
        count = len(self.steps)
        return f"{where} {count} step{'s' * (count > 1)} away: {', '.join(self.axes)}"


class Rungs:
    """Simpler experiments made ready, each once, whichever theories ask for it."""

    def __init__(self, experiment: Experiment | Start):
        self.full = prepare(experiment)
        self._made: dict[frozenset[Simplification], Start | None] = {}
        self._facts: dict[frozenset[Simplification], dict[str, str]] = {}
        kinds = [catalog.load(one) for one in catalog.members("simplifications").values()]
        plain: list[Simplification] = [kind() for kind in kinds if kind.axis not in ELSEWHERE]
        self.steps = (*plain, Shallow(layers=1), GaussianInputs(per_class=True))

    def at(self, chosen: frozenset[Simplification]) -> Start | None:
        """The experiment with these turned off; None where they cannot be."""
        if chosen not in self._made:
            self._made[chosen] = self._prepared(chosen)
        return self._made[chosen]

    def _prepared(self, chosen) -> Start | None:
        """What comes first in the one order is another rung, and is made once."""
        if not chosen:
            return self.full
        try:
            *before, last = ordered(chosen)
            start = self.at(frozenset(before))
            return None if start is None else prepare(last.simplify(start).experiment)
        except Refused:
            return None

    def facts(self, chosen: frozenset[Simplification]) -> dict[str, str]:
        """The facts there."""
        if chosen not in self._facts:
            start = self.at(chosen)
            assert start is not None
            self._facts[chosen] = facts_of(start)
        return self._facts[chosen]

    def toward(
        self, goal: Goal, chosen: frozenset[Simplification], within: int = 3
    ) -> Iterator[frozenset[Simplification]]:
        """The sets by which a fact comes to a wanted value: these and one step that turns it,
        with all that the step itself needs first."""
        fact, wants = goal
        facts, taken = self.facts(chosen), {one.axis for one in chosen}
        for step in self.steps:
            if step.turns.get(fact) not in wants or step.axis in taken:
                continue
            if step.off(self.full) and not chosen:
                continue
            missing = [
                (need, tuple(values))
                for need, values in step.needs.items()
                if facts[need] not in values
            ]
            if not missing:
                yield chosen | {step}
            elif within:
                for before in self.toward(missing[0], chosen, within - 1):
                    if self.at(before) is not None:
                        yield from self.toward(goal, before, within - 1)


def path(experiment: Experiment | Start | Rungs, theory: Theory, limit: bool = False) -> Path:
    """The shortest path to where a theory speaks, or with `limit` to where it has come to its
    limit too.

    Breadth first over sets of axes by facts: of the conditions that fail on a rung, the first that
    a fact decides is turned by each simplification that turns it, with what that one needs. Then
    the conditions are asked of the rung itself, since some are numbers. Of paths as short the first
    found, which is that of the simplifications' own order.
    """
    rungs = experiment if isinstance(experiment, Rungs) else Rungs(experiment)
    kind = catalog.kebab(type(theory).__name__)
    beside = [AT_LIMIT[one.knob] for one in theory.limits if one.knob in AT_LIMIT][:1] * limit
    count = itertools.count()
    waiting: list[tuple[int, int, frozenset[Simplification]]] = [(0, next(count), frozenset())]
    seen: set[frozenset[Simplification]] = {frozenset()}
    fewest, why = 10**6, "none of its conditions can be turned"
    for _ in range(LOOKED_AT):
        if not waiting:
            break
        size, _, chosen = heapq.heappop(waiting)
        start = rungs.at(chosen)
        if start is None:
            continue
        facts = rungs.facts(chosen)
        failing = [one for one in theory.conditions(start) if not one.holds]
        ahead = [goal for goal in beside if facts[goal[0]] not in goal[1]]
        if not failing and not ahead:
            return Path(kind, tuple(ordered(chosen)), limit)
        goals = [
            (one.fact, one.wants)
            for one in failing
            if one.fact and facts[one.fact] not in one.wants
        ] + ahead
        # what no fact decides may come right with the others, and ends the search alone
        fixed = [one for one in failing if not one.fact or facts[one.fact] in one.wants]
        if len(failing) < fewest and fixed:
            fewest, why = len(failing), fixed[0].words
        if goals and size < LONGEST:
            for more in rungs.toward(goals[0], chosen):
                if more not in seen and len(more) <= LONGEST:
                    seen.add(more)
                    heapq.heappush(waiting, (len(more), next(count), more))
    return Path(kind, (), limit, False, why)


def both(experiment: Experiment | Start | Rungs, theory: Theory) -> tuple[Path, ...]:
    """The path into a theory's domain and, of a limit, that to where it has been taken."""
    rungs = experiment if isinstance(experiment, Rungs) else Rungs(experiment)
    near = path(rungs, theory)
    limits = any(one.knob in AT_LIMIT for one in theory.limits)
    return (near, path(rungs, theory, True)) if limits and near.found else (near,)


def nearest(
    experiment: Experiment | Start | Rungs, theories: Iterable[Theory] | None = None
) -> tuple[Path, ...]:
    """The paths to every theory that one was found to, the shortest first."""
    rungs = experiment if isinstance(experiment, Rungs) else Rungs(experiment)
    kinds = (
        [catalog.load(one)() for one in catalog.members("theories").values()]
        if theories is None
        else list(theories)
    )
    found = [one for theory in kinds for one in both(rungs, theory) if one.found]
    return tuple(sorted(found, key=lambda one: len(one.steps)))


def rung_of(experiment: Experiment, way: Path, seed: int) -> Experiment:
    """The last experiment of a path, at a seed."""
    return simplified(dataclasses.replace(experiment, seed=seed), *way.steps).experiment
