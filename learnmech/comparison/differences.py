"""Differences: what two runs, or the experiments that two texts say, differ in, and from which
mark on their numbers do."""

import dataclasses
from pathlib import Path

import numpy as np

from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, Start
from learnmech.language import catalog, text
from learnmech.language.display import plain, results
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.language.parts import Part
from learnmech.record import Record, identity, load

SURROUNDINGS = ("learnmech", "jax", "jaxlib", "numpy", "python", "device", "cores", "precision")
# What stands where a side has nothing.
NONE = ""


@dataclasses.dataclass(frozen=True)
class Differs:
    """One thing that is told of both sides and is not the same: what it is, and how it stands on
    either."""

    what: str
    one: str
    other: str


@dataclasses.dataclass(frozen=True)
class Numbers:
    """A quantity that both have recorded, at the marks that both have reached.

    `marks` is how many these are, `differ` at how many of them a bit differs, `first` the first of
    those (a step; of flows a time) and None where there is none, `largest` max |a - b| over marks
    and entries, `relative` that over the largest |a| or |b|. Where the two cannot be laid side by
    side `why` says so.
    """

    quantity: str
    marks: int = 0
    differ: int = 0
    first: float | None = None
    largest: float = 0.0
    relative: float = 0.0
    why: str = ""

    @property
    def words(self) -> str:
        """`equal to the bit`, `differs`, or why it cannot be said."""
        return self.why or (
            "differs" if self.differ else "equal to the bit" if self.marks else "no mark in common"
        )


