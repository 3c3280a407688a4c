"""Stax: layers as triples (init_fn, apply_fn, kernel_fn), under the names and with the conventions
of neural-tangents' stax.

init_fn(key, input_shape) -> (output_shape, params); apply_fn(params, inputs) -> outputs;
kernel_fn(x1, x2=None, get=None), see `infinite.KernelFn`. A key draws the same parameters as there,
where x64 is on there too. The channels are the last axis, the batch the first.
"""

# ruff: noqa: N802 (the names are that library's)

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from learnmech.activations.functions import activation
from learnmech.errors import refused
from learnmech_tangents import composition, convolutions, layers
from learnmech_tangents.infinite import KernelFn

ELSEWHERE = (
    (
        "ConvLocal ConvTranspose ImageResize GlobalSelfAttention PositionalEmbedding Aggregate",
        "convolutions",
    ),
    (
        "Dropout FanInProd FanInConcat Index Slice DotGeneral MaskedArray mask_fn unmask_fn",
        "Dense layers",
    ),
    (
        (
            "Elementwise Exp ExpNormalized Gabor Gaussian Hermite Polynomial Rbf RectifiedMonomial"
            " Sign"
        ),
        "an activation with a dual here",
    ),
)
REMEDIES = {
    "convolutions": "Use Conv, AvgPool and GlobalAvgPool",
    "Dense layers": (
        "Use Dense, Conv, an activation, LayerNorm, serial, parallel, FanOut and FanInSum"
    ),
    "an activation with a dual here": (
        "Use Relu, LeakyRelu, ABRelu, Abs, Elu, Selu, Hardtanh, Erf, Gelu, Sin, Cos, Monomial,"
        " Sigmoid_like, or ElementwiseNumerical(function, deg)"
    ),
}


def __getattr__(name):
    for names, what in ELSEWHERE:
        if name in names.split():
            return lambda *args, **kwargs: _missing(name, what)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _missing(name, what):
    raise refused("stax", what, name, REMEDIES[what])


class Triple(NamedTuple):
    """(init_fn, apply_fn, kernel_fn)."""

    init_fn: object
    apply_fn: object
    kernel_fn: object


def _triple(layer: layers.Layer) -> Triple:
    return Triple(layer.init, layer.apply, KernelFn(layer))


def _layer(triple) -> layers.Layer:
    """The layer of a triple, also where its kernel_fn was compiled."""
    found = triple[2] if isinstance(triple, (tuple, list)) and len(triple) == 3 else None
    while found is not None and not isinstance(found, KernelFn):
        found = getattr(found, "__wrapped__", None)
    if found is None:
        raise refused(
            "serial",
            "layers made by this stax",
            type(triple).__name__,
            "Give it triples (init_fn, apply_fn, kernel_fn) as they were returned",
        )
    return found.layer


