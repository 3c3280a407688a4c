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
from learnmech.language.trees import Params
from learnmech.losses.base import Loss
from learnmech.losses.classes import CrossEntropy
from learnmech.system.charges import Symmetry, Term

KNOWN = (DeepLinear, Mlp, Residual, Conv, Diagonal)


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
    holds = (np.allclose(s_z, c**p * at[1.0], rtol=1e-12, atol=0) for c, s_z in at.items())
    return p if p > 0 and all(holds) else None


def _is_linear(name):
    with jax.ensure_compile_time_eval():
        s = activation(name)
        return degree(name) == 1 and float(s(np.array(-1.0))) == -float(s(np.array(1.0)))


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
        leaves = ("gain", "shift") if "gain" in params[layer] else ("weight", "bias")
        written += _rows(layer, params, -1 / power, leaves)
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
    own = [leaf for leaf in ("weight", "bias") if leaf in params[layer]]
    units = len(params[layer]["weight"])
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
