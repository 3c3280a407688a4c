"""Asked: what a sweep is over (its experiment, knobs, values, seeds and readings) as a value,
and as plain data that comes back as it was."""

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from learnmech.errors import nearest, refused
from learnmech.experiment.recipe import Experiment
from learnmech.instruments.base import Instrument
from learnmech.language import guests, text
from learnmech.language.parts import Part, plain, show_value, whole_number
from learnmech.march.watching import asked as instrument_of

SHARD = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclasses.dataclass(frozen=True)
class Asked:
    """A sweep before anything is run: {knob: its values}, the seeds (of which there is one where
    `seed` is a knob), and what is watched (None: the losses)."""

    experiment: Experiment
    axes: dict[str, list]
    seeds: list[int]
    watch: tuple[Instrument, ...] | None
    labels: dict[str, list] | None = None
    """How the values are written on the axes of the grid, where they came back from plain data."""

    @classmethod
    def of(
        cls, experiment: Experiment, axes: Mapping, seeds: int | Sequence[int], watch: tuple | None
    ) -> "Asked":
        """What was asked for; refuses what is no grid."""
        if not isinstance(axes, Mapping):
            raise refused(
                "sweep",
                "axes as {knob: its values}",
                show_value(axes),
                "Write for example {'rule.rate': [0.1, 0.2]}",
            )
        for path, values in axes.items():
            if isinstance(values, (str, Mapping)) or not np.iterable(values):
                raise refused(
                    "sweep",
                    f"a list of values for {path}",
                    show_value(values),
                    f"Write {{'{path}': [...]}}",
                )
        axes = {path: list(map(plain, values)) for path, values in axes.items()}
        if not np.iterable(seeds):
            seeds = list(range(whole_number("sweep", "seeds", seeds)))
        else:
            seeds = [whole_number("sweep", "each seed", seed) for seed in seeds]
        if not seeds or not all(axes.values()):
            raise refused(
                "sweep",
                "at least one value on every axis and one seed",
                f"{ {k: len(v) for k, v in axes.items()} }",
                "Give values",
            )
        return cls(
            experiment, axes, seeds, None if watch is None else tuple(map(instrument_of, watch))
        )

    @property
    def swept(self) -> dict[str, list]:
        """{dim of the grid: its labels}, the seeds last where they are no knob."""
        return labels_of(self.axes if self.labels is None else self.labels, self.seeds)

    def points(self) -> list[Experiment]:
        """The experiment of every point, in the order of the grid."""
        found = []
        for values in itertools.product(*self.axes.values()):
            point = self.turned(dict(zip(self.axes, values, strict=True)))
            found += [
                point if "seed" in self.axes else dataclasses.replace(point, seed=seed)
                for seed in self.seeds
            ]
        return found

    def turned(self, values: Mapping) -> Experiment:
        """The experiment with knobs turned."""
        point = self.experiment
        for path, value in values.items():
            point = point.with_value(path, value)
        return point

    def at(self, labels: Mapping) -> Experiment:
        """The experiment of the point with these labels, one for each dim of the grid."""
        values = {path: self._value(path, labels[path]) for path in self.axes}
        return self.turned(values | ({} if "seed" in self.axes else {"seed": int(labels["seed"])}))

    def _value(self, path, written):
        found = [
            value
            for value, one in zip(self.axes[path], self.swept[path], strict=True)
            if one == written
        ]
        if not found or any(_plain(one) != _plain(found[0]) for one in found[1:]):
            what = f"one value of {path} that is written {written}"
            raise refused(
                "The grid",
                what,
                len(found),
                "Give values that are told apart by how they are written",
            )
        return found[0]

    def plain(self) -> dict:
        """As plain data, the arrays of the experiment by sha256."""
        return {
            "axes": [
                [path, [_plain(value) for value in values]] for path, values in self.axes.items()
            ],
            "labels": [[path, [plain(one) for one in self.swept[path]]] for path in self.axes],
            "seeds": self.seeds,
            "watch": None if self.watch is None else [text.to_text(one)[0] for one in self.watch],
        }

    def parts(self) -> list[Any]:
        """Everything of it that may hold own code."""
        return [
            *(self.watch or ()),
            *(one for values in self.axes.values() for one in values if isinstance(one, Part)),
        ]

    @classmethod
    def again(
        cls,
        written: str | Experiment,
        said: Mapping,
        folder: str | Path = ".",
        known: guests.Classes | None = None,
    ) -> "Asked":
        """That of an experiment (or its text) and plain data; arrays are looked up in the
        folder, and `known` are classes that are at hand."""
        experiment = (
            text.from_text(Experiment, written, folder, known)
            if isinstance(written, str)
            else written
        )
        watch = said["watch"]
        if watch is not None:
            watch = tuple(text.from_text(Instrument, one, folder, known) for one in watch)
        axes, labels = (
            {path: list(values) for path, values in said[name]} for name in ("axes", "labels")
        )
        return cls(experiment, axes, list(said["seeds"]), watch, labels)


