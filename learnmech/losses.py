"""Losses: what the learner pays for its outputs."""

import jax.numpy as jnp
from jaxtyping import Float

from learnmech import trees
from learnmech.parts import Knob, Part, knob, structure
from learnmech.trees import Array


class Loss(Part):
    """A price on outputs, averaged or summed over samples, plus a price on parameters."""

    def value(self, outputs: Float[Array, "n k"], Y: Float[Array, "n k"], weight: Float[Array, "n k"] | None) -> Float[Array, ""]:
        """The price of these outputs."""
        raise NotImplementedError

    def penalty(self, params: trees.Params) -> Float[Array, ""] | float:
        """The price of these parameters."""
        return 0.0


CONSTANTS = {"half-mean": lambda n: 0.5 / n, "mean": lambda n: 1.0 / n, "half-sum": lambda n: 0.5, "sum": lambda n: 1.0}


class Squared(Loss):
    """c sum_i |f_i - y_i|^2 + (ridge/2)|params|^2, summed over outputs.

    c = 1/(2n) for `half-mean`, 1/n for `mean`, 1/2 for `half-sum`, 1 for `sum`; n counts the samples of the batch in a batch.
    A ridge of None costs nothing, not even the sum. An (n, k) weight of the data multiplies each squared error (a mask is a weight of
    zeros and ones).
    """

    scaling: str = structure("half-mean", choices=tuple(CONSTANTS))
    ridge: Knob | None = knob(None, at_least=0)

    def constant(self, n: int) -> float:
        """c for n samples."""
        return CONSTANTS[self.scaling](n)

    def value(self, outputs, Y, weight=None):
        errors = (outputs - Y) ** 2
        return self.constant(outputs.shape[0]) * jnp.sum(errors if weight is None else weight * errors)

    def penalty(self, params):
        return 0.0 if self.ridge is None else 0.5 * self.ridge * trees.dot(params, params)
