"""The climb: which axes there are to turn off, the runs of every rung, and their order."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from learnmech.comparison.domains import survey
from learnmech.errors import nearest, refused
from learnmech.experiment.recipe import Experiment, Start, given, prepare
from learnmech.instruments.base import Instrument
from learnmech.ladders.distances import distance
from learnmech.ladders.rungs import Ladder, Rung
from learnmech.language import catalog
from learnmech.runs import bars
from learnmech.runs.running import run
from learnmech.simplifications.base import Simplification
from learnmech.simplifications.facts import facts_of
from learnmech.simplifications.orders import admissible, ordered, simplified

TOLERANCE = 0.05
CONTROLS = ("labels", "input spectrum")
"""Axes that are turned off only where they are named: without them another question is asked."""
Axes = Sequence[str | Simplification]


def ladder(
    experiment: Experiment | str | Path,
    axes: Axes | None = None,
    watch: tuple[Instrument | str, ...] | None = None,
    seeds: int | Sequence[int] = 3,
    tolerance: float = TOLERANCE,
    progress: bool | Callable[[int, int], None] | None = None,
    theories: bool = False,
) -> Ladder:
    """Turn axes of complexity off, each alone and then all one after another, and say how far every
    quantity is from the full experiment's.

    `axes` are names (`nonlinearity`, or `linear-units`) or simplifications (None: all that apply,
    but for labels and the input spectrum, without which another question is asked). `watch` are
    instruments of which the quantities without axes of their own are compared (None: the loss, and
    the test loss where there is one). Full and simpler runs share their seeds, and differences are
    paired by them; fewer than two have no resolution. The order of the cumulative part is that of
    what each loses alone, the least first, as far as they can stand together. `tolerance` is what a
    quantity may be off by, relative to its range, and still be called kept. With `theories` every
    rung is told which theories apply there; some of their conditions take longer than the runs.
    """
    meant: Any
    meant, watch = given(experiment, watch)
    meant = meant.experiment if isinstance(meant, Start) else meant
    used = _seeds(seeds)
    if not (isinstance(tolerance, (int, float)) and tolerance > 0):
        raise refused("ladder", "a tolerance above 0", tolerance, "Give for example 0.05")
    start = prepare(dataclasses.replace(meant, seed=used[0]))
    watch = _watched(watch, start)
    chosen, left = _chosen(axes, start)
    runs = _Runs(meant, used, watch, progress, theories)
    single = [one for one in chosen if one.axis not in left]
    runs.perform([(), *((one,) for one in single)])
    alone = tuple(runs.rung((one,), one) for one in single)
    order = _least_first(single, alone, [one for one in chosen if one.axis in left])
    stages: list[tuple[Simplification, ...]] = []
    for one in order:
        stage = (*(stages[-1] if stages else ()), one)
        why = admissible(start.experiment, stage)
        if not why:
            stages.append(stage)
            left.pop(one.axis, None)
        elif one.axis not in left:
            left[one.axis] = f"not with the others: {why}"
    runs.perform(stages)
    return Ladder(
        meant,
        used,
        float(tolerance),
        runs.times,
        {tuple(one.axis for one in key): found for key, found in runs.curves.items()},
        alone,
        tuple(runs.rung(stage, stage[-1]) for stage in stages),
        left,
    )


def _seeds(seeds) -> tuple[int, ...]:
    used = tuple(range(seeds)) if isinstance(seeds, (int, np.integer)) else tuple(seeds)
    if not used or len(set(used)) < len(used):
        raise refused("ladder", "one seed or more, each once", seeds, "Give for example seeds=3")
    return tuple(int(seed) for seed in used)


def _watched(watch, start) -> tuple:
    if watch is not None:
        return watch
    return ("loss",) if start.data.test is None else ("loss", "test-loss")


def _chosen(axes: Axes | None, start: Start) -> tuple[list[Simplification], dict[str, str]]:
    """(what is to be turned off, {axis: why it cannot be alone}); an axis that is off already is
    none of the first."""
    there: list[type[Simplification]] = [
        catalog.load(one) for one in catalog.members("simplifications").values()
    ]
    if axes is None:
        wanted = [_fitting(kind, start) for kind in there if kind.axis not in CONTROLS]
    else:
        wanted = [
            one if isinstance(one, Simplification) else _named(one, there, start) for one in axes
        ]
    chosen, left = [], {}
    for one in ordered(wanted):
        why = one.why_not(start)
        if why:
            left[one.axis] = why
        if not one.off(start):
            chosen.append(one)
    return chosen, left


def _named(name, there, start) -> Simplification:
    names = {kind.axis: kind for kind in there} | {
        catalog.kebab(kind.__name__): kind for kind in there
    }
    if name not in names:
        raise refused("ladder", "axes of complexity", repr(name), nearest(str(name), names))
    return _fitting(names[name], start)


def _fitting(kind: type[Simplification], start: Start) -> Simplification:
    """One of this kind that fits the experiment: per class where its plain form lacks that."""
    plain = kind()
    fields = {field.name for field in dataclasses.fields(kind)}
    if "per_class" in fields and plain.why_not(start):
        split = kind(per_class=True)
        return plain if split.why_not(start) else split
    return plain


def _least_first(single, alone, rest) -> list[Simplification]:
    """The axes by what they lose alone, in the first quantity that was compared; those that could
    not be turned off alone behind them."""

    def lost(pair):
        found = pair[1].distances.values()
        return next(iter(found)).farthest if found else np.inf

    return [one for one, _ in sorted(zip(single, alone, strict=True), key=lost)] + rest


class _Runs:
    """The runs of every rung and seed, each made once."""

    def __init__(self, experiment, seeds, watch, progress, theories):
        self.experiment, self.seeds, self.watch = experiment, seeds, watch
        self.progress, self.curves, self.times = progress, {}, np.zeros(0)
        self.theories = theories
        self._made: dict = {}
        self._units: dict[tuple, dict[str, str]] = {}

    def perform(self, rungs: Iterable[tuple[Simplification, ...]]) -> None:
        """Run those that are not there, side by side over the cores."""
        new = [tuple(ordered(one)) for one in rungs]
        new = [one for one in dict.fromkeys(new) if one not in self.curves]
        tasks = [(one, seed) for one in new for seed in self.seeds]
        records = {}
        with (
            bars.told(self.progress, "ladder", lambda i, n: (i, n, f"{i} of {n} runs")) as tell,
            ThreadPoolExecutor(max(1, min(len(tasks), os.cpu_count() or 1))) as pool,
        ):
            waiting = {pool.submit(self._run, *task): task for task in tasks}
            for done, one in enumerate(as_completed(waiting), 1):
                records[waiting[one]] = one.result()
                if tell is not None:
                    tell(done, len(tasks))
        for one in new:
            self._keep(one, [records[one, seed] for seed in self.seeds])

    def _run(self, chosen, seed):
        turned = simplified(dataclasses.replace(self.experiment, seed=seed), *chosen)
        return turned, run(turned.experiment, self.watch)

    def _keep(self, chosen, made):
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
        marks = {name: min(len(one[name]) for one in records) for name in single}
        count = len(records[0]["time"])
        self.curves[chosen] = {
            name: np.stack([_whole(one[name].values, count) for one in records])
            for name in single
            if marks[name]
        }
        self._units[chosen] = {name: records[0][name].units for name in single}
        self._made[chosen] = turned[0]
        if not chosen:
            self.times = np.asarray(records[0]["time"].values)

    def rung(self, chosen, added) -> Rung:
        """What was found with these axes off, the last of which was `added`."""
        chosen = tuple(ordered(chosen))
        made, full = self._made[chosen], self.curves[()]
        start = prepare(made.experiment)
        before = facts_of(prepare(dataclasses.replace(self.experiment, seed=self.seeds[0])))
        other = facts_of(start)["loss-kind"] != before["loss-kind"]
        unlike = [name for name in full if other and self._units[()][name].startswith("loss")]
        found = {
            name: distance(full[name], self.curves[chosen][name], self.times)
            for name in full
            if name in self.curves[chosen] and name not in unlike
        }
        # the condition of sgd-flatness at a minimum took minutes of 60 samples with ten outputs
        surveyed = survey(start) if self.theories else {}
        theories = tuple(kind for kind, said in surveyed.items() if said["applies"])
        axes = tuple(one.axis for one in chosen)
        return Rung(axes, added.axis, made.experiment, made.words, found, tuple(unlike), theories)


def _whole(values, count):
    """A curve to all marks: what a run that diverged did not reach is no number."""
    return np.concatenate([values, np.full(count - len(values), np.nan)])[:count]
