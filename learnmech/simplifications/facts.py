"""Facts: what an experiment is, in a closed list of few values, by which simplifications say what
they need and what they turn."""

import numpy as np

from learnmech.architectures.base import Architecture
from learnmech.architectures.dense import Dense
from learnmech.architectures.linear import DeepLinear
from learnmech.architectures.linearized import Linearized
from learnmech.architectures.scalings import Gained, classified
from learnmech.architectures.wrapper import Wrapper
from learnmech.data.base import Data, singular_modes
from learnmech.data.clones import Clone, ShuffledTargets
from learnmech.data.gaussian import Gaussian
from learnmech.errors import Refused
from learnmech.experiment.recipe import Start
from learnmech.losses import Squared
from learnmech.losses.classes import CrossEntropy
from learnmech.rules.descent import SGD, GradientDescent

FACTS: dict[str, tuple[str, ...]] = {
    "linear-in-inputs": ("yes", "no"),
    "linear-in-params": ("yes", "no"),
    "depth": ("1", "2", "more"),
    "scaling-class": ("kernel", "other"),
    "gains": ("one", "several"),
    "start": ("any", "balanced", "aligned"),
    "norm": ("none", "some"),
    "bias": ("none", "some"),
    "deterministic": ("yes", "no"),
    "all-samples": ("yes", "no"),
    "plain-rate": ("yes", "no"),
    "rule-kind": ("descent", "momentum", "adaptive", "flow", "other"),
    "loss-kind": ("squared", "classes", "other"),
    "inputs": ("any", "gaussian", "whitened"),
    "targets": ("own", "shuffled"),
    "precision": ("float64", "float32"),
}
"""{fact: its values}. Nothing else may be needed or turned."""


def innermost(architecture: Architecture) -> Architecture:
    """What wrappers are made of in the end."""
    while isinstance(architecture, Wrapper):
        architecture = architecture.of
    return architecture


def facts_of(start: Start) -> dict[str, str]:
    """{fact: its value} of an experiment that is made ready."""
    experiment, network = start.experiment, start.experiment.architecture
    inner, rule, loss, data = innermost(network), start.rule, experiment.loss, experiment.data

    def said(holds):
        return "yes" if holds else "no"

    layers = len(start.state.params)
    return {
        "linear-in-inputs": said(network.is_linear),
        # of one layer without a norm in front of the loss outputs are linear in the weights too
        "linear-in-params": said(
            isinstance(network, Linearized) or (isinstance(inner, DeepLinear) and layers == 1)
        ),
        "depth": str(layers) if layers < 3 else "more",
        "scaling-class": "kernel" if _is_kernel(inner, layers, rule) else "other",
        "gains": "several" if isinstance(getattr(inner, "scaling", None), Gained) else "one",
        "start": _begun(start),
        # a gain and a shift of each unit are no norm, but are learned as behind one
        "norm": "some"
        if getattr(inner, "norm", "none") != "none" or getattr(inner, "affine", False)
        else "none",
        "bias": "some" if _has_bias(start) else "none",
        "deterministic": said(not network.stochastic),
        "all-samples": said(rule.flows or not getattr(rule, "batch", 0)),
        "plain-rate": said(rule.flows or rule.plain),
        "rule-kind": _kind(rule),
        "loss-kind": "squared"
        if isinstance(loss, Squared)
        else "classes"
        if isinstance(loss, CrossEntropy)
        else "other",
        "inputs": _inputs(start),
        "targets": "shuffled" if isinstance(data, ShuffledTargets) else "own",
        "precision": experiment.precision,
    }


def _is_kernel(inner, layers, rule) -> bool:
    """Whether the scaling is in the kernel class as width grows."""
    if not isinstance(inner, Dense) or layers < 2 or rule.family not in ("sgd", "adam"):
        return False
    try:
        return classified(inner.scaling, layers - 1, rule.family).words == "kernel"
    except Refused:  # no class is known of this scaling at this depth
        return False


def _begun(start) -> str:
    """Whether two layers without multipliers begin balanced, and beside that aligned with the modes
    of the targets, to a hundred round-offs."""
    params = start.params
    plain = start.experiment.architecture.is_linear and isinstance(
        start.experiment.architecture, DeepLinear
    )
    if not plain or len(params) != 2:
        return "any"
    first, second = (np.asarray(layer["weight"], np.float64) for layer in params.values())
    least = 100 * np.finfo(start.experiment.precision).eps
    size = float(max(np.sum(first**2), np.sum(second**2)))
    if np.linalg.norm(second.T @ second - first @ first.T) > least * size:
        return "any"
    U, _, V = singular_modes(start.data.train)
    W = second @ first
    off = W - U * np.einsum("km,kd,dm->m", U, W, V) @ V.T
    return "aligned" if np.linalg.norm(off) <= least * np.linalg.norm(W) else "balanced"


def _has_bias(start):
    return any("bias" in layer for layer in start.state.params.values())


def _kind(rule):
    if rule.flows:
        return "flow"
    if isinstance(rule, (SGD, GradientDescent)):
        return "descent"
    if rule.divides:
        return "adaptive"
    return "other" if rule.recurrence is None else "momentum"


def _inputs(start):
    if start.data.of_vectors:
        X = np.asarray(start.data.train.X, np.float64)
        if np.abs(X.T @ X / len(X) - np.eye(X.shape[1])).max() < 1e-8:
            return "whitened"
    return "gaussian" if is_gaussian(start.experiment.data) else "any"


def is_gaussian(source: Data) -> bool:
    """Whether a source draws its inputs from a Gaussian, whitened afterwards or not."""
    inner = source.of if isinstance(source, ShuffledTargets) else source
    if isinstance(inner, Clone):
        return inner.form in ("gaussian", "per-class")
    return isinstance(inner, Gaussian)
