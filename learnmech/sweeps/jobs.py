"""Points as jobs: what a process that was given a point of a sweep hands back."""

from typing import TYPE_CHECKING

from learnmech.experiment.recipe import Start
from learnmech.instruments.base import Instrument
from learnmech.runs.jobs import Job
from learnmech.runs.running import run
from learnmech.sweeps.gather import told

if TYPE_CHECKING:
    import xarray as xr


def perform(job: Job) -> "xr.Dataset":
    """What is kept of a point, run in whatever process this is."""
    record = job.perform()
    return told(record.dataset, record.start, record.watch)


def table_of(start: Start, watch: tuple[Instrument, ...] | None) -> "xr.Dataset":
    """What is kept of a point: all that a run of it reads."""
    return told(run(start, watch).dataset, start, watch)
