"""Symmetries: moves of the weights that leave the loss as it is, found from the architecture and
the loss, and the charge that flow keeps for each."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from learnmech.activations.functions import activation
from learnmech.architectures.base import Architecture
from learnmech.architectures.conv import Conv
from learnmech.architectures.diagonal import Diagonal
from learnmech.architectures.dialed import Dialed
from learnmech.architectures.dropout import Dropout
from learnmech.architectures.linear import DeepLinear
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.residual import Residual
from learnmech.language import trees
from learnmech.language.trees import Array, Params
from learnmech.losses.base import Loss
from learnmech.losses.classes import CrossEntropy

KNOWN = (DeepLinear, Mlp, Residual, Conv, Diagonal)


class Term(NamedTuple):
    """coefficient * <left, right> of two parameter arrays, by path, unit by unit.

    `along`: the `rows` of a weight, and the entries of a bias or gain; its `columns`, one for each
    unit it reads, the last axis of what it reads; `all` entries together; or `entries` one by one.
    In a symmetry of matrices rows are AB' and columns A'B.
    """

    coefficient: float
    left: str
    right: str
    along: str


class Symmetry(NamedTuple):
    """A one-parameter family of moves for each entry of its charge, under which the loss stands
    still.

    `order` 2: theta moves along A theta, A symmetric, and the charge is theta' A D^-1 theta with D
    the factors on the rates: the sum of the terms, each over the factor of its arrays. `order` 1:
    theta moves along a constant v, and the charge is v' theta. `shape` of the charge; `matrix`: the
    moves are all A of GL(h), the charge is a matrix.

    With g the gradient, <g, A theta> = 0: flow keeps the charge Q; a step of descent, of all
    samples or of a batch, which takes the share rate r off every weight takes it to (1 - rate r)^2
    Q + rate^2 <g, D A g>. r is decay; a ridge, and decay that is coupled or scaled, count times the
    factor f which its arrays must then share. A charge of order 1 goes to (1 - rate r) Q.  Source:
    Kunin et al. 2021; Tanaka & Kunin 2021; Du et al. 2018.
    """

    kind: str
    where: str
    order: int
    terms: tuple[Term, ...]
    shape: tuple[int, ...]
    symbol: str
    meaning: str
    matrix: bool = False

    @property
    def name(self) -> str:
        """What it is and, where there may be several, at which layer."""
        return self.kind + self.where

    @property
    def paths(self) -> tuple[str, ...]:
        """The arrays it moves."""
        return tuple(dict.fromkeys(path for term in self.terms for path in (term.left, term.right)))

    def charge(self, params: Params, factors: Params) -> Array:
        """Q, of its shape [param^2, or param at order 1]."""
        return self.product(params, params, factors)

    def product(self, one: Params, other: Params, factors: Params) -> Array:
        """The charge as a product of two trees, of which the first alone counts at order 1."""
        return self._summed(one, other, factors, -1)

    def breaking(self, gradient: Params, factors: Params) -> Array:
        """<g, D A g>, of its shape [loss^2/param^2]: dQ/dt of descent over its rate, to leading
        order; 0 at order 1. g without what comes of a ridge."""
        return (
            self._summed(gradient, gradient, factors, 1)
            if self.order == 2
            else np.zeros(self.shape)
        )

    def along(self, gradient: Params, params: Params) -> Array:
        """<g, A theta>, or <g, v>, of its shape: 0 where the loss has the symmetry."""
        return self._summed(gradient, params, None, 0)

    def size(self, params: Params, factors: Params) -> Array:
        """What a change of the charge is small beside: the squared norm of its arrays, each over
        its factor; at order 1 the norm of the whole layer."""
        held = trees.leaves_by_path(params)
        if self.order == 1:
            layer = self.paths[0].rpartition(".")[0]
            return (
                sum(
                    (leaf**2).sum()
                    for path, leaf in held.items()
                    if path.rpartition(".")[0] == layer
                )
                ** 0.5
            )
        over = trees.leaves_by_path(factors)
        return sum((held[path] ** 2).sum() / over[path] for path in self.paths)

    def factor(self, factors: Params) -> float | None:
        """The factor on the rates which its arrays share; None where they differ."""
        over = trees.leaves_by_path(factors)
        found = {float(over[path]) for path in self.paths}
        return found.pop() if len(found) == 1 else None

    def _summed(self, one, other, factors, power):
        """The terms between two trees, each times its arrays' factor to this power."""
        one, other, over = (
            trees.leaves_by_path(tree) for tree in (one, other, {} if factors is None else factors)
        )
        total = 0.0
        for term in self.terms:
            if self.order == 1:
                total = total + term.coefficient * (
                    one[term.left] if term.along == "entries" else one[term.left].sum(axis=0)
                )
                continue
            weight = term.coefficient * (
                (over[term.left] * over[term.right]) ** (power / 2) if power else 1.0
            )
            there = self._between(term.along, one[term.left], other[term.right])
            back = (
                there
                if term.left == term.right
                else self._between(term.along, one[term.right], other[term.left])
            )
            total = total + weight * (there + back) / 2
        return total

    def _between(self, along, a, b):
        if along == "entries":
            return a * b
        if along == "all":
            return (a * b).sum()
        if along == "columns":
            a, b = (w.reshape(-1, self.shape[-1]) for w in (a, b))
            # sums, not products of matrices, for which the gradient would be laid out otherwise and
            # a step that is watched differ in its last bits
            return (
                (a[:, :, None] * b[:, None, :]).sum(axis=0) if self.matrix else (a * b).sum(axis=0)
            )
        a, b = (w.reshape(len(w), -1) for w in (a, b))
        return (b[:, None, :] * a[None, :, :]).sum(axis=2) if self.matrix else (a * b).sum(axis=1)


