"""Wrappers: architectures that are made of another one, and what they have from it."""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
import numpy as np

from learnmech.architectures.base import Architecture
from learnmech.errors import refused
from learnmech.language.parts import Shorthand, part
from learnmech.language.trees import Params, flat_of, shaped


class Wrapper(Architecture):
    """An architecture made of another, `of`, whose parameters and signals it has.

    It forwards all that does not depend on how outputs are made. What does (`forward` and
    `elsewhere`, `dense_layers`, `tangent_at`, `matrix`) is for a subclass to say.
    """

    of: Architecture = part(meaning="the architecture that it is made of, whose parameters it has")

    @property
    def mixes_samples(self):  # type: ignore[override]
        return self.of.mixes_samples

    @property
    def separable(self):
        return self.of.separable

    @property
    def is_linear(self):  # type: ignore[override]
        return self.of.is_linear

    @property
    def stochastic(self):  # type: ignore[override]
        return self.of.stochastic

    @property
    def running_momentum(self):  # type: ignore[override]
        return self.of.running_momentum

    @property
    def scaling(self):
        """The scaling of what it is made of, where that has one."""
        return self.of.scaling

    @property
    def activation(self):
        """The activation of what it is made of, where that has one."""
        return self.of.activation

    def shorthands(self):
        """Those of what it is made of (`width`)."""

        def turned(one):
            return lambda value: dataclasses.replace(self.of, **{one.field: one.turned(value)})

        own = {
            name: Shorthand("of", one.value, turned(one))
            for name, one in self.of.shorthands().items()
        }
        if "width" in {field.name for field in dataclasses.fields(self.of)}:
            own["width"] = Shorthand(
                "of",
                self.of.width,
                lambda width: dataclasses.replace(self.of, width=width),  # type: ignore[call-arg]
            )
        return own

    def begun(self, rng, inputs, outputs):
        return self.of.begun(rng, inputs, outputs)

    def init(self, rng, d, k):
        return self.of.init(rng, d, k)

    def signal_axes(self, name, rank):
        return self.of.signal_axes(name, rank)

    def role(self, path):
        return self.of.role(path)

    def check(self, X):
        self.of.check(X)

    def sample(self, key):
        return eqx.tree_at(lambda one: one.of, self, self.of.sample(key))

    def learned(self, params):
        return self.of.learned(params)

    def limit(self, d, tangent=True):
        return self.of.limit(d, tangent)

    def rate_factors(self, params, family="sgd"):
        return self.of.rate_factors(params, family)

    def anchored(self, params):
        return eqx.tree_at(lambda one: one.of, self, self.of.anchored(params))


class Anchored(Wrapper):
    """A wrapper that holds on to an `anchor`, parameters as one flat array (None: the start's
    own), which a subclass has among its knobs."""

    def anchored(self, params):
        """Bound to the start, and so is what it is made of; an anchor that was given is kept."""
        own, size = flat_of(params), sum(np.size(leaf) for leaf in jax.tree.leaves(params))
        if self.anchor is not None and self.anchor.shape != (size,):
            raise refused(
                type(self).__name__,
                f"an anchor of {size} numbers, one for each parameter",
                f"shape {self.anchor.shape}",
                "Ravel each array in natural order",
            )
        return eqx.tree_at(
            lambda one: (one.of, one.anchor),
            self,
            (self.of.anchored(params), own if self.anchor is None else self.anchor),
            is_leaf=lambda leaf: leaf is None,
        )

    def held(self, params: Params) -> Params:
        """The anchor in the shape and precision of params."""
        if self.anchor is None:
            raise refused(
                type(self).__name__,
                "the parameters it is anchored to",
                "none",
                "Prepare an experiment with it, or give its anchor",
            )
        return shaped(self.anchor, params)


class Seen(Wrapper):
    """An architecture as a run sees it for a while, a part of it frozen, held or masked.

    Never written, so that nothing of it is checked; and neither linear nor with a limit, whatever
    it is made of.
    """

    is_linear: ClassVar[bool] = False
    limit: ClassVar = Architecture.limit

    def __check_init__(self):
        pass
