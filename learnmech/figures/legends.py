"""Legends: put where they cover nothing, beside their axes where there is no such place within."""

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

INSIDE = (
    "upper right", "upper left", "lower left", "lower right", "center right", "center left",
    "upper center", "lower center", "center",
)  # fmt: skip
PASSES = 4
PAD = 3  # pixels kept free about a legend


def cleared(figure: "Figure") -> "Figure":
    """The figure laid out, with every legend off the curves, marks and words of its axes.

    Looked for in pixels: matplotlib's own `best` takes the least bad of nine places. Laying out
    takes as long as drawing, so it is done once here and not again each time that the figure is
    drawn.
    """
    for _ in range(PASSES):
        laid_out(figure)
        if not _moved(figure):
            break
    _left_so(figure)
    return figure


def fixed(figure: "Figure") -> None:
    """Lay the figure out, if it has a layout that was not made yet, and leave it so."""
    if figure.get_layout_engine() is not None:
        laid_out(figure)
        _left_so(figure)


def _left_so(figure):
    """Without a layout: also beside the one called none, Matplotlib draws a figure twice to save
    it, once in vain."""
    from matplotlib import rc_context

    with rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)


def _moved(figure: "Figure") -> bool:
    """Every legend that covers something moved; whether one went beside its axes, which makes
    all axes of the figure narrower and their legends cover more."""
    moved = False
    for axis in figure.axes:
        legend = axis.get_legend()
        if legend is None or not axis.axison:
            continue
        legend.set_frame_on(False)
        box, drawn = legend.get_window_extent(), _drawn(axis)
        if not _covers(box, drawn):
            continue
        spot = next(
            (spot for spot in INSIDE if not _covers(_at(spot, box, axis.bbox), drawn)), None
        )
        if spot is not None and box.width < axis.bbox.width and box.height < axis.bbox.height:
            legend.set_bbox_to_anchor(None)
            legend.set_loc(spot)  # type: ignore[arg-type]  # one of INSIDE, all of them places that it knows
        else:
            beside(axis)
            moved = True
    return moved


def laid_out(figure: "Figure") -> None:
    """The figure's layout, made now."""
    engine = figure.get_layout_engine()
    if engine is not None:
        with any_letter():
            engine.execute(figure)


@contextlib.contextmanager
def any_letter():
    """Within it nothing is said of letters that the font has not: whoever looks at the page has
    them, or not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def beside(axis: "Axes") -> None:
    """The legend of these axes to their right; the layout makes room for it."""
    legend: Any = axis.get_legend()
    legend.set_loc("upper left")
    legend.set_bbox_to_anchor((1.0, 1.0), transform=axis.transAxes)
    legend.borderaxespad = 0.3


def _at(spot: str, box: "Bbox", axes: "Bbox") -> "Bbox":
    """Where a box of that size stands at a named place of the axes."""
    from matplotlib.transforms import Bbox

    pad = 6
    x = {"left": axes.x0 + pad, "right": axes.x1 - pad - box.width}.get(
        spot.split()[-1], (axes.x0 + axes.x1 - box.width) / 2
    )
    y = {"upper": axes.y1 - pad - box.height, "lower": axes.y0 + pad}.get(
        spot.split()[0], (axes.y0 + axes.y1 - box.height) / 2
    )
    return Bbox.from_bounds(x, y, box.width, box.height)


def _drawn(axis) -> list:
    """What is drawn on these axes in pixels: (path, whether its inside counts, whether only its
    corners do)."""
    from matplotlib.collections import PathCollection, QuadMesh

    found = []
    for line in axis.get_lines():
        path = line.get_transform().transform_path(line.get_path())
        found.append((path, False, line.get_linestyle() in ("None", "none", "", " ")))
    for collection in axis.collections:
        if isinstance(collection, QuadMesh):
            continue
        if isinstance(collection, PathCollection):
            corners = collection.get_offset_transform().transform(collection.get_offsets())
            found.append((_points(corners), False, True))
        else:
            into = collection.get_transform()
            found += [(into.transform_path(path), True, False) for path in collection.get_paths()]
    for patch in axis.patches:
        found.append((patch.get_transform().transform_path(patch.get_path()), True, False))
    for words in axis.texts:
        box = words.get_window_extent()
        found.append((_points(box.corners()[[0, 1, 3, 2]]), True, False))
    return found


def _points(corners):
    from matplotlib.path import Path

    return Path(np.asarray(corners, float))


def _covers(box, drawn) -> bool:
    from matplotlib.transforms import Bbox

    wide = Bbox.from_extents(box.x0 - PAD, box.y0 - PAD, box.x1 + PAD, box.y1 + PAD)
    for path, filled, corners in drawn:
        if corners:
            x, y = path.vertices.T
            if ((x > wide.x0) & (x < wide.x1) & (y > wide.y0) & (y < wide.y1)).any():
                return True
        elif len(path.vertices) and path.intersects_bbox(wide, filled=filled):
            return True
    return False
