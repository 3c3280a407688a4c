"""Compare: seen and said on one axis; an error per quantity, the conditions, and a verdict by a stated rule."""

import dataclasses
import fnmatch
from collections.abc import Iterable

import jax
import numpy as np

from learnmech import catalog, doors
from learnmech.display import plain, results
from learnmech.display.table import Table, as_html, as_text, boxed
from learnmech.errors import Refused, refused
from learnmech.experiment import Experiment, Start, prepare
from learnmech.instruments.base import Instrument
from learnmech.late import late
from learnmech.logs import LOG
from learnmech.record.base import Record
from learnmech.theories.base import Condition, Theory

xr = late("xarray")

RULE = (
    "error = max |measured - predicted| / max |predicted| over all marks and entries. holds: every condition holds and every error is within its tolerance; "
    "fails: every condition holds and an error is not; outside domain: a condition does not hold."
)


@dataclasses.dataclass(frozen=True)
class Check:
    """One number measured against one predicted.

    `bound` says how: `within` the tolerance (relative to predicted, absolute where that is 0), `below` or `above` predicted.
    """

    claim: str
    measured: float
    predicted: float
    tolerance: float
    reason: str
    bound: str = "within"

    @property
    def error(self) -> float:
        """|measured - predicted| / |predicted|."""
        gap = abs(self.measured - self.predicted)
        return gap / abs(self.predicted) if self.predicted else gap

    @property
    def holds(self) -> bool:
        """Whether the number is where the claim puts it."""
        if self.bound == "below":
            return self.measured < self.predicted
        if self.bound == "above":
            return self.measured > self.predicted
        return self.error <= self.tolerance


@dataclasses.dataclass(frozen=True)
class Row:
    """One quantity: measured and predicted where they differ most, at that time, and the error relative to the quantity's scale."""

    quantity: str
    measured: float
    predicted: float
    time: float
    error: float
    tolerance: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Seen laid against said: a row per quantity, the conditions as decided, and the verdict of the whole."""

    theory: str
    source: str
    rows: tuple[Row, ...]
    conditions: tuple[Condition, ...]
    seen: "dict[str, xr.DataArray]"
    said: "xr.Dataset"

    @property
    def verdict(self) -> str:
        """`holds`, `fails` or `outside domain`."""
        if not all(condition.holds for condition in self.conditions):
            return "outside domain"
        return "holds" if all(row.error <= row.tolerance for row in self.rows) else "fails"

    def tables(self) -> tuple[Table, ...]:
        """Its rows and its conditions, as the command line prints them."""
        said = plain.comparison(self)
        return results.comparison(said), results.conditions(said["conditions"])

    def __str__(self):
        return as_text(*self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables()))

    def show(self, title: str = "") -> "Figure":
        """Measured laid over predicted, as `lm.show(comparison)` gives it."""
        return doors.through("show", self, title)

    def row(self, quantity: str) -> Row:
        """The row of one quantity."""
        return next(row for row in self.rows if row.quantity == quantity)


def compare(record: Record, other: Theory | Record, tolerance: float | dict[str, float] | None = None) -> Comparison:
    """A record against a theory, or against another record. `tolerance` overrides the theory's, for all quantities or by name.

    A theory that cannot speak of this experiment gives a comparison without rows, outside its domain.
    """
    if isinstance(other, Record):
        said, conditions, name, source = other.dataset, (), "another run", other.provenance["fingerprint"][:12]
        default = 1e-6
    else:
        if other.over_seeds:
            remedy = "Sweep over seeds and use comparison.compare_means"
            raise refused(type(other).__name__, "a mean over many seeds", "one run", remedy)
        LOG.info("laying %s", catalog.kebab(type(other).__name__))
        start = prepare(record.experiment)
        conditions = tuple(_decided(c, record) for c in other.conditions(start))
        # float32 keeps 1e-7, which growth out of a saddle amplifies: a hundred times that is what it can show
        name, source, default = type(other).__name__, other.source, max(other.tolerance, 100 * float(np.finfo(record.experiment.precision).eps))
        try:
            said = other.predict(start)
        except Refused:
            if all(c.holds for c in conditions):
                raise
            return Comparison(name, source, (), conditions, {}, xr.Dataset())
    common = [str(q) for q in said.data_vars if q in record and said[q].dtype.kind == "f"]
    if not common:
        raise refused("compare", f"a quantity both sides have ({', '.join(map(str, said.data_vars))})", ", ".join(record.names), "Watch one of them")
    rows, seen = [], {}
    for quantity in common:
        bound = tolerance.get(quantity, default) if isinstance(tolerance, dict) else (default if tolerance is None else tolerance)
        seen[quantity] = other.beside(record[quantity]) if isinstance(other, Theory) else record[quantity]
        rows.append(_row(quantity, seen[quantity], said[quantity], bound))
    marks = len(record.course.places)
    reached = max(int(np.isfinite(one.values).reshape(len(one), -1).any(axis=1).sum()) if "time" in one.dims else 2 for one in map(record.__getitem__, common))
    if reached < min(2, marks):
        conditions += (Condition("the run went on beyond its first mark", reached, f"2 of {marks} marks", False),)
    return Comparison(name, source, tuple(rows), conditions, seen, said)


def compare_means(experiment: Experiment, grid: "xr.Dataset", theory: Theory) -> Comparison:
    """A sweep over seeds against a theory of the mean. Errors and tolerance are in standard errors of the mean.

    The prediction is averaged over the seeds' own starts where it depends on them.
    Where every seed agrees (no spread), seen and said must be equal to round-off.
    """
    if grid.sizes.get("seed", 0) < 2:
        raise refused("compare_means", "a Dataset over two or more seeds", dict(grid.sizes), "Sweep with seeds=100, say")
    seeds = [int(seed) for seed in grid["seed"].values]
    first = prepare(dataclasses.replace(experiment, seed=seeds[0]))
    starts = [first, *(prepare(dataclasses.replace(experiment, seed=seed), like=first) for seed in seeds[1:] if theory.from_start)]
    same = all(np.array_equal(a, b) for one in starts[1:] for a, b in zip(*(jax.tree.leaves(s.params) for s in (one, first)), strict=True))
    said = [theory.predict(start) for start in (starts[:1] if same else starts)]
    conditions, rows, seen, means = theory.conditions(first), [], {}, {}
    for quantity in [str(q) for q in said[0].data_vars if q in grid]:
        seen[quantity] = grid[quantity].mean("seed", keep_attrs=True)
        means[quantity] = xr.concat([one[quantity] for one in said], "seed").mean("seed", keep_attrs=True)
        spread = (grid[quantity].std("seed", ddof=1) / np.sqrt(grid.sizes["seed"])).values
        gap, scale = np.abs(seen[quantity].values - means[quantity].values), np.abs(means[quantity].values).max()
        still = spread <= 1e-9 * scale
        error = np.where(still, np.where(gap <= 1e-9 * scale, 0.0, np.inf), gap / np.where(still, 1.0, spread))
        where = np.unravel_index(int(np.argmax(error)), error.shape)
        time = float(seen[quantity]["time"][where[0]])
        row = float(seen[quantity].values[where]), float(means[quantity].values[where]), time, float(error[where])
        rows.append(Row(quantity, *row, theory.tolerance, "within" if row[-1] <= theory.tolerance else "beyond"))
    return Comparison(type(theory).__name__, theory.source, tuple(rows), tuple(conditions), seen, xr.Dataset(means))


def foretold(theory: Theory, instrument: Instrument, start: Start) -> bool:
    """Whether a theory predicts a quantity that this instrument reads here."""
    names = [q.name for q in instrument.quantities(start.system, start.state.params)]
    return any(fnmatch.fnmatch(name, said) for name in names for said in theory.predicts)


def watching(theories: Iterable[Theory], start: Start) -> tuple[Instrument, ...]:
    """The instruments of the catalogue, at their defaults, that read what these theories predict here."""
    chosen, theories = [], tuple(theories)
    for kind in catalog.members("instruments"):
        instrument = catalog.find("instruments", kind)()
        try:
            instrument.check(start.system)
            if any(foretold(theory, instrument, start) for theory in theories):
                chosen.append(instrument)
        except Refused:  # it cannot look at this system
            continue
    return tuple(chosen)


def _decided(condition: Condition, record: Record) -> Condition:
    if condition.seen is None:
        return condition
    value, holds = condition.seen(record.dataset)
    return condition._replace(value=value, holds=bool(holds))


def matched(seen: "xr.DataArray", said: "xr.DataArray") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(times, seen, said) at the times and labels both sides have; a prediction that stands still is held against the last mark seen."""
    if "time" not in said.dims:
        last = seen.isel(time=-1) if "time" in seen.dims else seen
        return np.atleast_1d(float(last["time"]))[:1], last.values[None], said.values[None]
    bare = [d for d in {*seen.dims, *said.dims} if d not in seen.coords or d not in said.coords]  # axes without labels are held to one shape below
    seen, said = xr.align(seen, said, join="inner", exclude=["time", *bare])
    here, there = _common(seen, said)
    if len(here) < min(2, seen.sizes["time"], said.sizes["time"]):
        found = f"{len(here) or 'none'} of {seen.sizes['time']} in common"
        raise refused("compare", "marks both sides have, and more than one", found, "Run both on the same clock, and at one rate where it counts steps")
    return seen["time"].values[here], seen.values[here], said.values[there]


