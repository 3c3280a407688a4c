"""The axis of infinite width: the kernel in function space."""

from typing import Any, ClassVar

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.architectures.scalings import SP
from learnmech.data.arrays import Arrays
from learnmech.errors import Refused
from learnmech.experiment.recipe import Start
from learnmech.initial.given import Given
from learnmech.kernels.infinite import kernel
from learnmech.simplifications.base import Simplification, changed

# What may be off of the first outputs, relative to the largest: they are sums of n terms over
# square roots of the kernel's eigenvalues.
OFF = 1e-4


class KernelLimit(Simplification):
    """The hidden layers become infinitely wide, and the outputs move by the limiting tangent kernel
    T from where this network begins: one linear layer on phi, f = W phi(x) with phi(x).phi(x') =
    T(x, x') on all training and test inputs.

    phi = U sqrt(lambda) of T = U diag(lambda) U', and W_0 = f_0' U / sqrt(lambda) gives the first
    outputs of this network, so that seeds stay paired. Descent, SGD, momentum and flow on W at the
    same rate are those of the network in the limit; an adaptive rule knows weights apart, and is
    not. Needs n + m samples squared of memory.  Source: Jacot et al. 2018; Lee et al. 2019.
    """

    axis: ClassVar = "infinite width"
    needs: ClassVar = {
        "scaling-class": ("kernel",),
        "deterministic": ("yes",),
        "rule-kind": ("descent", "momentum", "flow"),
        "linear-in-params": ("no",),
    }
    turns: ClassVar = {
        "linear-in-inputs": "yes",
        "linear-in-params": "yes",
        "depth": "1",
        "scaling-class": "other",
    }

    def off(self, start):
        network = start.experiment.architecture
        single = isinstance(network, DeepLinear) and not network.hidden
        return "linear in its weights" if single else ""

    def lacks(self, start):
        if start.experiment.events:
            return "events name weights of the network"
        if not start.data.of_vectors:
            return "inputs are no vectors"
        try:
            values, _ = _modes(start)
        except Refused as refusal:
            return str(refusal).split(", but got ")[-1].split(". ")[0]
        # the root of the least eigenvalue divides what the outputs are rounded by
        least = max(float(values[0]), 0.0) / float(values[-1])
        lost = np.finfo(start.experiment.precision).eps * len(values) / max(least, 1e-300) ** 0.5
        return "" if lost < OFF else f"the kernel of these {len(values)} inputs is near singular"

    def turned(self, start):
        values, vectors = _modes(start)
        features = vectors * np.sqrt(values)
        begun = np.concatenate([_outputs(start, view) for view in _views(start)])
        weights = (vectors / np.sqrt(values)).T @ begun
        train, count = start.data.train, len(start.data.train.X)
        test = start.data.test
        data = Arrays(
            features[:count],
            np.asarray(train.Y),
            weight=None if train.weight is None else np.asarray(train.weight),
            X_test=None if test is None else features[count:],
            Y_test=None if test is None else np.asarray(test.Y),
        )
        return changed(
            start,
            architecture=DeepLinear(hidden=(), scaling=SP()),
            data=data,
            initial=Given(np.ravel(weights.T)),
        )


def _views(start: Start) -> list:
    return [view for view in (start.data.train, start.data.test) if view is not None]


def _outputs(start, view) -> np.ndarray:
    return np.asarray(start.system.outputs(start.state.params, view.X), np.float64)


def _modes(start: Start) -> tuple[np.ndarray, np.ndarray]:
    """(eigenvalues rising, eigenvectors) of the limiting tangent kernel on all inputs."""
    X = np.concatenate([np.asarray(view.X, np.float64) for view in _views(start)])
    T: Any = kernel(start.experiment.architecture, X, get="ntk")
    values, vectors = np.linalg.eigh(np.asarray(T))
    return values, vectors
