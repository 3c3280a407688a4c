"""What is in hand: arrays, and the columns of a DataFrame."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import numpy as np

from learnmech.data import columns
from learnmech.data.cells import class_names, kind, sorted_names
from learnmech.data.columns import Table
from learnmech.data.given import Given
from learnmech.data.packed import of_arrays
from learnmech.errors import refused
from learnmech.language.parts import Numbers, structure


def _held(value):
    """An array of the user's own as float64, NaN where a number is missing: a copy that nobody
    changes. What is none stays as it is."""
    if value is None:
        return None
    if (
        isinstance(value, np.ndarray)
        and value.dtype == np.float64
        and value.base is None
        and not value.flags.writeable
    ):
        return value  # such a copy
    try:
        if hasattr(value, "detach"):  # a PyTorch tensor, perhaps on a device or part of a graph
            value = value.detach().cpu()
            value = value.float() if "bfloat16" in str(value.dtype) else value
        found = (
            np.ma.filled(value.astype(np.float64), np.nan)
            if np.ma.isMaskedArray(value)
            else np.asarray(value)
        )
        if not found.ndim:
            return value
        if found.dtype.kind == "O":
            cells = found.ravel().tolist()
            if any(isinstance(one, (str, bytes, complex)) for one in cells):
                return value
            cells = [
                np.nan if one is None or type(one).__name__ == "NAType" else one for one in cells
            ]
            found = np.array(cells, np.float64).reshape(found.shape)
        if (
            found.dtype.kind not in "biuf" and "float" not in found.dtype.name
        ):  # JAX has floats that are none of NumPy's
            return value
        found = np.array(found, np.float64)
    except (ValueError, TypeError, RuntimeError):
        return value
    found.setflags(write=False)
    return found


def array_with_gaps(default=dataclasses.MISSING, *, meaning: str = ""):
    """A field that holds an array of numbers of the user's own, NaN where one is missing;
    `meaning` as of `knob`."""
    return eqx.field(
        converter=_held,
        default=default,
        metadata={"role": "array", "bounds": {}, "gaps": True, "meaning": meaning},
    )


class Arrays(Given):
    """Samples in hand: inputs `X` (n, d) and targets `Y` (n, k), or (n,) for one target, as arrays
    of NumPy, JAX or PyTorch, or lists.

    `weight` (n,) or (n, k) says how much each target counts. `X_test` and `Y_test` are a test set
    of their own. With `classes` Y (n,) holds classes, whole numbers or names, which become targets
    (`coding`). `labels` name the classes, those from 0 on or those there are in order; without
    `classes` they name the outputs. With `grid` X may be (n, *grid) too, the channels last. A
    missing number is NaN (`missing`). The identity is the content: a text names files of these
    arrays and their sha256.
    """

    X: Numbers = array_with_gaps(meaning="inputs (n, d)")
    Y: Numbers = array_with_gaps(meaning="targets (n, k), or (n,) for one target or for classes")
    weight: Numbers | None = array_with_gaps(
        None, meaning="how much each target counts, (n,) or (n, k)"
    )
    X_test: Numbers | None = array_with_gaps(None, meaning="inputs of a test set of its own")
    Y_test: Numbers | None = array_with_gaps(None, meaning="targets of a test set of its own")
    labels: tuple[str, ...] | None = structure(
        default=None, meaning="names of the classes, those from 0 on or those there are in order"
    )
    classes: bool = structure(
        default=False, meaning="whether Y holds classes, whole numbers or names"
    )

    def __post_init__(self):
        self.labels = (  # type: ignore[misc]  # while it is made
            None if isinstance(self.labels, (list, tuple)) and not self.labels else self.labels
        )
        if self.classes is True and not all(
            getattr(_held(values), "dtype", None) == np.float64
            for values in (self.Y, self.Y_test)
            if values is not None
        ):
            named = [
                _names("Y", self.Y),
                *([] if self.Y_test is None else [_names("Y_test", self.Y_test)]),
            ]
            labels, codes = _coded(named, self.labels or ())
            self.labels = labels  # type: ignore[misc]  # while it is made
            self.Y = codes[0]  # type: ignore[misc]  # while it is made
            self.Y_test = codes[1] if len(codes) > 1 else None  # type: ignore[misc]  # while it is made

        elif self.classes is False and "name" in _kinds(self.Y):
            raise refused(
                "Arrays",
                "numbers in Y, or to be told that it holds classes",
                "texts",
                "Set classes=True",
            )

    def coherent(self):
        super().coherent()
        if (self.X_test is None) != (self.Y_test is None):
            raise refused(
                "Arrays", "X_test and Y_test together", "one of them", "Give both, or neither"
            )
        if len(set(self.labels or ())) != len(self.labels or ()):
            raise refused("Arrays", "different labels", self.labels, "Rename them")
        held, _ = self.samples()
        if self.labels and not self.classes and len(self.labels) != held.Y.shape[1]:
            raise refused(
                "Arrays",
                f"a label for each of the {held.Y.shape[1]} outputs",
                len(self.labels),
                "Set classes=True where Y holds classes",
            )

    def samples(self):
        found = {name: getattr(self, name) for name in ("X", "Y", "weight", "X_test", "Y_test")}
        found = {name: values for name, values in found.items() if values is not None}
        return of_arrays(
            "Arrays", "the arrays", found, self.classes, self.labels or (), grid=self.grid
        )

    @classmethod
    def from_frame(
        cls,
        frame: object,
        targets: object = None,
        inputs: object = None,
        classes: int | str | None = None,
        categories: object = None,
        **knobs: Any,
    ) -> "Arrays":
        """From a DataFrame of pandas or polars, a table of pyarrow, or {name: column}.

        `targets` are columns by name or place (a number: so many of the last; None: the last);
        `inputs` likewise (None: all others); `classes` is the column that holds classes, in place
        of targets; `categories` are inputs that hold names (True: those that hold no numbers).
        `knobs` are those of `Arrays`. The index of the rows is no column.
        """
        listed: dict[str, Any] = {"inputs": inputs, "targets": targets, "categories": categories}
        listed = {
            knob: tuple(wanted) if isinstance(wanted, list) else wanted
            for knob, wanted in listed.items()
        }
        found: Any = columns.samples("from_frame", _table(frame), **listed, classes=classes)
        if found.classes is None:
            return cls(found.X, found.Y, **knobs)
        labels, (codes,) = _coded([found.classes.tolist()], tuple(knobs.pop("labels", None) or ()))
        return cls(found.X, codes, labels=labels, classes=True, **knobs)

    @classmethod
    def example(cls):
        return cls(
            [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, -1.0], [0.5, 0.5]],
            [1.0, 2.0, 3.0, 3.0, 2.0],
            test=1,
        )


def _kinds(values):
    """What the first of some texts are."""
    cells = values.tolist() if hasattr(values, "tolist") else values
    return (
        {kind(one) for one in cells[:1] if isinstance(one, str)}
        if isinstance(cells, (list, tuple))
        else set()
    )


def _names(key, values):
    """The name of the class of each sample, None where it is missing."""
    cells = values.tolist() if hasattr(values, "tolist") else values
    cells = (
        cells
        if isinstance(cells, (list, tuple))
        else list(cells)
        if hasattr(cells, "__iter__")
        else [cells]
    )
    cells = [one[0] if isinstance(one, (list, tuple)) and len(one) == 1 else one for one in cells]
    found, bad = class_names(cells)
    if bad is not None:
        raise refused(
            "Arrays",
            f"classes in {key} that are names or whole numbers",
            f"{cells[bad]!r} in row {bad}",
            "Drop classes, or mend Y",
        )
    return found


def _coded(
    named: Sequence[list[str | None]], labels: tuple[str, ...]
) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """(the names of the classes in order, the place of each sample's among them, NaN where it is
    missing)."""
    there = {name for names in named for name in names if name is not None}
    if labels and not there <= set(labels):
        raise refused(
            "Arrays",
            "a label for each class",
            f"none for {min(there - set(labels))!r}",
            "Give all, or leave labels out",
        )
    labels = labels or tuple(sorted_names(there))
    place: dict = {name: index for index, name in enumerate(labels)} | {None: np.nan}
    return labels, [np.array([place[name] for name in names], np.float64) for names in named]


def _table(frame) -> Table:
    """The columns of a frame, told by what it can do: none of these libraries is needed."""
    if hasattr(frame, "collect") and not hasattr(frame, "iloc"):
        raise refused(
            "from_frame", "a frame that is in hand", f"a {type(frame).__name__}", "Collect it first"
        )
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):
        names, cells = (
            list(frame.columns),
            [frame.iloc[:, place] for place in range(len(frame.columns))],
        )
    elif hasattr(frame, "get_columns"):
        names, cells = list(frame.columns), frame.get_columns()
    elif hasattr(frame, "column_names") and hasattr(frame, "column"):
        names, cells = (
            list(frame.column_names),
            [frame.column(place) for place in range(len(frame.column_names))],
        )
    elif isinstance(frame, Mapping):
        names, cells = list(frame), list(frame.values())
    else:
        raise refused(
            "from_frame",
            "a DataFrame, or {name: column}",
            f"a {type(frame).__name__}",
            "For arrays give data.Arrays(X, Y)",
        )
    named = [str(name) for name in names]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise refused(
            "from_frame", "different names over its columns", f"{twice[0]!r} twice", "Rename one"
        )
    if not names or any(
        isinstance(name, int) and name != place for place, name in enumerate(names)
    ):
        got = f"{names[:8]}"
        raise refused(
            "from_frame",
            "columns whose names are texts, or their places",
            got,
            "Rename them: frame.columns = [str(c) for c in frame.columns]",
        )
    cells = [_column(one) for one in cells]
    lengths = {len(one) for one in cells}
    if len(lengths) > 1 or not min(lengths):
        raise refused(
            "from_frame",
            "columns of one length, of one sample or more",
            sorted(lengths),
            "Give a table of samples",
        )
    return Table("the frame (rows from 0)", tuple(named), range(len(cells[0])), None, cells)


def _column(values):
    if (
        hasattr(values, "dtype")
        and isinstance(values.dtype, np.dtype)
        and values.dtype.kind in "fiub"
    ):
        return np.asarray(values)
    for listed in ("to_list", "to_pylist", "tolist"):
        if hasattr(values, listed):
            return getattr(values, listed)()
    return list(values)
