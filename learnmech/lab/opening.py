"""Opening a lab from the command line: what is shown first, and where it is served."""

from collections.abc import Callable
from pathlib import Path

from learnmech.errors import refused
from learnmech.lab import server
from learnmech.lab.session import Session
from learnmech.language import catalog
from learnmech.verbs.folders import RUNS
from learnmech.verbs.subjects import changes_of


def opened(
    subject: str | None,
    changes: list[str],
    small: bool,
    host: str,
    port: int,
    browser: bool,
    out: Path | None,
    told: Callable[[str], None],
) -> None:
    """A lab, served until it is ended: of an exhibit, of a file, of a run folder, or of nothing
    yet, where the exhibits are shown as cards."""
    server.needed()
    if not 0 <= port < 2**16:
        raise refused("learnmech lab", "--port from 0 to 65535", port, "Choose another, or none")
    session = Session(RUNS if out is None else out, trust=catalog.trusted())
    try:
        if subject is not None:
            session.begin(subject, changes_of(changes), small)
        server.serve(session, host, port, browser, told)
    except BaseException:
        session.end()
        raise
