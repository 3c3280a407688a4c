"""Points as jobs: what a process that was given a run makes of it, and where it lands."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.instruments.base import Instrument
from learnmech.march.timeline import Timeline
from learnmech.march.watching import watched as chosen_of
from learnmech.record.base import Record, due_marks, quantities_of
from learnmech.runs.parcels import InHand, Parcel
from learnmech.runs.running import run
from learnmech.sweeps.gathered import diverged_at, told
from learnmech.sweeps.kept import POINTS, Kept, identity_of

if TYPE_CHECKING:
    import xarray as xr

CLIENT = ".client"
"""The file in a folder of points that says which process gives them to an engine; a worker that
reads the same words there sees the same disk."""
LANDED, ELSEWHERE = "landed", "elsewhere"
Watch = tuple[Instrument, ...] | None


@dataclasses.dataclass(frozen=True)
class Landing:
    """Where runs land: a folder, and the words that stand in it."""

    folder: str
    words: str

    def seen(self) -> bool:
        """Whether this process sees that folder, and not another of its name."""
        try:
            return (Path(self.folder) / CLIENT).read_text(encoding="utf-8") == self.words
        except OSError:
            return False

    def kept(self, identity: str) -> Kept:
        """One point, as the folder keeps it."""
        return Kept(Path(self.folder) / POINTS, {"map": [identity]}, ("map",), "time")


def perform(
    parcel: Parcel | InHand, watched: bool, identity: str | None, landing: Landing | None
) -> "xr.Dataset | str":
    """Run a point in whatever process this is: what is kept of it or, where it is kept already or
    this process could keep it, that it `landed`; `elsewhere` where another process is at it.

    Refuses a process in which the point would be another: other versions, another device, or other
    content of what it reads.
    """
    parcel.check_place()
    with parcel.opened() as (experiment, *rest):
        watch = tuple(rest) if watched else None
        if landing is None or not landing.seen():
            _check_same(experiment, watch, identity)
            return table_of(experiment, watch)
        mine = _check_same(experiment, watch, identity)
        kept = landing.kept(mine)
        if kept.find(0) is not None:
            return LANDED
        with kept.claimed(0) as held:
            if not held:
                return ELSEWHERE
            if kept.find(0) is None:  # another may have finished it between the two looks
                kept.store(0, table_of(experiment, watch), "map")
        return LANDED


def _check_same(experiment, watch, identity) -> str:
    here = identity_of(experiment, watch)
    if identity not in (None, here):
        raise refused(
            "A worker",
            "the point that it was given",
            "another: what it reads has changed",
            "Let all workers see the same data files",
        )
    return here


def table_of(start: Start | Experiment, watch: Watch) -> "xr.Dataset":
    """What is kept of a point: all that a run of it reads."""
    record = run(start, watch)
    return told(record.dataset, record.start, record.watch)


def record_of(start: Start, watch: Watch, table: "xr.Dataset", lost: bool = False) -> Record:
    """What a run of a point by itself would have given, without its checkpoints, from what is kept
    of it; `lost` where it is known that it diverged."""
    timeline = Timeline(start)
    chosen = chosen_of(watch, start, timeline.later())
    reached, tables = table.sizes["time"], {}
    for every in sorted({instrument.every for instrument in chosen}):
        names = [q.name for q in quantities_of(timeline, chosen, every) if q.name in table]
        tables[every] = table[names].isel(time=due_marks(every, 0, reached))
    notes = ("diverged",) if lost or np.isfinite(diverged_at(table)) else ()
    return Record(
        start.experiment, tables, {}, {}, notes, watch=chosen, reached=reached, prepared=[timeline]
    )


def seen(experiment: Experiment | Start, watch: Watch, landing: Landing | None = None) -> Record:
    """The record of a run, in whatever process this is: what landed of it before, or a run that
    lands."""
    if landing is None or not landing.seen():
        return run(experiment, watch)
    start = prepare(experiment)
    kept = landing.kept(identity_of(start.experiment, watch))
    found = kept.find(0)
    if found is None:
        # two that are at the same run find the same: nobody waits for the other
        kept.store(0, table_of(start, watch), "map")
        found = kept.find(0)
    return record_of(start, watch, found[1]) if found is not None else run(start, watch)
