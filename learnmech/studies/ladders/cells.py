"""Cells: the runs of an experiment with some of its axes off, each made once for each seed."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from learnmech.comparison.domains import survey
from learnmech.curvature.eigenpairs import sharpness_at_least
from learnmech.engines import Engine, over_cores
from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.instruments.base import Instrument
from learnmech.march.watching import asked
from learnmech.record.base import Record
from learnmech.runs import bars
from learnmech.simplifications.base import Simplification, Turned
from learnmech.simplifications.orders import ordered, simplified
from learnmech.studies.ladders.distances import Distance, distance
from learnmech.studies.ladders.phenomena import Phenomenon, judged
from learnmech.studies.ladders.rungs import Rung
from learnmech.sweeps.elsewhere import records
from learnmech.sweeps.jobs import Landing, seen

# Where the rate comes so near to the edge, or the rule or the loss is another, the rate has lost
# its meaning: the distance is measured at half and at twice the rate too.
NEAR_EDGE, SWAPS = 0.9, ("rule", "loss")
RATES = (0.5, 2.0)


class Cell(NamedTuple):
    """Which simplifications are on, and what the rate was multiplied by."""

    chosen: tuple[Simplification, ...] = ()
    rate: float = 1.0

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that are off."""
        return tuple(one.axis for one in self.chosen)


def cell(chosen: Iterable[Simplification], rate: float = 1.0) -> Cell:
    """The cell with these on, in their one order."""
    return Cell(tuple(ordered(chosen)), rate)


