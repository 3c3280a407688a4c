"""Axes of where a network begins, and of how its weights are written: what multiplies them, how
they scale with the width, how they are drawn."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import SP, Gained, Paced
from learnmech.data.base import singular_modes
from learnmech.errors import refused
from learnmech.experiment.recipe import Start
from learnmech.initial.gaussian import Gaussian
from learnmech.initial.given import Given
from learnmech.language.parts import structure
from learnmech.simplifications.base import (
    Simplification,
    Turned,
    changed,
    outputs_at_start,
)
from learnmech.simplifications.facts import facts_of, innermost


class EvenGains(Simplification):
    """The gains of a linear network go into its weights and its rate: nothing else changes.

    f = G W_L ... W_1 x, G the product of the gains, is the network of weights G^{1/L} W_l, which
    move as they did at G^{2/L} times the rate: outputs and losses are the same at every step.
    """

    axis: ClassVar = "gains"
    needs: ClassVar = {"linear-in-inputs": ("yes",), "rule-kind": ("descent", "momentum")}
    turns: ClassVar = {"gains": "one"}
    keeps: ClassVar = {"outputs at t = 0": outputs_at_start}

    def off(self, start):
        return "without gains" if facts_of(start)["gains"] == "one" else ""

    def lacks(self, start):
        experiment = start.experiment
        if not isinstance(experiment.initial, Gaussian):
            return "the start is not drawn as the scaling prescribes, at a scale"
        if not isinstance(experiment.architecture.scaling, Gained):
            return "the network is wrapped"
        decays = getattr(start.rule, "decay", None) or getattr(experiment.loss, "ridge", None)
        if decays:
            return "weights decay, and what they are counts"
        if start.rule.clip is not None:
            return "gradients are clipped, and what they are counts"
        return "the clock counts time" if experiment.clock.steps is None else ""

    def turned(self, start):
        network, scale = start.experiment.architecture, float(start.experiment.initial.scale)
        gain = float(np.prod(network.scaling.gains))
        depth = len(network.hidden) + 1
        if gain < 0:
            raise refused("EvenGains", "a product of gains above 0", gain, "Leave this axis on")
        plain = DeepLinear(network.hidden, scaling=network.scaling.of)
        scale, rate = scale * gain ** (1 / depth), float(start.rule.rate) * gain ** (2 / depth)
        made = changed(
            start,
            {"scale of the start": scale, "rate": rate},
            architecture=plain,
            initial=Gaussian(scale),
        )
        return Turned(made.experiment.with_value("rule.rate", rate), made.tuned)


class KernelScaling(Simplification):
    """sp becomes ntk at this width: the same function at every step, written so that it has a limit
    as it grows wider.

    z = W h/sqrt(fan_in) with W ~ N(0, 1), the rate of each layer times its fan-in of now.
    """

    axis: ClassVar = "scaling"
    turns: ClassVar = {"scaling-class": "kernel"}
    keeps: ClassVar = {"outputs at t = 0": outputs_at_start}

    def off(self, start):
        found = facts_of(start)["scaling-class"]
        return "of the kernel class" if found == "kernel" else ""

    def lacks(self, start):
        network = start.experiment.architecture
        if not isinstance(network, (Mlp, DeepLinear)) or not network.hidden:
            return "the network is no stack of two layers or more"
        if not isinstance(network.scaling, SP):
            return f"its scaling is {type(network.scaling).__name__}, and not SP"
        if start.rule.family != "sgd":
            # under Adam ntk at one rate has no limit either
            return "steps do not shrink with the gradient"
        if not isinstance(start.experiment.initial, Gaussian):
            return "the start is not drawn as the scaling prescribes, at a scale"
        decays = getattr(start.rule, "decay", None) or getattr(start.experiment.loss, "ridge", None)
        if decays or getattr(start.rule, "clip", None) is not None:
            return "weights decay or gradients are clipped, and what they are counts"
        return ""

    def turned(self, start):
        network = start.experiment.architecture
        widths = [layer["weight"].shape[1] for layer in start.params.values() if "weight" in layer]
        scaling = Paced(np.array(widths, float))
        return changed(start, architecture=dataclasses.replace(network, scaling=scaling))


class Wide(Simplification):
    """Hidden layers of so many units or more: nearer to the limits of infinite width."""

    axis: ClassVar = "width"
    units: int = structure(default=512, at_least=1, meaning="units of the narrowest hidden layer")

    def off(self, start):
        network = start.experiment.architecture
        hidden = getattr(network, "hidden", ()) or ()
        return f"{min(hidden)} wide" if hidden and min(hidden) >= self.units else ""

    def lacks(self, start):
        network = start.experiment.architecture
        if not isinstance(network, (Mlp, DeepLinear)) or not network.hidden:
            return "the network is no stack of two layers or more"
        fitted = isinstance(network.scaling, (Gained, Paced))
        return "its scaling is that of one width" if fitted else ""

    def turned(self, start):
        network = start.experiment.architecture
        hidden = tuple(max(width, self.units) for width in network.hidden)
        return changed(start, architecture=dataclasses.replace(network, hidden=hidden))


def growing(start: Start) -> np.ndarray:
    """(h, m) what grows of two layers at each mode of the targets: (W_2'u_m + W_1 v_m)/2 of
    S_yx = U S V'. The other half, their difference, decays."""
    first, second = (np.asarray(layer["weight"], np.float64) for layer in start.params.values())
    U, _, V = singular_modes(start.data.train)
    return (second.T @ U + first @ V) / 2


def sizes_of_modes(start: Start) -> np.ndarray:
    """(m,) |(W_2'u_m + W_1 v_m)/2|^2: the part of each mode that grows."""
    return np.sum(growing(start) ** 2, axis=0)


OF_TWO_LAYERS: Mapping[str, tuple[str, ...]] = {
    "linear-in-inputs": ("yes",),
    "linear-in-params": ("no",),
    "depth": ("2",),
    "gains": ("one",),
}


def _lacks_layers(start: Start) -> str:
    network = innermost(start.experiment.architecture)
    plain = isinstance(network, DeepLinear) and isinstance(network.scaling, SP)
    return "" if plain else "the network is not deep linear in sp scaling"


def _begun(start: Start, parts: np.ndarray) -> Turned:
    """The experiment from two layers that hold these parts (h, m) of the modes, shared evenly."""
    U, _, V = singular_modes(start.data.train)
    layers = {"layer1": {"weight": parts @ V.T}, "layer2": {"weight": U @ parts.T}}
    return changed(start, initial=Given.of(layers))


class BalancedStart(Simplification):
    """The start of two linear layers becomes balanced, W_2'W_2 = W_1 W_1': of each mode what grows
    is kept, what decays is 0."""

    axis: ClassVar = "balance"
    needs: ClassVar = OF_TWO_LAYERS
    turns: ClassVar = {"start": "balanced"}
    keeps: ClassVar = {"what grows of each mode": sizes_of_modes}

    def off(self, start):
        found = facts_of(start)["start"]
        return found if found != "any" else ""

    def lacks(self, start):
        return _lacks_layers(start)

    def turned(self, start):
        return _begun(start, growing(start))


class AlignedStart(Simplification):
    """The start of two linear layers becomes balanced and aligned with the modes of the targets,
    which then learn each on its own: what grows of each keeps its size, and its direction as nearly
    as they can be orthogonal.

    Matched by the product's size |W| it would be 2.6 times farther from the run it stands for, by
    the norm of all weights 4.5 times.
    """

    axis: ClassVar = "alignment"
    # one that is balanced first is aligned to the same start
    needs: ClassVar = {**OF_TWO_LAYERS, "start": ("any", "balanced")}
    turns: ClassVar = {"start": "aligned"}
    keeps: ClassVar = {"what grows of each mode": sizes_of_modes}

    def off(self, start):
        return "aligned" if facts_of(start)["start"] == "aligned" else ""

    def lacks(self, start):
        modes, width = growing(start).shape[::-1]
        few = f"{modes} modes and {width} units" if modes > width else ""
        return _lacks_layers(start) or few

    def turned(self, start):
        parts = growing(start)
        # the polar factor is the nearest orthonormal frame
        left, _, right = np.linalg.svd(parts, full_matrices=False)
        return _begun(start, (left @ right) * np.linalg.norm(parts, axis=0))
