"""Sweeps: a grid over knobs and seeds, gathered in one Dataset."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import numpy as np

from learnmech.engines import opened, over_cores
from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, Start, given, landscape_of, prepare
from learnmech.instruments.base import Instrument
from learnmech.machine.logs import LOG
from learnmech.march.loop import march
from learnmech.march.segments import Segment, Spans, flowed, none_of, stepped, whole_run
from learnmech.march.timeline import Timeline
from learnmech.march.watching import watched
from learnmech.record.base import dataset_of, tabulated
from learnmech.runs import bars
from learnmech.sweeps.asked import Asked, shard_of, share_of
from learnmech.sweeps.elsewhere import WAIT, computed_elsewhere, landing_in
from learnmech.sweeps.folder import begun
from learnmech.sweeps.gathered import attributes_of, gathered, told
from learnmech.sweeps.jobs import table_of

if TYPE_CHECKING:
    import xarray as xr

BACKENDS = ("map", "vmap", "fastest")
CHUNK = 16
# Points for each core that a process takes at a time of what others may take too.
SHARED = 8


def sweep(
    experiment: Experiment | str | Path,
    axes: Mapping[str, Sequence | np.ndarray],
    seeds: int | Sequence[int] = 1,
    watch: tuple[Instrument | str, ...] | None = None,
    backend: str = "map",
    folder: str | Path | None = None,
    on: str | Executor | None = None,
    progress: bool | Callable[[int, int], None] | None = None,
    shard: tuple[int, int] | str | None = None,
) -> "xr.Dataset":
    """Run a grid: `axes` maps dotted knobs to their values, `seeds` are how many seeds or which.

    The Dataset has one dim per knob (named by its path), `seed`, `time` (`mark` with a coordinate
    time where clocks differ) and the quantities' own. Which of both: `time` where all points have
    the same times (the rate is no axis, or the clock counts time), else `mark`; `grid["time"]` is
    there either way, and what is written for `by_mark(grid)` works for both. A knob goes by its
    last word too where no other does, `grid.sel(rate=0.1)`; drop that name (`drop_vars`) before its
    dim is stacked or reindexed. `map` runs the points one by one over the cores, bit-equal to
    single runs; `vmap` runs the points of one shape as one program; `fastest` measures both on the
    first marks and takes the faster. What was used stands in the attribute `backend`. With a
    folder, finished points are kept there, sealed and under all that decides their numbers, and not
    run again; processes on one folder share the points, and `lm.load(folder)` gives the grid. The
    folder is that of the sweep which was last given; points of an earlier one are kept. `shard=(i,
    n)` (or `"i/n"`, counted from 1) runs the i-th of n parts of the points alone; what it gives are
    all points that are kept by then, the others NaN and counted in the attribute `note`.
    `progress=True` shows a bar in a terminal or a notebook; a function is told how many points are
    there, and of how many. `on` is where points are run: "here" (None), "processes:4",
    "dask:ADDRESS", "slurm:PARTITION,jobs=8", "ray:ADDRESS" (`engines.opened`) or any Executor; a
    worker that sees the folder keeps its points there itself, and a lost one loses what it was at.
    Numeric knobs share one compilation; each shape compiles once.
    """
    meant: Any
    meant, watch = given(experiment, watch)
    if backend not in BACKENDS:
        raise refused(
            "sweep", f"a backend of {', '.join(BACKENDS)}", repr(backend), "Choose one of them"
        )
    shard = shard_of(shard)
    if shard is not None and folder is None:
        raise refused(
            "sweep",
            "a folder that its parts share",
            "none",
            "Give folder='runs/my-sweep', one that all parts see",
        )
    asked = Asked.of(meant, axes, seeds, watch)
    points, watch = asked.points(), asked.watch
    if backend == "vmap" and any(point.events for point in points):
        raise refused("sweep", "points without events for vmap", "events", "Choose backend map")
    share = share_of(shard, len(points))
    with contextlib.ExitStack() as open_folder:
        engine = open_folder.enter_context(opened(on, "sweep", folder))
        if engine is not None and backend != "map":
            raise refused("sweep", "backend map on an engine", repr(backend), "Leave it out")
        starts = _prepared({i: points[i] for i in share}) if engine is None else {}
        keep = None
        if folder is not None:
            ways = ("map", "vmap") if backend == "fastest" else (backend,)
            keep = open_folder.enter_context(begun(folder, asked, points, ways, shard))
        tables = (
            {}
            if keep is None
            else {i: found[1] for i in range(len(points)) if (found := keep.find(i)) is not None}
        )
        starts = {i: start for i, start in starts.items() if i not in tables}
        LOG.info("sweep of %d points, %d of them kept from before", len(points), len(tables))
        tell = open_folder.enter_context(
            bars.told(progress, "sweep", lambda done, of: (done, of, f"{done} of {of} points"))
        )
        if engine is None:
            used = _computed(points, starts, tables, keep, (watch, backend, tell))
        else:
            mine = {i: points[i] for i in share if i not in tables}
            used = {"map"} if mine else set()
            landing = open_folder.enter_context(landing_in(folder))

            def done(index, table, kept):
                tables[index] = table
                if keep is not None and not kept:
                    keep.store(index, table, "map")
                if tell is not None:
                    tell(len(tables), len(points))

            computed_elsewhere(mine, watch, engine, landing, done)
        if keep is not None and shard is not None:
            for i in range(len(points)):
                keep.take(i, tables)  # what other parts have kept by now
    moving = None if keep is None else keep.moving
    attributes = {
        "backend": "+".join(sorted(used)) or "kept",
        **attributes_of(asked),
        **({} if folder is None else {"folder": str(folder)}),
    }
    return gathered([tables.get(i) for i in range(len(points))], asked.swept, attributes, moving)


def _computed(points, starts, tables, keep, how) -> set[str]:
    """The points of these starts, each into `tables` as it comes; the ways in which they were
    computed here."""
    watch, backend, progress = how
    used: set[str] = set()

    def finished(index, dataset, backend="map"):
        tables[index] = dataset
        if keep is not None:
            keep.store(index, dataset, backend)
        if progress is not None:
            progress(len(tables), len(points))

    while starts:
        for group in _groups(starts).values():
            eventful = any(starts[index].experiment.events for index in group)
            chosen = (
                backend
                if backend != "fastest"
                else "map"
                if eventful
                else _faster(group, starts, watch)
            )
            for some in _taken(group, keep, chosen):
                with contextlib.ExitStack() as held:
                    # another process that works in the same folder has the others, which are looked
                    # for below
                    mine = (
                        some
                        if keep is None
                        else [i for i in some if held.enter_context(keep.claimed(i))]
                    )
                    mine = [i for i in mine if keep is None or not keep.take(i, tables)]
                    used |= {chosen} if mine else set()
                    if chosen == "vmap" and mine:
                        _together(
                            mine,
                            starts,
                            watch,
                            lambda index, dataset: finished(index, dataset, "vmap"),
                        )
                    elif mine:
                        _one_by_one(mine, starts, watch, finished)
        starts = {
            i: start
            for i, start in starts.items()
            if i not in tables and (keep is None or not keep.take(i, tables))
        }
        if starts:
            time.sleep(WAIT)
    return used


def _taken(group, keep, chosen):
    """A group as it is taken: whole, or on a folder that processes share a few points for each
    core at a time."""
    if keep is None or chosen == "vmap":
        return [group]
    size = SHARED * (os.cpu_count() or 1)
    return [group[at : at + size] for at in range(0, len(group), size)]


def _prepared(points: dict[int, Experiment]) -> dict[int, Start]:
    known: dict = {}
    starts: dict[int, Start] = {}
    for index, point in points.items():
        key = landscape_of(point)
        starts[index] = prepare(point, like=known.get(key))
        known.setdefault(key, starts[index])
    return starts


def _groups(starts: dict[int, Start]) -> dict:
    """Points whose marches are one compiled program, with the same gaps between marks."""
    groups: dict = {}
    for index, start in starts.items():
        dynamic, static = eqx.partition((start.system, start.rule, start.state), eqx.is_array)
        shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(dynamic))
        key = (
            jax.tree.structure(dynamic),
            shapes,
            jax.tree.structure(static),
            tuple(map(repr, jax.tree.leaves(static))),
            tuple(one.tobytes() for one in whole_run(start)),
        )
        groups.setdefault(key, []).append(index)
    return groups


def _one_by_one(group, starts, watch, finished):
    first, *rest = group
    finished(
        first, table_of(starts[first], watch)
    )  # compiles the program that the cores then share
    over_cores(rest, lambda index: table_of(starts[index], watch), finished)


@eqx.filter_jit
def _march_together(stacked, shared, instruments, segment):
    def one(own):
        system, rule, state = eqx.combine(own, shared)
        return march(system, rule, state, state.params, instruments, segment, together=True)

    return jax.vmap(one)(stacked)


def _stack(starts: list[Start]):
    """(leaves that differ, stacked; leaves and structure that all share)."""
    trees = [(s.system, s.rule, s.state) for s in starts]
    leaves = [jax.tree.leaves(eqx.filter(tree, eqx.is_array)) for tree in trees]
    differ = [
        any(one is not column[0] and not np.array_equal(one, column[0]) for one in column[1:])
        for column in zip(*leaves, strict=True)
    ]
    if not any(differ):  # points that are all alike are still as many
        differ[0] = True
    dynamic, static = eqx.partition(trees[0], eqx.is_array)
    structure = jax.tree.structure(dynamic)
    own = jax.tree.unflatten(
        structure,
        [np.stack([row[j] for row in leaves]) if d else None for j, d in enumerate(differ)],
    )
    common = jax.tree.unflatten(
        structure, [None if d else leaf for leaf, d in zip(leaves[0], differ, strict=True)]
    )
    return own, eqx.combine(common, static)


def _chunks(group) -> list[list[int]]:
    """A group cut for vmap: a few chunks per core, of one size (the last filled up by repeating
    a point) so that they are one program."""
    cores = os.cpu_count() or 1
    count = max(1, min(cores * -(-len(group) // (cores * CHUNK)), len(group)))
    size = -(-len(group) // count)
    cut = [group[at : at + size] for at in range(0, len(group), size)]
    return [chunk + [chunk[-1]] * (size - len(chunk)) for chunk in cut]


def _together(group, starts, watch, finished):
    watch = watched(watch, starts[group[0]])
    if len(group) == 1:
        finished(group[0], table_of(starts[group[0]], watch))
        return
    segment = whole_run(starts[group[0]])

    def marched(chunk):
        own, common = _stack([starts[i] for i in chunk])
        walked = _march_together(own, common, watch, segment)
        return jax.tree.map(np.asarray, walked.readings), np.asarray(walked.reached)

    def kept(chunk, found):
        readings, reached = found
        for index, place in {index: place for place, index in enumerate(chunk)}.items():
            mine = jax.tree.map(lambda value, p=place: value[p], readings)
            timeline, count = Timeline(starts[index]), int(reached[place])
            finished(
                index,
                told(
                    dataset_of(timeline, tabulated(timeline, watch, mine, 0, count), 0, count),
                    timeline.start,
                    watch,
                ),
            )

    chunks = _chunks(group)
    own, common = _stack([starts[i] for i in chunks[0]])
    # no marks at all: compiles the program that the cores then share
    jax.block_until_ready(_march_together(own, common, watch, none_of(segment)).reached)
    over_cores(chunks, marched, kept)


def _faster(group, starts, watch) -> str:
    """The quicker of map and vmap, timed on the first marks (a twentieth of the steps) by the
    programs that the sweep itself will use."""
    if len(group) < 4:
        return "map"
    first = starts[group[0]]
    watch = watched(watch, first)
    few = _first_marks(whole_run(first))
    chunk = _chunks(group)[0]
    own, common = _stack([starts[i] for i in chunk])

    def timed(call):
        jax.block_until_ready(call())
        began = time.perf_counter()
        jax.block_until_ready(call())
        return time.perf_counter() - began

    together = timed(lambda: _march_together(own, common, watch, few).readings) / len(chunk)
    single = timed(
        lambda: (
            march(first.system, first.rule, first.state, first.state.params, watch, few).readings
        )
    )
    return "vmap" if together < single else "map"


def _first_marks(whole: Segment) -> Segment:
    """Of the segment of a run two marks alone: the first and, of a flow, the second, or where it
    steps one after a twentieth of its steps."""
    if isinstance(whole, Spans):
        return flowed(np.array([whole.spans[0], 0.0]), 1, len(whole.spans))
    steps = max(int(whole.steps) // 20, 1)
    return stepped(0, steps, np.array([0, steps]), len(whole.turns))
