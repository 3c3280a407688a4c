"""Files: what a file or a folder holds, as one sha256."""

import hashlib
from pathlib import Path


def files_in(folder: Path) -> list[Path]:
    """Every file beneath a folder, in the order of their names; none that is hidden."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        (
            path
            for path in found
            if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        ),
        key=lambda path: path.relative_to(folder).as_posix(),
    )


def sha256_of(path: Path) -> str:
    """That of a file's bytes; of a folder that of the names of its files and the sha256 of each."""
    if path.is_file():
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    whole = hashlib.sha256()
    for one in files_in(path):
        whole.update(f"{sha256_of(one)}  {one.relative_to(path).as_posix()}\n".encode())
    return whole.hexdigest()
