"""Compare: seen and said on one axis; an error per quantity, the conditions, and a verdict by a
stated rule."""

import dataclasses
import fnmatch
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from learnmech.errors import Refused, nearest, refused
from learnmech.experiment.recipe import Start, prepare
from learnmech.instruments.base import Instrument
from learnmech.language import catalog, doors, text
from learnmech.language.display import plain, results
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.machine.late import late
from learnmech.machine.logs import LOG
from learnmech.record.base import Record
from learnmech.record.folder import is_sweep, load
from learnmech.theories.base import Condition, Theory

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
else:
    xr = late("xarray")

RULE = (
    "error = max |measured - predicted| / max |predicted| over all marks and entries (|measured -"
    " predicted| itself where all that is predicted is 0). holds: every condition holds and every"
    " error is within its tolerance; fails: every condition holds and an error is not; outside"
    " domain: a condition does not hold; undecided: it could not be decided whether one holds, or"
    " there was nothing to compare."
)
# a size at which squares are about to overflow: where what is said has grown beyond it, it says
# that the run diverges
FARTHEST = 1e150


@dataclasses.dataclass(frozen=True)
class Check:
    """One number measured against one predicted.

    `bound` says how: `within` the tolerance (relative to predicted, absolute where that is 0),
    `below` or `above` predicted. `premises` are what it takes for the claim to be one here;
    `reached` is whether the run came as far as it looks.
    """

    claim: str
    measured: float
    predicted: float
    tolerance: float
    reason: str
    bound: str = "within"
    premises: tuple[Condition, ...] = ()
    reached: bool = True

    @property
    def error(self) -> float:
        """|measured - predicted| / |predicted|."""
        gap = abs(self.measured - self.predicted)
        return gap / abs(self.predicted) if self.predicted else gap

    @property
    def verdict(self) -> str:
        """`outside domain` or `undecided` where a premise does not hold or is not known to, `not
        reached` within the clock, else `holds` or `fails`; `undecided` where a number is none."""
        judged = _by_conditions(self.premises)
        if judged is not None:
            return judged
        if not self.reached:
            return "not reached"
        if any(math.isnan(x) for x in (self.measured, self.predicted, self.tolerance)):
            return "undecided"
        return "holds" if self._met() else "fails"

    def _met(self):
        if self.bound == "below":
            return self.measured < self.predicted
        if self.bound == "above":
            return self.measured > self.predicted
        return self.error <= self.tolerance

    @property
    def holds(self) -> bool:
        """Whether the number is where the claim puts it, and the claim is one here."""
        return self.verdict == "holds"

    @property
    def words(self) -> str:
        """The verdict in words, with the premise that is missing: `outside domain: two layers: 4
        (bound 2)`, `not reached within the clock`."""
        verdict = self.verdict
        if verdict == "not reached":
            return "not reached within the clock"
        missing = [
            one.words
            for one in self.premises
            if not one.holds and one.decided == (verdict == "outside domain")
        ]
        return f"{verdict}: {missing[0]}" if missing else verdict


def _by_conditions(conditions) -> str | None:
    """The verdict where conditions alone give it: outside domain where one is decided not to
    hold, undecided where one is not known to."""
    missing = [condition for condition in conditions if not condition.holds]
    if not missing:
        return None
    return "outside domain" if any(condition.decided for condition in missing) else "undecided"


