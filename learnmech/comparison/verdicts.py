"""Compare: seen and said on one axis; an error per quantity, the conditions, and a verdict by a
stated rule."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from learnmech.comparison.alignment import gone
from learnmech.comparison.alignment import matched as matched
from learnmech.comparison.alignment import relative_error as relative_error
from learnmech.comparison.checks import Check as Check
from learnmech.comparison.checks import by_conditions
from learnmech.comparison.decided import decided, went_on
from learnmech.comparison.readers import foretold as foretold
from learnmech.comparison.readers import watching as watching
from learnmech.errors import Refused, nearest, refused
from learnmech.experiment.recipe import prepare
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
        judged = by_conditions(self.conditions)
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
        wanted = "a record, a sweep's grid, or the folder of either"
        raise refused("compare", wanted, type(record).__name__, remedy)
    # float32 keeps 1e-7, which growth out of a saddle amplifies: a hundred times that is what it
    # can show; a flow no more than its solver keeps
    rule, kept = record.experiment.rule, float(np.finfo(record.experiment.precision).eps)
    resolution = 100 * max(kept, float(rule.rtol) if rule.flows else 0.0)
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
        conditions = tuple(decided(c, record) for c in other.conditions(start))
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
    rows, seen = [], {}
    for quantity in common:
        if isinstance(tolerance, dict):
            bound = tolerance.get(quantity, default)
        else:
            bound = default if tolerance is None else tolerance
        seen[quantity], row = laid(record, other, said, quantity, bound)
        rows.append(row)
    conditions += went_on(record, said, common)
    return Comparison(name, source, tuple(rows), conditions, seen, said)


def laid(
    record: Record, other: Theory | Record, said: "xr.Dataset", quantity: str, tolerance: float
) -> "tuple[xr.DataArray, Row]":
    """(what of one quantity of a record is laid beside what was said, their row), whatever the
    conditions."""
    values = record[quantity]
    seen = other.beside(values) if isinstance(other, Theory) else values
    lost = any(note.startswith("diverged") for note in record.notes)
    return seen, _row(quantity, gone(seen) if lost else seen, said[quantity], tolerance)


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