@dataclasses.dataclass(frozen=True)
class Difference:
    """What two sides differ in: what the experiment is (`knobs`, `data`, `code`), what made the
    runs (`made`), what their notes say, and the numbers.

    `only` says which quantities and how many marks one side alone has.
    """

    one: str
    other: str
    knobs: tuple[Differs, ...]
    data: tuple[Differs, ...]
    code: tuple[Differs, ...]
    made: tuple[Differs, ...] = ()
    notes: tuple[Differs, ...] = ()
    only: tuple[Differs, ...] = ()
    numbers: tuple[Numbers, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the experiments are one, and all numbers that both have recorded are equal to the
        bit at the same marks.

        Versions, the device, notes and what one of the two watched beside are told, and decide
        nothing.
        """
        moved = any(one.differ or one.why for one in self.numbers) or any(
            one.what == "marks" for one in self.only
        )
        return not (self.knobs or self.data or self.code or moved)

    def tables(self) -> tuple[Table, ...]:
        """What differs as a table with a side in each column, and the numbers that both have."""
        return results.difference(plain.difference(self))

    def __str__(self):
        return as_text(*self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables()))


Side = Record | Experiment | Start | str | Path


def diff(one: Side, other: Side, names: tuple[str, str] | None = None) -> Difference:
    """What differs between two runs, two experiments, or a run and an experiment.

    A side is what `lm.run` gave, an Experiment, a run folder or an experiment's TOML file. Knobs
    that stand at the same value are left out. Data and the user's own code are held against each
    other by content. Of two runs the versions, the device, the notes and all numbers that both have
    recorded are compared too, bit by bit. `names` are what the sides are called.
    """
    names = _named(one, other) if names is None else names
    sides = tuple(map(_taken, (one, other)))
    experiments = [side.experiment if isinstance(side, (Record, Start)) else side for side in sides]
    knobs = _told_apart(*(dict(_knobs(e)) for e in experiments))
    told = [
        side.provenance
        if isinstance(side, Record) and "code" in side.provenance
        else identity.told_of(e)
        for side, e in zip(sides, experiments, strict=True)
    ]
    there, here = (
        {
            f["knob"]: f"{Path(f['file']).name}  sha256 {f['sha256'][:16]}"
            for f in t.get("data") or ()
        }
        for t in told
    )
    files = _told_apart(there, here, by=_sha)
    code = _told_apart(
        *(
            {
                f"{g['family']}: {g['kind']}": f"sha256 {g['digest'][:16]}"
                for g in t["code"]["guests"]
            }
            for t in told
        )
    )
    if not all(isinstance(side, Record) for side in sides):
        return Difference(*names, knobs, files, code)
    return Difference(*names, knobs, files, code, *_of_records(*sides))


def _taken(side):
    if not isinstance(side, (str, Path)):
        if not isinstance(side, (Record, Experiment, Start)):
            remedy = "Give what lm.run gave, an Experiment, a run folder or a .toml file"
            raise refused("diff", "a run or an experiment", type(side).__name__, remedy)
        return side
    return load(side) if Path(side).is_dir() else Experiment.load(side)


def _named(one, other) -> tuple[str, str]:
    names = [
        str(side) if isinstance(side, (str, Path)) else str(getattr(side, "folder", None) or word)
        for side, word in ((one, "one"), (other, "other"))
    ]
    return (
        (names[0], names[1])
        if names[0] != names[1]
        else (f"{names[0]} (one)", f"{names[1]} (other)")
    )


def _sha(shown: str) -> str:
    return shown.rpartition("sha256 ")[2]


def _told_apart(one: dict, other: dict, by=str) -> tuple[Differs, ...]:
    """What two dictionaries of words do not have in common, in the order of the first."""
    return tuple(
        Differs(what, one.get(what, NONE), other.get(what, NONE))
        for what in {**one, **other}
        if by(one.get(what, NONE)) != by(other.get(what, NONE))
    )


def _knobs(part: Part, prefix: str = ""):
    """(dotted path, value in words) of every knob; of a part of a family its kind. Where a file
    lies, and its sha256, is told by its content."""
    shas = {one.sha256 for one in part.outside()}
    for field in dataclasses.fields(part):
        value, path = getattr(part, field.name), f"{prefix}{field.name}"
        if field.metadata.get("where") or (isinstance(value, str) and value in shas):
            continue
        held = (
            value
            if isinstance(value, tuple) and any(isinstance(one, Part) for one in value)
            else (value,)
        )
        for index, one in enumerate(held):
            at = path if held[0] is value else f"{path}.{index}"
            if isinstance(one, Part):
                if text.family_of(type(one)):
                    yield at, catalog.kebab(type(one).__name__)
                yield from _knobs(one, f"{at}.")
            else:
                yield at, _in_words(one)


def _in_words(value) -> str:
    if isinstance(value, np.ndarray) and value.ndim:
        return f"{value.shape}, sha256 {text.digest(value)[:16]}"
    # all digits: two values that differ are never shown as one
    value = value.item() if isinstance(value, (np.ndarray, np.generic)) else value
    return value if isinstance(value, str) else "" if value is None or value == () else repr(value)


def _of_records(one: Record, other: Record):
    made = [
        {name: str(side.provenance.get(name, NONE)) for name in SURROUNDINGS} | _parent(side)
        for side in (one, other)
    ]
    notes = tuple(Differs("", note, NONE) for note in one.notes if note not in other.notes)
    notes += tuple(Differs("", NONE, note) for note in other.notes if note not in one.notes)
    names = [name for name in one.names if name in other]
    alone = [", ".join(name for name in side.names if name not in names) for side in (one, other)]
    only: tuple[Differs, ...] = (Differs("quantities", *alone),) if any(alone) else ()
    reached = [_marks(side) for side in (one, other)]
    if not np.array_equal(reached[0], reached[1]):
        only += (
            Differs(
                "marks",
                *(
                    _spanned(at, "time" if side.experiment.rule.flows else "step")
                    for at, side in zip(reached, (one, other), strict=True)
                ),
            ),
        )
    numbers = [_numbers(name, one[name], other[name]) for name in names]
    if (
        one.final
        and other.final
        and len(reached[0])
        and len(reached[1])
        and reached[0][-1] == reached[1][-1]
    ):
        numbers.append(_final(one, other, float(reached[0][-1])))
    return _told_apart(*made), notes, only, tuple(numbers)


def _parent(record: Record) -> dict[str, str]:
    parent = record.provenance.get("parent")
    return {"forked from": f"{parent['fingerprint'][:16]} at {parent['at']:g}"} if parent else {}


def _marks(record: Record) -> np.ndarray:
    """The marks at which something was read: steps, or of flows times; from the tables, so that
    nothing has to be prepared."""
    axis = "time" if record.experiment.rule.flows else "step"
    return (
        np.unique(np.concatenate([table[axis].values for table in record.tables.values()]))
        if record.tables
        else np.zeros(0)
    )


def _spanned(at: np.ndarray, word: str) -> str:
    return f"{len(at)}, {word} {at[0]:g} to {at[-1]:g}" if len(at) else "none"


def _numbers(name: str, one, other) -> Numbers:
    """A quantity on both sides, at common steps (of flows times)."""
    if one.dims != other.dims:
        return Numbers(name, why=f"other axes: {one.dims} and {other.dims}")
    for dim in one.dims:
        here, there = (
            side[dim].values if dim in side.coords else np.arange(side.sizes[dim])
            for side in (one, other)
        )
        if dim != "time" and not np.array_equal(here, there):
            return Numbers(name, why=f"other {dim}: {one.sizes[dim]} and {other.sizes[dim]}")
    if "time" not in one.dims:
        return _held(name, one.values[None], other.values[None], np.zeros(1))
    axis = "step" if "step" in one.coords and "step" in other.coords else "time"
    common, here, there = np.intersect1d(one[axis].values, other[axis].values, return_indices=True)
    a, b = (side.transpose("time", ...).values for side in (one, other))
    return _held(name, a[here], b[there], common)


def _held(name: str, a: np.ndarray, b: np.ndarray, at: np.ndarray) -> Numbers:
    """Two arrays, marks first, bit by bit; readings that are none (NaN) on both sides are the
    same."""
    if not len(at):
        return Numbers(name)
    a, b = (side.reshape(len(at), -1) for side in (a, b))
    if a.dtype != b.dtype or a.dtype.kind != "f":
        differ = a != b
        if a.dtype.kind == b.dtype.kind == "f":
            differ &= ~(np.isnan(a) & np.isnan(b))
    else:
        bits = np.dtype(f"u{a.dtype.itemsize}")
        differ = (np.ascontiguousarray(a).view(bits) != np.ascontiguousarray(b).view(bits)) & ~(
            np.isnan(a) & np.isnan(b)
        )
    rows = np.flatnonzero(differ.any(axis=1))
    if not len(rows):
        return Numbers(name, len(at))
    a, b = (side.astype(np.float64) for side in (a, b))
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(differ, np.abs(a - b), 0.0)
    # a number beside none, or beside infinity, is as far apart as can be
    largest = float(np.where(np.isnan(gap), np.inf, gap).max())
    sizes = np.abs(np.concatenate([a[np.isfinite(a)], b[np.isfinite(b)]]))
    scale = float(sizes.max(initial=0.0))
    return Numbers(
        name, len(at), len(rows), float(at[rows[0]]), largest, largest / scale if scale else np.inf
    )


def _final(one: Record, other: Record, at: float) -> Numbers:
    """All parameters where both ended."""
    shapes = [{path: np.shape(leaf) for path, leaf in side.final.items()} for side in (one, other)]
    if shapes[0] != shapes[1]:
        return Numbers("parameters at the end", why="other names or shapes")
    a, b = (
        np.concatenate([np.ravel(side.final[path]) for path in shapes[0]])[None]
        for side in (one, other)
    )
    return _held("parameters at the end", a, b, np.array([at]))