@dataclasses.dataclass(frozen=True)
class Row:
    """One quantity: measured and predicted where they differ most, at that time, and the error
    relative to the quantity's scale."""

    quantity: str
    measured: float
    predicted: float
    time: float
    error: float
    tolerance: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Seen laid against said: a row per quantity, the conditions as decided, and the verdict of
    the whole."""

    theory: str
    source: str
    rows: tuple[Row, ...]
    conditions: tuple[Condition, ...]
    seen: "dict[str, xr.DataArray]"
    said: "xr.Dataset"

    @property
    def verdict(self) -> str:
        """`holds`, `fails`, `outside domain` or `undecided`, by RULE."""
        judged = _by_conditions(self.conditions)
        if judged is not None:
            return judged
        found = {row.verdict for row in self.rows}
        if "beyond" in found:
            return "fails"
        return "holds" if found == {"within"} else "undecided"

    @property
    def words(self) -> str:
        """The verdict in words; outside the domain, or undecided, with the first condition that
        is missing."""
        verdict = self.verdict
        missing = [
            one.words
            for one in self.conditions
            if not one.holds and one.decided == (verdict == "outside domain")
        ]
        return f"{verdict}: {missing[0]}" if missing else verdict

    def remark(self, quantity: str) -> str:
        """What to write beside one quantity in a figure: its error; where the theory does not
        speak of this run no number, which would read as its fault."""
        verdict = self.verdict
        if verdict == "outside domain":
            return "outside the theory's domain"
        row = self.row(quantity)
        if verdict == "undecided" or row.verdict == "undecided":
            return "undecided"
        return f"error {row.error:.1g}"

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


@overload
def compare(
    record: Record,
    other: Theory | Record | str | Path,
    tolerance: float | dict[str, float] | None = None,
) -> Comparison: ...
@overload
def compare(
    record: "xr.Dataset | str | Path",
    other: Theory | Record | str | Path,
    tolerance: float | dict[str, float] | None = None,
) -> Any: ...


def compare(
    record: "Record | xr.Dataset | str | Path",
    other: Theory | Record | str | Path,
    tolerance: float | dict[str, float] | None = None,
):
    """A record against a theory, or against another record. `tolerance` overrides the theory's, for
    all quantities or by name.

    Both may be given by their folders, and a theory by its name. A sweep's grid (or its folder)
    against a theory is compared point by point, and gives the verdict of each: a map of where the
    theory holds. A theory that cannot speak of this experiment gives a comparison without rows,
    outside its domain; so does one whose prediction would take as long as a run, where a condition
    fails.
    """
    other = _against(other)
    if isinstance(record, (str, Path)) and not is_sweep(record):
        record = load(record)
    if isinstance(record, (str, Path, xr.Dataset)):
        return doors.through("compare_grid", record, other, tolerance)
    if not isinstance(record, Record):
        remedy = "Give what lm.run or lm.sweep give, or the folder of either"
        raise refused(
            "compare",
            "a record, a sweep's grid, or the folder of either",
            type(record).__name__,
            remedy,
        )
    # float32 keeps 1e-7, which growth out of a saddle amplifies: a hundred times that is what it
    # can show; a flow no more than its solver keeps
    rule = record.experiment.rule
    resolution = 100 * max(
        float(np.finfo(record.experiment.precision).eps), float(rule.rtol) if rule.flows else 0.0
    )
    if isinstance(other, Record):
        conditions: tuple[Condition, ...] = ()
        said, name, source = other.dataset, "another run", other.provenance["fingerprint"][:12]
        default = 1e-6
    else:
        if other.over_seeds:
            remedy = (
                "Sweep over seeds, and lay it over that: lm.compare(grid, theory), or"
                " lm.compare_means"
            )
            raise refused(type(other).__name__, "a mean over many seeds", "one run", remedy)
        LOG.info("laying %s", catalog.kebab(type(other).__name__))
        start = record.prepared[0].start if record.prepared else prepare(record.experiment)
        conditions = tuple(_decided(c, record) for c in other.conditions(start))
        name, source, default = type(other).__name__, other.source, max(other.tolerance, resolution)
        if other.dear and not all(c.holds for c in conditions):
            return Comparison(name, source, (), conditions, {}, xr.Dataset())
        try:
            said = other.predict(start)
        except Refused as refusal:
            if all(c.holds for c in conditions):
                conditions += (Condition("it can say something here", str(refusal), "so", False),)
            return Comparison(name, source, (), conditions, {}, xr.Dataset())
    common = [str(q) for q in said.data_vars if q in record and said[q].dtype.kind == "f"]
    if not common:
        raise refused(
            "compare",
            f"a quantity both sides have ({', '.join(map(str, said.data_vars))})",
            ", ".join(record.names),
            "Watch one of them",
        )
    rows, seen, lost = [], {}, any(note.startswith("diverged") for note in record.notes)
    for quantity in common:
        bound = (
            tolerance.get(quantity, default)
            if isinstance(tolerance, dict)
            else (default if tolerance is None else tolerance)
        )
        seen[quantity] = (
            other.beside(record[quantity]) if isinstance(other, Theory) else record[quantity]
        )
        rows.append(
            _row(quantity, _gone(seen[quantity]) if lost else seen[quantity], said[quantity], bound)
        )
    conditions += _went_on(record, said, common)
    return Comparison(name, source, tuple(rows), conditions, seen, said)


def _against(other) -> "Theory | Record":
    """The theory or the record that is meant, by itself, by its name or by its folder."""
    if isinstance(other, (str, Path)):
        kinds = catalog.members("theories")
        if str(other) in kinds:
            return text.part_of(Theory, str(other))
        if not Path(other).is_dir():
            raise refused(
                "compare",
                "a theory by name, or the folder of a run",
                repr(str(other)),
                nearest(str(other), kinds),
            )
        other = load(other)
    if isinstance(other, type) and issubclass(other, Theory):
        raise refused(
            "compare",
            "a theory with its knobs",
            f"the class {other.__name__}",
            f"Write theories.{other.__name__}()",
        )
    if not isinstance(other, (Theory, Record)):
        raise refused(
            "compare",
            "a theory or a record to compare with",
            type(other).__name__,
            "Give for example theories.Decoupled(), or its name",
        )
    return other


def compare_each(
    record: Record, theories: "Iterable[Theory]", tolerance: float | dict[str, float] | None = None
) -> tuple[Comparison, ...]:
    """Each theory laid over the record; what is raised within one is said by its own comparison,
    undecided, and does not end the others."""
    return tuple(
        told_of(theory, lambda theory=theory: compare(record, theory, tolerance))
        for theory in theories
    )


def told_of(theory: Theory, laid) -> Comparison:
    """What `laid()` gives; a comparison without rows, undecided, that says why where it raises."""
    try:
        return laid()
    except Refused as refusal:
        said = str(refusal)
    except Exception as surprise:
        said = f"{type(surprise).__name__}: {' '.join(str(surprise).split())}"
    missing = Condition("it can be laid over this run", said, "so", False, decided=False)
    return Comparison(type(theory).__name__, theory.source, (), (missing,), {}, xr.Dataset())


def _went_on(record, said, common) -> tuple[Condition, ...]:
    """That the run, and what was read of it, went on beyond the mark at which both sides begin,
    unless what is said is of the start alone."""
    if all(said[q].sizes.get("time", 2) < 2 for q in common):
        return ()
    reached = max(_known_marks(record[q]) for q in common if said[q].sizes.get("time", 2) > 1)
    marks = len(record.course.places)
    if marks < 2:
        return (
            Condition(
                "the run went on beyond its first mark", marks, "2 marks", False, decided=False
            ),
        )
    return (
        ()
        if reached >= 2
        else (
            Condition(
                "the run went on beyond its first mark", reached, f"2 of {marks} marks", False
            ),
        )
    )


def _seen_at(values: "xr.DataArray") -> np.ndarray:
    """At which marks there is a number; also of none."""
    return np.isfinite(values.values).any(axis=tuple(range(1, values.ndim)))


def _known_marks(one) -> int:
    if "time" not in one.dims:
        return 2
    return int(_seen_at(one).sum())


def _gone(seen: "xr.DataArray") -> "xr.DataArray":
    """Of a run that diverged: what is read as NaN behind the last mark with a number counts as
    infinite there, not as unread."""
    if "time" not in seen.dims:
        return seen
    known = _seen_at(seen)
    last = int(np.flatnonzero(known)[-1]) if known.any() else -1
    values = seen.values.copy()
    values[last + 1 :][np.isnan(values[last + 1 :])] = np.inf
    return seen.copy(data=values)


def foretold(theory: Theory, instrument: Instrument, start: Start) -> bool:
    """Whether a theory predicts a quantity that this instrument reads here."""
    names = [q.name for q in instrument.quantities(start.system, start.state.params)]
    return any(fnmatch.fnmatch(name, said) for name in names for said in theory.predicts)


def watching(theories: Iterable[Theory], start: Start) -> tuple[Instrument, ...]:
    """The instruments of the catalogue, at their defaults, that read what these theories predict
    here."""
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
    value: object
    holds: Any
    if condition.seen is None or not condition.holds:
        return condition
    try:
        with np.errstate(all="ignore"):
            value, holds = condition.seen(record.dataset)
    except (
        KeyError,
        ArithmeticError,
        ValueError,
        IndexError,
    ) as missing:  # a reading that the record lacks, or has nothing in
        value, holds = (
            f"could not be decided from the record: {type(missing).__name__}: {missing}",
            None,
        )
    return condition._replace(value=value, holds=holds).settled()


def matched(
    seen: "xr.DataArray", said: "xr.DataArray"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(times, seen, said) at the times and labels both sides have; a prediction that stands
    still is held against the last mark seen."""
    if "time" not in said.dims:
        last = seen.isel(time=-1) if "time" in seen.dims else seen
        return np.atleast_1d(float(last["time"]))[:1], last.values[None], said.values[None]
    bare = [
        d for d in {*seen.dims, *said.dims} if d not in seen.coords or d not in said.coords
    ]  # axes without labels are held to one shape below
    seen, said = xr.align(seen, said, join="inner", exclude=["time", *bare])
    here, there = _common(seen, said)
    if len(here) < min(2, seen.sizes["time"], said.sizes["time"]):
        found = f"{len(here) or 'none'} of {seen.sizes['time']} in common"
        raise refused(
            "compare",
            "marks both sides have, and more than one",
            found,
            "Run both on the same clock, and at one rate where it counts steps",
        )
    return seen["time"].values[here], seen.values[here], said.values[there]


