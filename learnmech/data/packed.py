"""Arrays X and Y, from an archive or in hand, as samples; refuses shapes that do not go
together."""

import dataclasses
from typing import Any

import numpy as np

from learnmech.data.cells import class_names
from learnmech.data.formats import flat
from learnmech.data.samples import Samples, counted
from learnmech.errors import refused

NAMES = {
    "X": ("X", "X_train"),
    "Y": ("Y", "Y_train"),
    "X_test": ("X_test",),
    "Y_test": ("Y_test",),
    "weight": ("weight",),
}


def of_archive(
    who: str, name: str, held: dict[str, np.ndarray], classes: bool, grid: tuple[int, ...] = ()
) -> tuple[Samples, Samples | None]:
    """Samples and a test set or None from the arrays X, Y, X_test, Y_test, weight of an archive,
    in capitals or not."""
    found, used = {}, set()
    for wanted, names in NAMES.items():
        there = [key for key in held if key.lower() in {one.lower() for one in names}]
        if len(there) > 1:
            raise refused(
                who,
                f"one array {wanted}",
                f"{' and '.join(there)} in {name}",
                "Write it by numpy.savez(path, X=X, Y=Y)",
            )
        if there:
            found[wanted] = held[there[0]]
            used.add(there[0])
    left = [key for key in held if key not in used]
    needed = ("X", "Y") if not {"X_test", "Y_test"} & set(found) else ("X", "Y", "X_test", "Y_test")
    for wanted in needed:
        if wanted not in found:
            raise refused(
                who,
                f"an array {wanted}",
                f"{', '.join(held) or 'nothing'} in {name}",
                "Write it by numpy.savez(path, X=X, Y=Y)",
            )
    said = (f"arrays left out: {', '.join(left)}",) if left else ()
    return of_arrays(who, name, found, classes, said=said, grid=grid)


def of_arrays(
    who: str,
    name: str,
    found: dict[str, np.ndarray],
    classes: bool,
    labels=(),
    said=(),
    grid: tuple[int, ...] = (),
) -> tuple[Samples, Samples | None]:
    """Samples and a test set or None from arrays X (n, d), or (n, *grid), Y (n,) or (n, k), weight
    (n,), (n, 1) or (n, k), X_test, Y_test."""
    made = []
    for x, y in (("X", "Y"), ("X_test", "Y_test")):
        if x not in found:
            continue
        if grid and np.ndim(found[x]) > 2:
            found = found | {x: flat(who, f"{x} of {name}", found[x], grid)}
        X, Y = (_matrix(who, name, key, found[key]) for key in (x, y))
        for what, size in (("sample", len(X)), ("input", X.shape[1]), ("target", Y.shape[1])):
            if not size:
                raise refused(
                    who,
                    f"at least one {what}",
                    f"none in {x if what == 'input' else y} of {name}",
                    f"Give some {what}s",
                )
        made.append((x, X, y, Y))
    _refuse_unlike(who, made)
    weight = _weight(who, name, found.get("weight"), made[0][3])
    samples = []
    for x, X, y, Y in made:
        heads = tuple(f"column {column} (from 0) of {x}" for column in range(X.shape[1]))
        outs = (
            (y,)
            if Y.shape[1] == 1
            else tuple(f"column {column} (from 0) of {y}" for column in range(Y.shape[1]))
        )
        told = (
            *said,
            f"{counted(len(X), 'row')}, {counted(X.shape[1], 'input')}"
            + ("" if classes else f", {counted(Y.shape[1], 'target')}"),
        )
        mine = weight if x == "X" else None
        one = Samples(
            f"{name} (rows from 0)",
            X,
            Y,
            range(len(X)),
            heads,
            outs,
            labels=tuple(labels),
            weight=mine,
            cells=(x, y),
            said=told,
        )
        samples.append(one if not classes else _of_classes(who, one))
    return samples[0], samples[1] if len(samples) > 1 else None


def _of_classes(who, samples):
    if samples.Y.shape[1] != 1:
        raise refused(
            who,
            "one column of classes",
            f"{samples.Y.shape[1]} in Y of {samples.name}",
            "Give (n,) classes, or drop classes where Y is coded",
        )
    found, bad = class_names(samples.Y[:, 0])
    if bad is not None:
        got = f"{samples.Y[bad, 0]!r} in row {bad} of Y"
        raise refused(
            who,
            "classes that are whole numbers",
            got,
            "Drop classes, where Y is a number to be learned",
        )
    codes: dict[Any, str] = {str(code): label for code, label in enumerate(samples.labels)}
    there = sorted({name for name in found if name is not None}, key=int)
    if samples.labels and not set(there) <= set(codes):
        if len(there) != len(samples.labels):
            raise refused(
                who,
                f"classes from 0 to {len(codes) - 1}, one for each label",
                ", ".join(there[:8]),
                "Give a label for each class",
            )
        codes = dict(zip(there, samples.labels))
    named = [codes.get(name, name) if codes else name for name in found]
    return dataclasses.replace(samples, Y=None, targets=("Y",), classes=np.array(named, object))


def _refuse_unlike(who, made):
    (_, first, _, goals), *_ = made
    for x, X, y, Y in made:
        if len(X) != len(Y) or X.shape[1] != first.shape[1] or Y.shape[1] != goals.shape[1]:
            got = f"{x} {X.shape} and {y} {Y.shape}" + (
                f" beside X {first.shape} and Y {goals.shape}" if x != "X" else ""
            )
            raise refused(
                who,
                "X (n, d) and Y (n, k) of the same n, and of the same d and k for the test",
                got,
                "Mend them",
            )


def _matrix(who, name, key, values):
    if not isinstance(values, np.ndarray):  # what NumPy gives of a member that it cannot read
        raise refused(
            who,
            f"an array {key}",
            f"{len(values)} bytes that are none in {name}",
            "Write it by numpy.savez(path, X=X, Y=Y)",
        )
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2):
        got = f"{values.dtype} of shape {values.shape} in {name}"
        remedy = f"Write float arrays of two axes, {key}.reshape(len({key}), -1)"
        if key[0] == "X" and values.ndim in (3, 4):
            remedy += f", or set grid = {values.shape[1:]} where these lie on one"
        raise refused(who, f"numbers in a matrix {key}", got, remedy)
    values = values[:, None] if values.ndim == 1 else values
    if values.dtype.kind == "f" and np.isinf(values).any():
        row, column = (int(place) for place in np.argwhere(np.isinf(values))[0])
        raise refused(
            who,
            f"finite numbers in {key}",
            f"{values[row, column]} at ({row}, {column})",
            "Remove or replace the bad entries",
        )
    return values


def _weight(who, name, weight, Y):
    if weight is None:
        return None
    weight = _matrix(who, name, "weight", weight).astype(np.float64)
    if len(weight) != len(Y) or weight.shape[1] not in (1, Y.shape[1]):
        raise refused(
            who,
            f"a weight of shape ({len(Y)},) or {Y.shape}, one for each target",
            f"{weight.shape}",
            "Mend the weight",
        )
    if np.isnan(weight).any() or (weight < 0).any() or not (weight > 0).any():
        raise refused(
            who,
            "weights >= 0, one at least above",
            "none above" if not (weight > 0).any() else "a negative or missing one",
            "Mend the weight",
        )
    return weight
