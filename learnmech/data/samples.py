"""Samples in hand: their split, their classes made numbers, missing numbers filled in, inputs
standardized."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from learnmech.data.cells import sorted_names
from learnmech.errors import refused


@dataclasses.dataclass(frozen=True)
class Samples:
    """Samples as they were given: X (n, d) and Y (n, k), NaN where a number is missing, or
    `classes` in place of Y.

    `rows` are their places in the source, `inputs` and `targets` the names of the columns, `labels`
    those of the classes in order where they were given, `cells` what messages call the entries of X
    and of Y, `said` how the source was understood.
    """

    name: str
    X: np.ndarray
    Y: np.ndarray | None
    rows: Sequence[int]
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    classes: np.ndarray | None = None
    weight: np.ndarray | None = None
    labels: tuple[str, ...] = ()
    cells: tuple[str, str] = ("every cell", "every cell")
    said: tuple[str, ...] = ()

    def __len__(self):
        return len(self.X)

    def taken(self, places: np.ndarray) -> "Samples":
        """Those at these places."""
        arrays = ("X", "Y", "classes", "weight", "rows")
        held = {name: getattr(self, name) for name in arrays}
        taken: dict[str, Any] = {
            name: None if values is None else np.asarray(values)[places]
            for name, values in held.items()
        }
        return dataclasses.replace(self, **taken)

    def numeric(self) -> "Samples":
        """Its numbers as float64."""
        return dataclasses.replace(
            self, X=np.asarray(self.X, np.float64), Y=np.asarray(self.Y, np.float64)
        )

    def telling(self, *said: str) -> "Samples":
        """Itself with more to say."""
        return dataclasses.replace(self, said=(*self.said, *said))


def brief(names: Sequence[str], at_most: int = 8) -> str:
    """The first names."""
    return ", ".join(map(str, names[:at_most])) + (
        f", ... ({len(names)} in all)" if len(names) > at_most else ""
    )


def counted(number: int, what: str) -> str:
    """`1 input`, `2 inputs`."""
    return f"{number} {what}{'' if number == 1 else 'es' if what.endswith('s') else 's'}"


def _gaps(values: np.ndarray | None) -> np.ndarray:
    if values is None or values.dtype.kind == "O":
        found = (
            []
            if values is None
            else [(place, 0) for place, name in enumerate(values) if name is None]
        )
        return np.array(found, np.int64).reshape(-1, 2)
    return np.argwhere(np.isnan(values)) if values.dtype.kind == "f" else np.zeros((0, 2), np.int64)


def complete(who: str, samples: Samples, missing: str) -> Samples:
    """The samples without what is missing: refused, or such rows left out (`drop`), or inputs
    kept to be filled in (`mean`)."""
    of_targets = _gaps(samples.Y if samples.classes is None else samples.classes)
    of_inputs = _gaps(samples.X) if missing != "mean" else of_targets[:0]
    out = np.unique(np.concatenate([of_inputs[:, 0], of_targets[:, 0]]))
    if not len(out):
        return samples
    if missing == "drop":
        if len(out) == len(samples):
            raise refused(
                who,
                f"a row without a missing cell in {samples.name}",
                "none",
                "Fill them in, or set missing to mean",
            )
        left = brief(np.asarray(samples.rows)[out].tolist())
        said = f"{counted(len(out), 'row')} with a missing cell left out: {left}"
        return samples.taken(np.setdiff1d(np.arange(len(samples)), out)).telling(said)
    (place, column), names, cells = (
        (of_inputs[0], samples.inputs, samples.cells[0])
        if len(of_inputs)
        else (of_targets[0], samples.targets, samples.cells[1])
    )
    got = f"a missing one in row {samples.rows[place]}, {names[column]} of {samples.name}"
    if missing == "mean":
        raise refused(
            who,
            "a target in every row, also where inputs are filled in",
            got,
            "Fill it in, or set missing to drop",
        )
    remedy = (
        "Fill it in, or set missing to drop, which leaves such rows out, or to mean, which fills in"
        " the inputs' training means"
    )
    raise refused(who, f"finite numbers in {cells}", got, remedy)


def classes_of(samples: Samples) -> list:
    """The class of each sample, where they have classes."""
    return [] if samples.classes is None else samples.classes.tolist()


def coded(who: str, held: Sequence[Samples], coding: str) -> list[Samples]:
    """Samples with their classes as targets: a 1 in the column of the own class (`one-hot`), +1
    there and -1 elsewhere (`signs`), or for two classes +1 and -1 in one column (`sign`), +1 for
    the first.

    All of `held` share their columns: the classes in order, whole numbers by value.
    """
    if held[0].classes is None:
        return list(held)
    found = set().union(*(classes_of(samples) for samples in held))
    names = held[0].labels or tuple(sorted_names(found))
    if len(names) > 1000 and len(names) > len(held[0]) / 2:
        got = f"{len(names)} different values in {len(held[0])} rows"
        raise refused(
            who,
            f"classes in {held[0].targets[0]}, each with samples",
            got,
            "Name the column that holds classes",
        )
    if coding == "sign" and len(names) != 2:
        raise refused(
            who,
            "two classes for coding = sign",
            f"{len(names)}: {brief(names)}",
            "Set coding to one-hot or signs",
        )
    place, made = {name: index for index, name in enumerate(names)}, []
    for samples in held:
        codes = np.array([place[name] for name in classes_of(samples)])
        counts = ", ".join(
            f"{name} ({n})" for name, n in zip(names[:8], np.bincount(codes, minlength=len(names)))
        )
        hot = (codes[:, None] == np.arange(len(names))).astype(np.float64)
        Y = {"one-hot": hot, "signs": 2 * hot - 1, "sign": 2 * hot[:, :1] - 1}[coding]
        said = (
            f"{counted(len(names), 'class')} of {samples.targets[0]}:"
            f" {counts}{', ...' if len(names) > 8 else ''}"
        )
        made.append(dataclasses.replace(samples, Y=Y, classes=None, labels=names).telling(said))
    return made


def split(
    who: str, held: Samples, own: Samples | None, train: int, test: int, rng: np.random.Generator
) -> tuple:
    """(training samples, test samples or None): `train` of them (0: all) and `test`, drawn at
    random.

    A test set of their `own` stays one: `test` of its samples (0: all).
    """
    n = len(held)
    if own is not None:
        for name, wanted, there in (("train", train, n), ("test", test, len(own))):
            if wanted > there:
                raise refused(
                    who,
                    f"{name} <= {there}, the samples there are",
                    wanted,
                    f"Lower {name}, or leave it out to take all",
                )
        chosen = [
            rng.permutation(len(one))[:wanted] if wanted else np.arange(len(one))
            for one, wanted in ((held, train), (own, test))
        ]
        return held.taken(chosen[0]), own.taken(chosen[1])
    if test >= n:
        raise refused(who, f"test < n = {n}", test, "Hold back fewer samples")
    if train + test > n:
        raise refused(who, f"train + test <= n = {n}", train + test, "Lower train or test")
    order = rng.permutation(n) if train or test else np.arange(n)
    kept = order[test : test + train] if train else order[test:]
    return held.taken(kept), held.taken(order[:test]) if test else None


def filled(who: str, train: Samples, test: Samples | None) -> tuple:
    """Both with missing inputs replaced by the mean of that column over the training samples
    that have it."""
    X, others = train.X, [] if test is None else [test]
    gaps = [np.isnan(one.X) for one in (train, *others)]
    if not any(gap.any() for gap in gaps):
        return train, test
    there = (~gaps[0]).sum(0)
    if not there.all():
        column = train.inputs[int(np.argmin(there))]
        raise refused(
            who,
            "a number in every input column of the training samples",
            f"none in {column}",
            "Leave the column out",
        )
    means = np.where(gaps[0], 0, X).sum(0) / there
    made = [
        dataclasses.replace(one, X=np.where(gap, means, one.X))
        for one, gap in zip((train, *others), gaps)
    ]
    count, columns = (
        sum(int(gap.sum()) for gap in gaps),
        np.flatnonzero(np.any([gap.any(0) for gap in gaps], axis=0)),
    )
    said = (
        f"{counted(count, 'missing input')} filled in with training means, of"
        f" {brief([train.inputs[c] for c in columns])}"
    )
    return made[0].telling(said), made[1] if others else None


def standard(who: str, what: str, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean, standard deviation, whether it is constant) of each column; one that never varies
    has deviation 1."""
    with np.errstate(all="ignore"):
        mean = values.mean(0)
        size = np.abs(values - mean).max(0)
        constant = values.max(0) == values.min(
            0
        )  # the computed deviation of equal numbers need not be 0
        deviation = np.where(constant, 1, size) * np.sqrt(
            np.where(constant, 1, np.mean(((values - mean) / np.where(size > 0, size, 1)) ** 2, 0))
        )
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all() and (deviation > 0).all()):
        raise refused(
            who,
            f"{what} whose mean and deviation are within float64",
            "larger or smaller ones",
            "Rescale them",
        )
    return np.where(constant, values[0], mean), deviation, constant