def _common(seen, said):
    """Where the marks are that both sides have: by step where the same steps are at the same
    times, since time may stand still; by time otherwise."""
    if "step" in seen.coords and "step" in said.coords:
        _, here, there = np.intersect1d(
            seen["step"].values, said["step"].values, return_indices=True
        )
        if np.array_equal(seen["time"].values[here], said["time"].values[there]):
            return here, there
    return np.intersect1d(seen["time"].values, said["time"].values, return_indices=True)[1:]


def relative_error(seen: np.ndarray, said: np.ndarray) -> tuple[float, tuple[int, ...]]:
    """(max |seen - said| / max |said|, where it is largest): relative to the quantity's own scale,
    |seen - said| itself where that is 0.

    Entries NaN on either side are left out; NaN where nothing else is there. One that is infinite
    on one side alone is infinitely far off, unless what is said has grown so large that the other
    side must overflow.
    """
    with np.errstate(all="ignore"):
        both = np.isfinite(seen) & np.isfinite(said)
        agree = (np.isinf(seen) & ((seen == said) | (np.abs(said) > FARTHEST))) | (
            np.isinf(said) & (np.abs(seen) > FARTHEST)
        )
        apart = ~both & ~np.isnan(seen) & ~np.isnan(said) & ~agree
    if not (both | apart).any():
        return float("nan"), (0,) * seen.ndim
    gap = np.full(seen.shape, -1.0)
    gap[both] = np.abs(seen[both] - said[both])
    gap[apart] = np.inf
    where = np.unravel_index(int(np.argmax(gap)), gap.shape)
    scale = np.abs(said[both]).max(initial=0.0)
    return float(gap[where] / scale) if scale > 0 else float(gap[where]), tuple(
        int(i) for i in where
    )


def verdict_of(error, tolerance) -> str:
    return "undecided" if np.isnan(error) else "within" if error <= tolerance else "beyond"


def _row(quantity, seen, said, tolerance):
    times, measured, predicted = matched(seen, said)
    if measured.shape != predicted.shape:
        raise refused(
            "compare",
            f"{quantity} of one shape on both sides",
            f"{measured.shape} and {predicted.shape}",
            "Watch the same entries",
        )
    if not measured.size:
        return Row(quantity, np.nan, np.nan, np.nan, np.nan, tolerance, "undecided")
    error, where = relative_error(measured, predicted)
    row = float(measured[where]), float(predicted[where]), float(times[where[0]]), error
    return Row(quantity, *row, tolerance, verdict_of(error, tolerance))
