"""Dropout: at every step of a run other units are silent."""

import zlib
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from learnmech.architectures.base import Architecture, Around, keep
from learnmech.architectures.mlp import Mlp
from learnmech.language.parts import Knob, knob
from learnmech.language.trees import Array


class Dropout(Around):
    """In every step each entry of every hidden signal `layerK.post` is 0 with probability `rate`,
    else divided by 1 - rate, so that its mean is kept.

    The masks are a function of the run's key, the step and the signal's name alone. Outside steps
    nothing is dropped: in the outputs, the full loss, kernels, curvatures and on test inputs. Of a
    residual network it is the stream that is dropped.  Source: Srivastava et al. 2014.
    """

    rate: Knob = knob(
        default=0.5,
        at_least=0,
        below=1,
        meaning="probability that an entry of a hidden signal is 0 in a step",
    )
    draws: ClassVar[bool] = True
    is_linear: ClassVar[bool] = False  # its steps do not go through one matrix

    @property
    def activation(self):
        """The activation of what it is made of, where that has one."""
        return self.of.activation

    def forward(self, params, X, tap=keep):
        return self.of.forward(params, X, tap)

    def elsewhere(self, params, X, among, tap=keep):
        return self.of.elsewhere(params, X, among, tap)

    def dense_layers(self, params):
        return self.of.dense_layers(params)

    def tangent_at(self, params):
        return self.of.tangent_at(params)

    def anchored(self, params):
        return eqx.tree_at(lambda one: one.of, self, self.of.anchored(params))

    def drawn(self, key):
        return _Masked(self.of.drawn(key), self.rate, key)

    @classmethod
    def example(cls):
        return cls(Mlp.example(), rate=0.25)


class _Masked(Architecture):
    """An architecture with the masks of one step."""

    inner: Architecture
    rate: Knob
    key: Array

    @property
    def mixes_samples(self):
        return self.inner.mixes_samples

    @property
    def running_momentum(self):
        return self.inner.running_momentum

    def forward(self, params, X, tap=keep):
        return self.inner.forward(params, X, self._masked(tap))

    def elsewhere(self, params, X, among, tap=keep):
        return self.inner.elsewhere(params, X, among, self._masked(tap))

    def check(self, X):
        self.inner.check(X)

    def rate_factors(self, params, family="sgd"):
        return self.inner.rate_factors(params, family)

    def _masked(self, tap):
        def masked(name, signal):
            if not name.endswith(".post"):
                return tap(name, signal)
            own = jax.random.fold_in(self.key, zlib.crc32(name.encode()) & 0x7FFFFFFF)
            kept = jax.random.bernoulli(own, 1 - self.rate, signal.shape)
            return tap(name, jnp.where(kept, signal / jnp.asarray(1 - self.rate, signal.dtype), 0))

        return masked

    def __check_init__(self):
        pass
