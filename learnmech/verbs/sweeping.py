"""The folders of sweeps as `learnmech runs` lists and deletes them."""

import re
from pathlib import Path, PurePath

from learnmech.errors import Refused, refused
from learnmech.record import bounds, sealed
from learnmech.record.folder import SWEEP
from learnmech.sweeps.folder import POINTS, described
from learnmech.verbs import folders

# What the folder of a sweep holds beside the files that its sweep.json lists, and what its points
# and theories are called.
OURS = re.compile(
    r"(\.(sweep|gathered)\.json\.copy|(sweep|gathered)\.json|\.?(report\.html|figure\.svg)|\.?sweep(-\d+)?\.nc|experiment\.toml|[0-9a-f]{16}\.npy)(\.part)?"
    r"|\.lock|\.writing\.lock|\.client(\.lock|\.part)?|points|compared|data|parts"
)
WITHIN = {
    POINTS: re.compile(r"[0-9a-f]{32}\.point(\.part)?|\.[0-9a-f]{32}\.lock"),
    "compared": re.compile(r"[a-z0-9-]+\.laid(\.part)?"),
}


def entry(folder: Path) -> dict:
    """The folder of a sweep in one line: how many of its points are kept; one of another make
    says so, and never hides the others."""
    shown = {
        "kind": "sweep",
        "folder": str(folder),
        "made": "",
        "bytes": folders.size_of(folder),
        "verdicts": [],
        "fingerprint": "",
        "parent": None,
    }
    try:
        found = described(folder, "runs")
    except Refused:
        return shown | {
            "verdicts": ["damaged" if sealed.read(folder, SWEEP) is None else "of another make"]
        }
    said = found.said
    compared = sorted(file.stem for file in (folder / "compared").glob("*.laid"))
    told = {
        "made": said["made"],
        "fingerprint": said["fingerprint"],
        "verdicts": [f"with {', '.join(compared)}"] if compared else [],
    }
    return shown | told | {"points": {"kept": found.counted(), "of": found.size}}


def delete(folder: Path) -> None:
    """Delete the folder of a sweep: one whose sweep.json agrees with its checksum, that holds
    nothing but what a sweep writes, and in which no process is working."""
    if bounds.kind_of(folder) == "link":
        raise refused(
            "runs",
            "the folder of a sweep to delete",
            f"{folder}, a link",
            "Delete the folder that it names, or the link itself by hand",
        )
    folder = folder.resolve()
    try:
        said = described(folder, "runs").said
    except Refused:
        got = f"{folder}, whose {SWEEP} is missing, of another make or damaged"
        raise refused(
            "runs", "the folder of a sweep of learnmech to delete", got, "Delete it by hand"
        ) from None
    bounds.check_own(folder)
    folders.take_away(folder, next(_foreign(folder, said), None), "a sweep")


def _foreign(folder: Path, said: dict):
    """What stands in the folder of a sweep and was not written by one."""
    listed = {PurePath(name) for name in said["files"]}
    for path in sorted(folder.iterdir()):
        if not OURS.fullmatch(path.name):
            yield path
        elif path.name in WITHIN:
            yield from (
                one for one in sorted(path.iterdir()) if not WITHIN[path.name].fullmatch(one.name)
            )
        elif path.is_dir():  # the copies of data and of own code
            files = (one for one in sorted(path.rglob("*")) if one.is_file())
            yield from (
                one
                for one in files
                if one.relative_to(folder) not in listed and not one.name.endswith(".part")
            )
