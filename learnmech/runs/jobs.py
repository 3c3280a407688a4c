"""Jobs: a run as a value that any process can perform, to the bit; its own code as source and never
pickled by value."""

import dataclasses
import pathlib

from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, Start, given
from learnmech.instruments.base import Instrument
from learnmech.march.watching import asked
from learnmech.record.base import Record
from learnmech.record.checkpoints import BUDGET
from learnmech.runs.parcels import Parcel
from learnmech.runs.running import run


@dataclasses.dataclass(frozen=True)
class Job:
    """A run that is asked for: a parcel of the experiment and of what is watched.

    A process that performs it, here or on another machine that sees the data files, gets the
    numbers of `lm.run` there.
    """

    parcel: Parcel
    watched: bool
    until: str | None
    budget: int

    @classmethod
    def of(
        cls,
        experiment: Experiment | str | pathlib.Path,
        watch: tuple[Instrument | str, ...] | None = None,
        until: str | None = None,
        budget: int = BUDGET,
    ) -> "Job":
        """The job of running this; refuses, before anything is run, what another process could not
        make again."""
        meant, watch = given(experiment, watch)
        if isinstance(meant, Start):  # it may have other samples than its text says
            raise refused("A job", "an Experiment or its TOML file", "a Start", "Give the former")
        parts = () if watch is None else tuple(map(asked, watch))
        return cls(Parcel.of(meant, *parts), watch is not None, until, budget)

    def perform(self, folder: str | pathlib.Path | None = None) -> Record:
        """Run it in this process, into a run folder where one is given."""
        with self.parcel.opened() as (experiment, *watch):
            read = tuple(watch) if self.watched else None
            return run(experiment, read, self.until, folder=folder, budget=self.budget)

    def into(self, folder: str | pathlib.Path) -> str:
        """Run it into a run folder and give the folder's path, for `lm.load` in whatever process:
        `executor.submit(job.into, "runs/one")`. A record itself does not travel."""
        return str(self.perform(folder).folder)
