"""Pools: the kernel and the targets that a learning curve is about, from a matrix, an experiment or
a record."""

import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.architectures.base import Architecture
from learnmech.errors import Refused, refused
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.kernels.empirical import traced_kernel
from learnmech.kernels.infinite import kernel as infinite_kernel
from learnmech.language import catalog, trees
from learnmech.record.base import Record
from learnmech.record.given import recorded

VIEWS = {"train": "training", "test": "test", "all": "training and test"}
KERNELS = ("ntk", "nngp", "tangent")


class Pool(NamedTuple):
    """A kernel among the samples of a pool, their targets, and what they are in words."""

    kernel: Float[np.ndarray, "N N"]
    Y: Float[np.ndarray, "N k"]
    title: str
    notes: tuple[str, ...] = ()


def pool_of(subject: Any, Y: Any, view: str, kernel: str, at: float | None) -> Pool:
    """What stands for a pool wherever one is asked for (`learning_curve`)."""
    if isinstance(subject, (Experiment, Start, Record, str, os.PathLike)):
        if Y is not None:
            raise refused(
                "learning_curve",
                "targets of its own data",
                "others",
                "Leave Y out, or give K and Y",
            )
        if isinstance(subject, (Experiment, Start)):
            start = prepare(subject) if isinstance(subject, Experiment) else subject
            if at is not None:
                remedy = "Run it, and give the record"
                raise refused("learning_curve", "a record to look at a step", "no record", remedy)
            return _of_start(start, view, kernel)
        return _of_record(recorded("learning_curve", subject), view, kernel, at)
    K = np.asarray(subject)
    if Y is None or K.ndim != 2 or K.dtype.kind not in "fiu":
        got = type(subject).__name__ if K.ndim != 2 else f"shape {K.shape} and no targets"
        remedy = "Give K (N, N) and Y (N, k), an experiment, or a record"
        raise refused("learning_curve", "a kernel with its targets", got, remedy)
    Y = np.asarray(Y, np.float64)
    return Pool(K, Y[:, None] if Y.ndim == 1 else Y, f"A kernel of {len(K)} samples")


def _of_start(start: Start, view: str, kernel: str) -> Pool:
    X, Y = _samples(start, view)
    architecture: Architecture = start.experiment.architecture
    chosen = kernel or _default(architecture, X)
    if chosen not in KERNELS:
        raise refused(
            "learning_curve", f"kernel of {', '.join(KERNELS)}", repr(kernel), "Choose one"
        )
    title = _title(chosen, start, view)
    if chosen != "tangent":
        return Pool(np.asarray(infinite_kernel(architecture, X, get=chosen)), Y, title)
    return Pool(_tangent(start, start.params, X), Y, f"{title}, at the start")


def _of_record(record: Record, view: str, kernel: str, at: float | None) -> Pool:
    if kernel not in ("", "tangent"):
        remedy = "Leave kernel out, or give record.experiment"
        raise refused("learning_curve", "the tangent kernel of a record", repr(kernel), remedy)
    start = record.start
    X, Y = _samples(start, view)
    params = record.params if at is None else record.at(at).params
    when = "at the end" if at is None else f"at {'time' if start.rule.flows else 'step'} {at:g}"
    trained = view != "test" and at != 0
    notes = (
        ("this kernel has been moved by the targets of its training samples",) if trained else ()
    )
    return Pool(_tangent(start, params, X), Y, f"{_title('tangent', start, view)}, {when}", notes)


def _samples(start, view):
    if view not in VIEWS:
        raise refused("learning_curve", f"a view of {', '.join(VIEWS)}", repr(view), "Choose one")
    data = start.data
    if data.test is None and view != "train":
        remedy = "Draw some by the `test` knob of the data"
        raise refused("learning_curve", "test samples", "none", remedy)
    views = {"train": (data.train,), "test": (data.test,), "all": (data.train, data.test)}[view]
    X, Y = (np.concatenate([np.asarray(getattr(one, side)) for one in views]) for side in "XY")
    if Y.ndim != 2 or Y.dtype.kind != "f":
        remedy = "Give one-hot targets in place of ids"
        raise refused("learning_curve", "targets (N, k) of real numbers", str(Y.dtype), remedy)
    return X, Y.astype(np.float64)


def _default(architecture, X):
    try:
        architecture.limit(X.shape[1])
    except Refused:
        return "tangent"
    return "ntk" if X.ndim == 2 and X.dtype.kind == "f" else "tangent"


def _tangent(start, params, X):
    system = trees.cast(start.system, jnp.float64)
    params = trees.cast(jax.tree.map(jnp.asarray, params), jnp.float64)
    X = jnp.asarray(X, jnp.float64) if X.dtype.kind == "f" else jnp.asarray(X)
    return np.asarray(traced_kernel(system.architecture, params, X))


def _title(kernel, start, view):
    kinds = [type(one).__name__ for one in (start.experiment.architecture, start.experiment.data)]
    name, source = map(catalog.kebab, kinds)
    of = {"ntk": "NTK", "nngp": "NNGP", "tangent": "Tangent kernel"}[kernel]
    return f"{of} of {name} on {source}, {VIEWS[view]} samples"
