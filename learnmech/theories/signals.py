"""Signals: how far they and what comes back to them reach into a network of infinite width at
its start, layer by layer."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from learnmech.architectures.dense import Dense
from learnmech.architectures.dialed import Dialed
from learnmech.architectures.grids import on_grid
from learnmech.architectures.limits import Activate, Affine
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.data.gaussian import Gaussian
from learnmech.errors import Refused
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.experiment.tables import table
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.propagation import Propagation
from learnmech.kernels.recursion import Pair, rough, tables, walked
from learnmech.language.trees import Array
from learnmech.rules.descent import GradientDescent
from learnmech.theories.base import Condition, Limit, Theory, need
from learnmech.theories.phases import moments


class Said(NamedTuple):
    """What the limit says of hidden layers: mean variance, mean correlation of distinct inputs
    (None with one input), back-signals over the last's."""

    variance: Float[np.ndarray, " layers"]
    correlation: Float[np.ndarray, " layers"] | None
    back: Float[np.ndarray, " layers"]


ROWS = 256
_onward = eqx.filter_jit(walked)


def propagated(steps: tuple, X: Float[Array, "n d"]) -> Said:
    """Variances, correlations and back-signals of inputs at every hidden pre-activation of an
    infinitely wide network, from the steps of its limit.

    Forward K as in the NNGP; back, per input, g -> signal E s'^2 g through an affine layer and its
    activation, g (1 + branch^2 signal E s'^2) over a block.
    """
    X = np.asarray(X, np.float64)
    rows: Any = tables(steps, (X**2).sum(axis=1) / X.shape[1])
    hidden = [
        (one.after.variance if isinstance(step, Affine) else one.before)
        for step, one in zip(steps, rows, strict=True)
        if not isinstance(step, Activate)
    ]
    back = np.stack(_back(steps, rows)[:-1]).mean(axis=1)
    sizes, alike = hidden[:-1], None
    if len(X) > 1:
        whole = np.sum(
            [_alike(steps, rows, X, slice(at, at + ROWS), sizes) for at in range(0, len(X), ROWS)],
            axis=0,
        )
        alike = whole / (len(X) * (len(X) - 1))
    ratio = back / back[-1] if back[-1] > 0 else np.zeros_like(back)
    return Said(np.stack(sizes).mean(axis=1), alike, ratio)


def _back(steps, rows):
    """|df/dz|^2 per input at every affine layer's outputs, up to one factor."""
    g, found = np.ones_like(rows[0].before), []
    for step, here in zip(reversed(steps), reversed(rows), strict=True):
        if isinstance(step, Affine):
            found.append(g)
            g = step.backward * g
        else:
            through = np.asarray(moments(step.activation, here.before).slope) * g
            if isinstance(step, Activate):
                g = through
            else:
                found.append(step.branch**2 * through)
                g = g + step.affine.backward * found[-1]
    return found[::-1]


def _alike(steps, rows, X, some, sizes):
    """The sums of correlations of these rows with all other inputs, at every hidden layer."""
    here, d = X[some], X.shape[1]
    gap = (None, None)
    if rough(steps):
        gap = tuple(np.square(here[:, None] + sign * X).sum(axis=2) / d for sign in (-1, 1))
    pair, found = Pair(here @ X.T / d, None, *gap), []
    others = ~np.eye(len(X), dtype=bool)[some]
    for step, there in zip(steps, rows, strict=True):
        ours = jax.tree.map(lambda x: x[some], there)
        if not isinstance(step, Activate):
            inner = step if isinstance(step, Affine) else step.affine
            found.append(walked((inner,), (ours,), (there,), pair).k)
        onward = walked if isinstance(step, Affine) else _onward
        pair = jax.tree.map(np.asarray, onward((step,), (ours,), (there,), pair))
    return [
        float(_cosines(k, a[some], a)[others].sum()) for k, a in zip(found, sizes, strict=False)
    ]


def _cosines(k, a, b):
    size = np.sqrt(np.outer(a, b))
    return np.where(size > 0, np.asarray(k) / np.where(size > 0, size, 1), 0)


class SignalPropagation(Theory):
    """Signals and back-signals of a dense network at its start, layer by layer, as its widths go to
    infinity: order, chaos and the edge between them.

    Of the pre-activations z of every hidden layer, on the training inputs: mean |z|^2/h, mean
    correlation of distinct inputs, and the squared back-signal |df/dz|^2 over the last hidden
    layer's, each with the weights' true variances (a `scale` of the start counts). At t = 0.
    Networks of width h are off by O(h^-1/2), and more the deeper they are: what counts is depth
    over width.
    """

    source: ClassVar[str] = "Poole et al. 2016; Schoenholz et al. 2017; Yang & Schoenholz 2017"
    predicts: ClassVar[tuple[str, ...]] = (
        "preactivation_variance",
        "preactivation_correlation",
        "back_signal_ratio",
    )
    limits: ClassVar[tuple[Limit, ...]] = tuple(
        Limit("architecture.width", -0.5, quantity=one) for one in predicts[:1]
    )
    tolerance: ClassVar[float] = (
        0.1  # a limit: what counts is the order; at 10% the curves go the same way
    )

    def domain(self, start):
        architecture, initial = start.system.architecture, start.experiment.initial
        of = architecture.of if isinstance(architecture, Dialed) else architecture
        steps, why = _steps(start)
        deep = steps is not None and sum(not isinstance(step, Activate) for step in steps) > 1
        plain = (
            isinstance(of, Dense)
            and getattr(of, "norm", "none") == "none"
            and not getattr(of, "affine", False)
        )
        plain = plain and getattr(of, "matrices", 1) == 1
        return (
            Condition(
                "the network is dense, without norms, plain or dialed",
                repr(of),
                "Mlp, DeepLinear, Residual of one matrix a block",
                plain,
            ),
            Condition(
                "its signals have a limit at infinite width, and a hidden layer", why, "so", deep
            ),
            Condition(
                "the weights start independent and normal, as the scaling says",
                type(initial).__name__,
                "Gaussian",
                isinstance(initial, GaussianStart),
            ),
        )

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        said = propagated(_steps(start)[0], start.data.train.X)
        marks = start.marked(clock)
        first = marks._replace(
            times=marks.times[:1], steps=None if marks.steps is None else marks.steps[:1]
        )
        quantities = Propagation().quantities(start.system, start.state.params)
        values: dict[str, Any] = dict(zip(self.predicts, said, strict=True))
        return table(quantities, {one.name: values[one.name][None] for one in quantities}, first)

    @classmethod
    def example(cls):
        network = Mlp(
            hidden=(24, 24), activation="erf", scaling=NTK(weight=1.5, bias=0.3), bias=True
        )
        return Experiment(
            network, Gaussian(n=4, d=3, k=1), GradientDescent(rate=0.01), Clock(steps=1, marks=2)
        )


def _steps(start):
    """(the steps of the limit with the start's scale in them, or None, and why there are none)."""
    try:
        steps = start.system.architecture.limit(start.data.train.X.shape[1], False)
    except Refused as error:
        return None, str(error)
    if on_grid(steps):
        return None, "signals at positions, whose kernels are not followed here"
    square = np.asarray(float(getattr(start.experiment.initial, "scale", 1.0)) ** 2)

    def scaled(one):
        return (
            Affine(
                square * one.signal,
                square * one.bias,
                square * one.backward,
                one.learned,
                one.learned_bias,
            )
            if isinstance(one, Affine)
            else one
        )

    return tuple(
        jax.tree.map(scaled, step, is_leaf=lambda one: isinstance(one, Affine)) for step in steps
    ), "so"
