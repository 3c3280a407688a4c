"""Scalings: how weights, starts and rates grow with width h: sp, ntk, mean-field, mup."""

from typing import ClassVar, NamedTuple

import numpy as np

from learnmech.errors import refused
from learnmech.parts import Knob, Part, knob


class LayerScale(NamedTuple):
    """One layer z = weight W h + bias b: multipliers, standard deviations of the draws, and factors on the base rate for SGD-like and Adam-like rules."""

    weight: float
    std: float
    sgd: float
    adam: float
    bias: float = 1.0
    bias_std: float = 0.0
    bias_sgd: float = 1.0
    bias_adam: float = 1.0


class Scaling(Part):
    """A parametrization W^l = h^-a w, w ~ N(0, h^-2b), rate eta h^-c. Source: Yang & Hu 2021.

    `table` lists (a, b, c for SGD, c for Adam) of input, hidden and readout layers as powers of h.
    """

    table: ClassVar[dict[str, tuple[float, float, float, float]]] = {}

    def layer(self, index: int, depth: int, fan_in: int, fan_out: int) -> LayerScale:
        """The scale of layer `index` (1 to depth)."""
        raise NotImplementedError

    def card(self) -> str:
        """The exponents as printed in reports."""
        rows = [f"{role}: a={a:g} b={b:g} c={c:g} (Adam {adam:g})" for role, (a, b, c, adam) in self.table.items()]
        return f"{type(self).__name__}  " + "; ".join(rows)


class SP(Scaling):
    """Standard parametrization: w ~ N(0, 1/fan_in), no multipliers, the same rate everywhere."""

    table: ClassVar = {"input": (0, 0, 0, 0), "hidden": (0, 0.5, 0, 0), "readout": (0, 0.5, 0, 0)}

    def layer(self, index, depth, fan_in, fan_out):
        return LayerScale(1.0, fan_in**-0.5, 1.0, 1.0)


class NTK(Scaling):
    """Neural-tangent parametrization: z = (weight/sqrt fan_in) W h + bias b, entries of W and b from N(0, 1)."""

    weight: Knob = knob(1.0, above=0)
    bias: Knob = knob(1.0, at_least=0)
    table: ClassVar = {"input": (0, 0, 0, 0), "hidden": (0.5, 0, 0, 0), "readout": (0.5, 0, 0, 0)}

    def layer(self, index, depth, fan_in, fan_out):
        return LayerScale(self.weight * fan_in**-0.5, 1.0, 1.0, 1.0, self.bias, 1.0)


class MeanField(Scaling):
    """Mean-field parametrization of a net with one hidden layer of width h: f = (1/h) sum_i a_i s(w_i.x), N(0, 1) entries, rate h times the base rate."""

    table: ClassVar = {"input": (0, 0, -1, 0), "readout": (1, 0, -1, 0)}

    def layer(self, index, depth, fan_in, fan_out):
        if depth != 2:
            raise refused("MeanField", "exactly one hidden layer", f"{depth - 1}", "Use mup, its extension to any depth, or give one hidden width")
        if index == 1:
            return LayerScale(1.0, 1.0, fan_out, 1.0, bias_sgd=fan_out)
        return LayerScale(1.0 / fan_in, 1.0, fan_in, 1.0)


class MuP(Scaling):
    """Maximal-update parametrization in its SGD form: input sqrt(h) w, hidden w, readout w/sqrt(h), all w ~ N(0, 1/h), one rate.

    The Adam exponents are those of Yang & Hu's table moved by the shift symmetry to the same (a, b).
    """

    table: ClassVar = {"input": (-0.5, 0.5, 0, 0.5), "hidden": (0, 0.5, 0, 1), "readout": (0.5, 0.5, 0, 0.5)}

    def layer(self, index, depth, fan_in, fan_out):
        if depth < 2:
            raise refused("MuP", "at least one hidden layer", "none", "Give a hidden width, or use sp")
        if index == 1:
            h = fan_out
            return LayerScale(np.sqrt(h), h**-0.5, 1.0, h**-0.5, bias=np.sqrt(h), bias_adam=h**-0.5)
        h = fan_in
        if index < depth:
            return LayerScale(1.0, h**-0.5, 1.0, 1.0 / h, bias=np.sqrt(h), bias_adam=h**-0.5)
        return LayerScale(h**-0.5, h**-0.5, 1.0, h**-0.5)


SCALINGS = {"sp": SP, "ntk": NTK, "mean-field": MeanField, "mup": MuP}
