"""Sealed files: small facts written twice with a checksum, a folder that only one process writes,
and one that appears whole or not at all.

All that is written to or deleted from a run folder goes through here: never outside of it, never
through a link, and what is said to be written is on the disk.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath, PureWindowsPath

from learnmech.errors import refused
from learnmech.machine.logs import LOG

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module that is not there
try:
    import msvcrt
except ImportError:  # every other system
    msvcrt = None  # type: ignore[assignment]  # a module that is not there

COPIES = ("{name}", ".{name}.copy")
# Facts are small: a file of more bytes than this was not written here, and is not read.
LARGEST = 2**26
# Files that are brought to the disk at one time, so that a journal is written once for many of
# them.
AT_ONCE = 8
NEW = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | os.O_TRUNC
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
)
BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
SPACE = "Choose another --out with space and permission"


# --- inside


def kind_of(path: Path) -> str | None:
    """`file`, `folder`, `link` (also what Windows calls a junction) or `device` (pipes and
    sockets too); None where nothing is."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    reparse = getattr(found, "st_file_attributes", 0) & getattr(
        stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0
    )
    if stat.S_ISLNK(found.st_mode) or reparse:
        return "link"
    return (
        "file"
        if stat.S_ISREG(found.st_mode)
        else "folder"
        if stat.S_ISDIR(found.st_mode)
        else "device"
    )


def is_inside(name: str) -> bool:
    """Whether a name, as a text from elsewhere gives it, says something below a folder on every
    system."""
    elsewhere = (
        PurePosixPath(name).is_absolute()
        or PureWindowsPath(name).drive
        or "\\" in name
        or "\0" in name
    )
    return not elsewhere and not {"", ".", ".."} & set(name.split("/"))


def inside(folder: str | Path, *names: str) -> Path:
    """Where something of a run folder is to be written or deleted: refused outside of the
    folder, and where a link or a device stands on the way."""
    path = Path(folder)
    for part in "/".join(names).split("/"):
        if not is_inside(part):
            raise refused(
                "The run folder", "names of its own", "/".join(names), "Delete what was put there"
            )
        path = path / part
        found = kind_of(path)
        if found in ("link", "device"):
            raise refused(
                "The run folder",
                "files and folders of its own",
                f"{path}, a {found}",
                "Put in its place what it stands for",
            )
    return path


def strangers(folder: Path) -> Iterator[Path]:
    """Whatever below a folder is neither a file nor a folder: links, pipes, devices."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            found = kind_of(Path(entry.path))
            if found == "folder":
                yield from strangers(Path(entry.path))
            elif found in ("link", "device"):
                yield Path(entry.path)


def check_own(folder: Path) -> None:
    """Refuse to write to a folder in which something is a link or a device."""
    odd = next(strangers(folder), None)
    if odd is not None:
        raise refused(
            "The run folder",
            "files and folders of its own",
            f"{odd}, a {kind_of(odd)}",
            "Put in its place what it stands for",
        )


# --- brought to the disk


def place(part: Path, target: Path) -> None:
    """Rename a file onto another. Windows refuses that while somebody reads the other, which is
    soon over."""
    for wait in (0.01, 0.03, 0.1, 0.3, 1.0) if os.name == "nt" else ():
        try:
            return os.replace(part, target)
        except PermissionError:
            time.sleep(wait)
    os.replace(part, target)


def bring(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk, so that a power cut
    leaves them there; what is gone needs none.

    Windows has no way to wait for names. What cannot be waited for (some network disks) is left to
    the system.
    """
    windows = os.name == "nt"
    if windows and path.is_dir():
        return
    try:
        handle = os.open(path, (os.O_RDWR if windows else os.O_RDONLY) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS):
            raise
    finally:
        os.close(handle)


def bring_all(paths: Iterable[Path]) -> None:
    """The same for many, some at a time."""
    paths = sorted(set(paths))
    if len(paths) < 3:
        for path in paths:
            bring(path)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(bring, paths):
            pass


def put(folder: Path, name: str, stored: bytes | memoryview, lasting: bool = True) -> Path:
    """Write a file of a run folder: there whole or not at all, never through a link.

    One that is to be `lasting` is on the disk before it has its name (which lasts from
    `bring(folder)` on): a power cut leaves the file that was there before, or this one. Another is
    whole after anything but a power cut.
    """
    target, part = inside(folder, name), inside(folder, f"{name}.part")
    part.unlink(missing_ok=True)
    handle, left = os.open(part, NEW, 0o666), memoryview(stored)
    try:
        while left:
            left = left[os.write(handle, left) :]
        if lasting:
            os.fsync(handle)
        if lasting and hasattr(
            fcntl, "F_FULLFSYNC"
        ):  # macOS: to the disk itself, and what was brought before with it
            with contextlib.suppress(OSError):
                fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
    finally:
        os.close(handle)
    place(part, target)
    return target