@functools.cache
def degree(name: str) -> float | None:
    """The p at which s(c z) = c^p s(z) for every c > 0, None where there is none: measured on
    the function of that name."""
    with jax.ensure_compile_time_eval():
        s, z = activation(name), np.array([-1.7, -0.6, 0.3, 1.0, 2.9])
        at = {c: np.asarray(s(c * z), np.float64) for c in (1.0, 0.37, 2.0, 5.3)}
    if at[1.0][3] == 0 or at[2.0][3] / at[1.0][3] <= 0:
        return None
    p = round(float(np.log2(at[2.0][3] / at[1.0][3])), 9)
    return (
        p
        if p > 0
        and all(np.allclose(values, c**p * at[1.0], rtol=1e-12, atol=0) for c, values in at.items())
        else None
    )


def _is_linear(name):
    with jax.ensure_compile_time_eval():
        return degree(name) == 1 and float(activation(name)(np.array(-1.0))) == -float(
            activation(name)(np.array(1.0))
        )


class _Wire(NamedTuple):
    """Units that are written by the rows of some layers, each through a function of its degree,
    and read by the columns of others."""

    name: str
    writers: tuple[tuple[str, float | None], ...]
    readers: tuple[str, ...]
    mixes: bool
    """Whether any invertible matrix may act on the units, not only a positive number on each."""


def bare(architecture: Architecture) -> tuple[Architecture, bool]:
    """(the network inside a dial or dropout, which leave its symmetries, whether its units are
    masked)."""
    masked = False
    while isinstance(architecture, (Dropout, Dialed)):
        masked, architecture = masked or isinstance(architecture, Dropout), architecture.of
    return architecture, masked


def symmetries(architecture: Architecture, loss: Loss, params: Params) -> tuple[Symmetry, ...]:
    """The continuous symmetries of this architecture under this loss, on any data; params serve for
    their shapes alone.

    Between layers: a positive number for each unit between functions that are homogeneous, any
    matrix where they are linear. At a norm without an eps: the scale of what is written into it,
    for each unit of a batch norm, of the whole layer for the others; and what it takes off, a
    constant on each unit of a batch norm and on all units of a layer norm. At cross-entropy: a
    constant on all outputs. Of a diagonal network: hyperbolic rotation of u and v. Symmetries of
    the data, as of inputs that span less than all directions, are not among them. Of an
    architecture of another kind none is known.
    """
    architecture, masked = bare(architecture)
    if isinstance(architecture, Diagonal):
        terms = (Term(1.0, "layer1.u", "layer1.v", "entries"),)
        return (
            Symmetry(
                "rotation",
                "",
                2,
                terms,
                params["layer1"]["u"].shape,
                "u_i v_i",
                "charge of the hyperbolic rotation of u and v",
            ),
        )
    if not isinstance(architecture, KNOWN):
        return ()
    layers = list(trees.layers_of(params))
    behind = (
        architecture.before_activations(layers)
        if isinstance(architecture, Residual)
        else layers[:-1]
    )
    normed = [] if getattr(architecture, "norm", "none") == "none" else behind
    between = [
        found
        for wire in _wires(architecture, params, layers, masked, normed)
        for found in _between(wire, params)
    ]
    at_gains = [
        _at_gain(name, params) for name in layers if "gain" in params[name] and name not in normed
    ]
    exact = getattr(architecture, "eps", None) is None
    at_norms = [
        found for name in normed for found in _at_norm(name, architecture.norm, params, exact)
    ]
    outputs = (
        _shifts(layers[-1], params, "constant on all outputs")
        if isinstance(loss, CrossEntropy)
        else []
    )
    return (*between, *at_gains, *at_norms, *outputs)


