"""Transformations that the training samples ask for, and the test samples get too."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from learnmech.data.base import finite, whiten
from learnmech.data.samples import Samples, brief, counted, standard
from learnmech.errors import refused

Noise = tuple[np.ndarray | float, np.ndarray | float]


@dataclasses.dataclass(frozen=True)
class Change:
    """(X, Y, noise or None) -> (X, Y), and what is to be said of it."""

    of: Callable
    said: tuple[str, ...] = ()

    def __call__(self, X: np.ndarray, Y: np.ndarray, noise: Noise | None) -> tuple:
        """The changed inputs and targets."""
        return self.of(X, Y, noise)


def noise(train: Samples, inputs: float, targets: float, rng: np.random.Generator) -> Noise | None:
    """Gaussian noise of these standard deviations for the training inputs and targets; None
    where both are 0."""
    if not inputs and not targets:
        return None

    def of(size, values):
        return size * rng.standard_normal(values.shape) if size else 0.0

    return of(inputs, train.X), of(targets, train.Y)


def fitted(who: str, train: Samples, knobs: Any, added: Noise | None) -> Change:
    """The transformation that the knobs of a `Given` ask for, by its training samples."""
    divide_by, said = float(knobs.divide_by), []
    X, Y = train.X / divide_by, np.asarray(train.Y)
    shift_x: np.ndarray | float = 0.0
    shift_y: np.ndarray | float = 0.0
    unit_x: np.ndarray | float = 1.0
    unit_y: np.ndarray | float = 1.0
    if knobs.standardize:
        shift_x, unit_x, constant = standard(who, "inputs", X)
        if constant.any():
            said = [
                f"{counted(int(constant.sum()), 'input')} that never vary 0:"
                f" {brief([train.inputs[i] for i in np.flatnonzero(constant)])}"
            ]
    if knobs.standardize_targets:
        shift_y, unit_y, constant = standard(who, "targets", Y)
        if constant.any():
            raise refused(
                who,
                "targets that vary, to be standardized",
                f"a constant {train.targets[int(np.argmax(constant))]}",
                "Do not standardize",
            )

    def scaled(X, Y, noise):
        X, Y = (X / divide_by - shift_x) / unit_x, (Y - shift_y) / unit_y
        return (X, Y) if noise is None else (X + noise[0], Y + noise[1])

    X, Y = scaled(train.X, Y, added)
    mean_x, mean_y = (X.mean(0), Y.mean(0)) if knobs.center else (0.0, 0.0)
    maps = _maps(who, X - mean_x, knobs)

    def changed(X, Y, noise):
        X, Y = scaled(X, Y, noise)
        X, Y = X - mean_x, Y - mean_y
        for turn in maps:
            X = X @ turn
        return _normalized(who, X) if knobs.normalized else X, Y

    return Change(changed, tuple(said))


def _maps(who, X, knobs):
    """The matrices (d, r) that the inputs go through, by the training inputs."""
    maps = []
    if knobs.components or knobs.whitened:
        finite(who, **{"train inputs": X})
    if knobs.components:
        maps.append(principal(who, X, knobs.components))
        X = X @ maps[0]
    if knobs.whitened:
        maps.append(whiten(X)[1])
        if not maps[-1].shape[1]:
            raise refused(
                who,
                "inputs that vary, to be whitened",
                f"only zeros{' after centering' if knobs.center else ''}",
                "Do not whiten",
            )
    return maps


def principal(who: str, X: Float[np.ndarray, "n d"], count: int) -> Float[np.ndarray, "d r"]:
    """The directions of the so many strongest principal components of X'X, each with its largest
    entry positive; refused beyond the rank of X."""
    # R has the singular values and directions of X, and is far smaller where samples are many
    _, s, Vt = np.linalg.svd(np.linalg.qr(X, mode="r"), full_matrices=False)
    rank = int((s > s[0] * max(X.shape) * np.finfo(float).eps).sum())
    if count > rank:
        raise refused(
            who,
            f"at most {counted(rank, 'component')}, the rank of the training inputs",
            count,
            "Lower components",
        )
    V = Vt[:count].T
    return V * np.sign(V[np.abs(V).argmax(0), np.arange(count)])


def _normalized(who, X):
    sizes = np.linalg.norm(X, axis=1, keepdims=True)
    if not sizes.all():
        row = int(np.argmin(sizes))
        raise refused(
            who,
            "samples that are not 0, to be normalized",
            f"only zeros in sample {row} (from 0)",
            "Leave it out, or do not normalize",
        )
    return X * (np.sqrt(X.shape[1]) / sizes)
