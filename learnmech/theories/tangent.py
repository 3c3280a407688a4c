"""Lazy training: the network replaced by its tangent at the start, solved in function space."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.dialed import Dialed
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.data.gaussian import Gaussian
from learnmech.errors import Refused
from learnmech.experiment.clock import Clock, Marks
from learnmech.experiment.recipe import Experiment, Start
from learnmech.experiment.tables import table
from learnmech.instruments.losses import Accuracy, Loss, Outputs, TestLoss
from learnmech.kernels import decay
from learnmech.kernels.decay import Decay
from learnmech.kernels.empirical import full_kernel
from learnmech.kernels.learner import KernelLearner
from learnmech.language import trees
from learnmech.machine.late import late
from learnmech.machine.memory import check_memory
from learnmech.rules.descent import GradientDescent, HeavyBall
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import (
    Condition,
    Limit,
    Theory,
    constant,
    need,
    no_ridge,
    rule_is,
    squared_loss,
)

if TYPE_CHECKING:
    import xarray as xr
    from scipy.sparse import linalg as sparse
else:
    sparse = late("scipy.sparse.linalg")
    xr = late("xarray")

LARGE = 2000
"""Entries beyond which a kernel is not diagonalized only to decide whether a theory applies."""


def decay_of(start: Start, rates: np.ndarray, marks: Marks) -> Decay:
    """What the start's rule leaves of deviations in directions of these rates, at the marks."""
    rule, steps = start.rule, np.asarray(marks.steps)  # of a flow not asked for
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # above the stable rate the prediction diverges, as the run does
        if rule.flows:
            return decay.flow(rates, marks.times)
        if isinstance(rule, HeavyBall):
            return decay.heavy_ball(rates, float(rule.rate), float(rule.momentum), steps)
        return decay.descent(rates, float(rule.rate), steps)


def in_function_space(start: Start) -> tuple[Condition, ...]:
    """The conditions of a squared loss on all samples, and of a rule that is linear in the
    gradient."""
    whole = Condition(
        "the rule sees all samples",
        int(getattr(start.rule, "batch", 0)),
        0,
        not getattr(start.rule, "batch", 0),
        fact="all-samples",
        wants=("yes",),
    )
    mixed = start.system.architecture.mixes_samples and start.system.test is not None
    apart = Condition(
        "no test view where samples mix (its kernel is among the training samples alone)",
        "a test view" if mixed else "no",
        "no",
        not mixed,
    )
    return (
        squared_loss(start),
        no_ridge(start),
        rule_is(start, GradientFlow, GradientDescent, HeavyBall),
        whole,
        apart,
    )


def stable(start: Start, top: float, condition_number: float | None) -> tuple[Condition, ...]:
    """That the rate is below the one at which descent with a kernel of this top eigenvalue
    diverges; and its condition number, where it is known."""
    told = (
        ()
        if condition_number is None
        else (
            Condition(
                "condition number of the kernel (no bound: it is singular at inf)",
                condition_number,
                "inf",
                True,
            ),
        )
    )
    if start.rule.flows:
        return told
    h, rate = 2 * constant(start) * top, float(start.rule.rate)
    known = start.rule.recurrence
    if known is None:  # of a rule that is refused beside this
        return told
    edge = known.threshold / h if h > 0 else np.inf
    return Condition(
        f"rate below {known.said('h_max')}, h_max = 2c lambda_max of the kernel",
        rate,
        edge,
        rate < edge,
    ), *told


def told_of(start: Start, learner: KernelLearner) -> tuple[Condition, ...]:
    """`stable` of a learner whose whole spectrum is known."""
    return stable(start, float(learner.values[-1]), learner.condition_number)


def fitting(decide: Callable[[], tuple[Condition, ...]]) -> tuple[Condition, ...]:
    """What a kernel decides; where it does not fit into memory, or its dual cannot be had to its
    accuracy, that."""
    try:
        return decide()
    except Refused as reason:
        return (Condition("the kernel can be computed here", str(reason), "yes", False),)


@eqx.filter_jit
def _kernel_times(system, params, v):
    """T v = J D J' v for the full tangent kernel, D the factors on the rates: one reverse and
    one forward product, the kernel never formed."""
    _, back = jax.vjp(lambda p: system.outputs(p, system.train.X), params)
    factors = system.architecture.rate_factors(params, "sgd")
    pulled = jax.tree.map(lambda g, f: f * g, back(v.reshape(system.train.Y.shape))[0], factors)
    return jax.jvp(lambda p: system.outputs(p, system.train.X), (params,), (pulled,))[1].ravel()


def top_of_kernel(start: Start) -> float:
    """The largest eigenvalue of the full tangent kernel at the start, by ARPACK on products with
    it."""
    params, system = jax.tree.map(jnp.asarray, start.params), trees.cast(start.system, jnp.float64)
    size = start.data.train.Y.size
    product = sparse.LinearOperator(
        (size, size),
        lambda v: np.asarray(_kernel_times(system, params, jnp.asarray(np.ravel(v)))),
        dtype=np.float64,
    )
    begun = np.random.default_rng(0).standard_normal(size)
    return (
        float(sparse.eigsh(product, k=1, which="LA", v0=begun, tol=1e-8)[0][0])
        if np.any(product @ begun)
        else 0.0
    )


