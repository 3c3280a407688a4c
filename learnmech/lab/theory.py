"""Theory over a run that is being made: its lines ahead of the run, and how far off it is."""

import numpy as np

from learnmech.comparison.alignment import matched
from learnmech.comparison.verdicts import laid, verdict_of
from learnmech.errors import Refused, refused
from learnmech.lab.branches import Branch
from learnmech.lab.clients import WIDEST, entries_of
from learnmech.lab.frames import Buffers, Message
from learnmech.language import text
from learnmech.theories.base import Theory

LINES_MOST = 4000


class Over:
    """A theory laid over a branch: what it says at the run's own marks."""

    def __init__(self, branch: Branch, kind: str):
        self.branch, self.kind = branch, kind
        own = [one for one in branch.theories if text.table_of(one)["kind"] == kind]
        self.theory: Theory = own[0] if own else text.part_of(Theory, kind)
        if self.theory.over_seeds:
            raise refused(
                kind, "a mean over many seeds", "one run", "Lay it over a sweep: learnmech compare"
            )
        self.said = self.theory.predict(branch.timeline.start)
        self.quantities = [
            str(name) for name in self.said.data_vars if self.said[name].dtype.kind == "f"
        ]

    def lines(self) -> list[tuple[Message, Buffers]]:
        """What it says of each quantity, a row for each mark."""
        found: list[tuple[Message, Buffers]] = []
        marks = self.branch.timeline.marks
        for name in self.quantities:
            said = self.said[name]
            if said.dims[:1] != ("time",) or said.sizes["time"] != len(marks.times):
                continue
            size = int(np.prod(said.shape[1:], dtype=int))
            values = np.asarray(said.values, float).reshape(len(marks.times), size)
            values = values[:, entries_of(size)]
            rows = np.unique(
                np.linspace(0, len(values) - 1, min(len(values), LINES_MOST)).astype(int)
            )
            whole = len(rows) == len(values)
            with np.errstate(over="ignore"):
                line = values[rows].astype(np.float32)
            message = {
                "is": "lines",
                "branch": self.branch.name,
                "theory": self.kind,
                "quantity": name,
                "width": line.shape[1],
                "marks": len(line),
                "entries": None if size <= WIDEST else entries_of(size).tolist(),
                "values": 0,
                "x": None if whole else 1,
            }
            found.append((message, (line,) if whole else (line, rows.astype(np.int32))))
        return found

    def errors(self) -> list[tuple[Message, Buffers]]:
        """How far off it is at each mark that was reached, relative to the scale of what it says
        there: the largest over the entries, as `compare` counts; and the verdict so far."""
        found: list[tuple[Message, Buffers]] = []
        record = self.branch.so_far()
        for name in self.quantities:
            if name not in self.branch.course.names:
                continue
            tolerance = float(self.theory.tolerance)
            try:
                seen, row = laid(record, self.theory, self.said, name, tolerance)
                times, measured, predicted = matched(seen, self.said[name])
            except (Refused, ValueError, KeyError):
                continue
            if not measured.size:
                continue
            count = len(times)
            off = np.abs(np.asarray(measured, float) - predicted).reshape(count, -1).max(axis=1)
            scale = float(np.abs(predicted).max()) or 1.0
            course = np.full(self.branch.course.reached, np.nan, np.float32)
            at = np.searchsorted(self.branch.timeline.marks.times, np.asarray(times, float) - 1e-12)
            keep = at < len(course)
            course[at[keep]] = (off / scale)[keep]
            message = {
                "is": "errors",
                "branch": self.branch.name,
                "theory": self.kind,
                "quantity": name,
                "error": 0,
                "x": None,
                "tolerance": tolerance,
                "largest": float(row.error),
                "verdict": verdict_of(row.error, tolerance),
            }
            if len(course) > LINES_MOST:
                rows = np.unique(np.linspace(0, len(course) - 1, LINES_MOST).astype(int))
                message["x"] = 1
                found.append((message, (course[rows], rows.astype(np.int32))))
            else:
                found.append((message, (course,)))
        return found
