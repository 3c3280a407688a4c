"""Dropout: at every step of a run other units are silent."""

import zlib
from typing import ClassVar

import jax
import jax.numpy as jnp

from learnmech.architectures.base import keep
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.wrapper import Seen, Wrapper
from learnmech.language.parts import Knob, knob
from learnmech.language.trees import Array


class Dropout(Wrapper):
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
    stochastic: ClassVar[bool] = True
    is_linear: ClassVar[bool] = False  # its steps do not go through one matrix

    def forward(self, params, X, tap=keep):
        return self.of.forward(params, X, tap)

    def elsewhere(self, params, X, among, tap=keep):
        return self.of.elsewhere(params, X, among, tap)

    def dense_layers(self, params):
        return self.of.dense_layers(params)

    def tangent_at(self, params):
        return self.of.tangent_at(params)

    def sample(self, key):
        return _Masked(self.of.sample(key), self.rate, key)

    @classmethod
    def example(cls):
        return cls(Mlp.example(), rate=0.25)


class _Masked(Seen):
    """An architecture with the masks of one step."""

    rate: Knob
    key: Array
    stochastic: ClassVar[bool] = False
    separable: ClassVar[bool] = False  # a mask is drawn for all samples of a pass

    def forward(self, params, X, tap=keep):
        return self.of.forward(params, X, self._masked(tap))

    def elsewhere(self, params, X, among, tap=keep):
        return self.of.elsewhere(params, X, among, self._masked(tap))

    def _masked(self, tap):
        def masked(name, signal):
            if not name.endswith(".post"):
                return tap(name, signal)
            own = jax.random.fold_in(self.key, zlib.crc32(name.encode()) & 0x7FFFFFFF)
            kept = jax.random.bernoulli(own, 1 - self.rate, signal.shape)
            return tap(name, jnp.where(kept, signal / jnp.asarray(1 - self.rate, signal.dtype), 0))

        return masked
