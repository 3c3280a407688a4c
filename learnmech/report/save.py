"""Reports of what is in hand: a record, a comparison, an exhibit as performed or a sweep's grid,
as one file."""

from pathlib import Path
from typing import TYPE_CHECKING

from learnmech.comparison.domains import applying, survey
from learnmech.comparison.verdicts import compare
from learnmech.data.card import DataCard
from learnmech.errors import refused
from learnmech.figures.swept import is_grid
from learnmech.gallery.base import Exhibit, Shown
from learnmech.machine.late import late
from learnmech.record.base import Record
from learnmech.record.sealed import appear, check_absent, written
from learnmech.report.card import data_page
from learnmech.report.frame import untitled
from learnmech.report.grid import grid_page
from learnmech.report.page import page

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")


def save(
    what: "Record | Shown | xr.Dataset | DataCard",
    file: str | Path,
    theories: "tuple | None" = None,
    title: str = "",
) -> Path:
    """One self-contained page of a record, of an exhibit as performed (`gallery.base.perform`), of
    a sweep's Dataset or of a data card; the path written.

    Over a record are laid the `theories` given (None: all that apply and speak of what was
    watched), over every point of a grid those that are given. Refuses a file that exists and a name
    that does not end in .html.
    """
    file = check_page(file)
    with written("report", file):
        page = _written(what, theories, title or file.stem)
        appear(lambda part: part.write_text(page, encoding="utf-8"), file)
    return file


def check_page(file: str | Path) -> Path:
    """The path of a page to be written; refuses a name that does not end in .html, and a file
    that is there."""
    file = Path(file)
    if file.suffix not in (".html", ".htm"):
        raise refused(
            "report",
            "a file ending in .html",
            str(file),
            "Write for example record.report('run.html')",
        )
    check_absent("report", file)
    return file


def _written(what, theories, title) -> str:
    if isinstance(what, Shown):
        return page(what, untitled(what.figure()))
    if isinstance(what, DataCard):
        return data_page(what)
    if isinstance(what, Record):
        shown, surveyed = shown_of(what, theories, title)
        return page(shown, untitled(shown.figure()), surveyed)
    if isinstance(what, xr.Dataset) and is_grid(what):
        return grid_page(what, title, tuple(compare(what, theory) for theory in theories or ()))
    remedy = "Give what lm.run or lm.sweep gives"
    raise refused(
        "report",
        "a record, an exhibit as performed, a sweep's Dataset or a data card",
        type(what).__name__,
        remedy,
    )


def shown_of(
    record: Record, theories: "tuple | None" = None, title: str = ""
) -> tuple[Shown, dict | None]:
    """(a record with theories laid over it, as an exhibit of its own; what was found of every
    theory's conditions, where it was asked)."""
    start, surveyed = record.start, None
    if theories is None:
        surveyed = survey(start)
        theories = applying(start, record.watch, surveyed)
    exhibit = Exhibit(
        claim=title,
        source="",
        experiment=lambda: record.experiment,
        watch=record.watch,
        theories=tuple(theories),
    )
    return Shown(
        exhibit, record.experiment, record, tuple(compare(record, theory) for theory in theories)
    ), surveyed
