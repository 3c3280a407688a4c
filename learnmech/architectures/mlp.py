"""Multilayer perceptrons: linear maps with a nonlinearity between them."""

from learnmech.activations import activation
from learnmech.architectures.base import Dense, dense, draw_dense, keep, layer_scales
from learnmech.architectures.limits import Activate, dense_limit
from learnmech.parts import Shorthand, structure


class Mlp(Dense):
    """f = W_L s(W_{L-1} ... s(W_1 x + b_1) ...) + b_L with activation s and, if asked, biases."""

    hidden: tuple[int, ...] = structure((64,), at_least=1)
    activation: str = structure("tanh")
    bias: bool = structure(False)

    def coherent(self):
        activation(self.activation)

    def shorthands(self):
        """`width` is every hidden width at once; read, the narrowest."""
        return {"width": Shorthand("hidden", min(self.hidden), lambda width: (width,) * len(self.hidden))} if self.hidden else {}

    def init(self, rng, d, k):
        return draw_dense(rng, (d, *self.hidden, k), self.scaling, self.bias)

    def forward(self, params, X, tap=keep):
        s, scales = activation(self.activation), layer_scales(self.scaling, params)
        h = X
        for index in range(1, len(params)):
            name = f"layer{index}"
            h = tap(f"{name}.post", s(tap(f"{name}.pre", dense(params[name], scales[name], h))))
        last = f"layer{len(params)}"
        return tap("output", tap(f"{last}.pre", dense(params[last], scales[last], h)))

    def limit(self, d, tangent=True):
        first, *rest = dense_limit(self.scaling, len(self.hidden) + 1, d, self.bias, tangent)
        return (first, *(step for affine in rest for step in (Activate(self.activation), affine)))

    @classmethod
    def example(cls):
        return cls(hidden=(4,), bias=True)
