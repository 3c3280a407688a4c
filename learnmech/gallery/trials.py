"""Trials: the tiny experiments on which a part is tried, and what is measured on them."""

import contextlib
import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.dropout import Dropout
from learnmech.architectures.linear import DeepLinear
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.residual import Residual
from learnmech.architectures.scalings import NTK, Gained
from learnmech.data.digits import Digits
from learnmech.data.gaussian import Gaussian
from learnmech.data.ids import Ids
from learnmech.data.modular import ModularArithmetic
from learnmech.data.teachers import NetworkTeacher
from learnmech.errors import Refused, refused
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.language import trees
from learnmech.losses import CrossEntropy
from learnmech.rules.descent import SGD, GradientDescent, HeavyBall
from learnmech.rules.schedules import WarmUp
from learnmech.runs.blocks import stream
from learnmech.simplifications.base import Simplification
from learnmech.system.state import replaced


def tiny(**changes) -> Experiment:
    """A tiny experiment into which one part is put."""
    parts = {
        "architecture": DeepLinear.example(),
        "data": Gaussian.example(),
        "rule": GradientDescent.example(),
        "clock": Clock(steps=20, marks=5),
    }
    return Experiment(**(parts | changes))


def gradient_error(experiment: Experiment) -> float:
    """Largest difference between the gradient along three random directions and central
    differences, relative to the gradient's norm."""
    start = prepare(experiment)
    _, gradient = eqx.filter_jit(lambda s, p: s.value_and_gradient(p))(
        start.system, start.state.params
    )
    loss = eqx.filter_jit(lambda s, p: s.loss(p))
    worst, step = 0.0, 1e-5
    for seed in range(3):
        rng = np.random.default_rng(seed)
        direction = jax.tree.map(
            lambda w, r=rng: jnp.asarray(r.standard_normal(w.shape)), start.state.params
        )
        direction = trees.scale(1 / trees.norm(direction), direction)
        ahead, behind = (
            loss(start.system, trees.add(start.state.params, trees.scale(sign * step, direction)))
            for sign in (1, -1)
        )
        worst = max(
            worst, abs(float((ahead - behind) / (2 * step) - trees.dot(gradient, direction)))
        )
    return worst / max(float(trees.norm(gradient)), 1e-12)


def mapped_by(example) -> Experiment:
    """The tiny experiment an architecture is tried on: vectors, or ids with one answer to a
    sample or to each position."""
    on_ids = (
        {"data": one, "loss": CrossEntropy()}
        for one in (ModularArithmetic.example(), Ids.example())
    )
    tried = ({"data": dataclasses.replace(Gaussian.example(), k=1)}, *on_ids)
    for changes in tried:
        plain = tiny(architecture=example, **changes)
        try:
            prepare(plain)
            return plain
        except Refused as error:
            refusal = error
    raise refusal


def priced_by(example) -> Experiment:
    """The tiny experiment a loss is tried on: any targets, or classes, one-hot or signs, for
    what has a price for those alone."""
    for targets in ("one-hot", "signs"):
        for source in (Gaussian.example(), dataclasses.replace(Digits.example(), targets=targets)):
            with contextlib.suppress(Refused):
                plain = tiny(loss=example, data=source)
                prepare(plain)
                return plain
    raise refused(
        "check",
        "a loss with a price for numbers, one-hot targets or signs",
        repr(example),
        "Change what it refuses",
    )


def visible_to(example) -> Experiment:
    """The tiny experiment an instrument is tried on: a deep linear network, or a multilayer one
    in ntk scaling, classes, two inputs or a teacher for what cannot look at that."""
    for changes in (
        {},
        {"architecture": Mlp(hidden=(4,), scaling=NTK())},
        {"data": dataclasses.replace(Digits.example(), targets="one-hot")},
        {"data": dataclasses.replace(Gaussian.example(), d=2)},
        {"data": NetworkTeacher.example()},
    ):
        plain = tiny(**changes)
        try:
            example.check(prepare(plain).system)
        except Refused as error:
            refusal = error
            continue
        return plain
    raise refusal


def turned_off_in(example: Simplification) -> tuple[Experiment, list[str]]:
    """(the first tiny experiment in which a simplification has something to turn off, why it
    does not apply to those before it)."""
    classes = dataclasses.replace(Digits.example(), targets="one-hot", whitened=False)
    deep, short = Mlp(hidden=(4, 4)), Clock(steps=6, marks=4)
    tried: tuple[dict, ...] = (
        {"architecture": deep, "precision": "float32"},
        {"architecture": deep, "data": classes},
        {"architecture": deep, "data": classes, "loss": CrossEntropy()},
        {"rule": HeavyBall(rate=0.02, batch=4, schedule=WarmUp(steps=3))},
        {"architecture": Dropout(Mlp(hidden=(4,), bias=True))},
        {"architecture": Mlp(hidden=(4,), norm="layer", affine=True)},
        {"architecture": Mlp(hidden=(4,), bias=True)},
        {"architecture": Mlp(hidden=(4,), bias=True, scaling=NTK())},
        {"architecture": DeepLinear((4,), scaling=Gained(gains=np.array([0.5])))},
        {"architecture": Residual(width=4)},
        {"architecture": DeepLinear((4,)), "rule": SGD(rate=0.02, batch=4)},
    )
    lacking = []
    for changes in tried:
        full = tiny(**({"clock": short} | changes))
        lacking.append(example.why_not(full))
        if not lacking[-1]:
            return full, lacking[:-1]
    raise refused(
        "check",
        "a simplification that applies to one of the experiments it is tried on",
        "; ".join(lacking),
        "Mend its `off`, `needs` or `lacks`",
    )


def numbers_of_none(start, watch, example) -> set[str]:
    """The readings of an instrument that are numbers although a weight, of each array in turn,
    or every one is NaN or infinite."""
    leaves = trees.leaves_by_path(start.state.params)
    spoiled = [{path: np.asarray(leaf).copy()} for path, leaf in leaves.items()] + [
        {path: np.asarray(leaf).copy() for path, leaf in leaves.items()}
    ]
    found = set()
    for arrays in spoiled:
        for value in (np.nan, np.inf):
            for array in arrays.values():
                array[(slice(None) if len(arrays) > 1 else 0,) * array.ndim] = value
            at = dataclasses.replace(
                start,
                state=replaced(
                    start.state, {path: jnp.asarray(array) for path, array in arrays.items()}
                ),
            )
            read = next(stream(at, watch)).readings.get(example.every, {})
            names = [
                q.name
                for q in example.quantities(start.system, start.state.params)
                if example.rests_on(q.name) != "nothing"
            ]
            found |= {name for name in names if np.isfinite(read[name][0]).any()}
    return found
