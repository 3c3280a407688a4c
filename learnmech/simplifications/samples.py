"""Axes of the data: what of the samples beyond their first two moments counts, and what of the
targets."""

import dataclasses
from typing import ClassVar

from learnmech.data.clones import Clone, ShuffledTargets, too_many
from learnmech.language.parts import structure
from learnmech.losses import Squared
from learnmech.simplifications.base import Simplification, changed
from learnmech.simplifications.facts import facts_of, is_gaussian


class GaussianInputs(Simplification):
    """The data become Gaussian, with the means and covariances that the training samples have.

    Inputs and targets together, or `per_class` the inputs of each class by themselves and the
    targets as they are, which a loss on classes needs. Drawn anew for each seed of the experiment.
    """

    axis: ClassVar = "data"
    turns: ClassVar = {"inputs": "gaussian"}
    draws: ClassVar = True
    per_class: bool = structure(
        default=False, meaning="whether each class has a Gaussian of its own, and keeps its targets"
    )

    def off(self, start):
        return "Gaussian" if is_gaussian(start.experiment.data) else ""

    def lacks(self, start):
        if not start.data.of_vectors:
            return f"samples are {start.data.said_of_spaces}, and not vectors"
        if start.data.train.weight is not None or start.data.train.mask is not None:
            return "samples count unequally"
        if self.per_class and too_many(start.data.train.Y):
            return "targets are no classes: hardly two samples have the same"
        classes = isinstance(start.experiment.loss, Squared) or self.per_class
        return "" if classes else "the loss needs classes (per_class keeps them)"

    def turned(self, start):
        experiment = start.experiment
        kind = "per-class" if self.per_class else "gaussian"
        clone = Clone(experiment.data, kind, seed=int(experiment.seed))
        return changed(start, data=clone)


class Whitened(Simplification):
    """Inputs become white within their span, S_xx = I."""

    axis: ClassVar = "input spectrum"
    turns: ClassVar = {"inputs": "whitened"}

    def off(self, start):
        return "white" if facts_of(start)["inputs"] == "whitened" else ""

    def lacks(self, start):
        source = start.experiment.data
        if not start.data.of_vectors:
            return f"samples are {start.data.said_of_spaces}, and not vectors"
        known = {field.name for field in dataclasses.fields(source)}
        return "" if "whitened" in known else f"{type(source).__name__} has no knob to whiten them"

    def turned(self, start):
        return changed(start, data=dataclasses.replace(start.experiment.data, whitened=True))


class RandomLabels(Simplification):
    """Training targets are shuffled among the samples, so that nothing is left to be learned of
    the inputs but by heart."""

    axis: ClassVar = "labels"
    turns: ClassVar = {"targets": "shuffled"}
    draws: ClassVar = True

    def off(self, start):
        return "shuffled" if isinstance(start.experiment.data, ShuffledTargets) else ""

    def turned(self, start):
        experiment = start.experiment
        return changed(start, data=ShuffledTargets(experiment.data, seed=int(experiment.seed)))
