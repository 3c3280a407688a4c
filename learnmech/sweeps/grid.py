"""Sweeps: a grid over knobs and seeds, gathered in one Dataset."""

import contextlib
import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from pathlib import Path

import equinox as eqx
import jax
import numpy as np

from learnmech.errors import refused
from learnmech.experiment import Experiment, Start, given, landscape_of, prepare
from learnmech.instruments.base import Instrument
from learnmech.late import late
from learnmech.logs import LOG
from learnmech.march import march, way_of
from learnmech.parts import plain, show_value, whole_number
from learnmech.record.base import dataset_of, tabulated
from learnmech.runs import gaps_of, run
from learnmech.stages import Course
from learnmech.sweeps.jobs import job_of, perform
from learnmech.sweeps.kept import Kept
from learnmech.watching import asked, watched

xr = late("xarray")

BACKENDS = ("map", "vmap", "fastest")
CHUNK = 16
# Seconds between two looks at what another process on the same folder has finished.
WAIT = 0.2
# Points for each core that a process takes at a time of what others may take too.
SHARED = 8


def sweep(
    experiment: Experiment,
    axes: dict[str, Sequence],
    seeds: int | Sequence[int] = 1,
    watch: tuple[Instrument, ...] | None = None,
    backend: str = "map",
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> "xr.Dataset":
    """Run a grid: `axes` maps dotted knobs to their values, `seeds` are how many seeds or which.

    The Dataset has one dim per knob (named by its path), `seed`, `time` (`mark` with a coordinate time where clocks differ) and the quantities' own.
    Which of both: `time` where all points have the same times (the rate is no axis, or the clock counts time), else `mark`; `grid["time"]` is there
    either way, and `moving = grid["loss"].dims[len(axes) + 1]` names it.
    `map` runs the points one by one over the cores, bit-equal to single runs; `vmap` runs the points of one shape as one program; `fastest`
    measures both on the first marks and takes the faster. What was used stands in the attribute `backend`. With a folder, finished points are
    kept there, sealed and under all that decides their numbers, and not run again; processes on one folder share the points.
    An `executor` of threads, processes or machines is given jobs that any process can perform. Numeric knobs share one compilation; each shape compiles once.
    """
    experiment, watch = given(experiment, watch)
    if backend not in BACKENDS:
        raise refused("sweep", f"a backend of {', '.join(BACKENDS)}", repr(backend), "Choose one of them")
    axes, seeds = _axes(axes), _seed_list(seeds)
    points = _points(experiment, axes, seeds)
    if backend == "vmap" and any(point.events for point in points):
        raise refused("sweep", "points without events for vmap", "events", "Choose backend map")
    starts = _prepared(dict(enumerate(points)))
    if watch is not None:
        watch = tuple(map(asked, watch))
    keep = Kept(folder, watch, ("map", "vmap") if backend == "fastest" else (backend,)) if folder is not None else None
    tables = {} if keep is None else {i: found for i, point in enumerate(points) if (found := keep.find(point)) is not None}
    starts = {i: start for i, start in starts.items() if i not in tables}
    used: set[str] = set()
    LOG.info("sweep of %d points, %d of them kept from before", len(points), len(tables))

    def finished(index, dataset, backend="map"):
        tables[index] = dataset
        if keep is not None:
            keep.store(points[index], dataset, backend)
        if progress is not None:
            progress(len(tables), len(points))

    while starts:
        for group in _groups(starts).values():
            eventful = any(starts[index].experiment.events for index in group)
            chosen = backend if backend != "fastest" else "map" if eventful else _faster(group, starts, watch)
            for some in _taken(group, keep, chosen, executor):
                with contextlib.ExitStack() as held:
                    # another process that works in the same folder has the others, which are looked for below
                    mine = some if keep is None else [i for i in some if held.enter_context(keep.claimed(points[i]))]
                    mine = [i for i in mine if not _there(i, keep, points, tables)]
                    used |= {chosen} if mine else set()
                    if chosen == "vmap" and mine:
                        _together(mine, starts, watch, executor, lambda index, dataset: finished(index, dataset, "vmap"))
                    elif mine:
                        _one_by_one(mine, starts, watch, executor, finished)
        starts = {i: start for i, start in starts.items() if i not in tables and not _there(i, keep, points, tables)}
        if starts:
            time.sleep(WAIT)
    return _gathered([tables[i] for i in range(len(points))], experiment, axes, seeds, "+".join(sorted(used)) or "kept")


def _taken(group, keep, chosen, executor):
    """A group as it is taken: whole, or on a folder that processes share a few points for each core at a time."""
    if keep is None or chosen == "vmap" or executor is not None:
        return [group]
    size = SHARED * (os.cpu_count() or 1)
    return [group[at : at + size] for at in range(0, len(group), size)]


def _there(index, keep, points, tables) -> bool:
    """Whether another process has finished a point in the meantime."""
    found = None if keep is None or index in tables else keep.find(points[index])
    if found is not None:
        tables[index] = found
    return found is not None


def _axes(axes) -> dict[str, list]:
    if not isinstance(axes, Mapping):
        raise refused("sweep", "axes as {knob: its values}", show_value(axes), "Write for example {'rule.rate': [0.1, 0.2]}")
    for path, values in axes.items():
        if isinstance(values, (str, Mapping)) or not np.iterable(values):
            raise refused("sweep", f"a list of values for {path}", show_value(values), f"Write {{'{path}': [...]}}")
    return {path: list(map(plain, values)) for path, values in axes.items()}


def _seed_list(seeds) -> list[int]:
    if not np.iterable(seeds):
        return list(range(whole_number("sweep", "seeds", seeds)))
    return [whole_number("sweep", "each seed", seed) for seed in seeds]


def _points(experiment, axes, seeds):
    if not seeds or not all(axes.values()):
        raise refused("sweep", "at least one value on every axis and one seed", f"{ {k: len(v) for k, v in axes.items()} }", "Give values")
    points = []
    for values in itertools.product(*axes.values()):
        point = experiment
        for path, value in zip(axes, values, strict=True):
            point = point.with_value(path, value)
        points += [point if "seed" in axes else dataclasses.replace(point, seed=seed) for seed in seeds]
    return points


def _prepared(points: dict[int, Experiment]) -> dict[int, Start]:
    known, starts = {}, {}
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
        key = (jax.tree.structure(dynamic), shapes, jax.tree.structure(static), tuple(map(repr, jax.tree.leaves(static))), gaps_of(start).tobytes())
        groups.setdefault(key, []).append(index)
    return groups


def _one_by_one(group, starts, watch, executor, finished):
    if executor is not None:
        jobs = {index: job_of(starts[index].experiment, watch) for index in group}
        _over_cores(group, perform, finished, executor, jobs)
        return
    first, *rest = group
    finished(first, run(starts[first], watch).dataset)  # compiles the program that the cores then share
    _over_cores(rest, lambda index: run(starts[index], watch).dataset, finished, None)


@eqx.filter_jit
def _march_together(stacked, shared, instruments, way):
    def one(own):
        system, rule, state = eqx.combine(own, shared)
        return march(system, rule, state, state.params, instruments, way, together=True)

    return jax.vmap(one)(stacked)


def _stack(starts: list[Start]):
    """(leaves that differ, stacked; leaves and structure that all share)."""
    trees = [(s.system, s.rule, s.state) for s in starts]
    leaves = [jax.tree.leaves(eqx.filter(tree, eqx.is_array)) for tree in trees]
    differ = [any(one is not column[0] and not np.array_equal(one, column[0]) for one in column[1:]) for column in zip(*leaves, strict=True)]
    if not any(differ):  # points that are all alike are still as many
        differ[0] = True
    dynamic, static = eqx.partition(trees[0], eqx.is_array)
    structure = jax.tree.structure(dynamic)
    own = jax.tree.unflatten(structure, [np.stack([row[j] for row in leaves]) if d else None for j, d in enumerate(differ)])
    common = jax.tree.unflatten(structure, [None if d else leaf for leaf, d in zip(leaves[0], differ, strict=True)])
    return own, eqx.combine(common, static)


def _chunks(group) -> list[list[int]]:
    """A group cut for vmap: a few chunks per core, of one size (the last filled up by repeating a point) so that they are one program."""
    cores = os.cpu_count() or 1
    count = max(1, min(cores * -(-len(group) // (cores * CHUNK)), len(group)))
    size = -(-len(group) // count)
    cut = [group[at : at + size] for at in range(0, len(group), size)]
    return [chunk + [chunk[-1]] * (size - len(chunk)) for chunk in cut]


def _together(group, starts, watch, executor, finished):
    watch = watched(watch, starts[group[0]])
    if len(group) == 1:
        finished(group[0], run(starts[group[0]], watch).dataset)
        return
    gaps, flows = gaps_of(starts[group[0]]), starts[group[0]].rule.flows
    way = way_of(gaps, flows)

    def marched(chunk):
        own, common = _stack([starts[i] for i in chunk])
        block = _march_together(own, common, watch, way)
        return jax.tree.map(np.asarray, block.readings), np.asarray(block.reached)

    def kept(chunk, found):
        readings, reached = found
        for index, place in {index: place for place, index in enumerate(chunk)}.items():
            mine = jax.tree.map(lambda value, p=place: value[p], readings)
            course, count = Course(starts[index]), int(reached[place])
            finished(index, dataset_of(course, tabulated(course, watch, mine, 0, count), 0, count))

    chunks = _chunks(group)
    own, common = _stack([starts[i] for i in chunks[0]])
    # no marks at all: compiles the program that the cores then share
    jax.block_until_ready(_march_together(own, common, watch, way_of(np.full_like(gaps, -1), flows)).reached)
    _over_cores(chunks, marched, kept, None)


def _over_cores(jobs, work, done, executor, given=None):
    """Each job's work on a core, and what is to be done with its result here, as they come; `given` {job: what the work is given}."""
    own = executor is None
    pool = ThreadPoolExecutor(max_workers=os.cpu_count()) if own else executor
    try:
        futures = {pool.submit(work, job if given is None else given[job]): job for job in jobs}
        for future in as_completed(futures):
            done(futures[future], future.result())
    finally:
        if own:
            pool.shutdown(cancel_futures=True)


def _faster(group, starts, watch) -> str:
    """The quicker of map and vmap, timed on the first marks (a twentieth of the steps) by the programs that the sweep itself will use."""
    if len(group) < 4:
        return "map"
    first = starts[group[0]]
    watch = watched(watch, first)
    whole = gaps_of(first)
    few = np.full_like(whole, -1)
    few[0], few[1] = max(whole[:-1].sum() // 20, 1) if not first.rule.flows else whole[0], 0
    way = way_of(few, first.rule.flows)
    chunk = _chunks(group)[0]
    own, common = _stack([starts[i] for i in chunk])

    def timed(call):
        jax.block_until_ready(call())
        began = time.perf_counter()
        jax.block_until_ready(call())
        return time.perf_counter() - began

    together = timed(lambda: _march_together(own, common, watch, way).readings) / len(chunk)
    single = timed(lambda: march(first.system, first.rule, first.state, first.state.params, watch, way).readings)
    return "vmap" if together < single else "map"


def _label(value):
    return value if isinstance(value, (int, float, str, np.number)) else str(value)


def _gathered(tables: "list[xr.Dataset]", experiment, axes, seeds, backend) -> "xr.Dataset":
    swept = {**{path: [_label(v) for v in values] for path, values in axes.items()}, **({} if "seed" in axes else {"seed": seeds})}
    shape = tuple(len(values) for values in swept.values())
    longest = max(tables, key=lambda t: t.sizes["time"])
    length = longest.sizes["time"]

    def stacked(columns):
        padded = [np.concatenate([c, np.full((length - len(c), *c.shape[1:]), np.nan)]) if len(c) < length else c for c in columns]
        return np.stack(padded).reshape(*shape, *padded[0].shape)

    def agree(name):
        return all(np.array_equal(t[name], longest[name][: t.sizes["time"]]) for t in tables)

    axis = "time" if agree("time") else "mark"
    variables, left_out = {}, []
    for name, variable in longest.data_vars.items():
        if not all(name in t and _same_but_time(t[name], variable) for t in tables):
            left_out.append(str(name))
            continue
        moving = [t[name].transpose("time", *variable.dims[1:]).values for t in tables]
        variables[name] = ((*swept, axis, *variable.dims[1:]), stacked(moving), variable.attrs)
    coords = {**swept, **{n: c for n, c in longest.coords.items() if n not in ("time", "step") and any(n in v[0] for v in variables.values())}}
    for name in ("time", "step"):
        if name in longest.coords:
            one = axis == "time" or agree(name)
            values = longest[name].values if one else stacked([t[name].values for t in tables])
            coords[name] = ((axis,) if one else (*swept, axis), values, longest[name].attrs)
    return xr.Dataset(variables, coords, {"backend": backend, "experiment": experiment.text, "left_out": ", ".join(left_out)})


def _same_but_time(a: "xr.DataArray", b: "xr.DataArray") -> bool:
    return all(a.sizes[d] == b.sizes[d] for d in a.dims if d != "time")


def error_bars(dataset: "xr.Dataset") -> "xr.Dataset":
    """Over seeds: each quantity's mean, and beside it `<name>_sem`, the standard error of the mean (NaN with one seed)."""
    mean = dataset.mean("seed", keep_attrs=True)
    count = dataset.sizes["seed"]
    spread = dataset.std("seed", ddof=1) / np.sqrt(count) if count > 1 else mean * np.nan
    return mean.assign({f"{name}_sem": spread[name] for name in dataset.data_vars})
