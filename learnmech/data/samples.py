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
    and of Y, `said` how the source was understood, `codes` the place of each sample's class in
    order, once they are targets, `grid` how an input is laid out as an image (rows, columns,
    channels), where it is one, `levels` the categories of the columns that hold some.
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
    codes: np.ndarray | None = None
    grid: tuple[int, int, int] | None = None
    levels: dict[str, tuple[str, ...]] | None = None

    def __len__(self):
        return len(self.X)

    def taken(self, places: np.ndarray) -> "Samples":
        """Those at these places."""
        arrays = ("X", "Y", "classes", "weight", "rows", "codes")
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
    if number != 1 and what.endswith("y"):
        return f"{number} {what[:-1]}ies"
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
        said = (
            f"{counted(len(names), 'class')} of {samples.targets[0]}:"
            f" {counts}{', ...' if len(names) > 8 else ''}"
        )
        made.append(
            dataclasses.replace(
                samples,
                Y=targets_of(codes, len(names), coding),
                classes=None,
                labels=names,
                codes=codes,
            ).telling(said)
        )
    return made


def targets_of(codes: np.ndarray, count: int, coding: str) -> np.ndarray:
    """Classes 0 to count - 1 as targets (n, count), or (n, 1) under `sign`."""
    hot = (codes[:, None] == np.arange(count)).astype(np.float64)
    return {"one-hot": hot, "signs": 2 * hot - 1, "sign": 2 * hot[:, :1] - 1}[coding]


def kept(who: str, samples: Samples, keep: Sequence[str | int]) -> Samples:
    """The samples of these classes alone, by name."""
    if samples.classes is None:
        raise refused(
            who, "classes, of which to keep some", "targets that are numbers", "Drop keep"
        )
    names = tuple(map(str, keep))
    there = {name for name in samples.classes if name is not None} | set(samples.labels)
    if len(names) < 2 or len(set(names)) < len(names) or not set(names) <= there:
        raise refused(
            who,
            f"keep to name two or more of its classes, {brief(sorted_names(there))}",
            brief(names),
            "Name each once",
        )
    found = np.flatnonzero(np.isin(samples.classes.astype(str), names))
    labels = tuple(name for name in samples.labels if name in names)
    return dataclasses.replace(samples.taken(found), labels=labels)


def flipped(
    who: str, train: Samples, share: float, coding: str, rng: np.random.Generator
) -> Samples:
    """The training samples with the class of this share of them another, each of the others as
    likely."""
    if not share:
        return train
    if train.codes is None or len(train.labels) < 2:
        raise refused(
            who, "two classes or more, to flip some", "other targets", "Set target_noise instead"
        )
    codes, wrong = train.codes.copy(), rng.permutation(len(train))[: round(share * len(train))]
    codes[wrong] += rng.integers(1, len(train.labels), len(wrong))
    codes %= len(train.labels)
    said = f"classes of {counted(len(wrong), 'training sample')} flipped"
    Y = targets_of(codes, len(train.labels), coding)
    return dataclasses.replace(train, Y=Y, codes=codes).telling(said)


def split(
    who: str,
    held: Samples,
    own: Samples | None,
    train: int,
    test: int,
    rng: np.random.Generator,
    stratified: bool = False,
) -> tuple:
    """(training samples, test samples or None): `train` of them (0: all) and `test`, drawn at
    random; `stratified`: each class by its share, to one sample.

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
            _ordered(one, (wanted,), rng, stratified)[:wanted] if wanted else np.arange(len(one))
            for one, wanted in ((held, train), (own, test))
        ]
        return held.taken(chosen[0]), own.taken(chosen[1])
    if test >= n:
        raise refused(who, f"test < n = {n}", test, "Hold back fewer samples")
    if train + test > n:
        raise refused(who, f"train + test <= n = {n}", train + test, "Lower train or test")
    if stratified and test:
        _refuse_single(who, held)
    order = _ordered(held, (test, train), rng, stratified) if train or test else np.arange(n)
    kept = order[test : test + train] if train else order[test:]
    return held.taken(kept), held.taken(order[:test]) if test else None


def _refuse_single(who, held):
    counts = np.zeros(0) if held.codes is None else np.bincount(held.codes)
    if (counts == 1).any():
        name = held.labels[int(np.flatnonzero(counts == 1)[0])]
        raise refused(
            who,
            "two samples or more of each class, to be stratified",
            f"one of class {name!r} of {held.name}",
            "Leave that class out by keep, or set stratified to false",
        )


def _ordered(held, sizes, rng, stratified):
    """All samples in an order drawn at random; where stratified, of the first `sizes[0]`, and of
    the `sizes[1]` that follow, each class has its share."""
    order = rng.permutation(len(held))
    if not stratified or held.codes is None:
        return order
    codes, parts = held.codes[order], []
    for size in sizes:
        counts = np.bincount(codes, minlength=len(held.labels))
        ideal = counts * (size / max(counts.sum(), 1))
        share = np.floor(ideal).astype(int)
        # what is left over goes to the classes that are furthest below their share
        share[np.argsort(share - ideal, kind="stable")[: size - share.sum()]] += 1
        place = np.empty(len(codes), int)
        for code, count in enumerate(counts):
            place[codes == code] = np.arange(count)
        first = place < share[codes]
        parts.append(order[first])
        order, codes = order[~first], codes[~first]
    return np.concatenate([*parts, order])


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
