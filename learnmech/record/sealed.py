"""Sealed files: small facts written twice with a checksum, a folder that only one process writes, and one that appears whole or not at all."""

import errno
import fcntl
import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path

from learnmech.errors import refused

COPIES = ("{name}", ".{name}.copy")


def write(folder: Path, name: str, said: dict) -> None:
    """Write a dictionary as JSON with its checksum, twice, each renamed into place."""
    body = json.dumps(said, sort_keys=True)
    text = json.dumps({"crc32": f"{zlib.crc32(body.encode()):08x}", "said": said}, indent=1, sort_keys=True)
    for form in COPIES:
        target = folder / form.format(name=name)
        part = target.with_name(target.name + ".part")
        part.write_text(text, encoding="utf-8")
        part.replace(target)


def read(folder: Path, name: str) -> dict | None:
    """What was written under this name, from the first copy that is whole; None where none is."""
    return next((said for form in COPIES if (said := _read(folder / form.format(name=name))) is not None), None)


def damaged(folder: Path, name: str) -> bool:
    """Whether what was written under this name is there, but has to be read from its copy, or not even from that."""
    files = [folder / form.format(name=name) for form in COPIES]
    return any(file.exists() for file in files) and _read(files[0]) is None


def _read(file):
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return stored["said"] if f"{zlib.crc32(json.dumps(stored['said'], sort_keys=True).encode()):08x}" == stored["crc32"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def crc_of(file: Path) -> str:
    """crc32 of a file's bytes."""
    return f"{zlib.crc32(file.read_bytes()):08x}"


class lock:
    """The right to write a run folder, held by one process and dropped by the kernel with it: `with lock(folder):`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __enter__(self):
        self.file = (self.folder / ".lock").open("a")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise refused("The run folder", "to be written by one process at a time", f"{self.folder} in use", "Wait for the other, or stop it") from None
        return self

    def __exit__(self, *_):
        self.file.close()


def check_new(folder: Path) -> None:
    """Refuse a place that is taken or cannot be written; nothing is left there."""
    try:
        if folder.exists():
            raise refused("The run folder", "a path that does not exist yet", str(folder), "Choose another --out, or delete that run first")
        missing = [path for path in folder.parents if not path.exists()]
        folder.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder.parent, os.W_OK)
        for path in missing:
            path.rmdir()
        if not writable:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise refused("The run folder", f"a place to write {folder}", error.strerror, "Choose another --out with space and permission") from None


class whole_folder:
    """A folder that appears under its name only when everything in it was written: `with whole_folder(path) as work:`."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __enter__(self) -> Path:
        check_new(self.folder)
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.work = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}-", dir=self.folder.parent))
            os.chmod(self.work, 0o755)
        except OSError as error:
            raise refused("The run folder", f"a place to write {self.folder}", error.strerror, "Choose another --out with space and permission") from None
        return self.work

    def __exit__(self, kind, error, trace):
        if kind is None:
            os.replace(self.work, self.folder)
            return
        shutil.rmtree(self.work, ignore_errors=True)
        if isinstance(error, OSError):
            raise refused(
                "The run folder", f"to be written to {self.folder}", error.strerror or str(error), "Free some space or choose another --out"
            ) from error
