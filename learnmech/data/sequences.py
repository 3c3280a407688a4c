"""Sequences of letters, residues or bases, with a number or a class to each."""

import hashlib
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from learnmech.data import formats, letters, separated
from learnmech.data.base import Drawn, View
from learnmech.data.cells import class_names, number
from learnmech.data.given import Given
from learnmech.data.header import Asked
from learnmech.data.samples import Samples, counted
from learnmech.errors import refused
from learnmech.language.parts import Outside, structure
from learnmech.language.spaces import Space

SMALL = Path(__file__).with_name("small.fasta")


class Sequences(Given):
    """Sequences over an alphabet, from FASTA or from a table with a column of them; gzip or not.

    Of FASTA `target` is the field of the header that holds the number or the class (`classes`),
    by place between `separator` (from 0, -1 the last); of a table it is the column, by name or
    place, and `sequence` that of the sequences. `alphabet` is `protein`, `dna`, `rna` or the
    letters themselves. `inputs` are `one-hot`, a 1 among zeros for each position, flattened, or
    `ids`, whole numbers over positions. `positions` are those that are kept, from 0 (none: all).
    All sequences have one length, unless `pad` fills the shorter ones up behind: by zeros, or by an
    id of their own. The identity is the content, `sha256` of the file.
    """

    follows: ClassVar = {"path": ("sha256",)}

    path: str = structure(default="", where=True, meaning="where the FASTA file or the table is")
    target: int | str = structure(
        default=-1, meaning="field of the header, by place, or column, that is to be learned"
    )
    classes: bool = structure(default=False, meaning="whether that is a class, and no number")
    separator: str = structure(default="|", meaning="what stands between fields of a header")
    sequence: int | str = structure(
        default="sequence", meaning="column of a table that holds the sequences"
    )
    alphabet: str = structure(
        default="protein", meaning="protein, dna, rna, or the letters that there are"
    )
    inputs: str = structure(
        default="one-hot", choices=("one-hot", "ids"), meaning="a 1 among zeros, or ids"
    )
    positions: tuple[int, ...] = structure(
        default=(), meaning="positions that are kept, from 0; none: all"
    )
    pad: bool = structure(default=False, meaning="whether shorter sequences are filled up behind")
    sha256: str | None = structure(
        default=None, meaning="of the file's bytes: what it is; found unless given"
    )

    def __post_init__(self):
        if isinstance(self.path, os.PathLike):
            self.path = os.fspath(self.path)  # type: ignore[misc]  # while it is made
        if self.sha256 is None and isinstance(self.path, str):
            digest = hashlib.sha256(read("Sequences", self.path)).hexdigest()
            self.sha256 = digest  # type: ignore[misc]  # while it is made

    def coherent(self):
        super().coherent()
        letters.alphabet_of("Sequences", self.alphabet)
        if not self.separator:
            raise refused("Sequences", "a separator of fields", "none", 'Write for example "|"')
        if min(self.positions, default=0) < 0 or len(set(self.positions)) < len(self.positions):
            raise refused(
                "Sequences", "different positions, from 0", self.positions, "Change positions"
            )
        if self.inputs == "ids" and (self._changes() or self.normalized or self.divide_by != 1):
            raise refused(
                "Sequences",
                "ids as they are",
                "ids to be scaled, centered, whitened or given noise",
                "Set inputs to one-hot",
            )

    @classmethod
    def placed(cls, values, folder="."):
        return resolved(values, folder)

    def outside(self):
        return (Outside("path", Path(self.path), self.sha256 or ""),)

    def samples(self):
        raw = read("Sequences", self.path, self.sha256)
        name = Path(self.path).name
        raw = formats.alone("Sequences", name, raw)
        if raw.lstrip(b"\xef\xbb\xbf \r\n").startswith((b">", b";")):
            headers, held = letters.fasta("Sequences", name, raw)
            cells, rows = self._fields(name, headers), range(1, len(headers) + 1)
            title = f"field {self.target} of the header"
        else:
            held, cells, rows, title = self._table(name, raw)
        known = letters.alphabet_of("Sequences", self.alphabet)
        found = letters.ids("Sequences", name, held, known, self.pad)
        found = self._kept(name, found)
        Y, classes = self._goals(name, cells, rows, title)
        return self._samples(name, found, Y, classes, rows, title), None

    def draw(self, rng):
        if self.inputs == "one-hot":
            return super().draw(rng)
        train, test = self._parted(rng)
        views: Any = [
            None if one is None else View(one.X.astype(np.int64), np.asarray(one.Y, np.float64))
            for one in (train, test)
        ]
        size = len(letters.alphabet_of("Sequences", self.alphabet)) + self.pad
        space = Space(views[0].X.shape[1:], ("position",), size)
        return Drawn(views[0], views[1], train.labels, "; ".join(train.said), inputs=space)

    def _fields(self, name, headers):
        if isinstance(self.target, str):
            raise refused(
                "Sequences",
                "a place of a field in the headers of FASTA",
                repr(self.target),
                "Give it from 0, or -1 for the last",
            )
        cells = []
        for row, header in enumerate(headers, 1):
            fields = header.split(self.separator)
            if not -len(fields) <= self.target < len(fields):
                raise refused(
                    "Sequences",
                    f"field {self.target} in every header of {name}",
                    f"{counted(len(fields), 'field')} in {header[:60]!r}, sequence {row}",
                    "Change target or separator",
                )
            cells.append(fields[self.target].strip())
        return cells

    def _table(self, name, raw):
        if not formats.is_text("Sequences", name, raw):
            raise refused(
                "Sequences",
                "FASTA or a table as text",
                f"arrays in {name}",
                "Give data.Arrays, or data.Ids",
            )
        named = tuple(one for one in (self.sequence, self.target) if isinstance(one, str))
        table = separated.read("Sequences", name, raw, Asked(None, named))
        place = table.place("Sequences", "sequence", self.sequence)
        goal = table.place("Sequences", "target", self.target)
        return (
            [str(one).strip() for one in table.column(place)],
            [str(one) for one in table.column(goal)],
            table.rows,
            table.titled(goal),
        )

    def _kept(self, name, found):
        if self.positions and max(self.positions) >= found.shape[1]:
            raise refused(
                "Sequences",
                f"positions below {found.shape[1]}, the length of those of {name}",
                max(self.positions),
                "Lower positions",
            )
        return found[:, list(self.positions)] if self.positions else found

    def _goals(self, name, cells, rows, title):
        if self.classes:
            classes, bad = class_names(cells)
            if bad is not None:
                raise refused(
                    "Sequences",
                    "classes that are names or whole numbers",
                    f"{cells[bad]!r} in row {rows[bad]}, {title} of {name}",
                    "Mend it",
                )
            return None, np.array(classes, object)
        values = [number(cell) for cell in cells]
        bad = next((i for i, one in enumerate(values) if one is None or np.isinf(one)), None)
        if bad is not None:
            raise refused(
                "Sequences",
                f"a number in {title}",
                f"{cells[bad][:60]!r} in row {rows[bad]} of {name}",
                "Change target, or set classes where it is a class",
            )
        return np.array(values, np.float64)[:, None], None

    def _samples(self, name, found, Y, classes, rows, title):
        known = letters.alphabet_of("Sequences", self.alphabet)
        n, positions = found.shape
        where = self.positions or range(positions)
        if self.inputs == "ids":
            X = np.where(found < 0, len(known), found)
            heads = tuple(f"position {place}" for place in where)
        else:
            X = letters.hot(found, len(known))
            heads = tuple(f"{letter} at position {place}" for place in where for letter in known)
        return Samples(
            name,
            X,
            Y,
            rows,
            heads,
            (title,),
            classes,
            grid=(positions, len(known), 1) if self.inputs == "one-hot" else None,
            said=(
                f"{counted(n, 'sequence')} of {counted(positions, 'position')}, letters {known}",
            ),
        )

    @classmethod
    def example(cls):
        """Sixteen short made-up sequences with a number each."""
        return cls(str(SMALL), test=4)


def read(who: str, path: str, sha: str | None = None) -> bytes:
    """The bytes of a file; refused where there is none, or where it has another sha256."""
    if not os.path.isfile(path):
        got = f"none at {os.path.abspath(path)!r}" if path else "none"
        raise refused(who, "an existing file of sequences", got, "Set data.path to one")
    raw = Path(path).read_bytes()
    held = hashlib.sha256(raw).hexdigest()
    if sha and held != sha:
        raise refused(
            who,
            f"{path} with sha256 {sha[:16]}...",
            f"{held[:16]}...",
            f"{Path(path).name} has changed: restore it, or make the data anew, without that"
            " sha256",
        )
    return raw


def resolved(values: dict, folder: str | Path) -> dict:
    """The knobs of a text in a folder, with `path` from there; where nothing is there, as it is."""
    path = values.get("path")
    if Path(folder) == Path(".") or not isinstance(path, str) or not path:
        return values
    beside = os.path.join(os.path.abspath(folder), path)
    there = os.path.exists(beside) or not os.path.exists(path)
    return values | {"path": beside if there else path}
