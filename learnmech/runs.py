"""The run: an experiment marched from mark to mark, streamed block by block, kept as a record."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learnmech import trees
from learnmech.clock import Marks
from learnmech.errors import nearest, refused
from learnmech.experiment import Experiment, Start, prepare
from learnmech.instruments.base import Instrument
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.late import late
from learnmech.march import Until, march
from learnmech.record import Record, provenance
from learnmech.state import State
from learnmech.system import sharpness
from learnmech.tables import table

xr = late("xarray")

BLOCK_BYTES, RECORD_BYTES = 256 * 2**20, 4 * 2**30
# What a step costs, roughly, on two cores: it decides how often progress is shown, and nothing else.
STEP_SECONDS, FLOPS, FLOW_EVALUATIONS = 5e-6, 2e10, 20


class Progress(NamedTuple):
    """How far a run is: marks reached of all, the last step and time, and the last training loss where it is watched."""

    reached: int
    marks: int
    step: int | None
    time: float
    loss: float | None


class Flush(NamedTuple):
    """One block of a run: its readings by cadence from mark `first` on, the state after it, whether the run stopped here, and how far it is."""

    first: int
    readings: dict[int, dict[str, np.ndarray]]
    state: State
    halted: bool
    progress: Progress


def default_watch(start: Start) -> tuple[Instrument, ...]:
    """What is watched unless asked otherwise: the loss, and the test loss where there is a test view."""
    return (Loss(),) if start.system.test is None else (Loss(), TestLoss())


def parse_until(text: str, watch: tuple[Instrument, ...], start: Start) -> Until:
    """`loss<1e-6` as a stopping rule on a scalar quantity that is watched at every mark."""
    for sign in "<>":
        name, found, bound = text.partition(sign)
        if found:
            scalars = [q.name for i in watch if i.every == 1 for q in i.quantities(start.system, start.state.params) if not q.axes]
            if name.strip() not in scalars:
                raise refused("until", "a scalar quantity watched at every mark", repr(name.strip()), nearest(name.strip(), scalars))
            try:
                if np.isnan(float(bound)):
                    raise ValueError
                return Until(name.strip(), sign == "<", float(bound))
            except ValueError:
                raise refused("until", "a number to compare with", repr(bound), "Write for example loss<1e-6") from None
    raise refused("until", "a comparison", repr(text), "Write for example loss<1e-6")


def stream(
    start: Start, watch: tuple[Instrument, ...] | None = None, until: str | None = None, seconds: float = 0.25, room: int = BLOCK_BYTES
) -> Iterator[Flush]:
    """The run as blocks of marks, each of about so many seconds and at most so many bytes, yielded as soon as it is whole."""
    watch = default_watch(start) if watch is None else tuple(watch)
    _check_watch(watch, start)
    stop = parse_until(until, watch, start) if until else None
    marks, count = start.marks, len(start.marks.times)
    size = _block_size(start, count, seconds, room)
    gaps = gaps_of(start)
    state, reached = start.state, 0
    for first in range(0, count, size):
        inside = gaps[first : first + size]
        padded = np.concatenate([inside, np.full(size - len(inside), -1, gaps.dtype)])
        block = march(start.system, start.rule, state, start.state.params, watch, jnp.asarray(first), jnp.asarray(padded), stop)
        state, here, halted = block.state, int(block.reached), bool(block.halted)
        readings = {}
        for every, values in block.readings.items():
            due = -(-(first + here) // every) + -first // every  # multiples of `every` from first to first + here - 1
            readings[every] = {name: np.asarray(value)[:due] for name, value in values.items()}
        reached += here
        last = reached - 1
        loss = readings.get(1, {}).get("loss", ())
        progress = Progress(
            reached, count, None if marks.steps is None else int(marks.steps[last]), float(marks.times[last]), float(loss[-1]) if len(loss) else None
        )
        yield Flush(first, readings, state, halted, progress)
        if halted:
            return


def gaps_of(start: Start) -> np.ndarray:
    """Steps (rules that step) or spans of time (flows) from each mark to the next, 0 at the last."""
    return np.append(np.diff(start.marks.times if start.marks.steps is None else start.marks.steps), 0)


def tabulated(start: Start, watch: tuple[Instrument, ...], readings: dict, first: int, reached: int) -> "dict[int, xr.Dataset]":
    """The readings of a block that begins at mark `first` and reached so many marks, as one Dataset per cadence."""
    tables = {}
    for every, values in readings.items():
        due = first + np.flatnonzero(np.arange(first, first + reached) % every == 0)
        at = Marks(start.marks.times[due], None if start.marks.steps is None else start.marks.steps[due])
        quantities = [q for i in watch if i.every == every for q in i.quantities(start.system, start.state.params)]
        tables[every] = table(tuple(quantities), {name: np.asarray(value)[: len(due)] for name, value in values.items()}, at)
    return tables


def _check_watch(watch, start):
    names: set[str] = set()
    for instrument in watch:
        instrument.check(start.system)
        for quantity in instrument.quantities(start.system, start.state.params):
            if quantity.name in names:
                raise refused("watch", "every quantity once", repr(quantity.name), f"Drop one of the instruments that read {quantity.name}")
            names.add(quantity.name)


def _block_size(start, count, seconds, room):
    """Marks per block by what a step is estimated to cost and what the largest readings weigh."""
    samples = sum(view.X.shape[0] for view in (start.system.train, start.system.test) if view is not None)
    leaves = jax.tree.leaves(start.state.params)
    heavy = sum(leaf.nbytes for leaf in leaves) + 8 * samples * start.system.train.Y.shape[1]
    seen = start.system.train.X.shape[0] if start.system.reduced is None else start.system.train.X.shape[1]
    per_step = STEP_SECONDS + 6 * seen * sum(leaf.size for leaf in leaves) / FLOPS
    steps = count * FLOW_EVALUATIONS if start.marks.steps is None else start.marks.steps[-1]
    blocks = np.clip(steps * per_step / seconds, 1, 40)
    return int(np.clip(room // max(heavy, 1), 1, np.ceil(count / blocks)))


def run(
    experiment: Experiment | Start,
    watch: tuple[Instrument, ...] | None = None,
    until: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Record:
    """Run an experiment and keep what was seen. Ctrl-C keeps the blocks that are whole and says so in the record's notes."""
    start = experiment if isinstance(experiment, Start) else prepare(experiment)
    watch = default_watch(start) if watch is None else tuple(watch)
    began, flushes, notes = time.perf_counter(), [], [start.marks.note] if start.marks.note else []
    try:
        # what is not watched while it runs needs no blocks but those between which Ctrl-C is heard; a single one is kept without a copy
        for flush in stream(start, watch, until, *((0.25, BLOCK_BYTES) if progress else (2.0, RECORD_BYTES))):
            flushes.append(flush)
            if progress is not None:
                progress(flush.progress)
    except KeyboardInterrupt:
        if not flushes:
            raise
        notes.append(f"interrupted after {flushes[-1].progress.reached} of {len(start.marks.times)} marks")
    notes += _ending(start, flushes[-1], until)
    readings = flushes[0].readings
    if len(flushes) > 1:
        readings = {every: {name: np.concatenate([f.readings[every][name] for f in flushes]) for name in values} for every, values in readings.items()}
    tables = tabulated(start, watch, readings, 0, flushes[-1].progress.reached)
    final = {path: np.asarray(leaf) for path, leaf in trees.leaves_by_path(flushes[-1].state.params).items()}
    return Record(start.experiment, tables, final, provenance(start.experiment, time.perf_counter() - began), tuple(notes))


def _ending(start, last, until):
    if not last.halted:
        return []
    where = f"time {last.progress.time:.6g}" if last.progress.step is None else f"step {last.progress.step}"
    finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(last.state.params))
    loss = float(start.system.loss(last.state.params))
    if finite and np.isfinite(loss):
        return [f"stopped at {where} because {until} was met"]
    if start.rule.flows:
        return [f"the solver did not reach its tolerance before {where}: raise rule.rtol or rule.max_steps, or shorten the clock"]
    said = f"diverged at {where}: the loss is no longer finite. rate {float(start.rule.rate):.4g}"
    top = sharpness(start.system, start.state.params)
    plain = all(float(f) == 1 for f in jax.tree.leaves(start.system.architecture.rate_factors(start.state.params, start.rule.family)))
    edge = start.rule.edge(top) if plain and top > 0 else None
    if edge is not None:
        return [f"{said} against {edge[0]} = {edge[1]:.4g} at the start"]
    return [f"{said}; sharpness at the start {top:.4g}"]
