"""The data command: the card of data, before anything is trained."""

from pathlib import Path

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.data.base import Data
from learnmech.data.card import data_card
from learnmech.data.images import KNOWN
from learnmech.errors import nearest, refused
from learnmech.language import catalog, text
from learnmech.language.display.table import Mark
from learnmech.record import sealed
from learnmech.verbs import folders
from learnmech.verbs.forks import DRAWN, drawn_out
from learnmech.verbs.subjects import changes_of, subject_of
from learnmech.verbs.works import ready

SETS = ("wine", "breast-cancer", "iris", "diabetes")
LETTERS = (".fasta", ".fa", ".faa", ".fna", ".fas")


def data(
    subject: str, changes: list[str], kernel: int | None, ridge: float, out: Path | None
) -> dict:
    """What a learner meets in data, as plain data, and its figure or its page in a file."""
    ready()
    source, name = source_of(subject, changes_of(changes))
    target = folders.free(folders.RUNS / f"data-{name}", ".png") if out is None else Path(out)
    if target.suffix not in (*DRAWN, ".html"):
        what = f"a file ending in {', '.join(DRAWN)} or .html"
        raise refused("--out", what, str(target), "Choose another name")
    sealed.check_absent("--out", target)
    if kernel is not None and kernel < 1:
        raise refused("--kernel", "hidden layers, 1 or more", kernel, "Raise it")
    network = (
        None
        if kernel is None
        else Mlp(hidden=(1,) * kernel, activation="relu", scaling=NTK())  # of infinite width
    )
    card = data_card(source, network, ridge, subject)
    if out is None:
        target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".html":
        card.report(target)
    else:
        drawn_out(card.figure(), target)
    tables = [
        table._asdict()
        | {"rows": [[_cell(cell) for cell in row] for row in table.rows], "verdict": None}
        for table in card.tables_shown()
    ]
    found = {key: value for key, value in card.plain().items() if not isinstance(value, np.ndarray)}
    return found | {"name": subject, "tables": tables, "file": str(target)}


def _cell(cell):
    return {"mark": cell.word} if isinstance(cell, Mark) else cell


def source_of(subject: str, changes: dict) -> tuple[Data, str]:
    """(source, short name) that is meant: an exhibit's or that of a TOML file; a kind of the
    catalogue; a set that is known by its name; or a file or folder of one's own."""
    path = Path(subject)
    kinds = catalog.members("data")
    if subject.endswith(".toml") or subject in catalog.exhibits():
        own = {f"data.{knob.removeprefix('data.')}": value for knob, value in changes.items()}
        name, exhibit, knobs = subject_of(subject, own, False)
        return exhibit.changed(knobs).data, name
    if subject in KNOWN:
        table = {"kind": "images", "path": subject}
    elif subject in SETS:
        table = {"kind": "bundled", "name": subject}
    elif subject in kinds:
        table = {"kind": subject}
    elif path.is_dir():
        table = {"kind": "images", "path": subject}
    elif path.is_file():
        table = {"kind": _kind_of(path), "path": subject}
    else:
        names = [*kinds, *KNOWN, *SETS, *catalog.exhibits()]
        raise refused(
            "data",
            "a kind of data, an exhibit, a TOML file, or a file or folder of data",
            repr(subject),
            nearest(subject, names),
        )
    written = table | {knob.removeprefix("data."): value for knob, value in changes.items()}
    return text.part_of(Data, written), path.name if path.exists() else subject


def _kind_of(path):
    names = {one.lower() for one in path.suffixes}
    if names & set(LETTERS):
        return "sequences"
    return "images" if ".bin" in names or "images" in path.name else "file"
