"""Deep linear networks: linear in the input, nonlinear in the weights."""

from typing import ClassVar

from learnmech.architectures.base import keep
from learnmech.architectures.dense import Dense, dense, draw_dense, layer_scales, multiplied
from learnmech.architectures.limits import dense_limit
from learnmech.language.parts import Shorthand, structure


class DeepLinear(Dense):
    """f = W_L ... W_1 x without biases.

    `hidden` lists the hidden widths; the input and output widths come from the data. No hidden
    layer is linear regression; all widths 1 is the scalar chain.  Source: Saxe et al. 2014.
    """

    is_linear: ClassVar[bool] = True
    hidden: tuple[int, ...] = structure(
        default=(), at_least=1, meaning="hidden widths, inputs first; none: linear regression"
    )

    def shorthands(self):
        """`width` is every hidden width at once; read, the narrowest."""
        return (
            {
                "width": Shorthand(
                    "hidden", min(self.hidden), lambda width: (width,) * len(self.hidden)
                )
            }
            if self.hidden
            else {}
        )

    def init(self, rng, d, k):
        return draw_dense(rng, (d, *self.hidden, k), self.scaling)

    def forward(self, params, X, tap=keep):
        scales = layer_scales(self.scaling, params)
        h = X
        for index in range(1, len(params) + 1):
            name = f"layer{index}"
            h = tap(f"{name}.pre", dense(params[name], scales[name], h))
            h = tap("output" if index == len(params) else f"{name}.post", h)
        return h

    def limit(self, d, tangent=True):
        return dense_limit(self.scaling, len(self.hidden) + 1, d, False, tangent)

    def matrix(self, params):
        """W = W_L ... W_1 with every layer's multiplier, multiplied from its thinner end."""
        weights = [
            multiplied(scale.weight, params[name]["weight"])
            for name, scale in layer_scales(self.scaling, params).items()
        ]
        if weights[-1].shape[0] <= weights[0].shape[1]:
            product = weights[-1]
            for weight in reversed(weights[:-1]):
                product = product @ weight
            return product
        product = weights[0]
        for weight in weights[1:]:
            product = weight @ product
        return product

    @classmethod
    def example(cls):
        return cls(hidden=(4,))