@contextlib.contextmanager
def said_if_it_fails(what: str, remedy: str):
    """An error of the disk (full, broken, taken away) in a sentence; a reader who has gone is
    none of it."""
    try:
        yield
    except ConnectionError:
        raise
    except OSError as error:
        raise refused(
            "The run folder", f"to be written to {what}", error.strerror or str(error), remedy
        ) from error


# --- facts


def write(folder: Path, name: str, said: dict, lasting: bool = True) -> None:
    """Write a dictionary as JSON with its checksum, twice, each renamed into place.

    One that need not be `lasting` is written once: should a power cut tear it, the copy says what
    was lasting last.
    """
    body = json.dumps(said, sort_keys=True)
    text = json.dumps(
        {"crc32": f"{zlib.crc32(body.encode()):08x}", "said": said}, indent=1, sort_keys=True
    )
    # the copy first: a disk that fails between the two leaves what is read, and goes on from it, as
    # it was
    for form in reversed(COPIES) if lasting else COPIES[:1]:
        put(folder, form.format(name=name), text.encode(), lasting)
    if lasting:
        bring(folder)


def read(folder: Path, name: str) -> dict | None:
    """What was written under this name, from the first copy that is whole; None where none is."""
    return next(
        (said for form in COPIES if (said := _read(folder / form.format(name=name))) is not None),
        None,
    )


def damaged(folder: Path, name: str) -> bool:
    """Whether what was written under this name is there, but has to be read from its copy, or
    not even from that."""
    files = [folder / form.format(name=name) for form in COPIES]
    return any(file.exists() for file in files) and _read(files[0]) is None


def plain_json(file: Path) -> object:
    """What a small JSON file says; None for one that is none, is too large, or is no file."""
    try:
        if not file.is_file() or file.stat().st_size > LARGEST:
            return None
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _read(file):
    try:
        stored = plain_json(file)
        said = stored["said"]
        right = f"{zlib.crc32(json.dumps(said, sort_keys=True).encode()):08x}" == stored["crc32"]
        return said if right and isinstance(said, dict) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def crc_of(file: Path) -> str:
    """crc32 of a file's bytes."""
    crc = 0
    with file.open("rb") as opened:
        while stored := opened.read(2**20):
            crc = zlib.crc32(stored, crc)
    return f"{crc:08x}"


# --- one at a time


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
    with path.open(
        "a+b"
    ) as file:  # on Windows a folder in which a file is open can be neither renamed nor deleted
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


# --- new


def _why_not_new(folder: Path) -> str | None:
    """Why nothing can be written there, None where it can: no name that anybody may wait for is
    made to find it out."""
    try:
        os.lstat(folder)
        return "taken"
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    above = next((path for path in Path(os.path.abspath(folder)).parents if path.exists()), None)
    if above is None or not above.is_dir():
        return os.strerror(errno.ENOTDIR)
    if not os.access(above, os.W_OK | os.X_OK):
        return os.strerror(errno.EACCES)
    try:
        if (
            above != Path(os.path.abspath(folder)).parent
        ):  # whether folders can be made there is no matter of permission alone (/proc)
            probe = above / f".{secrets.token_hex(8)}"
            probe.mkdir()
            probe.rmdir()
    except OSError as error:
        return error.strerror or str(error)
    return None


def check_new(folder: Path) -> None:
    """Refuse a place that is taken or cannot be written; nothing is left there."""
    why = _why_not_new(folder)
    if why == "taken":
        raise refused(
            "The run folder",
            "a path that does not exist yet",
            str(folder),
            "Choose another --out, or delete that run first",
        )
    if why is not None:
        raise refused("The run folder", f"a place to write {folder}", why, SPACE)


class whole_folder:
    """A folder that appears under its name only when everything in it was written: `with
    whole_folder(path) as work:`."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __enter__(self) -> Path:
        check_new(self.folder)
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.work = self.folder.with_name(f".{self.folder.name[:40]}-{secrets.token_hex(4)}")
            self.work.mkdir()  # as open to others as the user lets new folders be
        except OSError as error:
            raise refused(
                "The run folder", f"a place to write {self.folder}", error.strerror, SPACE
            ) from None
        return self.work

    def __exit__(self, kind, error, trace):
        if kind is None:
            try:
                return os.replace(self.work, self.folder)
            except OSError as failed:
                error = failed
        shutil.rmtree(self.work, ignore_errors=True)
        if isinstance(error, OSError):
            raise refused(
                "The run folder",
                f"to be written to {self.folder}",
                error.strerror or str(error),
                "Free some space or choose another --out",
            ) from error


def appear(make: Callable[[Path], object], target: Path) -> None:
    """A single file made by `make(path)`, there whole or not at all, and on the disk."""
    part = target.with_name(f".{target.name[:100]}.part")
    try:
        part.unlink(missing_ok=True)
        make(part)
        bring(part)
        place(part, target)
        bring(target.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
