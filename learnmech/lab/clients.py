"""Clients: who looks on. What waits for one is merged, and bounded, however slowly it is taken."""

import collections
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from learnmech.lab.branches import Branch
from learnmech.lab.frames import Buffers, Message, thinned

SENT_MOST = 4000
"""Rows of a history, or of what is new, beyond which it is thinned."""
WIDEST = 128
"""Entries of a quantity that are sent, evenly spread where it has more."""
WAITING_MOST = 512
"""Messages that wait at most; of those with a key the newest alone waits."""
WAITING_BYTES = 32 * 2**20


class Panel(NamedTuple):
    """What is looked at: a kind of panel on a branch."""

    name: str
    kind: str
    branch: str
    spec: dict


class Client:
    """One browser, or one cell of a notebook, that looks on.

    `wake` is called from any thread when something waits; `drain` gives all of it, and what is new
    of each curve since the last time.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None):
        self.wake, self.lock = wake, threading.RLock()
        self.panels: dict[str, Panel] = {}
        self.cursors: dict[str, int] = {}
        self.theories: set[tuple[str, str]] = set()
        self.selected: str | None = None
        self.lost = False
        self.fresh = False
        self._waiting: collections.OrderedDict[Any, tuple[Message, Buffers]] = (
            collections.OrderedDict()
        )
        self._bytes, self._serial = 0, 0
        # {(branch, quantity): rows that were sent}
        self._sent: dict[tuple[str, str], int] = {}
        self._told: dict[str, tuple] = {}

    def say(self, content: Message, buffers: Buffers = (), key: Any = None) -> None:
        """Let a message wait; one with a key takes the place of an older one."""
        size = sum(one.nbytes for one in buffers)
        with self.lock:
            self._serial += 1
            key = self._serial if key is None else key
            before = self._waiting.pop(key, None)
            if before is not None:
                self._bytes -= sum(one.nbytes for one in before[1])
            if len(self._waiting) >= WAITING_MOST or self._bytes + size > WAITING_BYTES:
                self.lost = True  # it takes nothing any more, and begins anew when it comes back
                self._waiting.clear()
                self._bytes = 0
            else:
                self._waiting[key] = content, buffers
                self._bytes += size
        self.wake()

    def shown(self, branch: str) -> list[str]:
        """The quantities of a branch that some panel shows over time."""
        found = [
            panel.spec["quantity"]
            for panel in self.panels.values()
            if panel.kind == "curves" and panel.branch == branch
        ]
        return list(dict.fromkeys(found))

    def open(self, panel: Panel) -> None:
        """Look at something; of a curve its history is told anew."""
        with self.lock:
            self.panels[panel.name] = panel
            if panel.kind == "curves":
                self._sent.pop((panel.branch, panel.spec["quantity"]), None)
                self.fresh = True
            self._told.pop(panel.branch, None)

    def close(self, name: str) -> None:
        """Look no more."""
        with self.lock:
            self.panels.pop(name, None)

    def forget(self, branch: str) -> None:
        """A branch is gone."""
        with self.lock:
            for name in [n for n, panel in self.panels.items() if panel.branch == branch]:
                del self.panels[name]
            for key in [one for one in self._sent if one[0] == branch]:
                del self._sent[key]
            self._told.pop(branch, None)
            self.cursors.pop(branch, None)
            self.theories = {one for one in self.theories if one[0] != branch}

    def drain(
        self, branches: dict[str, Branch], news: bool = True
    ) -> list[tuple[Message, Buffers]]:
        """All that waits, and with `news` one block for each branch of which something is new."""
        with self.lock:
            found = list(self._waiting.values())
            self._waiting.clear()
            self._bytes = 0
            for branch in list(branches.values()) if news or self.fresh else ():
                found += self._news(branch)
            self.fresh = False
        return found

    def _news(self, branch: Branch):
        shown = self.shown(branch.name)
        quantities = [name for name in shown if name in branch.course.names]
        reached = branch.course.reached
        now = (reached, branch.position, branch.status, branch.pacer.goes)
        if self._told.get(branch.name) == now:
            return
        self._told[branch.name] = now
        series: list[Message] = []
        buffers: list[np.ndarray] = []
        for quantity in quantities:
            readings = branch.course.readings(quantity)
            rows, key = len(readings.values), (branch.name, quantity)
            sent = self._sent.get(key)
            if sent is None or rows - sent > SENT_MOST or rows < sent:
                yield history(branch, quantity)
                self._sent[key] = rows
                continue
            if rows == sent:
                continue
            values = flat(readings.values[sent:rows])
            series.append(
                {
                    "quantity": quantity,
                    "every": readings.every,
                    "first": readings.first + sent * readings.every,
                    "count": rows - sent,
                    "width": values.shape[1],
                    "values": len(buffers),
                }
            )
            buffers.append(values)
            self._sent[key] = rows
        yield status_of(branch, "block") | {"series": series}, buffers


def flat(values: np.ndarray) -> np.ndarray:
    """(rows, entries) float32 of (rows, *shape), of many entries some, evenly spread."""
    values = np.asarray(values)
    values = values.reshape(len(values), int(np.prod(values.shape[1:], dtype=int)))
    if values.shape[1] > WIDEST:
        values = values[:, entries_of(values.shape[1])]
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, np.float32)


def entries_of(size: int) -> np.ndarray:
    """The entries of a quantity that are sent, of so many."""
    if size <= WIDEST:
        return np.arange(size)
    return np.unique(np.linspace(0, size - 1, WIDEST).round().astype(int))


def status_of(branch: Branch, kind: str = "status") -> Message:
    """How it is with a branch, as a message."""
    course, timeline = branch.course, branch.timeline
    last = max(course.reached - 1, 0)
    steps = timeline.marks.steps
    return {
        "is": kind,
        "branch": branch.name,
        "first": course.first,
        "reached": course.reached,
        "position": branch.position,
        "step": None if steps is None else int(steps[last]),
        "time": float(timeline.marks.times[last]),
        "status": branch.status,
        "playing": branch.pacer.goes and not branch.over,
        "rate": branch.pacer.rate,
        "speed": branch.pacer.speed,
        "note": branch.note or None,
    }


def history(branch: Branch, quantity: str) -> tuple[Message, Buffers]:
    """All that was read of a quantity, thinned where it is long."""
    readings = branch.course.readings(quantity)
    rows = readings.values
    size = int(np.prod(rows.shape[1:], dtype=int))
    values, marks = flat(rows), readings.marks.astype(np.int32)
    fewer, at = thinned(values, marks, SENT_MOST)
    whole = len(fewer) == len(values)
    said = {
        "is": "series",
        "branch": branch.name,
        "quantity": quantity,
        "every": readings.every,
        "first": readings.first,
        "count": len(fewer),
        "width": fewer.shape[1],
        "entries": None if size <= WIDEST else entries_of(size).tolist(),
        "values": 0,
        "x": None if whole else 1,
    }
    return said, (fewer,) if whole else (fewer, at.astype(np.int32))