def _common(seen, said):
    """Where the marks are that both sides have: by step where the same steps are at the same times, since time may stand still; by time otherwise."""
    if "step" in seen.coords and "step" in said.coords:
        _, here, there = np.intersect1d(seen["step"].values, said["step"].values, return_indices=True)
        if np.array_equal(seen["time"].values[here], said["time"].values[there]):
            return here, there
    return np.intersect1d(seen["time"].values, said["time"].values, return_indices=True)[1:]


def relative_error(seen: np.ndarray, said: np.ndarray) -> tuple[float, tuple[int, ...]]:
    """(max |seen - said| / max |said|, where it is largest): relative to the quantity's own scale. Entries NaN on either side are left out."""
    both = np.isfinite(seen) & np.isfinite(said)
    if not both.any():
        return float("inf"), (0,) * seen.ndim
    gap = np.full(seen.shape, -1.0)
    gap[both] = np.abs(seen[both] - said[both])
    where = np.unravel_index(int(np.argmax(gap)), gap.shape)
    scale = np.abs(said[both]).max()
    return float(gap[where] / scale) if scale > 0 else float(gap[where]), tuple(int(i) for i in where)


def _row(quantity, seen, said, tolerance):
    times, measured, predicted = matched(seen, said)
    if measured.shape != predicted.shape:
        raise refused("compare", f"{quantity} of one shape on both sides", f"{measured.shape} and {predicted.shape}", "Watch the same entries")
    error, where = relative_error(measured, predicted)
    verdict = "within" if error <= tolerance else "beyond"
    return Row(quantity, float(measured[where]), float(predicted[where]), float(times[where[0]]), error, tolerance, verdict)
