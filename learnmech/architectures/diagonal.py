"""Diagonal linear networks: sparsity from a product of weights."""

from typing import ClassVar

import numpy as np

from learnmech.architectures.base import Architecture, keep
from learnmech.errors import refused


class Diagonal(Architecture):
    """f = sum_i (u_i^2 - v_i^2) x_i, one output: the linear map w = u^2 - v^2.  Source:
    Woodworth et al. 2020."""

    is_linear: ClassVar[bool] = True

    def init(self, rng, d, k):
        """u = v = 1 in every entry, so that w = 0; the start's scale multiplies both."""
        if k != 1:
            raise refused("Diagonal", "one output", k, "Choose a target with one column")
        return {"layer1": {"u": np.ones(d), "v": np.ones(d)}}

    def forward(self, params, X, tap=keep):
        return tap("output", tap("layer1.pre", X @ self.matrix(params).T))

    def matrix(self, params):
        u, v = params["layer1"]["u"], params["layer1"]["v"]
        return (u * u - v * v)[None, :]
