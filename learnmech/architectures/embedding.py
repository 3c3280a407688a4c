"""Embeddings: ids become vectors, on which dense layers stand."""

import jax.numpy as jnp

from learnmech.activations.functions import activation
from learnmech.architectures.base import Architecture, keep
from learnmech.architectures.dense import dense, drawn_layer, multiplied
from learnmech.architectures.scalings import SP, LayerScale, Scaling
from learnmech.errors import refused
from learnmech.language.parts import Shorthand, part, structure

TABLE = "embedding"


class Embedding(Architecture):
    """f = W_L s(... s(W_1 h + b_1) ...) + b_L on h, the rows of a table E under the ids of a
    sample: h_i = E[:, id_i] at position i.

    `join` says what the dense layers see: `concatenate`, all positions side by side; `sum`, their
    sum; `none`, each position alone, which gives an answer (n, positions, k) to each. The table
    `embedding.weight` is (width, vocabulary), a matrix on one-hot inputs, of which one entry is not
    0: its fan_in is 1. Signals: `embedding.post`, then those of dense layers.  Source: Bengio et
    al. 2003.
    """

    width: int = structure(default=32, at_least=1, meaning="units of the vector that an id becomes")
    hidden: tuple[int, ...] = structure(
        default=(64,),
        at_least=1,
        meaning="hidden widths of the dense layers behind it, the first first",
    )
    activation: str = structure(
        default="relu",
        meaning=(
            "nonlinearity behind each dense layer but the last, by name:"
            " `learnmech.activations.functions`"
        ),
    )
    join: str = structure(
        default="concatenate",
        choices=("concatenate", "sum", "none"),
        meaning="what the dense layers see: all positions side by side, their sum, or each alone",
    )
    bias: bool = structure(
        default=False, meaning="whether each unit of the dense layers has a learned bias"
    )
    scaling: Scaling = part(
        default=SP(),
        kw_only=True,
        meaning="how weights, their start and their rates grow with width",
    )

    def coherent(self):
        activation(self.activation)

    def shorthands(self):
        """`every_width` is the embedding's and every hidden width at once; read, the narrowest."""
        return (
            {
                "every_width": Shorthand(
                    "hidden",
                    min((self.width, *self.hidden)),
                    lambda width: (width,) * len(self.hidden),
                )
            }
            if self.hidden
            else {}
        )

    def begun(self, rng, inputs, outputs):
        if inputs.vocabulary is None:
            raise refused(
                "Embedding",
                "inputs that are ids",
                str(inputs),
                "Choose architectures.Mlp for vectors of real numbers",
            )
        answers = (*inputs.shape, outputs.shape[-1]) if self.join == "none" else outputs.shape[-1:]
        if outputs.shape != answers:
            remedy = (
                'Set join to "none" for an answer to each position, or to "concatenate" or "sum"'
                " for one to a sample"
            )
            raise refused(
                "Embedding",
                f"outputs of shape {answers} where join is {self.join}",
                f"{outputs.shape}",
                remedy,
            )
        fan_in = self.width * (inputs.size if self.join == "concatenate" else 1)
        widths, depth = (fan_in, *self.hidden, outputs.shape[-1]), len(self.hidden) + 2
        params = {
            TABLE: drawn_layer(
                rng, self.scaling.layer(1, depth, 1, self.width), inputs.vocabulary, self.width
            )
        }
        for index, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True), 1):
            params[f"layer{index}"] = drawn_layer(
                rng, self.scaling.layer(index + 1, depth, before, after), before, after, self.bias
            )
        return params

    def forward(self, params, X, tap=keep):
        s, scales = activation(self.activation), self._scales(params)
        h = tap(
            f"{TABLE}.post",
            multiplied(scales[TABLE].weight, jnp.take(params[TABLE]["weight"].T, X, axis=0)),
        )
        if self.join == "concatenate":
            h = h.reshape(len(h), -1)
        elif self.join == "sum":
            h = h.reshape(len(h), -1, h.shape[-1]).sum(axis=1)
        last = len(params) - 1
        for index in range(1, last):
            name = f"layer{index}"
            h = tap(f"{name}.post", s(tap(f"{name}.pre", dense(params[name], scales[name], h))))
        return tap(
            "output",
            tap(f"layer{last}.pre", dense(params[f"layer{last}"], scales[f"layer{last}"], h)),
        )

    def signal_axes(self, name, rank):
        return (
            super().signal_axes(name, rank)
            if rank != 3
            else ("sample", "position", "class" if name == "output" else "unit")
        )

    def rate_factors(self, params, family="sgd"):
        scales = self._scales(params)
        leaves = {"weight": family, "bias": f"bias_{family}"}
        return {
            name: {leaf: getattr(scales[name], leaves[leaf]) for leaf in layer}
            for name, layer in params.items()
        }

    def _scales(self, params) -> dict[str, LayerScale]:
        depth, found = (
            len(params),
            {TABLE: self.scaling.layer(1, len(params), 1, params[TABLE]["weight"].shape[0])},
        )
        for index in range(1, depth):
            fan_out, fan_in = params[f"layer{index}"]["weight"].shape
            found[f"layer{index}"] = self.scaling.layer(index + 1, depth, fan_in, fan_out)
        return found

    @classmethod
    def example(cls):
        return cls(width=4, hidden=(6,))
