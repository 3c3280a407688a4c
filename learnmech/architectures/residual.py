"""Residual networks: each layer adds to what came before."""

from learnmech.activations.functions import activation
from learnmech.architectures.base import keep
from learnmech.architectures.dense import Normed, dense, draw_dense, layer_scales, multiplied
from learnmech.architectures.limits import Skip, dense_limit, norm_limit
from learnmech.architectures.norms import NORMS, check_norm, normed, with_norms
from learnmech.language.parts import Knob, knob, structure


class Residual(Normed):
    """h_1 = W_1 x, h_{l+1} = h_l + beta s(W_{l+1} h_l + b) for `blocks` blocks of one width, f =
    W_L h, beta = branch blocks^-depth_power.

    A `depth_power` of 0 lets the stream grow with depth; at 1/2 and at 1 it has a limit. A `norm`
    of the branch's pre-activations, and `affine`, are those of Mlp. The signals are the branch's
    `layerK.pre` and the stream after it, `layerK.post`.

    With `matrices` = 2 a block is h + beta (V s(W h + b) + c), W in layer 2l and V in layer 2l + 1:
    `layer2.pre` and `layer2.post` are before and behind s, `layer3.pre` is the branch and
    `layer3.post` the stream after it; a norm is before s. Every scaling takes V for a hidden layer,
    as it is one. Source: He et al. 2016; Hayou et al. 2021.
    """

    width: int = structure(
        default=64, at_least=1, meaning="units of the stream and of the branches"
    )
    blocks: int = structure(
        default=2, at_least=1, meaning="blocks, each of which adds a branch to the stream"
    )
    activation: str = structure(
        default="relu",
        meaning="nonlinearity of the branches, by name: `learnmech.activations.functions`",
    )
    branch: Knob = knob(
        default=1.0, meaning="what every branch is multiplied by, beside the power of depth"
    )
    bias: bool = structure(default=False, meaning="whether each unit has a learned bias")
    depth_power: Knob = knob(
        default=0.0,
        at_least=0,
        meaning=(
            "p in the factor blocks^-p on every branch; from 1/2 on the stream has a limit as depth"
            " grows"
        ),
    )
    norm: str = structure(
        default="none",
        choices=NORMS,
        meaning=(
            "what brings a branch's pre-activations to unit size: statistics over the samples of"
            " the batch, or over the units of the layer"
        ),
    )
    affine: bool = structure(
        default=False,
        meaning="whether each unit of a branch has a learned gain and shift behind the norm",
    )
    matrices: int = structure(
        default=1,
        choices=(1, 2),
        kw_only=True,
        since="0.5",
        meaning="weight matrices of a block, before its activation and, of 2, behind it",
    )

    def coherent(self):
        activation(self.activation)
        check_norm(self, (self.width,))

    @property
    def beta(self):
        """What every branch is multiplied by."""
        return self.branch * self.blocks**-self.depth_power

    def init(self, rng, d, k):
        params = draw_dense(
            rng, (d, *[self.width] * (self.matrices * self.blocks + 1), k), self.scaling, self.bias
        )
        return with_norms(self, params, self.before_activations(list(params)))

    def before_activations(self, layers: list[str]) -> list[str]:
        """The first layer of every block, of the names of all layers in their order."""
        return layers[1 : -1 : self.matrices]

    def forward(self, params, X, tap=keep):
        s, scales = activation(self.activation), layer_scales(self.scaling, params)
        h = tap("layer1.post", tap("layer1.pre", dense(params["layer1"], scales["layer1"], X)))
        for index in range(2, len(params), self.matrices):
            name = f"layer{index}"
            z = tap(f"{name}.pre", dense(params[name], scales[name], h))
            branch = s(normed(self, params[name], scales[name], z, tap, name))
            if self.matrices == 2:
                branch, name = tap(f"{name}.post", branch), f"layer{index + 1}"
                branch = tap(f"{name}.pre", dense(params[name], scales[name], branch))
            h = tap(f"{name}.post", h + multiplied(self.beta, branch))
        last = f"layer{len(params)}"
        return tap("output", tap(f"{last}.pre", dense(params[last], scales[last], h)))

    def limit(self, d, tangent=True):
        unit = norm_limit(self, tangent)
        first, *blocks, last = dense_limit(
            self.scaling, self.matrices * self.blocks + 2, d, self.bias, tangent
        )
        behind = blocks[1::2] if self.matrices == 2 else [None] * self.blocks
        pairs = zip(blocks[:: self.matrices], behind, strict=True)
        return (
            first,
            *(Skip(affine, self.activation, self.beta, *unit, second) for affine, second in pairs),
            last,
        )

    @classmethod
    def example(cls):
        return cls(width=4, blocks=2, activation="tanh")
