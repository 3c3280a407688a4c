"""The lab in a notebook: the same screen in a cell, over the notebook's own connection."""

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, Start
from learnmech.lab import openings
from learnmech.lab.clients import Client
from learnmech.lab.frames import bytes_of, spoken
from learnmech.lab.session import Session
from learnmech.record.base import Record

if TYPE_CHECKING:
    from anywidget import AnyWidget

PICTURE = 1 / 20
"""Seconds between two messages to a cell: a notebook's connection takes fewer than a socket."""
REMEDY = "Install it with pip install 'learnmech[notebook]'"


def lab(
    experiment: Experiment | Start | Record | str | Path | None = None,
    watch: tuple | None = None,
    theories: tuple | None = None,
    folder: str | Path | None = None,
) -> "AnyWidget":
    """The lab as a widget for a notebook (Jupyter, marimo): of an experiment, the path of a TOML
    file, an exhibit by its name, a record or a run folder; of nothing, the exhibits as cards.

    Nothing runs before it is played. Runs stay in memory, or go to `folder`. `widget.session` is
    what a program asks: its branches hold records, `widget.session.branches["b1"].so_far()`.
    Refused where anywidget is not installed.
    """
    made = widget_class()
    session = Session(folder, "notebook")
    if isinstance(experiment, (str, Path)):
        session.begin(str(experiment), {})
    elif isinstance(experiment, Record):
        session.eyes.survey(session.add(openings.of_record(experiment)))
    elif experiment is not None:
        session.eyes.survey(session.add(openings.of_experiment(experiment, watch, theories)))
    return made(session)


def explore(record: Record) -> "AnyWidget":
    """A record in the lab: its curves, any state of its past, theory over it, and changes made at
    any step as branches, which stay in memory."""
    return lab(record)


def widget_class() -> Any:
    """The class of the widget, made when it is asked for: what it descends from is an extra."""
    if not _MADE:
        _MADE.append(_made())
    return _MADE[0]


_MADE: list[Any] = []


def _made() -> Any:
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise refused("lm.lab", "anywidget", str(error), REMEDY) from None
    from learnmech.screen import FOLDER

    class LabWidget(anywidget.AnyWidget):
        """The lab in a cell; `session` is what is open in it."""

        _esm = FOLDER / "screen.js"
        kind = traitlets.Unicode("notebook").tag(sync=True)
        opening = traitlets.Any(None, allow_none=True).tag(sync=True)

        def __init__(self, session: Session, **given: Any):
            super().__init__(**given)
            self.session, self._over = session, threading.Event()
            self.client = Client(lambda: None)
            session.join(self.client)
            self.on_msg(self._asked)
            threading.Thread(target=self._tell, name="lab widget", daemon=True).start()

        def _asked(self, _: Any, content: Any, buffers: Any) -> None:
            """What the screen asks."""
            self.session.hear(self.client, content)

        def _tell(self) -> None:
            """Send what waits, some times a second, until the cell is closed."""
            while not self._over.wait(PICTURE):
                began = time.perf_counter()
                for content, values in self.client.drain(self.session.branches):
                    if self._over.is_set():
                        return
                    self.send(spoken(content), [bytes_of(one) for one in values])
                if self.client.lost:  # it took nothing for long, and asks anew
                    self.client.lost = False
                # a connection that is slow is given as much time to rest
                self._over.wait(min(time.perf_counter() - began, 1.0))

        def close(self) -> None:
            """End it: what runs is stopped behind its block."""
            if hasattr(self, "_over"):
                self._over.set()
                self.session.part(self.client)
                self.session.end()
            super().close()

    return LabWidget
