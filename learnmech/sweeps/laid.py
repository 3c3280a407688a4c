"""Laid: a theory over every point of a sweep, its error and verdict over the knobs: a map of
where it holds."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.comparison.verdicts import Comparison, compare, told_of
from learnmech.errors import Refused, refused
from learnmech.experiment.recipe import Start, landscape_of, prepare
from learnmech.language import catalog, doors
from learnmech.language.display import results
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.machine.late import late
from learnmech.machine.logs import LOG
from learnmech.sweeps.asked import Asked
from learnmech.sweeps.folder import described, load_grid
from learnmech.sweeps.gathered import moving_axis
from learnmech.sweeps.jobs import record_of
from learnmech.sweeps.means import compare_means
from learnmech.sweeps.points import asked_of
from learnmech.theories.base import Theory

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
else:
    xr = late("xarray")

NOT_RUN = "not run"
ROWS = 400


@dataclasses.dataclass(frozen=True)
class GridComparison:
    """A theory laid over every point of a sweep.

    `dataset` holds over the knobs (and `seed`): `verdict` (holds, fails, outside domain, undecided,
    or not run), `why` (the condition that is missing), and by `quantity` too `error`, `tolerance`,
    `measured`, `predicted` and `at_time` as a single comparison has them; NaN where a theory says
    nothing. Of a theory of means over seeds there is one verdict for all seeds, and errors are in
    standard errors.
    """

    theory: str
    source: str
    dataset: "xr.Dataset"

    @property
    def verdicts(self) -> dict[str, int]:
        """{verdict: at how many points}, the most frequent first."""
        return dict(
            Counter(map(str, self.dataset["verdict"].values.ravel().tolist())).most_common()
        )

    @property
    def verdict(self) -> str:
        """The verdict of all points where it is one, else how many there are of each."""
        found = self.verdicts
        return (
            next(iter(found))
            if len(found) == 1
            else ", ".join(f"{count} {word}" for word, count in found.items())
        )

    def plain(self) -> dict:
        """As plain data: a row for every point."""
        data, rows = self.dataset, []
        dims, names = (
            [str(dim) for dim in data["verdict"].dims],
            [str(one) for one in data["quantity"].values],
        )
        for where in np.ndindex(*data["verdict"].shape):
            here = data.isel(dict(zip(dims, where, strict=True)))
            errors = {name: float(here["error"].sel(quantity=name)) for name in names}
            rows.append(
                {
                    "at": {dim: here[dim].item() for dim in dims},
                    "verdict": here["verdict"].item(),
                    "why": here["why"].item(),
                    "errors": errors,
                }
            )
        facts = {
            "theory": self.theory,
            "source": self.source,
            "verdict": self.verdict,
            "verdicts": self.verdicts,
        }
        return facts | {
            "points": len(rows),
            "quantities": names,
            "note": data.attrs.get("note", ""),
            "rows": rows,
        }

    def tables(self) -> tuple[Table, ...]:
        """Every point with its errors and its verdict."""
        return (results.grid_comparison(self.plain(), ROWS),)

    def __str__(self):
        return as_text(*self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables()))

    def figure(self, title: str = "") -> "Figure":
        """The errors over the knobs, every point marked with its verdict, as `lm.show` gives it."""
        return doors.through("regimes", self.dataset, title)


def compare_grid(
    grid: "xr.Dataset | str | Path",
    theory: Theory,
    tolerance: float | dict[str, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> GridComparison:
    """Lay a theory over every point of a sweep's grid, or of its folder: what `compare` says of
    each point run by itself.

    A theory of means over seeds is laid over all seeds of a point together. A refusal within one
    point is said there, undecided, and ends no other; one that all points share is raised.
    """
    if not isinstance(theory, Theory):
        remedy = "Give a theory; two runs are compared by their records"
        raise refused("compare", "a theory to lay over a grid", type(theory).__name__, remedy)
    grid, asked, points = _points_of(grid)
    LOG.info(
        "laying %s over %d points",
        catalog.kebab(type(theory).__name__),
        int(np.prod(grid["reached"].shape)),
    )
    dims = tuple(str(dim) for dim in grid["reached"].dims)
    if theory.over_seeds:
        if grid.sizes.get("seed", 0) < 2:
            remedy = "Sweep with seeds=100, say"
            raise refused(
                type(theory).__name__, "a sweep over two or more seeds", dict(grid.sizes), remedy
            )
        dims = tuple(dim for dim in dims if dim != "seed")
        laid = _laid_over_means(grid, asked, theory, dims)
    else:
        laid = _laid_over_points(grid, asked, theory, tolerance, points)
    shape, found, refusals = tuple(grid.sizes[dim] for dim in dims), {}, []
    for where, one, refusal in laid:
        found[where] = one
        refusals.append(refusal)
        if progress is not None:
            progress(len(found), int(np.prod(shape)))
    there: list[Any] = [
        refusal for refusal, one in zip(refusals, found.values(), strict=True) if one is not None
    ]
    if there and all(isinstance(one, Refused) for one in there):
        raise there[0]
    return GridComparison(
        type(theory).__name__, theory.source, _tabled(found, dims, shape, grid, theory)
    )


def _points_of(grid) -> "tuple[xr.Dataset, Asked, Callable[[tuple[int, ...]], xr.Dataset | None]]":
    """(the grid, what it was made by, {place: what a point's run read}): of a folder the points
    as they are kept."""
    if isinstance(grid, (str, Path)):
        found = described(grid, "compare")
        tables, _, _ = found.tables()
        grid = load_grid(grid)
        shape = grid["reached"].shape
        return (
            grid,
            found.asked(),
            lambda where: tables[int(np.ravel_multi_index(where, shape)) if shape else 0],
        )
    asked = asked_of(grid, "compare")
    missing = [dim for dim in asked.swept if dim not in grid.coords]
    if "reached" not in grid.coords or missing:
        gone = f"one without {', '.join(missing or ['reached'])}"
        remedy = (
            "Give what lm.sweep or lm.load gave, or points of it by sel, before a mean is taken"
        )
        raise refused("compare", "a sweep's grid", gone, remedy)
    axis = moving_axis(grid)

    def table(where):
        one = grid.isel(dict(zip(grid["reached"].dims, where, strict=True)), drop=True)
        one = one.isel({axis: slice(0, int(grid["reached"].values[where]))})
        return one if axis == "time" else one.swap_dims({axis: "time"})

    return grid, asked, table


def _laid_over_points(
    grid, asked, theory, tolerance, points
) -> "Iterator[tuple[tuple[int, ...], Comparison | None, Exception | None]]":
    known: dict[str, Start] = {}
    dims, reached = grid["reached"].dims, grid["reached"].values
    for where in np.ndindex(*reached.shape):
        if not reached[where]:
            yield where, None, None
            continue
        here = grid.isel(dict(zip(dims, where, strict=True)))
        experiment = asked.at({dim: here[dim].item() for dim in asked.swept})
        key = landscape_of(experiment)
        start = prepare(experiment, like=known.get(key))
        known.setdefault(key, start)
        raised: list[Exception] = []

        def lay(start=start, where=where, raised=raised):
            try:
                lost = "diverged_at" in grid.coords and np.isfinite(
                    grid["diverged_at"].values[where]
                )
                seen = record_of(start, asked.watch, points(where), bool(lost))
                return compare(seen, theory, tolerance)
            except Exception as error:
                raised.append(error)
                raise

        yield where, told_of(theory, lay), next(iter(raised), None)


def _laid_over_means(
    grid, asked, theory, dims
) -> "Iterator[tuple[tuple[int, ...], Comparison | None, Exception | None]]":
    for where in np.ndindex(*(grid.sizes[dim] for dim in dims)):
        here = grid.isel(dict(zip(dims, where, strict=True)))
        if not here["reached"].values.all():
            yield where, None, None
            continue
        labels = {dim: here[dim].values.flat[0].item() for dim in asked.swept}
        raised: list[Exception] = []

        def lay(here=here, labels=labels, raised=raised):
            try:
                return compare_means(asked.at(labels), here, theory)
            except Exception as error:
                raised.append(error)
                raise

        yield where, told_of(theory, lay), next(iter(raised), None)


def _tabled(found, dims, shape, grid, theory) -> "xr.Dataset":
    names = list(
        dict.fromkeys(row.quantity for one in found.values() if one is not None for row in one.rows)
    )
    numbers = {
        name: np.full((*shape, len(names)), np.nan)
        for name in ("error", "tolerance", "measured", "predicted", "at_time")
    }
    verdicts, why = np.full(shape, NOT_RUN, object), np.full(shape, "", object)
    for where, one in found.items():
        if one is None:
            continue
        verdicts[where], why[where] = one.verdict, one.words.partition(": ")[2]
        for row in one.rows:
            for name in numbers:
                numbers[name][(*where, names.index(row.quantity))] = getattr(
                    row, "time" if name == "at_time" else name
                )
    coords = {dim: grid[dim].values for dim in dims} | {"quantity": np.array(names, str)}
    variables = {"verdict": (dims, verdicts.astype(str)), "why": (dims, why.astype(str))}
    variables |= {name: ((*dims, "quantity"), values) for name, values in numbers.items()}
    scale = (
        "standard errors of the mean"
        if theory.over_seeds
        else "relative to the quantity's own scale"
    )
    attributes = {
        "theory": type(theory).__name__,
        "source": theory.source,
        "error": scale,
        "note": str(grid.attrs.get("note", "")),
    }
    scalars = {
        dim: grid[dim].item()
        for dim in grid.coords
        if grid[dim].ndim == 0 and dim not in ("reached", "diverged_at", "time", "step")
    }
    return xr.Dataset(variables, coords | scalars, attributes)
