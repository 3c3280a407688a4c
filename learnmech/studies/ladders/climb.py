"""The climb: which axes can be turned off, in which order they go, and in which combinations."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.engines import opened
from learnmech.errors import nearest, refused
from learnmech.experiment.recipe import Experiment, Start, given, prepare
from learnmech.instruments.base import Instrument
from learnmech.language import catalog
from learnmech.simplifications.base import Simplification
from learnmech.simplifications.orders import admissible, ordered
from learnmech.simplifications.samples import GaussianInputs
from learnmech.studies.ladders.cells import Cell, Cells, cell
from learnmech.studies.ladders.designs import Design, crossed
from learnmech.studies.ladders.phenomena import MOSTLY, Phenomenon, phenomenon
from learnmech.studies.ladders.rungs import Ladder, Rung
from learnmech.sweeps.asked import seeds_of
from learnmech.sweeps.elsewhere import landing_in

if TYPE_CHECKING:
    from learnmech.record.base import Record

TOLERANCE = 0.05
NAMED = (
    "labels", "input spectrum", "width", "gains", "scaling", "balance", "alignment",
    "late features", "infinite width",
)  # fmt: skip
"""Axes that are turned off only where they are named: without the first two another question is
asked, a wide network takes long, gains and scaling cost nothing and lead elsewhere only together
with others, as the start does; late features need a step to be named."""
Axes = Sequence[str | Simplification]


def ladder(
    experiment: Experiment | str | Path,
    axes: Axes | None = None,
    watch: tuple[Instrument | str, ...] | None = None,
    seeds: int | Sequence[int] = 3,
    tolerance: float = TOLERANCE,
    keep: "Sequence[str | Callable[[Record], Any] | Phenomenon]" = (),
    combinations: bool = False,
    theories: bool = False,
    on: str | Executor | None = None,
    folder: str | Path | None = None,
    progress: bool | Callable[[int, int], None] | None = None,
) -> Ladder:
    """Turn axes of complexity off, each alone and then all one after another, and say how far every
    quantity is from the full experiment's.

    `axes` are names (`nonlinearity`, or `linear-units`) or simplifications (None: all that apply
    but for `climb.NAMED`: labels, for example, without which another question is asked). `watch`
    are instruments of which the quantities without axes of their own are compared (None: the loss,
    and the test loss where there is one). Full and simpler runs share their seeds, and differences
    are paired by them; fewer than two have no resolution. The order of the cumulative part is that
    of what each loses alone, the least first, as far as they can stand together. `tolerance` is
    what a quantity may be off by, relative to its range, and still be called kept.

    `keep` are phenomena that must not be lost: "staircase", "plateau", "edge of stability",
    "grokking", "lazy", "rich", "order of modes", "QUANTITY within 5%", or a function of a record
    that says whether it is there. Where the rate has lost its meaning (the rule or the loss is
    another, or the rate is above 0.9 of the edge) each rung is run at half and at twice its rate
    too. With `combinations`
    every subset of the axes is run, 64 of them where there are more than six, and `design` tells
    what each axis and each pair is worth. With `theories` every rung is told which theories apply
    there; some of their conditions take longer than the runs. `on` is where runs are performed
    (`engines.opened`: "processes:4", "dask:ADDRESS", "slurm:PARTITION", an Executor); in a `folder`
    they land under all that decides their numbers, and none is made twice.
    """
    meant: Any
    meant, watch = given(experiment, watch)
    meant = meant.experiment if isinstance(meant, Start) else meant
    used = seeds_of("ladder", seeds)
    if not (isinstance(tolerance, (int, float)) and tolerance > 0):
        raise refused("ladder", "a tolerance above 0", tolerance, "Give for example 0.05")
    kept = [phenomenon(one) for one in ([keep] if isinstance(keep, str) else keep)]
    start = prepare(dataclasses.replace(meant, seed=used[0]))
    watch = _watched(watch, start)
    chosen, left = _chosen(axes, start)
    single = [one for one in chosen if one.axis not in left]
    crossing, why_not = _crossing(start, single) if combinations else ([], {})
    subsets = crossed([one.axis for one in crossing]) if combinations else []
    beside = {name for one in kept for name in one.watch} - {str(one) for one in watch}
    with opened(on, "ladder", folder) as engine, landing_in(folder, "ladder") as landing:
        runs = Cells(meant, used, (*watch, *sorted(beside)), kept, progress, engine, landing)
        if kept:
            runs.perform([Cell()])
            _there(runs, kept)
        named = {one.axis: one for one in single}
        cells = {axes: cell(named[axis] for axis in axes) for axes in subsets}
        alone = [cell((one,)) for one in single]
        # where all can be off together that is the last stage in whatever order they go: run with
        # the first it fills the core that would wait for the order
        last = [cell(chosen)] if len(chosen) > 1 and not admissible(start, chosen) else []
        first = [Cell(), *alone, *last]
        runs.perform([*first, *cells.values()], edges=first)
        runs.perform(itertools.chain(*runs.tuned_again(alone).values()))
        rungs = tuple(runs.rung(*pair, theories) for pair in zip(alone, single, strict=True))
        order = _least_first(single, rungs, [one for one in chosen if one.axis in left])
        stages: list[tuple[Simplification, ...]] = []
        for one in order:
            stage = (*(stages[-1] if stages else ()), one)
            why = admissible(start, stage)
            if not why:
                stages.append(stage)
                left.pop(one.axis, None)
            elif one.axis not in left:
                left[one.axis] = f"not with the others: {why}"
        rest = [cell(stage) for stage in stages]
        runs.perform(rest, edges=rest)
        runs.perform(itertools.chain(*runs.tuned_again(rest).values()))
    return Ladder(
        meant,
        used,
        float(tolerance),
        runs.times,
        {found.axes: curves for found, curves in runs.curves.items() if found.rate == 1},
        rungs,
        tuple(runs.rung(cell(stage), stage[-1], theories) for stage in stages),
        left,
        _design(runs, crossing, cells, why_not) if combinations else None,
    )


def _watched(watch, start) -> tuple:
    if watch is not None:
        return watch
    return ("loss",) if start.data.test is None else ("loss", "test-loss")


def _there(runs: Cells, keep: Sequence[Phenomenon]) -> None:
    """Refuse a phenomenon that the full experiment does not show, or a quantity it does not read:
    nothing could be said to have kept it."""
    for one in keep:
        if one.within is not None:
            quantity = one.within[0]
            if quantity not in runs.curves[Cell()]:
                known = ", ".join(runs.curves[Cell()])
                raise refused("ladder", f"a quantity of {known}", repr(quantity), "Watch it")
            continue
        said = runs.there[Cell()][one.name]
        if sum(map(bool, said)) < MOSTLY * len(said):
            raise refused(
                "ladder",
                "a phenomenon that is there in the full experiment",
                f"{one.name} in {sum(map(bool, said))} of {len(said)} seeds",
                "Ask for another, or run longer",
            )


def _chosen(axes: Axes | None, start: Start) -> tuple[list[Simplification], dict[str, str]]:
    """(what is to be turned off, {axis: why it cannot be alone}); an axis that is off already is
    none of the first."""
    there: list[type[Simplification]] = [
        catalog.load(one) for one in catalog.members("simplifications").values()
    ]
    if axes is None:
        wanted = [_fitting(kind, start) for kind in there if kind.axis not in NAMED]
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
    if isinstance(plain, GaussianInputs) and plain.why_not(start):
        split = GaussianInputs(per_class=True)
        return plain if split.why_not(start) else split
    return plain


def _crossing(start: Start, single) -> tuple[list[Simplification], dict[str, str]]:
    """(the axes of which every subset can be off, {axis: with what it cannot stand}): each that
    stands with every one before it, and with all of them."""
    kept: list[Simplification] = []
    left: dict[str, str] = {}
    for one in single:
        sets = [(*each, one) for each in [*((other,) for other in kept), tuple(kept)] if each]
        why = next((why for each in sets if (why := admissible(start, each))), "")
        if why:
            left[one.axis] = why
        else:
            kept.append(one)
    if len(kept) < 2:
        raise refused(
            "ladder",
            "two axes or more that can be off together, for their combinations",
            ", ".join(one.axis for one in kept) or "none",
            "Name others",
        )
    return kept, left


def _design(runs: Cells, crossing, cells, left) -> Design:
    names = [
        name for name in runs.curves[Cell()] if all(name in runs.curves[c] for c in cells.values())
    ]
    unlike = {name for one in cells.values() for name in runs.distances(one)[1]}
    return Design(
        tuple(one.axis for one in crossing),
        runs.seeds,
        tuple(cells),
        {
            name: np.stack([runs.curves[one][name][:, -1] for one in cells.values()])
            for name in names
            if name not in unlike
        },
        left,
        {name: runs.units[Cell()][name] for name in names},
    )


def _least_first(single, alone: Sequence[Rung], rest) -> list[Simplification]:
    """The axes by what they lose alone, in the first quantity that was compared; those that could
    not be turned off alone behind them."""

    def lost(pair):
        found = pair[1].distances.values()
        return next(iter(found)).farthest if found else np.inf

    return [one for one, _ in sorted(zip(single, alone, strict=True), key=lost)] + rest