def said_of_outputs(
    start: Start, marks: Marks, outputs: np.ndarray, residual: np.ndarray, test: np.ndarray | None
) -> "xr.Dataset":
    """What a trajectory of outputs (m, n, k) says: the outputs and losses on both views. Small
    losses come from the residual, which does not cancel."""
    c = constant(start)
    told = {"outputs": outputs, "loss": c * np.sum(residual**2, axis=(1, 2))}
    instruments = [Outputs(), Loss()]
    if test is not None:
        view: Any = start.data.test
        told |= {
            "test_outputs": test,
            "test_loss": start.experiment.loss.constant(len(view.X))
            * np.sum((test - view.Y) ** 2, axis=(1, 2)),
        }
        instruments.append(TestLoss())
    right = _right(start, outputs, test)
    if right:
        told |= right
        instruments.append(Accuracy())
    return table(
        tuple(q for one in instruments for q in one.quantities(start.system, start.state.params)),
        told,
        marks,
    )


def _right(start, outputs, test) -> dict[str, np.ndarray]:
    """The shares of samples that these outputs put in the right class, on both views; nothing
    where the targets are no classes."""
    try:
        Accuracy().check(start.system)
    except Refused:
        return {}

    def share(outputs, Y):
        chosen, right = (
            (side[..., 0] > 0) if side.shape[-1] == 1 else np.argmax(side, axis=-1)
            for side in (outputs, Y)
        )
        return np.where(
            np.isfinite(outputs).all(axis=(1, 2)), (chosen == right).mean(axis=-1), np.nan
        )

    train = {"accuracy": share(outputs, np.asarray(start.data.train.Y))}
    return (
        train
        if test is None
        else train | {"test_accuracy": share(test, np.asarray(start.data.test.Y))}
    )


def outputs_at_start(start: Start) -> tuple[np.ndarray, np.ndarray | None]:
    """f_0 on the training and the test inputs, in float64."""
    params, system = jax.tree.map(jnp.asarray, start.params), trees.cast(start.system, jnp.float64)
    data = start.data
    train, test = _outputs(system, params, data.train.X, None if data.test is None else data.test.X)
    return np.asarray(train), None if test is None else np.asarray(test)


@eqx.filter_jit
def _outputs(system, params, *views):
    return tuple(None if X is None else system.outputs(params, jnp.asarray(X)) for X in views)


class Lazy(Theory):
    """The network stays near its tangent at the start: its own kernel stands still, and the outputs
    move as kernel regression does.

    With T the full tangent kernel of the start (nk, nk), df/dt = -2c T (f - Y), exactly at finite
    rates for descent and heavy ball. Exact for a Linearized network; for others a limit: wide (the
    error falls at least as width^{-1/2} in the ntk scaling) or dialed (alpha -> infinity). Two
    layers of tanh, dialed and centered, were off by 0.9/(alpha h) at random and 0.12/(alpha^2 h);
    where outputs are not centered the error does not fall with alpha (exhibit `lazy-over-width`).
    """

    source: ClassVar[str] = "Jacot et al. 2018; Lee et al. 2019; Chizat et al. 2019"
    predicts: ClassVar[tuple[str, ...]] = (
        "outputs",
        "test_outputs",
        "loss",
        "test_loss",
        "accuracy",
        "test_accuracy",
    )
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("architecture.width", -0.5, bound=True, quantity="outputs"),
        Limit("architecture.alpha", -1.0, quantity="outputs"),
    )
    tolerance: ClassVar[float] = (
        0.05  # a limit: what counts is the order; at 5% one curve still lies on the other by eye
    )

    def known(self, start):
        return in_function_space(start)

    def further(self, start):
        if start.data.train.Y.size > LARGE:
            return stable(start, top_of_kernel(start), None)
        return fitting(lambda: told_of(start, self._learner(start)))

    def predict(self, start, clock=None):
        need(self, start, *in_function_space(start))
        marks, learner = start.marked(clock), self._learner(start)
        decayed, shape = decay_of(start, learner.rates, marks), start.data.train.Y.shape
        outputs, residual = (
            part.reshape(len(marks.times), *shape)
            for part in (learner.outputs(decayed), learner.residual(decayed))
        )
        if start.data.test is None:
            return said_of_outputs(start, marks, outputs, residual, None)
        test = start.data.test
        cross = _flat(self._kernel(start, test.X, start.data.train.X))
        begun: Any = outputs_at_start(start)[1]
        moved = learner.elsewhere(cross, begun.reshape(-1, 1), decayed)
        moved = moved.reshape(len(marks.times), *test.Y.shape)
        return said_of_outputs(start, marks, outputs, residual, moved)

    def _learner(self, start):
        view = start.data.train
        size = view.Y.size
        check_memory(
            f"Lazy with {len(view.Y)} samples of {view.Y.shape[1]} outputs",
            8 * 5 * size**2,
            "Draw fewer samples, or fewer outputs",
        )
        kernel = _flat(self._kernel(start, view.X, None))
        return KernelLearner.of(
            kernel,
            view.Y.reshape(-1, 1),
            constant(start),
            outputs_at_start(start)[0].reshape(-1, 1),
        )

    def _kernel(self, start, X1, X2):
        params = jax.tree.map(jnp.asarray, start.params)
        system = trees.cast(start.system, jnp.float64)
        return full_kernel(
            system.architecture, params, jnp.asarray(X1), None if X2 is None else jnp.asarray(X2)
        )

    @classmethod
    def example(cls):
        architecture = Dialed(Mlp(hidden=(64,), scaling=NTK(weight=1.5), bias=True), alpha=2.0)
        return Experiment(
            architecture,
            Gaussian(n=8, d=3, test=4),
            GradientDescent(rate=0.5),
            Clock(steps=20, every=5),
        )


def _flat(kernel):
    """(n, m, k, k) as (nk, mk)."""
    n, m, k, _ = kernel.shape
    return np.ascontiguousarray(np.moveaxis(kernel, 2, 1)).reshape(n * k, m * k)
