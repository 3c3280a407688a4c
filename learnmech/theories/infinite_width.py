"""Infinite width: networks whose widths have gone to infinity learn as their limiting tangent
kernel does."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from learnmech.architectures.dense import Dense
from learnmech.architectures.linearized import Linearized
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK, classified
from learnmech.architectures.wrapper import Wrapper
from learnmech.data.gaussian import Gaussian
from learnmech.errors import Refused
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.kernels.decay import forever
from learnmech.kernels.infinite import Kernels, kernel
from learnmech.kernels.learner import Ensemble, KernelLearner
from learnmech.kernels.posterior import Posterior, posterior
from learnmech.machine.late import late
from learnmech.machine.memory import check_memory
from learnmech.rules.descent import GradientDescent
from learnmech.theories.base import Condition, Limit, Theory, constant, need
from learnmech.theories.tangent import (
    LARGE,
    decay_of,
    fitting,
    in_function_space,
    outputs_at_start,
    said_of_outputs,
    stable,
    told_of,
)

if TYPE_CHECKING:
    from scipy.sparse import linalg as sparse
else:
    sparse = late("scipy.sparse.linalg")

__all__ = [
    "Ensemble",
    "EnsembleMean",
    "InfiniteWidth",
    "KernelLearner",
    "Kernels",
    "Posterior",
    "ensemble",
    "forever",
    "kernel",
    "posterior",
]


def has_limit(start: Start) -> Condition:
    """The condition that the tangent kernel of the architecture has a limit, and the reason
    where it has none."""
    try:
        start.experiment.architecture.limit(start.data.train.X.shape[1])
        return Condition("the tangent kernel has a limit at infinite width", "yes", "yes", True)
    except Refused as reason:
        return Condition(
            "the tangent kernel has a limit at infinite width",
            str(reason).split(", but got ")[-1].split(". ")[0],
            "yes",
            False,
            fact="scaling-class",
            wants=("kernel",),
        )


def stands_still(start: Start) -> Condition:
    """The condition that the limiting kernel does not move: the scaling is in the kernel class,
    or the network is linearized."""
    claim = "the limiting kernel stands still (kernel class, or linearized)"
    architecture = start.experiment.architecture
    inner = architecture
    while isinstance(inner, Wrapper):
        if isinstance(inner, Linearized):
            return Condition(claim, "linearized", "kernel", True)
        inner = inner.of
    layers = len(start.params) - 1
    if not isinstance(inner, Dense) or not layers:
        return Condition(
            claim,
            "linear in its parameters" if not layers else type(inner).__name__,
            "kernel",
            not layers,
            fact="scaling-class",
            wants=("kernel",),
        )
    try:
        found = classified(inner.scaling, layers, start.rule.family).words
    except Refused as reason:  # no class is known for this scaling, depth and family of rules
        found = str(reason)
    kernel = found == "kernel"
    return Condition(claim, found, "kernel", kernel, fact="scaling-class", wants=("kernel",))


def drawn_as_prescribed(start: Start) -> Condition:
    """The condition that the start is drawn as the scaling prescribes."""
    initial = start.experiment.initial
    plain = isinstance(initial, GaussianStart) and float(initial.scale) == 1
    return Condition("the start is Gaussian at scale 1", repr(initial), "Gaussian()", plain)


class InfiniteWidth(Theory):
    """The network at infinite width from its own initial function: f moves by the limiting tangent
    kernel, the same for every output.

    df/dt = -2c T (f - Y) with T = `kernel(architecture, X).ntk` and f_0 the start's own outputs (0
    where they are centered); exactly at finite rates for descent and heavy ball. The kernel of a
    finite network is off by O(width^{-1/2}).
    """

    source: ClassVar[str] = "Jacot et al. 2018; Lee et al. 2019"
    predicts: ClassVar[tuple[str, ...]] = (
        "outputs",
        "test_outputs",
        "loss",
        "test_loss",
        "accuracy",
        "test_accuracy",
    )
    limits: ClassVar[tuple[Limit, ...]] = (Limit("architecture.width", -0.5, quantity="outputs"),)
    tolerance: ClassVar[float] = 0.1  # a limit: what counts is the order

    def known(self, start):
        return (
            *in_function_space(start),
            has_limit(start),
            stands_still(start),
            drawn_as_prescribed(start),
        )

    def further(self, start):
        return fitting(lambda: _decided(start))

    def predict(self, start, clock=None):
        need(self, start, *in_function_space(start), has_limit(start))
        marks, (begun, begun_test) = start.marked(clock), outputs_at_start(start)
        learner = _learner(start, begun)
        decayed = decay_of(start, learner.rates, marks)
        test = (
            None
            if begun_test is None
            else learner.elsewhere(_cross(start).ntk, begun_test, decayed)
        )
        return said_of_outputs(
            start, marks, learner.outputs(decayed), learner.residual(decayed), test
        )

    @classmethod
    def example(cls):
        architecture = Mlp(hidden=(64,), scaling=NTK(weight=1.5), bias=True)
        return Experiment(
            architecture,
            Gaussian(n=8, d=3, test=4),
            GradientDescent(rate=0.5),
            Clock(steps=20, every=5),
        )


def _decided(start):
    """What only the kernel decides: whether the rate is stable, and how well it is conditioned."""
    view = start.data.train
    if len(view.X) <= LARGE:
        return told_of(start, _learner(start, None))
    T = kernel(start.experiment.architecture, view.X, get="ntk")
    begun = np.random.default_rng(0).standard_normal(len(T))
    return stable(start, float(sparse.eigsh(T, k=1, which="LA", v0=begun, tol=1e-8)[0][0]), None)


def _learner(start, begun):
    view = start.data.train
    check_memory(
        f"InfiniteWidth with {len(view.X)} samples", 8 * 5 * len(view.X) ** 2, "Draw fewer samples"
    )
    T = np.asarray(kernel(start.experiment.architecture, view.X, get="ntk"))
    return KernelLearner.of(T, view.Y, constant(start), begun)


def _cross(start) -> Kernels:
    # both are asked for
    both: Any = kernel(start.experiment.architecture, start.data.test.X, start.data.train.X)
    return both


def ensemble(start: Start, clock: Clock | None = None) -> Ensemble:
    """Mean and covariance of the outputs at the marks over random starts of the infinitely wide
    network, f_0 ~ GP(0, NNGP), on both views.

    Refuses a start without a test view.  Source: Lee et al. 2019.
    """
    marks, data = start.marked(clock), start.data
    need(
        EnsembleMean(),
        start,
        *in_function_space(start),
        has_limit(start),
        Condition(
            "a test view", "none" if data.test is None else "one", "one", data.test is not None
        ),
    )
    learner, cross = _learner(start, None), _cross(start)
    views: tuple[Any, ...] = (data.test, data.train)
    own, between = (kernel(start.experiment.architecture, view.X, get="nngp") for view in views)
    return learner.ensemble(
        decay_of(start, learner.rates, marks), between, cross.ntk, cross.nngp, own
    )


def _variances(start, learner, decayed) -> dict[str, np.ndarray]:
    """The trace of the covariance of one output over random starts at every mark, on the
    training view and where there is one on the test view."""
    architecture, data = start.experiment.architecture, start.data
    between: Any = kernel(architecture, data.train.X, get="nngp")
    if data.test is None:
        # tr(E K E'), E = U left U'
        return {
            "loss": decayed.left**2
            @ np.einsum("ij,ik,kj->j", learner.vectors, between, learner.vectors, optimize=True)
        }
    cross = _cross(start)
    found = learner.ensemble(
        decayed, between, cross.ntk, cross.nngp, kernel(architecture, data.test.X, get="nngp")
    )
    return {
        "loss": np.trace(found.train_cov, axis1=1, axis2=2),
        "test_loss": np.trace(found.cov, axis1=1, axis2=2),
    }


class EnsembleMean(Theory):
    """The mean of outputs and losses over random starts at infinite width: (I - e^{-2cTt}) Y on the
    training inputs, T_x T^{-1} (I - e^{-2cTt}) Y elsewhere.

    A mean loss is that of the mean outputs, and the variance of the outputs beside it:
    c [|mean - Y|^2 + k tr cov]. For the covariance see `ensemble`. A finite network's means are off
    by O(1/width).
    """

    source: ClassVar[str] = "Lee et al. 2019"
    predicts: ClassVar[tuple[str, ...]] = ("outputs", "test_outputs", "loss", "test_loss")
    over_seeds: ClassVar[bool] = True
    from_start: ClassVar[bool] = False
    tolerance: ClassVar[float] = (
        4.5  # standard errors: the largest of a few hundred draws of a normal variable stays below
    )

    def known(self, start):
        return InfiniteWidth().known(start)

    def further(self, start):
        return InfiniteWidth().further(start)

    def predict(self, start, clock=None):
        need(self, start, *in_function_space(start), has_limit(start))
        marks, data = start.marked(clock), start.data
        learner = _learner(start, None)
        decayed = decay_of(start, learner.rates, marks)
        test = (
            None
            if data.test is None
            else learner.elsewhere(_cross(start).ntk, np.zeros_like(data.test.Y), decayed)
        )
        said = said_of_outputs(
            start, marks, learner.outputs(decayed), learner.residual(decayed), test
        )
        told = said[[name for name in self.predicts if name in said]]
        for name, spread in _variances(start, learner, decayed).items():
            of = start.experiment.loss.constant(
                len((data.train if name == "loss" else data.test).X)
            )
            told[name] = told[name] + of * data.train.Y.shape[1] * spread
            told[name].attrs |= said[name].attrs
        return told

    @classmethod
    def example(cls):
        architecture = Linearized(Mlp(hidden=(256,), scaling=NTK(weight=1.5), bias=True))
        return Experiment(
            architecture,
            Gaussian(n=6, d=3, test=3),
            GradientDescent(rate=0.5),
            Clock(steps=4, every=2),
        )
