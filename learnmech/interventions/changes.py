"""Interventions on the experiment: a knob turned, a part swapped, the labels changed."""

import dataclasses
import zlib
from typing import Any

import numpy as np

from learnmech.data.base import Data
from learnmech.errors import refused
from learnmech.interventions.base import Intervention, one_of
from learnmech.language.parts import Knob, Numbers, array, knob, part, structure
from learnmech.losses import Loss, Squared
from learnmech.rules.base import Rule

FIXED = ("architecture", "clock", "initial", "seed", "precision", "events")


class Change(Intervention):
    """Turn a knob of the experiment, by its dotted path: rule.rate, data.noise, loss.ridge."""

    path: str = structure(
        default="rule.rate", meaning="dotted path of the knob that is turned, as `rule.rate`"
    )
    value: float | int | bool | str | tuple = structure(
        default=0.01, meaning="what it is turned to"
    )

    def coherent(self):
        if self.path.split(".")[0] in FIXED:
            raise refused(
                "Change",
                "a knob of rule, data or loss",
                repr(self.path),
                "Fork with a changed clock, or run another experiment",
            )

    def experiment(self, experiment):
        return experiment.with_value(
            self.path, list(self.value) if isinstance(self.value, tuple) else self.value
        )

    @classmethod
    def example(cls):
        return cls(at=8)


class Swap(Intervention):
    """Go on under another rule, another loss or other data. A rule of another class begins with
    a fresh memory."""

    rule: Rule | None = part(
        default=None,
        meaning="the rule from then on, without a memory of before where it is of another kind",
    )
    loss: Loss | None = part(default=None, meaning="the loss from then on")
    source: Data | None = part(
        default=None, meaning="the data from then on, of as many inputs and outputs"
    )

    def coherent(self):
        one_of("Swap", {"rule": self.rule, "loss": self.loss, "source": self.source})

    def experiment(self, experiment):
        parts = {"rule": self.rule, "loss": self.loss, "data": self.source}
        return dataclasses.replace(
            experiment, **{name: part for name, part in parts.items() if part is not None}
        )

    def check(self, system, rule, state):
        if self.rule is not None and self.rule.flows != rule.flows:
            kind = "flows" if rule.flows else "steps"
            raise refused(
                "Swap",
                f"a rule that {kind}, as the run's does",
                type(self.rule).__name__,
                "Start a run of its own from the weights (initial.kind = given)",
            )

    @classmethod
    def example(cls):
        return cls(at=8, loss=Squared(ridge=0.1))


class Relabel(Intervention):
    """Go on with other training targets: `values` (n, k), or the own ones dealt anew among the
    samples by `shuffle`, a seed."""

    values: Numbers | None = array(default=None, meaning="the new targets (n, k)")
    shuffle: Knob | None = knob(
        default=None,
        whole=True,
        at_least=0,
        meaning="seed by which the own targets are dealt anew among the samples",
    )

    def coherent(self):
        one_of("Relabel", {"values": self.values, "shuffle": self.shuffle})

    def check(self, system, rule, state):
        if self.values is not None and self.values.shape != system.train.Y.shape:
            raise refused(
                "Relabel",
                f"targets of shape {system.train.Y.shape}",
                f"shape {self.values.shape}",
                "Give a row for every training sample",
            )

    def data(self, drawn):
        train = drawn.train
        if self.values is None:
            seed: Any = self.shuffle
            order = np.random.default_rng([int(seed), zlib.crc32(b"relabel")]).permutation(
                len(train.Y)
            )
        targets = np.asarray(train.Y)[order] if self.values is None else self.values
        return dataclasses.replace(
            drawn, train=dataclasses.replace(train, Y=targets.astype(train.Y.dtype))
        )

    @classmethod
    def example(cls):
        return cls(at=8, shuffle=0)
