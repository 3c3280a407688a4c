"""Bounds: what is written to or deleted from a run folder is never outside of it, and never behind
a link."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from learnmech.errors import refused


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
