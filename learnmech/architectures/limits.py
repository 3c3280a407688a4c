"""Limits: what an architecture does to the kernels of its signals as its widths go to infinity,
step by step."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from learnmech.architectures.dense import Normed
from learnmech.architectures.scalings import Scaling
from learnmech.errors import refused
from learnmech.language.trees import Array

NARROW, WIDE = 2.0**20, 2.0**40


class Affine(eqx.Module):
    """z = p W h + q b of infinite width, on K = h.h'/fan_in (x.x'/d at the inputs) and the tangent
    kernel T.

    K -> signal K + bias and T -> learned K + learned_bias + backward T: signal = p^2 fan_in Var W,
    bias = q^2 Var b, learned = p^2 fan_in and learned_bias = q^2 times the factors which the
    scaling puts on the rate. Powers of the width are set aside, where they cancel in the whole.
    """

    signal: np.ndarray
    bias: np.ndarray
    backward: np.ndarray
    learned: np.ndarray
    learned_bias: np.ndarray


class Activate(eqx.Module):
    """h = s(z): K -> E[s(u)s(v)], T -> T E[s'(u)s'(v)] over (u, v) ~ N(0, K of the pair).

    `unit`: of z over its size by layer or RMS norm, first K -> K/(size size') and T -> T/(size
    size'), size^2 = K of an input with itself + eps. What a norm's slope takes off along z, and
    what a layer norm takes off as the mean, are of order 1/width.
    """

    activation: str | Callable = eqx.field(static=True)
    unit: bool = eqx.field(static=True, default=False)
    eps: np.ndarray | None = None


class Skip(eqx.Module):
    """h -> h + branch s(z), z affine in h; with a `second` affine map behind s, h -> h + branch (V
    s(z) + c).

    The units of h have means m where those of s(z) have, so that K -> K + branch^2 E[ss'] + branch
    (m E[s'] + m' E[s]); T -> T + branch^2 T_s. Behind a second map units have no mean: K -> K +
    branch^2 K_2 and T -> T + branch^2 T_2, K_2 and T_2 those behind it.
    """

    affine: Affine
    activation: str = eqx.field(static=True)
    branch: np.ndarray
    unit: bool = eqx.field(static=True, default=False)
    eps: np.ndarray | None = None
    second: Affine | None = None


def norm_limit(of: Normed, tangent: bool) -> tuple[bool, Any]:
    """(whether signals are brought to unit size, what is added to its square); refuses a batch
    norm, and a tangent kernel in which gains learn."""
    if of.norm == "batch":
        who, what = (
            "The infinite-width limit of a batch norm",
            "kernels of one pair of inputs at a time",
        )
        raise refused(
            who, what, "one that depends on the whole batch", "Use norm='layer' or norm='rms'"
        )
    if of.affine and tangent:
        who, what = (
            "The infinite-width tangent kernel of affine layers",
            "the dual E[s'(u)s'(v)uv] of its gains",
        )
        raise refused(
            who, what, "none that is known here", "Set affine to false, or ask for the nngp alone"
        )
    return of.norm != "none", of.eps


class _Power(NamedTuple):
    """coefficient h^exponent; the coefficient may be traced."""

    coefficient: Array | float
    exponent: float


def _powers(scaling, index, depth, d, bias, read=1):
    """The four powers of one layer: signal, bias, learned, learned_bias. Exponents do not depend
    on what knobs are turned to: traced ones are probed at 1."""
    probe = jax.tree.map(
        lambda leaf: np.ones(()) if isinstance(leaf, jax.core.Tracer) else leaf, scaling
    )
    narrow, wide = (_strengths(probe, index, depth, d, bias, h, read) for h in (NARROW, WIDE))
    exponents = [_exponent(float(one), float(two)) for one, two in zip(narrow, wide, strict=True)]
    values = _strengths(scaling, index, depth, d, bias, NARROW, read)
    return [
        _Power(value / NARROW**exponent if exponent > -math.inf else 0.0, exponent)
        for value, exponent in zip(values, exponents, strict=True)
    ]


def _strengths(scaling, index, depth, d, bias, h, read):
    fan_in = d if index == 1 else read * h
    scale = scaling.layer(index, depth, fan_in, 1.0 if index == depth else h)
    spread, bend = scale.weight**2 * fan_in, scale.bias**2 * bias
    return (
        spread * scale.std**2,
        bend * scale.bias_std**2,
        spread * scale.sgd,
        bend * scale.bias_sgd,
    )


def _exponent(narrow, wide):
    """Of h, from the values at the two widths; in twelfths, since round-off is all that keeps
    them off."""
    return (
        -math.inf
        if narrow == 0 or wide == 0
        else round(math.log2(wide / narrow) / math.log2(WIDE / NARROW) * 12) / 12
    )


def dense_limit(
    scaling: Scaling,
    depth: int,
    d: int,
    bias: bool,
    tangent: bool = True,
    reads: tuple[int, ...] | None = None,
) -> tuple[Affine, ...]:
    """The affine steps of `depth` dense layers under a scaling, all hidden widths one h ->
    infinity, read off the scaling at two widths.

    `reads`: of how many positions each layer reads all h channels (None: of one); d counts those of
    the first.

    Refuses a scaling whose hidden signals, or with `tangent` whose tangent kernel, have no finite
    limit.
    """
    who = f"The infinite-width limit of {type(scaling).__name__}"
    layers = [
        _powers(scaling, index, depth, d, bias, read)
        for index, read in enumerate(reads or (1,) * depth, 1)
    ]
    for index, (signal, bent, _, _) in enumerate(layers, 1):
        last = index == depth
        if (signal.exponent > 0 or bent.exponent > 0) or (signal.exponent < 0 and not last):
            raise refused(
                who,
                "signals of order one at every width",
                f"layer {index} of order h^{signal.exponent / 2:g}",
                "Use scalings.NTK",
            )
    steps, after = [], 0.0
    for index, (signal, bent, learned, learned_bias) in reversed(list(enumerate(layers, 1))):
        kept = []
        for power in (learned, learned_bias):
            order = power.exponent + after
            if tangent and order > 0:
                remedy = "Use scalings.NTK, MuP or MeanField, or ask for the nngp alone"
                raise refused(
                    who,
                    "a tangent kernel of order one at every width",
                    f"one that grows as h^{order:g} (layer {index})",
                    remedy,
                )
            kept.append(power.coefficient if order == 0 else 0.0)
        seen = signal.coefficient if signal.exponent == 0 else 0.0
        values = (seen, bent.coefficient if bent.exponent == 0 else 0.0, signal.coefficient, *kept)
        held: list[Any] = [
            x if isinstance(x, jax.core.Tracer) else np.asarray(float(x)) for x in values
        ]
        steps.append(Affine(*held))
        after += signal.exponent
    return tuple(reversed(steps))
