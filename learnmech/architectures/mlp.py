"""Multilayer perceptrons: linear maps with a nonlinearity between them."""

from learnmech.activations.functions import activation
from learnmech.architectures.base import keep
from learnmech.architectures.dense import Normed, dense, draw_dense, layer_scales
from learnmech.architectures.limits import Activate, dense_limit, norm_limit
from learnmech.architectures.norms import NORMS, check_norm, normed, with_norms
from learnmech.language.parts import Shorthand, structure


class Mlp(Normed):
    """f = W_L s(W_{L-1} ... s(W_1 x + b_1) ...) + b_L with activation s and, if asked, biases.

    A `norm` brings the pre-activations of every hidden layer to unit size before s
    (`architectures.norms`): `batch`, over the samples of the batch, elsewhere than in training
    those of the training inputs; `layer` or `rms`, over the units. With `affine` each unit has a
    learned `layerK.gain` and `layerK.shift` behind it, from 1 and 0, which learn as biases do.
    """

    hidden: tuple[int, ...] = structure(
        default=(64,), at_least=1, meaning="hidden widths, inputs first"
    )
    activation: str = structure(
        default="tanh",
        meaning=(
            "nonlinearity behind each layer but the last, by name:"
            " `learnmech.activations.functions`"
        ),
    )
    bias: bool = structure(default=False, meaning="whether each unit has a learned bias")
    norm: str = structure(
        default="none",
        choices=NORMS,
        meaning=(
            "what brings hidden pre-activations to unit size: statistics over the samples of the"
            " batch, or over the units of the layer"
        ),
    )
    affine: bool = structure(
        default=False, meaning="whether each unit has a learned gain and shift behind the norm"
    )

    def coherent(self):
        activation(self.activation)
        check_norm(self, self.hidden)

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
        params = draw_dense(rng, (d, *self.hidden, k), self.scaling, self.bias)
        return with_norms(self, params, list(params)[:-1])

    def forward(self, params, X, tap=keep):
        s, scales = activation(self.activation), layer_scales(self.scaling, params)
        h = X
        for index in range(1, len(params)):
            name = f"layer{index}"
            z = tap(f"{name}.pre", dense(params[name], scales[name], h))
            h = tap(f"{name}.post", s(normed(self, params[name], scales[name], z, tap, name)))
        last = f"layer{len(params)}"
        return tap("output", tap(f"{last}.pre", dense(params[last], scales[last], h)))

    def limit(self, d, tangent=True):
        unit = norm_limit(self, tangent)
        first, *rest = dense_limit(self.scaling, len(self.hidden) + 1, d, self.bias, tangent)
        return (
            first,
            *(step for affine in rest for step in (Activate(self.activation, *unit), affine)),
        )

    @classmethod
    def example(cls):
        return cls(hidden=(4,), bias=True)
