"""GB1: how fit a protein is for every choice of the residues at four of its sites."""

import csv
import hashlib
import io
import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from learnmech.data import formats, letters
from learnmech.data.given import Given
from learnmech.data.samples import Samples, counted
from learnmech.data.sequences import read, resolved
from learnmech.errors import refused
from learnmech.language.parts import Outside, structure

SPLITS = ("one_vs_rest", "two_vs_rest", "three_vs_rest", "sampled", "low_vs_high")
SMALL = Path(__file__).with_name("small_gb1.csv")


class Gb1(Given):
    """The landscape of protein G's domain B1: 149,361 choices of the residues at four sites, as 4 x
    20 inputs of zeros and ones, and how fit each is (the wild type 1).

    `path` is `four_mutations_full_data.csv`, in a zip archive or not. `split` takes a split of the
    benchmark FLIP as it is, of what that keeps: the training set and the test set by the number of
    mutations (`one_vs_rest`, `two_vs_rest`, `three_vs_rest`), drawn at random (`sampled`) or by
    fitness (`low_vs_high`). Without one, `test` samples are held back at random.  Source: Wu et al.
    2016; Dallago et al. 2021 for the splits.
    """

    follows: ClassVar = {"path": ("sha256",)}

    path: str = structure(
        default="", where=True, meaning="where four_mutations_full_data.csv (.zip) is"
    )
    split: str = structure(
        default="none", choices=("none", *SPLITS), meaning="a split of FLIP that is taken as it is"
    )
    sha256: str | None = structure(
        default=None, meaning="of the file's bytes: what it is; found unless given"
    )

    def __post_init__(self):
        if isinstance(self.path, os.PathLike):
            self.path = os.fspath(self.path)  # type: ignore[misc]  # while it is made
        if self.sha256 is None and isinstance(self.path, str):
            digest = hashlib.sha256(read("Gb1", self.path)).hexdigest()
            self.sha256 = digest  # type: ignore[misc]  # while it is made

    @classmethod
    def placed(cls, values, folder="."):
        return resolved(values, folder)

    def outside(self):
        return (Outside("path", Path(self.path), self.sha256 or ""),)

    def samples(self):
        name = Path(self.path).name
        raw = formats.alone("Gb1", name, read("Gb1", self.path, self.sha256))
        columns = self._columns(name, raw)
        try:
            fitness = np.array(columns["Fitness"], np.float64)
        except ValueError as error:
            raise refused(
                "Gb1", f"numbers as Fitness in {name}", str(error), "Get it again"
            ) from None
        places = letters.ids("Gb1", name, columns["Variants"], letters.ALPHABETS["protein"], False)
        sides = [None] if self.split == "none" else ["train", "test"]
        made = []
        for side in sides:
            rows = (
                np.arange(len(fitness))
                if side is None
                else np.flatnonzero(np.array(columns[self.split]) == side)
            )
            if not len(rows):
                raise refused(
                    "Gb1",
                    f"samples for the {side} of {self.split}",
                    f"none in {name}",
                    "Choose another split",
                )
            made.append(self._samples(name, places[rows], fitness[rows], rows))
        return made[0], made[1] if len(made) > 1 else None

    def _columns(self, name, raw):
        wanted = ["Variants", "Fitness", *([self.split] if self.split != "none" else [])]
        try:
            rows = csv.reader(io.StringIO(raw.decode("utf-8-sig")))
            header = next(rows, [])
            missing = [one for one in wanted if one not in header]
            if missing:
                raise refused(
                    "Gb1",
                    f"a column {missing[0]}",
                    f"{', '.join(header[:6])} in {name}",
                    "Set data.path to four_mutations_full_data.csv of FLIP",
                )
            at = [header.index(one) for one in wanted]
            held = [[row[place] for place in at] for row in rows]
        except (UnicodeDecodeError, csv.Error, IndexError) as error:
            raise refused(
                "Gb1", "a csv with a cell in every column", f"{name}: {error}", "Get it again"
            ) from None
        if not held:
            raise refused("Gb1", "at least one variant", f"none in {name}", "Get it again")
        return dict(zip(wanted, map(list, zip(*held, strict=True)), strict=True))

    def _samples(self, name, places, fitness, rows):
        known = letters.ALPHABETS["protein"]
        sites = places.shape[1]
        return Samples(
            name,
            letters.hot(places, len(known)),
            fitness[:, None],
            rows + 2,
            tuple(f"{letter} at site {site + 1}" for site in range(sites) for letter in known),
            ("fitness",),
            grid=(sites, len(known), 1),
            said=(f"{counted(len(places), 'variant')} of {counted(sites, 'site')}",),
        )

    @classmethod
    def example(cls):
        """Twelve variants with made-up fitness."""
        return cls(str(SMALL), test=3)