class Cells:
    """The runs of every cell and seed, each made once: their curves, {cell: {quantity: (seeds,
    marks)}}, and whether each phenomenon is there at each seed."""

    def __init__(
        self,
        experiment: Experiment,
        seeds: tuple[int, ...],
        watch: tuple[Instrument | str, ...],
        keep: Sequence[Phenomenon] = (),
        progress: bool | Callable[[int, int], None] | None = None,
        engine: Engine | None = None,
        landing: Landing | None = None,
    ):
        self.experiment, self.seeds, self.keep = experiment, seeds, tuple(keep)
        self.watch, self.progress = tuple(map(asked, watch)), progress
        self.engine, self.landing = engine, landing
        self.curves: dict[Cell, dict[str, np.ndarray]] = {}
        self.there: dict[Cell, dict[str, tuple]] = {}
        self.turned: dict[Cell, Turned] = {}
        self.times = np.zeros(0)
        self.units: dict[Cell, dict[str, str]] = {}
        self.full: tuple[Record, ...] = ()
        self._starts: dict[int, Start] = {}
        self._edges: dict[Cell, float | None] = {}

    def perform(self, cells: Iterable[Cell], edges: Iterable[Cell] = ()) -> None:
        """Run those that are not there, side by side; of those in `edges` it is found beside the
        runs how near to the edge they are."""
        edges = set(edges)
        new = [one for one in dict.fromkeys(cells) if one not in self.curves]
        tasks = [(one, seed) for one in new for seed in self.seeds]
        if not tasks:
            return
        turned: dict[tuple[Cell, int], Turned] = {}
        found: dict[tuple[Cell, int], Record] = {}
        with bars.told(self.progress, "ladder", lambda i, n: (i, n, f"{i} of {n} runs")) as tell:

            def done(task, record):
                found[task] = record
                if tell is not None:
                    tell(len(found), len(tasks))

            if self.engine is None:
                self._here(tasks, turned, edges, done)
            else:
                for task in tasks:
                    turned[task] = self._turned(*task)
                points = {task: made.experiment for task, made in turned.items()}
                records(points, self.watch, self.engine, self.landing, done, "ladder")
        for one in new:
            self._keep(one, [(turned[one, seed], found[one, seed]) for seed in self.seeds])

    def _here(self, tasks, turned, edges, done) -> None:
        """Over the cores: what a rung is like is found beside the runs of others, which leave
        Python alone (before all of them it took 0.4 s of 24 runs of 2.3 s)."""

        def run(task):
            turned[task] = self._turned(*task)
            start = self._start(task[1]) if task[0] == Cell() else turned[task].experiment
            record = seen(start, self.watch, self.landing)
            if task[0] in edges and task[1] == self.seeds[0]:
                self._edges[task[0]] = _near_edge(turned[task].experiment)
            return record

        for seed in self.seeds:  # before there are threads, which would draw the data twice
            self._start(seed)
        over_cores(tasks, run, done)

    def _start(self, seed: int) -> Start:
        """The full experiment made ready, its data drawn once."""
        if seed not in self._starts:
            like = next(iter(self._starts.values()), None)
            made = dataclasses.replace(self.experiment, seed=seed)
            self._starts[seed] = prepare(made, like=like)
        return self._starts[seed]

    def _turned(self, one: Cell, seed: int) -> Turned:
        turned = simplified(self._start(seed), *one.chosen)
        if one.rate != 1:
            rate = float(turned.experiment.rule.rate) * one.rate
            turned = Turned(turned.experiment.with_value("rule.rate", rate), turned.tuned)
        return turned

    def _keep(self, one: Cell, made: list[tuple[Turned, Record]]) -> None:
        turned, records = zip(*made, strict=True)
        single = [
            str(name)
            for name in records[0]
            if records[0][name].ndim == 1 and records[0][name].dtype.kind == "f"
        ]
        if not single:
            raise refused(
                "ladder",
                "a quantity of one number at a time",
                ", ".join(map(str, records[0])) or "none",
                "Watch the loss beside them",
            )
        # a run that diverged has fewer marks than the clock
        count = max(len(record["time"]) for record in records)
        self.curves[one] = {
            name: np.stack([_whole(record[name].values, count) for record in records])
            for name in single
            if min(len(record[name]) for record in records)
        }
        self.units[one] = {name: records[0][name].units for name in single}
        self.turned[one] = turned[0]
        self.there[one] = {
            each.name: tuple(each.there(record) for record in records)
            for each in self.keep
            if each.there is not None
        }
        if one == Cell():
            self.full = records
        self.there[one] |= {
            each.name: tuple(map(each.same, self.full, records))
            for each in self.keep
            if each.same is not None
        }
        if not one.chosen and one.rate == 1:
            self.times = np.asarray(max((r["time"].values for r in records), key=len))

    def distances(self, one: Cell) -> tuple[dict[str, Distance], tuple[str, ...]]:
        """(how far each quantity is from the full experiment's, those that mean something else
        here)."""
        full, curves = self.curves[Cell()], self.curves[one]
        other = self._loss_of(one) != self._loss_of(Cell())
        unlike = [n for n in full if other and self.units[Cell()][n].startswith("loss")]
        found = {
            name: distance(full[name], _to(curves[name], len(self.times)), self.times)
            for name in full
            if name in curves and name not in unlike
        }
        return found, tuple(unlike)

    def _loss_of(self, one: Cell) -> type:
        return type(self.turned[one].experiment.loss)

    def near_edge(self, one: Cell) -> float | None:
        """The rate over the rule's edge at the start, None where no edge is known."""
        if one not in self._edges:
            self._edges[one] = _near_edge(self.turned[one].experiment)
        return self._edges[one]

    def tuned_again(self, wanted: Iterable[Cell]) -> dict[Cell, tuple[Cell, ...]]:
        """{cell: those at half and twice its rate}, of the cells in which it lost its meaning."""
        wanted = list(wanted)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            # the sharpness of each shape is compiled anew, which takes longer than it
            list(pool.map(self.near_edge, wanted))
        return {
            one: tuple(Cell(one.chosen, rate) for rate in RATES)
            for one in wanted
            if not self.turned[one].experiment.rule.flows
            and (set(one.axes) & set(SWAPS) or (self.near_edge(one) or 0.0) > NEAR_EDGE)
        }

    def rung(self, one: Cell, added: Simplification, theories: bool) -> Rung:
        """What was found with these axes off, the last of which was `added`."""
        found, unlike = self.distances(one)
        again: dict[str, tuple[float, Distance]] = {}
        rates = [each for each in self.curves if each.chosen == one.chosen and each.rate != 1]
        for each in (one, *rates) if rates else ():
            for name, far in self.distances(each)[0].items():
                if name not in again or far.farthest < again[name][1].farthest:
                    again[name] = each.rate, far
        made = self.turned[one]
        surveyed = survey(prepare(made.experiment)) if theories else {}
        return Rung(
            one.axes,
            added.axis,
            made.experiment,
            made.words,
            found,
            unlike,
            tuple(kind for kind, said in surveyed.items() if said["applies"]),
            self.near_edge(one),
            again,
            {each.name: self._judged(each, one, found) for each in self.keep},
        )

    def _judged(self, each: Phenomenon, one: Cell, found: dict[str, Distance]) -> str:
        if each.within is not None:
            quantity, tolerance = each.within
            return found[quantity].verdict(tolerance) if quantity in found else "cannot say"
        return judged(self.there[Cell()][each.name], self.there[one][each.name])


def _near_edge(experiment: Experiment) -> float | None:
    start = prepare(experiment)
    unit = None if start.rule.flows or not start.rule.plain else start.rule.edge(1.0)
    if unit is None:
        return None
    top = sharpness_at_least(start.system, start.state.params)
    return float(start.rule.rate) * top / unit[1] if np.isfinite(top) else None


def _whole(values, count):
    """A curve to all marks: what a run that diverged did not reach is no number."""
    return np.concatenate([values, np.full(max(count - len(values), 0), np.nan)])[:count]


def _to(curves, count):
    """Curves to so many marks."""
    return np.stack([_whole(one, count) for one in curves])
