"""Parcels: parts as a value that any process can open, to the bit; own code travels as source and
is never pickled by value."""

import contextlib
import dataclasses
import pathlib
import platform
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from learnmech.errors import refused
from learnmech.language import catalog, guests, text
from learnmech.language.parts import Part
from learnmech.machine.backend import compilations, remember_compilations
from learnmech.record import identity
from learnmech.record.provenance import decisive_here, unlike


@dataclasses.dataclass(frozen=True)
class Parcel:
    """Parts (experiments, instruments, theories) as texts with their arrays, and the user's own
    code in them as source.

    It pickles small, and says nothing of the process that made it but where data files lie, where
    compiled programs are kept, and by which versions on which device its numbers are made.
    """

    texts: tuple[tuple[type, str], ...]
    arrays: dict[str, np.ndarray]
    told: dict
    files: dict[str, bytes]
    compiled: str | None
    made_by: dict

    @classmethod
    def of(cls, *parts: Part, who: str = "A job") -> "Parcel":
        """The parcel of these; refuses what another process could not make again."""
        _can_be_made_again(who, *parts)
        # where files lie now, whatever the folder of the process that opens it
        moved: dict[str, str | None] = {
            one.sha256: pathlib.Path(one.path).resolve().as_posix()
            for part in parts
            for one in text.outside_of(part)
        }
        arrays: dict[str, np.ndarray] = {}
        texts = []
        for part in parts:
            written, more = text.to_text(part, moved)
            texts.append((text.root_of(type(part)), written))
            arrays |= more
        code = identity.code_of(*parts)
        return cls(tuple(texts), arrays, code.told, code.files, compilations(), decisive_here())

    def check_place(self) -> None:
        """Refuse a process whose versions or device would give other numbers than the one that
        made the parcel."""
        found = unlike(self.made_by)
        if found:
            raise refused(
                f"The worker on {platform.node()}",
                "the versions and the device of the process that gives it work",
                "; ".join(found),
                "Install the same versions there, or give the command on a node like it",
            )

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[Any, ...]]:
        """The parts, made again in this process."""
        if self.compiled and compilations() is None:
            remember_compilations(self.compiled)
        known = guests.summoned(self.told, self.files) if self.told["guests"] else {}
        # Whoever gave the parcel gave the leave: the code is that of the process it comes from. A
        # run folder is read at the end of its run, by its own copy of that code.
        with (
            catalog.trusting(),
            tempfile.TemporaryDirectory(prefix="learnmech-job-") as room,
        ):
            beside = pathlib.Path(room)
            for name, values in self.arrays.items():
                np.save(beside / name, values)
            guests.Code(files=self.files).write(beside / guests.FOLDER)
            yield tuple(text.from_text(cls, one, beside, known) for cls, one in self.texts)


@dataclasses.dataclass(frozen=True)
class InHand:
    """The same of parts that stay in this process."""

    parts: tuple[Any, ...]

    def check_place(self) -> None:
        """This is the place."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[Any, ...]]:
        """The parts."""
        yield self.parts


def _can_be_made_again(who, *parts) -> None:
    in_hand: list[Any] = [
        one
        for part in parts
        for one in text.parts_of(part)
        if getattr(one, "given", None) and hasattr(one, "at_hand")
    ]
    if in_hand:
        raise refused(
            who,
            "an experiment that another process can make again",
            f"a model in hand, {in_hand[0].given}",
            "Keep the model in a file: Wrapped.of('mine.py:model')",
        )