def Dense(
    out_dim: int,
    W_std: float = 1.0,
    b_std: float | None = None,
    batch_axis: int = 0,
    channel_axis: int = -1,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> Triple:
    """A dense layer; params (W, b), W (fan_in, out_dim), b (1, out_dim) or None where b_std is
    None.

    ntk: z = W_std/sqrt(fan_in) h W + b_std b, entries of W and b from N(0, 1): here
    `scalings.NTK(weight=W_std, bias=b_std)`. standard: z = h W/sqrt(s[0]) + b, W from N(0, W_std^2
    s[0]/fan_in), b from N(0, b_std^2), W (s[0] in, s[1] out_dim); its tangent kernel weighs the
    gradients by in, the width before scaling, and so depends on it.
    """
    if batch_axis != 0 or channel_axis not in (-1, 1):
        raise refused(
            "Dense",
            "batch_axis 0 and channel_axis -1",
            f"{batch_axis} and {channel_axis}",
            "Transpose the inputs",
        )
    if parameterization not in ("ntk", "standard"):
        raise refused(
            "Dense",
            "parameterization ntk or standard",
            repr(parameterization),
            "Choose one; for others see learnmech.architectures.scalings",
        )
    if not (math.isfinite(W_std) and math.isfinite(b_std or 0.0) and out_dim >= 1):
        raise refused(
            "Dense",
            "finite W_std and b_std and out_dim >= 1",
            f"{W_std}, {b_std} and {out_dim}",
            "Give positive standard deviations",
        )
    return _triple(
        layers.Dense(
            out_dim,
            float(W_std),
            None if b_std is None else float(b_std),
            parameterization,
            (s[0], s[1]),
        )
    )


def serial(*layers_: Triple) -> Triple:
    """Layers one after another; params a list with an entry for each. Layer i draws by the
    second half of the i-th split of the key, as there."""
    return _triple(composition.Serial([_layer(one) for one in layers_]))


def repeat(layer: Triple, n: int) -> Triple:
    """The layer n times, its outputs of the shape of its inputs: params are those of the n layers,
    stacked; a key draws what it draws there.

    Its kernels are those of serial(*[layer] * n).
    """
    if n < 1 or int(n) != n:
        raise refused("repeat", "a whole n >= 1", n, "Give how many times")
    return _triple(composition.Repeat(_layer(layer), int(n)))


def parallel(*layers_: Triple) -> Triple:
    """Layers side by side, on a list of inputs; params a tuple with an entry for each."""
    return _triple(composition.Parallel([_layer(one) for one in layers_]))


def FanOut(num: int) -> Triple:
    """num copies of a signal, for the layers of `parallel`."""
    return _triple(composition.FanOut(num))


def FanInSum() -> Triple:
    """The sum of the branches.

    Its kernels are the sums of theirs, which is exact at infinite width where at most one branch
    does not end in a Dense layer of its own: then all cross-covariances vanish. More are refused.
    There they must all be Gaussian, and that they are independent is not looked at.
    """
    return _triple(composition.FanInSum())


def Identity() -> Triple:
    """The signal itself."""
    return _triple(layers.Layer())


def Flatten(batch_axis: int = 0, batch_axis_out: int = 0) -> Triple:
    """(n, ...) as (n, d). K -> mean over positions of K(p, p)."""
    _last("Flatten", batch_axis, -1)
    _last("Flatten", batch_axis_out, -1)
    return _triple(layers.Flatten())


def _last(who, batch_axis, channel_axis):
    if batch_axis != 0 or channel_axis not in (-1, 3):
        raise refused(
            who,
            "batch_axis 0 and channel_axis -1",
            f"{batch_axis} and {channel_axis}",
            "Transpose the inputs",
        )


def Conv(
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "VALID",
    W_std: float = 1.0,
    b_std: float | None = None,
    dimension_numbers: tuple[str, str, str] | None = None,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> Triple:
    """A convolution on (n, *positions, channels); params (W, b), W (*filter_shape, channels,
    out_chan), b (1, ..., 1, out_chan) or None.

    z(p) = W_std/sqrt(fan_in) sum over offsets o of W_o h(s p + o) + b_std b,
    fan_in = channels x offsets: K -> W_std^2 mean over o of K(s p + o, s p' + o) + b_std^2, T
    likewise. padding VALID, SAME (by 0) or CIRCULAR. Parameterizations are those of Dense.
    """
    letters = "HWDEFG"[: len(filter_shape)]
    if dimension_numbers is not None and tuple(dimension_numbers) != (
        f"N{letters}C",
        f"{letters}IO",
        f"N{letters}C",
    ):
        raise refused(
            "Conv",
            f"dimension_numbers N{letters}C, {letters}IO, N{letters}C",
            repr(dimension_numbers),
            "Transpose the inputs",
        )
    if parameterization not in ("ntk", "standard"):
        raise refused(
            "Conv",
            "parameterization ntk or standard",
            repr(parameterization),
            "Choose one; for others see learnmech.architectures.scalings",
        )
    if not (math.isfinite(W_std) and math.isfinite(b_std or 0.0) and out_chan >= 1):
        raise refused(
            "Conv",
            "finite W_std and b_std and out_chan >= 1",
            f"{W_std}, {b_std} and {out_chan}",
            "Give positive standard deviations",
        )
    bias = None if b_std is None else float(b_std)
    return _triple(
        convolutions.Conv(
            out_chan, filter_shape, strides, padding, float(W_std), bias, parameterization, tuple(s)
        )
    )


def AvgPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "VALID",
    normalize_edges: bool = False,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Triple:
    """Means over windows, `strides` apart (None: 1); normalize_edges: over the positions that
    are there. K -> mean over both windows."""
    _last("AvgPool", batch_axis, channel_axis)
    return _triple(convolutions.OfPools(window_shape, strides, padding, False, normalize_edges))


def SumPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "VALID",
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Triple:
    """Sums over windows."""
    _last("SumPool", batch_axis, channel_axis)
    return _triple(convolutions.OfPools(window_shape, strides, padding, True))


def GlobalAvgPool(batch_axis: int = 0, channel_axis: int = -1) -> Triple:
    """The mean over all positions, (n, channels)."""
    _last("GlobalAvgPool", batch_axis, channel_axis)
    return _triple(convolutions.GlobalPool(False))


def GlobalSumPool(batch_axis: int = 0, channel_axis: int = -1) -> Triple:
    """The sum over all positions, (n, channels)."""
    _last("GlobalSumPool", batch_axis, channel_axis)
    return _triple(convolutions.GlobalPool(True))


def LayerNorm(
    axis: int | Sequence[int] = -1, eps: float = 1e-12, batch_axis: int = 0, channel_axis: int = -1
) -> Triple:
    """(h - mean)/sqrt(variance + eps) over `axis`, the channels among them: K(p, p') over r(p)
    r'(p'), r^2 = eps + the mean of K(p, p) along the other axes."""
    _last("LayerNorm", batch_axis, channel_axis)
    return _triple(convolutions.LayerNorm(axis, eps))


def Relu(do_stabilize: bool = False) -> Triple:
    """max(z, 0). do_stabilize has nothing to do: the kernels are exact at any depth."""
    return _triple(layers.Activation(activation("relu"), "relu"))


def LeakyRelu(alpha: float, do_stabilize: bool = False) -> Triple:
    """z above 0, alpha z below."""
    return ABRelu(alpha, 1.0)


def ABRelu(a: float, b: float, do_stabilize: bool = False) -> Triple:
    """a min(z, 0) + b max(z, 0)."""

    def bent(z):
        return jnp.where(z > 0, b * z, a * z)

    if b == 0:  # -a relu(-z), and -z is as Gaussian as z
        return _triple(layers.Activation(bent, "relu", size=float(a)))
    return _triple(layers.Activation(bent, f"leaky-relu:{float(a) / float(b)!r}", size=float(b)))


def Abs(do_stabilize: bool = False) -> Triple:
    """|z|."""
    return ABRelu(-1.0, 1.0)


def Erf(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Triple:
    """a erf(b z) + c."""
    return _triple(
        layers.Activation(
            lambda z: a * jax.lax.erf(jnp.asarray(b * z)) + c, "erf", float(a), float(b), float(c)
        )
    )


def Sigmoid_like() -> Triple:
    """erf(z/2.4020563531719796)/2 + 1/2, near the logistic function."""
    return Erf(0.5, 1 / 2.4020563531719796, 0.5)


def Gelu(approximate: bool = False) -> Triple:
    """z Phi(z); `approximate`, by tanh, is of apply_fn alone."""
    return _triple(layers.Activation(activation("gelu-tanh" if approximate else "gelu"), "gelu"))


def Elu() -> Triple:
    """z above 0, e^z - 1 below; its kernels, as those of the two below, to 1e-12."""
    return _triple(layers.Activation(activation("elu"), "elu"))


def Selu() -> Triple:
    """1.0507 elu(z), with 1.6733 (e^z - 1) below 0."""
    return _triple(layers.Activation(activation("selu"), "selu"))


def Hardtanh() -> Triple:
    """z between -1 and 1, -1 below and 1 above."""
    return _triple(layers.Activation(activation("hardtanh"), "hardtanh"))


def Sin(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Triple:
    """a sin(b z + c)."""
    if c == 0:
        return _triple(layers.Activation(lambda z: a * jnp.sin(b * z), "sin", float(a), float(b)))
    return _triple(layers.Wave(float(a), float(b), float(c)))


def Cos(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Triple:
    """a cos(b z + c)."""
    if c == 0:
        return _triple(layers.Activation(lambda z: a * jnp.cos(b * z), "cos", float(a), float(b)))
    return _triple(layers.Wave(float(a), float(b), float(c) + math.pi / 2))


def Monomial(degree: int) -> Triple:
    """z^degree."""
    if degree not in range(1, 6):
        raise refused("Monomial", "a degree from 1 to 5", degree, "Give a whole number")
    return _triple(
        layers.Activation(lambda z: z**degree, "linear" if degree == 1 else f"monomial:{degree}")
    )


def ElementwiseNumerical(
    fn: Callable[[float], float], deg: int, df: Callable[[float], float] | None = None
) -> Triple:
    """A smooth function of one number, of which jax can take derivatives; its kernels by Hermite
    series to 1e-12.

    A kink is refused, which no series resolves, but for relu, elu, selu and hard_tanh of jax.nn,
    known by themselves. deg, there the number of nodes of a quadrature, and df have nothing to do.
    """
    if not callable(fn) or deg < 1:
        raise refused(
            "ElementwiseNumerical",
            "a function and deg >= 1",
            f"{type(fn).__name__} and {deg}",
            "Give a function of one number",
        )
    return _triple(layers.Activation(fn, layers.KINKED.get(fn, fn)))
