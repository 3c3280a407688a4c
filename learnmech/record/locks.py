"""Locks: one process at a time writes a run folder, and nobody deletes it meanwhile."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from learnmech.errors import refused
from learnmech.machine.logs import LOG
from learnmech.record.bounds import inside
from learnmech.record.sealed import said_if_it_fails

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module that is not there
try:
    import msvcrt
except ImportError:  # every other system
    msvcrt = None  # type: ignore[assignment]  # a module that is not there

BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)


class claim:
    """A file that one process at a time may hold: `with claim(path) as held:`, and `held` says
    whether it is this one.

    The system drops the claim with the process, however that ends. It is a lock of the whole file
    (flock) or, on Windows, of its first byte. On a disk that knows no locks everybody is let in,
    and the log says so.
    """

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> bool:
        self.file = self.path.open("a+b")
        try:
            if fcntl is not None:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            elif msvcrt is not None:
                self.file.seek(0)
                msvcrt.locking(self.file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in BUSY:
                self.file.close()
                return False
            LOG.warning(
                "%s: this disk knows no locks (%s): see that one process at a time writes here",
                self.path,
                error.strerror,
            )
        return True

    def __exit__(self, *_):
        self.file.close()


class lock:
    """The right to write a run folder, held by one process and dropped by the system with it:
    `with lock(folder):`."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def __enter__(self):
        with said_if_it_fails(str(self.folder), "Give it space and permission"):
            self._claim = claim(inside(self.folder, ".lock"))
            if not self._claim.__enter__():
                raise refused(
                    "The run folder",
                    "to be written by one process at a time",
                    f"{self.folder} in use",
                    "Wait for the other, or stop it",
                )
        return self

    def __exit__(self, *_):
        self._claim.__exit__()


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[None]:
    """The right to work in a folder beside others that do, while nobody holds its lock: so it is
    not deleted under way."""
    path = inside(folder, ".lock")
    # on Windows a folder in which a file is open can be neither renamed nor deleted
    with path.open("a+b") as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in BUSY:
                raise refused(
                    "The run folder",
                    "to be left alone by others",
                    f"{folder} in use",
                    "Wait for the other, or stop it",
                ) from None
            LOG.warning("%s: this disk knows no locks (%s)", path, error.strerror)
        yield
