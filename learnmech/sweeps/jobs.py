"""Jobs: a point of a sweep as a value that any process can perform, its own code as source and
never pickled by value."""

import dataclasses
import pathlib
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.instruments.base import Instrument
from learnmech.language import catalog, guests, text
from learnmech.machine.backend import remember_compilations
from learnmech.machine.late import late
from learnmech.record import identity
from learnmech.runs.running import run
from learnmech.sweeps.gather import told
from learnmech.sweeps.kept import cache_folder

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")


@dataclasses.dataclass(frozen=True)
class Job:
    """An experiment and what is watched, as texts with their arrays, and the user's own code in
    them as source."""

    experiment: str
    watch: tuple[str, ...] | None
    arrays: dict[str, np.ndarray]
    told: dict
    files: dict[str, bytes]
    compiled: str | None


def job_of(experiment: Experiment, watch: tuple[Instrument, ...] | None) -> Job:
    """The job; refuses, before anything is run, what another process could not make again."""
    given: list[Any] = [
        one
        for part in (experiment, *(watch or ()))
        for one in text.parts_of(part)
        if getattr(one, "given", None) and hasattr(one, "at_hand")
    ]
    if given:
        remedy = "Keep the model in a file: Wrapped.of('mine.py:model')"
        raise refused(
            "sweep",
            "an experiment that another process can make again",
            f"a model in hand, {given[0].given}",
            remedy,
        )
    # where files lie now, whatever the folder of the process that performs it
    moved: dict[str, str | None] = {
        one.sha256: pathlib.Path(one.path).resolve().as_posix()
        for one in text.outside_of(experiment)
    }
    written, arrays = text.to_text(experiment, moved)
    texts = None if watch is None else [text.to_text(one) for one in watch]
    for _, more in texts or ():
        arrays |= more
    code = identity.code_of(experiment, watch or ())
    return Job(
        written,
        None if texts is None else tuple(one for one, _ in texts),
        arrays,
        code.told,
        code.files,
        cache_folder(),
    )


def perform(job: Job) -> "xr.Dataset":
    """Run it, in whatever process this is."""
    if job.compiled and cache_folder() is None:
        remember_compilations(job.compiled)
    known = guests.summoned(job.told, job.files) if job.told["guests"] else {}
    before = catalog.trusted()
    with tempfile.TemporaryDirectory(prefix="learnmech-job-") as place:
        folder = pathlib.Path(place)
        for name, values in job.arrays.items():
            np.save(folder / name, values)
        guests.Code(files=job.files).write(folder / guests.FOLDER)
        # whoever gave the job gave the leave: the code is that of the process it comes from
        catalog.trust()
        try:
            experiment = _part(Experiment, job.experiment, folder, known)
            watch = (
                None
                if job.watch is None
                else tuple(_part(Instrument, one, folder, known) for one in job.watch)
            )
        finally:
            catalog.trust(before)
        return table_of(prepare(experiment), watch)


def table_of(start: Start, watch: tuple[Instrument, ...] | None) -> "xr.Dataset":
    """What is kept of a point: all that a run of it reads."""
    return told(run(start, watch).dataset, start, watch)


def _part(
    cls: type[text.Kind], written: str, folder: pathlib.Path, known: guests.Classes
) -> text.Kind:
    return text.from_text(cls, written, folder, known)
