"""The report: what was run, measured and predicted on one self-contained page with nothing fetched,
complete without scripts, to be scrubbed and zoomed with them."""

from learnmech.report.grid import grid_page, knobs_of, table_of, write_grid
from learnmech.report.page import conventions, page, write
from learnmech.report.save import check_page, save

__all__ = [
    "check_page",
    "conventions",
    "grid_page",
    "knobs_of",
    "page",
    "save",
    "table_of",
    "write",
    "write_grid",
]
