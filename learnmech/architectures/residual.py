"""Residual networks: each layer adds to what came before."""

from learnmech.activations import activation
from learnmech.architectures.base import Dense, dense, draw_dense, keep, layer_scales, multiplied
from learnmech.architectures.limits import Skip, dense_limit
from learnmech.parts import Knob, knob, structure


class Residual(Dense):
    """h_1 = W_1 x, h_{l+1} = h_l + branch s(W_{l+1} h_l + b) for `blocks` blocks of one width, f = W_L h.

    The signals are the branch's `layerK.pre` and the stream after it, `layerK.post`.  Source: He et al. 2016.
    """

    width: int = structure(64, at_least=1)
    blocks: int = structure(2, at_least=1)
    activation: str = structure("relu")
    branch: Knob = knob(1.0)
    bias: bool = structure(False)

    def coherent(self):
        activation(self.activation)

    def init(self, rng, d, k):
        return draw_dense(rng, (d, *[self.width] * (self.blocks + 1), k), self.scaling, self.bias)

    def forward(self, params, X, tap=keep):
        s, scales = activation(self.activation), layer_scales(self.scaling, params)
        h = tap("layer1.post", tap("layer1.pre", dense(params["layer1"], scales["layer1"], X)))
        for index in range(2, len(params)):
            name = f"layer{index}"
            h = tap(f"{name}.post", h + multiplied(self.branch, s(tap(f"{name}.pre", dense(params[name], scales[name], h)))))
        last = f"layer{len(params)}"
        return tap("output", tap(f"{last}.pre", dense(params[last], scales[last], h)))

    def limit(self, d, tangent=True):
        first, *blocks, last = dense_limit(self.scaling, self.blocks + 2, d, self.bias, tangent)
        return (first, *(Skip(affine, self.activation, self.branch) for affine in blocks), last)

    @classmethod
    def example(cls):
        return cls(width=4, blocks=2, activation="tanh")
