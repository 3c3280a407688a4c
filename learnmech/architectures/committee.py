"""The committee: two layers of erf units on inputs of many dimensions, a student or a teacher."""

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.base import Architecture, keep
from learnmech.errors import refused
from learnmech.language.parts import Knob, knob, structure


class Committee(Architecture):
    """f = sum_a v_a erf(w_a.x/sqrt d), one output: the soft committee machine.

    Entries of w are of size `spread` and v = 1 at the start, so that overlaps w_a.w_b/d are of
    order one. A `fixed` readout stays at 1; a `learned` one moves at 1/d of the base rate, as
    slowly as overlaps do.  Source: Saad & Solla 1995; Goldt et al. 2019.
    """

    hidden: int = structure(default=3, at_least=1, meaning="units")
    readout: str = structure(
        default="fixed", choices=("fixed", "learned"), meaning="whether the readout learns"
    )
    spread: Knob = knob(
        default=1.0, at_least=0, meaning="standard deviation of the hidden weights at the start"
    )

    def init(self, rng, d, k):
        if k != 1:
            raise refused("Committee", "one output", k, "Choose a target with one column")
        W = float(self.spread) * rng.standard_normal((self.hidden, d))
        return {"layer1": {"weight": W}, "layer2": {"weight": np.ones((1, self.hidden))}}

    def forward(self, params, X, tap=keep):
        W, v = params["layer1"]["weight"], params["layer2"]["weight"]
        fields = tap("layer1.pre", X @ W.T / np.sqrt(W.shape[1]))
        units = tap("layer1.post", jax.lax.erf(fields))
        return tap("output", tap("layer2.pre", units @ v.T))

    def rate_factors(self, params, family="sgd"):
        d = params["layer1"]["weight"].shape[1]
        moves = 1.0 / d if self.readout == "learned" else 0.0
        return {"layer1": {"weight": 1.0}, "layer2": {"weight": moves}}

    def gap_known(self, teacher):
        return isinstance(teacher, Committee)

    def mean_gap(self, params, teacher, theirs, scale):
        """v'E v - 2 v'E* v* + ..., E phi_a phi_b = (2/pi) asin(2 c_ab/sqrt((1+2c_aa)(1+2c_bb))), c
        the overlaps."""
        W = jnp.concatenate([params["layer1"]["weight"], theirs["layer1"]["weight"]])
        v = jnp.concatenate([params["layer2"]["weight"][0], -scale * theirs["layer2"]["weight"][0]])
        C = W @ W.T / W.shape[1]
        size = jnp.sqrt(1 + 2 * jnp.diag(C))
        return v @ (2 / np.pi * jnp.arcsin(2 * C / (size[:, None] * size))) @ v

    @classmethod
    def example(cls):
        return cls(hidden=2, readout="learned")
