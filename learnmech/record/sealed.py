"""Sealed files: small facts written twice with a checksum, and folders and files that appear whole
or not at all.

All that is written to a run folder goes through here: never outside of it, never through a link,
and what is said to be written is on the disk.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from learnmech.errors import refused
from learnmech.record.bounds import inside

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module that is not there

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
SPACE = "Choose another --out with space and permission"


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
        # macOS: to the disk itself, and what was brought before with it
        if lasting and hasattr(fcntl, "F_FULLFSYNC"):
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


def check_absent(who: str, file: Path) -> None:
    """Refuse a single file that is there already."""
    if file.exists():
        raise refused(
            who,
            "a file that does not exist yet",
            str(file),
            "Choose another name, or delete it first",
        )


@contextlib.contextmanager
def written(who: str, file: Path, *also: type[Exception]):
    """What keeps a single file from being written, in a sentence; an OSError, and what it `also` is
    said by."""
    failures: tuple[type[Exception], ...] = (OSError, *also)
    try:
        yield
    except failures as error:
        why = getattr(error, "strerror", None) or str(error)
        raise refused(who, f"a place to write {file}", why, "Choose another place") from None


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


def plain_json(file: Path) -> Any:
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
        # whether folders can be made there is no matter of permission alone (/proc)
        if above != Path(os.path.abspath(folder)).parent:
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