def _wires(architecture, params, layers, masked, normed):
    """What is written and read between layers."""
    name = getattr(architecture, "activation", "linear")
    straight = _is_linear(name) and not masked and getattr(architecture, "pooling", "none") != "max"

    def power(layer):
        return degree(name) if "gain" in params[layer] or layer not in normed else None

    def mixes(written):
        return straight and not any("gain" in params[layer] or layer in normed for layer in written)

    if isinstance(architecture, Residual) and architecture.matrices == 2:
        # the stream is written by matrices alone, which any other may act on; within each block
        # there are units as between two layers
        first, second = layers[1:-1:2], layers[2:-1:2]
        stream = _Wire(
            "",
            tuple((layer, 1.0) for layer in (layers[0], *second)),
            (*first, layers[-1]),
            not masked,
        )
        inside = (
            _Wire(_number(one), ((one, power(one)),), (two,), mixes([one]))
            for one, two in zip(first, second, strict=True)
        )
        return (stream, *inside)
    if isinstance(architecture, Residual):
        writers = ((layers[0], 1.0), *((layer, power(layer)) for layer in layers[1:-1]))
        return (_Wire("", writers, tuple(layers[1:]), mixes(layers[:-1])),)
    pairs = zip(layers[:-1], layers[1:], strict=True)
    return tuple(
        _Wire(_number(before), ((before, power(before)),), (after,), mixes([before]))
        for before, after in pairs
    )


def _number(layer):
    return layer.removeprefix("layer")


def _rows(layer, params, coefficient, leaves):
    return tuple(
        Term(coefficient, f"{layer}.{leaf}", f"{layer}.{leaf}", "rows")
        for leaf in leaves
        if leaf in params[layer]
    )


def _between(wire, params):
    if any(power is None for _, power in wire.writers):
        return
    units = len(params[wire.writers[0][0]]["weight"])
    read = tuple(
        Term(1.0, f"{layer}.weight", f"{layer}.weight", "columns") for layer in wire.readers
    )
    written = ()
    for layer, power in wire.writers:
        written += _rows(
            layer,
            params,
            -1 / power,
            ("gain", "shift") if "gain" in params[layer] else ("weight", "bias"),
        )
    where = f"units behind layer {wire.name}" if wire.name else "units of the stream"
    if wire.mixes:
        yield Symmetry(
            "mixing",
            wire.name,
            2,
            read + written,
            (units, units),
            "A'A - BB'",
            f"charge of mixing the {where}: readers less writers",
            True,
        )
    else:
        yield Symmetry(
            "rescaling",
            wire.name,
            2,
            read + written,
            (units,),
            "|a|^2 - |b|^2/p",
            f"charge of rescaling the {where}: readers less writers",
        )


def _at_gain(layer, params):
    terms = _rows(layer, params, 1.0, ("gain",)) + _rows(layer, params, -1.0, ("weight", "bias"))
    meaning = f"charge of rescaling the units before the gain of layer {_number(layer)}"
    return Symmetry(
        "gain", _number(layer), 2, terms, params[layer]["gain"].shape, "gain^2 - |w|^2", meaning
    )


def _at_norm(layer, norm, params, exact):
    own, units = (
        [leaf for leaf in ("weight", "bias") if leaf in params[layer]],
        len(params[layer]["weight"]),
    )
    shape, along = ((units,), "rows") if norm == "batch" else ((), "all")
    terms = tuple(Term(1.0, f"{layer}.{leaf}", f"{layer}.{leaf}", along) for leaf in own)
    whose = "each unit" if norm == "batch" else "all"
    if exact:
        yield Symmetry(
            "scale",
            _number(layer),
            2,
            terms,
            shape,
            "|w|^2",
            f"charge of scaling {whose} of layer {_number(layer)}, which is normed",
        )
    if norm == "batch" and "bias" in params[layer]:
        meaning = f"constant on each unit of layer {_number(layer)}, which its norm takes off"
        yield Symmetry(
            "bias_shift",
            _number(layer),
            1,
            (Term(1.0, f"{layer}.bias", f"{layer}.bias", "entries"),),
            (units,),
            "b",
            f"charge of a {meaning}",
        )
    if norm == "layer":
        yield from _shifts(
            layer,
            params,
            f"constant on all units of layer {_number(layer)}, which its norm takes off",
        )


def _shifts(layer, params, what):
    """The charges of adding a constant to all units of a layer: sums over its rows."""
    for leaf, prefix, symbol in (("weight", "", "sum_a W_aj"), ("bias", "bias_", "sum_a b_a")):
        if leaf in params[layer]:
            path = f"{layer}.{leaf}"
            shape = params[layer][leaf].shape[1:]
            yield Symmetry(
                f"{prefix}shift",
                _number(layer),
                1,
                (Term(1.0, path, path, "rows"),),
                shape,
                symbol,
                f"charge of a {what}",
            )