def seeds_of(who: str, seeds: int | Sequence[int]) -> tuple[int, ...]:
    """So many seeds from 0 on, or these; refuses none, and one that is given twice."""
    used = tuple(seeds if np.iterable(seeds) else range(whole_number(who, "seeds", seeds)))
    if not used or len(set(used)) < len(used):
        raise refused(who, "one seed or more, each once", seeds, "Give for example seeds=3")
    return tuple(whole_number(who, "each seed", seed) for seed in used)


def labels_of(axes: Mapping, seeds: Sequence[int]) -> dict[str, list]:
    """{dim of the grid: its labels}."""
    return {
        **{path: [label(value) for value in values] for path, values in axes.items()},
        **({} if "seed" in axes else {"seed": list(seeds)}),
    }


def label(value):
    """How a value stands on an axis of the grid: numbers and names as they are, anything else as
    it is written."""
    return value if isinstance(value, (int, float, str, np.number)) else str(value)


def _plain(value):
    """A value as JSON has it; a part as its table."""
    if isinstance(value, Part):
        return _plain(text.table_of(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    value = plain(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def digest_of(said: object) -> str:
    """sha256 of plain data."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def shard_of(written: "str | Sequence[int] | None") -> tuple[int, int] | None:
    """(i, n) of `i/n` or (i, n): the i-th of n parts, counted from 1."""
    if written is None:
        return None
    if isinstance(written, str):
        found = SHARD.fullmatch(written)
        pair: tuple[Any, ...] = tuple(map(int, found.groups())) if found else ()
    else:
        pair = tuple(map(plain, written)) if np.iterable(written) else ()
    whole = len(pair) == 2 and all(
        isinstance(one, int) and not isinstance(one, bool) for one in pair
    )
    if not whole or not 1 <= pair[0] <= pair[1]:
        remedy = "Parts count from 1, as the tasks of #SBATCH --array=1-20 do: 1/20 to 20/20"
        raise refused(
            "sweep",
            "a shard as i/n, the i-th of n parts with 1 <= i <= n",
            show_value(written),
            remedy,
        )
    return pair[0], pair[1]


def share_of(shard: tuple[int, int] | None, count: int) -> list[int]:
    """The points of a part: every n-th, so that dear values (a large width, say) are dealt out
    evenly."""
    return list(range(count)) if shard is None else list(range(shard[0] - 1, count, shard[1]))


def knobs_asked(
    swept: Mapping[str, Sequence], knobs: Mapping, who: str = "point"
) -> dict[str, int]:
    """{dim: place} of knobs by their paths or last words, as `rate` for `rule.rate`; a dim with
    one value need not be named."""
    found: dict[str, int] = {}
    for name, value in knobs.items():
        dims = [dim for dim in swept if dim == name] or [
            dim for dim in swept if dim.rpartition(".")[2] == name
        ]
        if len(dims) != 1:
            remedy = (
                f"Write its whole path as {{'{dims[0]}': ...}}"
                if dims
                else nearest(str(name), swept)
            )
            raise refused(who, "a knob of the sweep", repr(name), remedy)
        (dim,) = dims
        if dim in found:
            raise refused(who, "every knob once", f"{dim} twice", "Drop the repetition")
        found[dim] = _place(dim, swept[dim], label(plain(value)), who)
    missing = [dim for dim in swept if dim not in found and len(swept[dim]) > 1]
    if missing:
        values = ", ".join(map(show_value, swept[missing[0]][:6]))
        raise refused(
            who,
            f"one value of every knob, also of {missing[0]}",
            "none",
            f"Name one of {values}{', ...' if len(swept[missing[0]]) > 6 else ''}",
        )
    return {dim: found.get(dim, 0) for dim in swept}


def _near(value: Any, wanted: Any) -> bool:
    return abs(value - wanted) <= 1e-12 * abs(value)


def _place(dim, values, wanted: Any, who) -> int:
    """Where a value stands on its axis: itself, or the number that differs from it by round-off."""
    numeric = isinstance(wanted, (int, float)) and not isinstance(wanted, bool)
    for place, value in enumerate(values):
        if value == wanted or (
            numeric and isinstance(value, (int, float, np.number)) and _near(value, wanted)
        ):
            return place
    shown = ", ".join(map(show_value, list(values)[:8])) + (", ..." if len(values) > 8 else "")
    raise refused(
        who, f"a value of {dim} that was swept", show_value(wanted), f"Choose from {shown}"
    )
