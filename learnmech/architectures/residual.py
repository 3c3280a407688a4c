"""Residual networks: each layer adds to what came before."""

from learnmech.activations import activation
from learnmech.architectures.base import Dense, dense, draw_dense, keep, layer_scales, multiplied
from learnmech.architectures.limits import Skip, dense_limit, norm_limit
from learnmech.architectures.norms import NORMS, check_batch, check_norm, normed, with_gains
from learnmech.parts import Knob, knob, structure


class Residual(Dense):
    """h_1 = W_1 x, h_{l+1} = h_l + beta s(W_{l+1} h_l + b) for `blocks` blocks of one width, f = W_L h, beta = branch blocks^-depth_power.

    A `depth_power` of 0 lets the stream grow with depth; at 1/2 and at 1 it has a limit. A `norm` of the branch's pre-activations, and `affine`, are those of
    Mlp. The signals are the branch's `layerK.pre` and the stream after it, `layerK.post`.  Source: He et al. 2016; Hayou et al. 2021.
    """

    width: int = structure(64, at_least=1)
    blocks: int = structure(2, at_least=1)
    activation: str = structure("relu")
    branch: Knob = knob(1.0)
    bias: bool = structure(False)
    depth_power: Knob = knob(0.0, at_least=0)
    norm: str = structure("none", choices=NORMS)
    affine: bool = structure(False)

    def coherent(self):
        activation(self.activation)
        check_norm("Residual", self.norm, (self.width,))

    @property
    def mixes_samples(self):
        return self.norm == "batch"

    @property
    def beta(self):
        """What every branch is multiplied by."""
        return self.branch * self.blocks**-self.depth_power

    def check(self, X):
        if self.mixes_samples:
            check_batch(X)

    def init(self, rng, d, k):
        params = draw_dense(rng, (d, *[self.width] * (self.blocks + 1), k), self.scaling, self.bias)
        return with_gains(params, list(params)[1:-1], self.affine)

    def forward(self, params, X, tap=keep):
        s, scales = activation(self.activation), layer_scales(self.scaling, params)
        h = tap("layer1.post", tap("layer1.pre", dense(params["layer1"], scales["layer1"], X)))
        for index in range(2, len(params)):
            name = f"layer{index}"
            z = tap(f"{name}.pre", dense(params[name], scales[name], h))
            h = tap(f"{name}.post", h + multiplied(self.beta, s(normed(self.norm, params[name], scales[name], z, tap, name))))
        last = f"layer{len(params)}"
        return tap("output", tap(f"{last}.pre", dense(params[last], scales[last], h)))

    def dense_layers(self, params):
        return None if self.affine else super().dense_layers(params)

    def limit(self, d, tangent=True):
        unit = norm_limit(self.norm, self.affine and tangent)
        first, *blocks, last = dense_limit(self.scaling, self.blocks + 2, d, self.bias, tangent)
        return (first, *(Skip(affine, self.activation, self.beta, unit) for affine in blocks), last)

    @classmethod
    def example(cls):
        return cls(width=4, blocks=2, activation="tanh")
