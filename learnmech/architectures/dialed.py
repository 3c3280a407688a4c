"""The dial from lazy to rich: a network's outputs multiplied, its rate divided to match."""

import dataclasses

import jax

from learnmech.architectures.base import keep, refuse_running
from learnmech.architectures.dense import multiplied
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.wrapper import Anchored
from learnmech.errors import refused
from learnmech.language.parts import Knob, Numbers, array, knob, structure


class Dialed(Anchored):
    """F = alpha (f(params) - f(params_0)) with the rate divided by alpha^2: lazy as alpha ->
    infinity, rich as alpha -> 0.

    `gamma` = 1/alpha is the other name of the same knob; with neither, alpha = 1. `centered` =
    false leaves f(params_0) in. The factor 1/alpha^2 belongs to the rule (1/alpha for Adam-like
    rules, whose steps do not grow with the gradient), not to t, so that the outputs first move as
    they would at alpha = 1. params_0 are the start's, or `anchor`, one flat array. The signals
    before the outputs are those of f.  Source: Chizat et al. 2019.
    """

    alpha: Knob | None = knob(
        default=None,
        above=0,
        meaning=(
            "what multiplies the outputs: lazy as it grows, rich as it vanishes; 1 where neither it"
            " nor gamma is given"
        ),
    )
    gamma: Knob | None = knob(default=None, above=0, meaning="1/alpha, by its other name")
    centered: bool = structure(
        default=True, meaning="whether the outputs at params_0 are taken off"
    )
    anchor: Numbers | None = array(
        default=None,
        meaning="the parameters params_0 as one flat array; the start's own unless given",
    )

    def coherent(self):
        if self.alpha is not None and self.gamma is not None:
            raise refused("Dialed", "one of alpha and gamma = 1/alpha", "both", "Drop one")
        refuse_running("Dialed", self.of)

    @property
    def factor(self):
        """alpha, whichever of the two was given."""
        if self.gamma is not None:
            return 1 / self.gamma
        return 1.0 if self.alpha is None else self.alpha

    def rate_factors(self, params, family="sgd"):
        compensation = self.factor ** (2 if family == "sgd" else 1)
        return jax.tree.map(
            lambda factor: factor / compensation, self.of.rate_factors(params, family)
        )

    def forward(self, params, X, tap=keep):
        return self._dialed(lambda params, tap=keep: self.of.forward(params, X, tap), params, tap)

    def elsewhere(self, params, X, among, tap=keep):
        return self._dialed(
            lambda params, tap=keep: self.of.elsewhere(params, X, among, tap), params, tap
        )

    def _dialed(self, of, params, tap):
        outputs = of(params, lambda name, value: value if name == "output" else tap(name, value))
        if self.centered:
            outputs = outputs - of(self.held(params))
        return tap("output", multiplied(self.factor, outputs))

    def dense_layers(self, params):
        layers = self.of.dense_layers(params)
        if layers is None:
            return None
        rates = {
            name: one._replace(
                weight_rate=one.weight_rate / self.factor**2,
                bias_rate=one.bias_rate / self.factor**2,
            )
            for name, one in layers.items()
        }
        last = list(rates)[-1]  # the others feel alpha through their back-signals
        return rates | {
            last: (
                rates[last]._replace(
                    weight=self.factor * rates[last].weight, bias=self.factor * rates[last].bias
                )
            )
        }

    def limit(self, d, tangent=True):
        """Of F: nothing at the start where it is centered, else alpha^2 K; the tangent kernel
        stays, since the rate makes up for alpha."""
        *steps, last = self.of.limit(d, tangent)
        size = 0.0 if self.centered else self.factor**2
        return (*steps, dataclasses.replace(last, signal=size * last.signal, bias=size * last.bias))

    def matrix(self, params):
        """alpha (W - W_0), of a network linear in its inputs."""
        W = self.of.matrix(params)
        return multiplied(
            self.factor, W - self.of.matrix(self.held(params)) if self.centered else W
        )

    @classmethod
    def example(cls):
        return cls(Mlp.example(), alpha=2.0)
