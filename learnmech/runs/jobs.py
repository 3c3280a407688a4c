"""Jobs: a run as a value that any process can perform, to the bit; its own code as source and never
pickled by value."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, Start, given
from learnmech.instruments.base import Instrument
from learnmech.language import catalog, guests, text
from learnmech.machine.backend import compilations, remember_compilations
from learnmech.march.watching import asked
from learnmech.record import identity
from learnmech.record.base import Record
from learnmech.record.checkpoints import BUDGET
from learnmech.runs.running import run


@dataclasses.dataclass(frozen=True)
class Job:
    """A run that is asked for: the experiment and what is watched as texts with their arrays, and
    the user's own code in them as source.

    It pickles small, and says nothing of the process that made it but where data files lie and
    where compiled programs are kept. A process that performs it, here or on another machine that
    sees these files, gets the numbers of `lm.run` there.
    """

    experiment: str
    watch: tuple[str, ...] | None
    until: str | None
    budget: int
    arrays: dict[str, np.ndarray]
    told: dict
    files: dict[str, bytes]
    compiled: str | None

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
        parts = None if watch is None else tuple(map(asked, watch))
        _can_be_made_again(meant, *(parts or ()))
        # where files lie now, whatever the folder of the process that performs it
        moved: dict[str, str | None] = {
            one.sha256: pathlib.Path(one.path).resolve().as_posix()
            for one in text.outside_of(meant)
        }
        written, arrays = text.to_text(meant, moved)
        texts = None if parts is None else [text.to_text(one) for one in parts]
        for _, more in texts or ():
            arrays |= more
        code = identity.code_of(meant, parts or ())
        return cls(
            written,
            None if texts is None else tuple(one for one, _ in texts),
            until,
            budget,
            arrays,
            code.told,
            code.files,
            compilations(),
        )

    def perform(self, folder: str | pathlib.Path | None = None) -> Record:
        """Run it in this process, into a run folder where one is given."""
        if self.compiled and compilations() is None:
            remember_compilations(self.compiled)
        with self._made() as (experiment, watch):
            return run(experiment, watch, self.until, folder=folder, budget=self.budget)

    def into(self, folder: str | pathlib.Path) -> str:
        """Run it into a run folder and give the folder's path, for `lm.load` in whatever process:
        `executor.submit(job.into, "runs/one")`. A record itself does not travel."""
        return str(self.perform(folder).folder)

    @contextlib.contextmanager
    def _made(self) -> Iterator[tuple[Experiment, tuple[Instrument, ...] | None]]:
        known = guests.summoned(self.told, self.files) if self.told["guests"] else {}
        # Whoever gave the job gave the leave: the code is that of the process it comes from. A run
        # folder is read at the end of its run, by its own copy of that code.
        with (
            catalog.trusting(),
            tempfile.TemporaryDirectory(prefix="learnmech-job-") as room,
        ):
            beside = pathlib.Path(room)
            for name, values in self.arrays.items():
                np.save(beside / name, values)
            guests.Code(files=self.files).write(beside / guests.FOLDER)
            watch = None
            if self.watch is not None:
                watch = tuple(text.from_text(Instrument, one, beside, known) for one in self.watch)
            yield text.from_text(Experiment, self.experiment, beside, known), watch


def _can_be_made_again(*parts) -> None:
    in_hand: list[Any] = [
        one
        for part in parts
        for one in text.parts_of(part)
        if getattr(one, "given", None) and hasattr(one, "at_hand")
    ]
    if in_hand:
        raise refused(
            "A job",
            "an experiment that another process can make again",
            f"a model in hand, {in_hand[0].given}",
            "Keep the model in a file: Wrapped.of('mine.py:model')",
        )
