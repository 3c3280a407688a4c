"""Products: what the outer layers of a linear network have made of its inputs and outputs,
whatever basis its hidden units are in."""

from learnmech.errors import refused
from learnmech.instruments.base import Instrument
from learnmech.language.quantity import Quantity
from learnmech.language.trees import layers_of


class LayerProducts(Instrument):
    """W_1'W_1 (d, d) and W_L W_L' (k, k) of a linear network of weights alone: with two layers, all
    that is left of both once hidden units are rotated.

    Beside the map W_2 W_1 they are the blocks of QQ', Q = [W_1'; W_2].  Source: Fukumizu 1998;
    Domine et al. 2024.
    """

    def check(self, system):
        if not system.architecture.is_linear:
            raise refused(
                "LayerProducts",
                "a network linear in its inputs",
                repr(system.architecture),
                "Use architectures.DeepLinear",
            )

    def quantities(self, system, params):
        layers = list(layers_of(params).values())
        if not all(set(layer) == {"weight"} and layer["weight"].ndim == 2 for layer in layers):
            raise refused(
                "LayerProducts",
                "layers of one matrix each",
                repr(system.architecture),
                "Use architectures.DeepLinear",
            )
        return (
            Quantity(
                "input_product",
                ("input", "input'"),
                "param^2",
                "W_1'W_1",
                "product of the first layer's weights over its hidden units",
            ),
            Quantity(
                "output_product",
                ("output", "output'"),
                "param^2",
                "W_L W_L'",
                "product of the last layer's weights over its hidden units",
            ),
        )

    def read(self, moment):
        weights = [layer["weight"] for layer in layers_of(moment.state.params).values()]
        first, last = weights[0], weights[-1]
        return {"input_product": first.T @ first, "output_product": last @ last.T}
