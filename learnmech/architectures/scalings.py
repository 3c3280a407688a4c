"""Scalings: how weights, starts and rates grow with width h: sp, ntk, mean-field, mup, and the
class that their exponents put them in."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np

from learnmech.errors import refused, unwritten
from learnmech.language.parts import Knob, Numbers, Part, array, knob, part, structure


class LayerScale(NamedTuple):
    """One layer z = weight W h + bias b: multipliers, standard deviations of the draws, and
    factors on the base rate for SGD-like and Adam-like rules."""

    weight: float
    std: float
    sgd: float
    adam: float
    bias: float = 1.0
    bias_std: float = 0.0
    bias_sgd: float = 1.0
    bias_adam: float = 1.0

    @property
    def spectral(self) -> float:
        """For rules that move a matrix by a given spectral norm: so that it is W, multiplier
        times weight, which moves by it."""
        return 1 / self.weight

    @property
    def bias_spectral(self) -> float:
        """For biases beside such matrices, which Adam moves."""
        return self.bias_adam


class Powers(NamedTuple):
    """Exponents of one layer: W = h^-a w, w ~ N(0, h^-2b), and c in the rate h^-c times the base
    rate for SGD-like and for Adam-like rules."""

    a: float
    b: float
    sgd: float
    adam: float


class Regime(NamedTuple):
    """What a scaling becomes as h -> infinity: features move as h^-r (NaN where the start itself
    has no limit), and the class in words."""

    r: float
    stable: bool
    nontrivial: bool
    words: str


class Scaling(Part):
    """A parametrization W^l = h^-a w, w ~ N(0, h^-2b), rate eta h^-c. Source: Yang & Hu 2021.

    `table` lists the Powers (a, b, c for SGD, c for Adam) of input, hidden and readout layers.
    """

    table: ClassVar[Mapping[str, Powers]] = {}

    def layer(self, index: int, depth: int, fan_in: int, fan_out: int) -> LayerScale:
        """The scale of layer `index` (1 to depth)."""
        raise unwritten(self, "layer")

    def exponents(self, hidden_layers: int) -> tuple[Powers, ...]:
        """The Powers of every layer, input first and readout last, of a net with so many hidden
        layers."""
        who = type(self).__name__
        if not {"input", "readout"} <= set(self.table):
            raise refused(
                who,
                "a table of exponents for input, hidden and readout layers",
                f"{dict(self.table)}",
                "Give its class a table",
            )
        if hidden_layers < 1 or ("hidden" not in self.table and hidden_layers > 1):
            wanted = (
                "one or more hidden layers"
                if "hidden" in self.table
                else "exactly one hidden layer"
            )
            raise refused(
                who, wanted, f"{hidden_layers}", "Change the number of hidden layers, or use mup"
            )
        hidden = [self.table["hidden"]] * (hidden_layers - 1) if hidden_layers > 1 else []
        rows = [self.table["input"], *hidden, self.table["readout"]]
        return tuple(Powers(*row) for row in rows)

    def card(self) -> str:
        """The exponents and the class they are in, for SGD-like and Adam-like rules, as printed
        in reports."""
        rows = [
            f"{role}: a={a:g} b={b:g} c={c:g} (Adam {adam:g})"
            for role, (a, b, c, adam) in self.table.items()
        ]
        lines = [f"{self!r}  " + ("; ".join(rows) or "no table of exponents, so no class is known")]
        if rows:
            lines += [
                f"  {name}-like rules: {_said(self, family)}"
                for name, family in (("SGD", "sgd"), ("Adam", "adam"))
            ]
        return "\n".join(lines)


def _number(value):
    return f"{value + 0.0:g}"


def _said(scaling, family):
    """The class in a sentence; where the base rate must fall with width, how fast and what then."""
    said = []
    for hidden_layers in (1, 2) if "hidden" in scaling.table else (1,):
        limit = classified(scaling, hidden_layers, family)
        words = f"{limit.words} (r = {_number(limit.r)})" if limit.stable else limit.words
        if not limit.stable and np.isfinite(limit.r):
            power = rate_power(scaling, hidden_layers, family)
            slower = classified(scaling, hidden_layers, family, power)
            words = (
                f"unstable at a fixed rate; at a rate falling as h^-{_number(power)}:"
                f" {slower.words} (r = {_number(slower.r)})"
            )
        said.append(words)
    return (
        said[0] if len(set(said)) == 1 else f"one hidden layer: {said[0]}. More layers: {said[1]}"
    )


class _Sizes(NamedTuple):
    """What the class depends on, free of the shift symmetry: the sizes of the start by layer,
    the readout's start and step, and each layer's step."""

    starts: tuple[float, ...]
    readout: float
    step: float
    steps: tuple[float, ...]
    back: bool


def _sizes(scaling, hidden_layers, family, falling=0.0):
    if family not in ("sgd", "adam"):
        raise refused(
            "classified",
            "a family of rules, sgd or adam",
            repr(family),
            "No class is known for others",
        )
    rows = scaling.exponents(hidden_layers)
    starts = tuple(row.a + row.b for row in rows)
    if family == "sgd":
        steps = tuple(2 * row.a + row.sgd + falling for row in rows)
    else:
        steps = tuple(row.a + row.adam + falling for row in rows)
    inner = tuple(step - (index > 0) for index, step in enumerate(steps[:-1]))
    return _Sizes(starts, starts[-1], steps[-1], inner, family == "sgd")


def classified(
    scaling: Scaling, hidden_layers: int, family: str = "sgd", falling: float = 0.0
) -> Regime:
    """The class of a scaling as h -> infinity, under SGD-like or Adam-like rules, where the base
    rate falls as h^-falling (0: is fixed).

    Rates enter as exponents c_l, one per layer. Let S_l = a_l + b_l, so that entries of W^l start
    at h^-S_l, and let entries of its first updates be

        SGD   h^-(A_l + G_l): A_l = 2 a_l + c_l, since a_l enters by the gradient and again by the
        update; the gradient's own size is h^-G_l,
              G_l = min(S_{L+1}, A_{L+1}) for l <= L, what comes back through the readout's start or
              its update, and G_{L+1} = 0;
        Adam  h^-A_l: A_l = a_l + c_l, since a step with eps = 0 is of order one in every entry
        whatever the gradient's size (G_l = 0).

    A sum over h entries which have learned of each other is h times one of them, and so layer l
    moves by h^-r_l, r_l = A_l + G_l - [l > 1]; features move as h^-r with r = min_{l <= L} r_l. For
    SGD this is r = min(S_{L+1}, A_{L+1}) + min_{l <= L}(A_l + [l = 1]) - 1. Stable iff S_1 = 0, S_l
    = 1/2 for 1 < l <= L, S_{L+1} >= 1/2 (else the start has no limit, which is called unstable too,
    and r says nothing), r >= 0, A_{L+1} >= 1 (the output moves by the readout's update) and S_{L+1}
    + r >= 1 (by the features' through its start). Nontrivial iff one of the last two is an
    equality. Then feature learning iff r = 0, kernel iff r > 0.

    Both are unchanged by each layer's shift a + theta, b - theta, c - 2 theta (SGD) or c - theta
    (Adam), since S_l and A_l are. Source: SGD, Yang & Hu 2021 (there with one c; the shift makes
    every table one of these). Adam, Yang & Littwin 2023, for rules that do not see the gradient's
    size; here re-derived as above and checked by the exhibit coordinate-check.
    """
    sizes = _sizes(scaling, hidden_layers, family, falling)
    first, *hidden = sizes.starts[:-1]
    if first != 0 or any(size != 0.5 for size in hidden) or sizes.readout < 0.5:
        return Regime(float("nan"), False, False, "unstable")
    r = min(sizes.steps) + (min(sizes.readout, sizes.step) if sizes.back else 0.0)
    moves = min(sizes.step, sizes.readout + r)
    if r < 0 or moves < 1:
        return Regime(r, False, False, "unstable")
    if moves > 1:
        return Regime(r, True, False, "trivial")
    return Regime(r, True, True, "kernel" if r > 0 else "feature learning")


def rate_power(scaling: Scaling, hidden_layers: int, family: str = "sgd") -> float:
    """The exponent c of the largest stable base rate, h^-c: the smallest `falling` at which
    `classified` finds the scaling stable.

    Its conditions with c added to every A_l, solved for c: with S and A of the readout and M =
    min_{l <= L}(A_l - [l > 1]),

        both  A + c >= 1
        SGD   M + c + min(S, A + c) >= 0,  S + M + c + min(S, A + c) >= 1
        Adam  M + c >= 0,                  S + M + c >= 1
    """
    sizes = _sizes(scaling, hidden_layers, family)
    S, A, M = sizes.readout, sizes.step, min(sizes.steps)
    if not sizes.back:
        return max(1 - A, -M, 1 - S - M)
    return max(1 - A, -M - S, -(M + A) / 2, 1 - M - 2 * S, (1 - M - S - A) / 2)


def contributions(
    scaling: Scaling, hidden_layers: int, family: str = "sgd", falling: float = 0.0
) -> tuple[tuple[float, ...], ...]:
    """The powers of h of what each layer's move in a first step is made of, input first and the
    output last.

    Layer l moves by the updates of layers m <= l, each h^-r_m (letters as in `classified`; in a
    first step the gradient comes back through the readout's start, G_m = S_{L+1}); the output by
    the updates of layers m through the readout's start, h^(1 - S_{L+1} - r_m), and by its own, h^(1
    - A_{L+1}).
    """
    sizes = _sizes(scaling, hidden_layers, family, falling)
    back = sizes.readout if sizes.back else 0.0
    moves = tuple(0.0 - step - back for step in sizes.steps)
    layers = tuple(moves[: index + 1] for index in range(len(moves)))
    return (*layers, (*(1.0 - sizes.readout + move for move in moves), 1.0 - sizes.step))


def movement(
    scaling: Scaling, hidden_layers: int, family: str = "sgd", falling: float = 0.0
) -> tuple[float, ...]:
    """The power of h by which each layer's pre-activations move in a first step (the output last):
    the largest of its contributions.

    Further steps keep it where the scaling is stable and S_{L+1} <= A_{L+1} (letters as in
    `classified`); where it is unstable they need not.
    """
    return tuple(max(powers) for powers in contributions(scaling, hidden_layers, family, falling))


class SP(Scaling):
    """Standard parametrization: w ~ N(0, 1/fan_in), no multipliers, the same rate everywhere."""

    table: ClassVar = {
        "input": Powers(0, 0, 0, 0),
        "hidden": Powers(0, 0.5, 0, 0),
        "readout": Powers(0, 0.5, 0, 0),
    }

    def layer(self, index, depth, fan_in, fan_out):
        return LayerScale(1.0, fan_in**-0.5, 1.0, 1.0)


class NTK(Scaling):
    """Neural-tangent parametrization: z = (weight/sqrt fan_in) W h + bias b, entries of W and b
    from N(0, 1)."""

    weight: Knob = knob(
        default=1.0, above=0, meaning="sw: what multiplies weights, over sqrt(fan_in)"
    )
    bias: Knob = knob(default=1.0, at_least=0, meaning="sb: what multiplies biases")
    table: ClassVar = {
        "input": Powers(0, 0, 0, 0),
        "hidden": Powers(0.5, 0, 0, 0),
        "readout": Powers(0.5, 0, 0, 0),
    }

    def layer(self, index, depth, fan_in, fan_out):
        return LayerScale(self.weight * fan_in**-0.5, 1.0, 1.0, 1.0, self.bias, 1.0)


class Paced(Scaling):
    """Neural-tangent parametrization with factors of its own on each layer's rate, and biases from
    0: z = W h/sqrt(fan_in) + b, W ~ N(0, 1), W at p_l times the base rate (sqrt(p_l) of Adam).

    With p_l the fan-ins of a network in sp it is that network, function for function. Wider at the
    same p_l, its tangent kernel has a limit, which that of sp has not.
    """

    rates: Numbers = array(
        default=(), meaning="what multiplies the base rate of each layer's weights, inputs first"
    )
    table: ClassVar = NTK.table

    def layer(self, index, depth, fan_in, fan_out):
        if len(self.rates) != depth:
            raise refused(
                "Paced",
                f"a factor for each of {depth} layers",
                len(self.rates),
                "Give one factor for each layer",
            )
        pace = self.rates[index - 1]
        return LayerScale(fan_in**-0.5, 1.0, pace, pace**0.5)

    @classmethod
    def example(cls):
        return cls((3.0, 4.0))


class MeanField(Scaling):
    """Mean-field parametrization of a net with one hidden layer of width h: f = (1/h) sum_i a_i
    s(w_i.x), N(0, 1) entries, rate h times the base rate."""

    table: ClassVar = {"input": Powers(0, 0, -1, 0), "readout": Powers(1, 0, -1, 0)}

    def layer(self, index, depth, fan_in, fan_out):
        if depth != 2:
            raise refused(
                "MeanField",
                "exactly one hidden layer",
                f"{depth - 1}",
                "Use mup, its extension to any depth, or give one hidden width",
            )
        if index == 1:
            return LayerScale(1.0, 1.0, fan_out, 1.0, bias_sgd=fan_out)
        return LayerScale(1.0 / fan_in, 1.0, fan_in, 1.0)


class MuP(Scaling):
    """Maximal-update parametrization in its SGD form: input sqrt(h) w, hidden w, readout w/sqrt(h),
    all w ~ N(0, 1/h), one rate.

    The Adam exponents are those of Yang & Hu's table moved by the shift symmetry to the same (a,
    b). With a `base` width, h counts in units of it: at h = base the network, its start and its
    rates are those of sp, weights from N(0, 1/fan_in), and away from it they scale as above, so
    that what was tuned at that width in sp holds at every other. 0 is none.  Source: Yang et al.
    2022.
    """

    base: int = structure(
        default=0,
        at_least=0,
        meaning="width in units of which widths count, where the network is that of sp; 0: none",
    )
    table: ClassVar = {
        "input": Powers(-0.5, 0.5, 0, 0.5),
        "hidden": Powers(0, 0.5, 0, 1),
        "readout": Powers(0.5, 0.5, 0, 0.5),
    }

    def layer(self, index, depth, fan_in, fan_out):
        if depth < 2:
            raise refused(
                "MuP", "at least one hidden layer", "none", "Give a hidden width, or use sp"
            )
        width = fan_out if index == 1 else fan_in
        h = width / self.base if self.base else width
        if index == 1:
            std = h**-0.5 * fan_in**-0.5 if self.base else h**-0.5
            return LayerScale(np.sqrt(h), std, 1.0, h**-0.5, bias=np.sqrt(h), bias_adam=h**-0.5)
        if index < depth:
            return LayerScale(1.0, width**-0.5, 1.0, 1.0 / h, bias=np.sqrt(h), bias_adam=h**-0.5)
        return LayerScale(h**-0.5, width**-0.5, 1.0, h**-0.5)


class Gained(Scaling):
    """Another scaling, `of`, with a gain on what each layer but the first reads: z = (g_{l-1} p)
    W h + q b.

    What is left of an activation s in a linear network that gives s(z) as g z: one gain behind each
    layer but the last, inputs first. The draws and the factors on rates are those of `of`.
    """

    of: Scaling = part(default=SP(), meaning="the scaling that is given gains")
    gains: Numbers = array(
        default=(), meaning="what each layer but the last gives times, inputs first"
    )

    def layer(self, index, depth, fan_in, fan_out):
        if len(self.gains) != depth - 1:
            raise refused(
                "Gained",
                f"a gain behind each of {depth - 1} layers",
                len(self.gains),
                "Give one gain for each layer but the last",
            )
        scale = self.of.layer(index, depth, fan_in, fan_out)
        return scale if index == 1 else scale._replace(weight=scale.weight * self.gains[index - 2])

    def exponents(self, hidden_layers):
        return self.of.exponents(hidden_layers)

    @classmethod
    def example(cls):
        return cls(SP(), (0.5,))


SCALINGS = {"sp": SP, "ntk": NTK, "mean-field": MeanField, "mup": MuP}
