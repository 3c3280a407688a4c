"""Convolutions: layers at the positions of a line or an image, the channels the last axis, and
what they do to kernels."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.grids import Convolve, Normed, Pool, Read, Windows
from learnmech.errors import refused
from learnmech_tangents.layers import Layer, affine, known_width

PADDINGS = ("VALID", "SAME", "CIRCULAR")


def windows(grid, sizes, strides, padding) -> Windows:
    """Windows as there: SAME and CIRCULAR give ceil(side/stride) positions, what goes on lying
    half before, half after."""
    around = [0] * len(grid)
    if padding != "VALID":
        around = [
            max((-(-side // stride) - 1) * stride + size - side, 0)
            for side, size, stride in zip(grid, sizes, strides, strict=True)
        ]
    before = tuple(one // 2 for one in around)
    after = tuple(one - first for one, first in zip(around, before, strict=True))
    return Windows(tuple(grid), tuple(sizes), tuple(strides), before, after, padding == "CIRCULAR")


def checked(who, sizes, strides, padding):
    """(sizes, strides, padding) as tuples and in capitals."""
    padding = str(getattr(padding, "name", padding)).upper()
    if padding not in PADDINGS:
        raise refused(who, f"padding of {', '.join(PADDINGS)}", repr(padding), "Choose one")
    sizes = tuple(int(one) for one in sizes)
    strides = tuple(int(one) for one in strides or (1,) * len(sizes))
    if not sizes or len(strides) != len(sizes) or min(sizes + strides) < 1:
        raise refused(
            who,
            "a size and a stride of at least 1 for each axis",
            f"{sizes} and {strides}",
            "Give (3, 3) and (1, 1) for images",
        )
    return sizes, strides, padding


class OfWindows(Layer):
    """A layer on windows of a grid."""

    who = "Conv"

    def __init__(self, sizes, strides, padding):
        self.sizes, self.strides, self.padding = checked(self.who, sizes, strides, padding)

    def windows(self, grid) -> Windows:
        """Its windows on this grid; refuses another number of axes, and a grid that is too
        small."""
        if len(grid) != len(self.sizes):
            what = (
                "inputs (n,"
                f" {'height, width' if len(self.sizes) == 2 else 'positions along each axis'},"
                f" channels) for windows {self.sizes}"
            )
            raise refused(
                self.who,
                what,
                f"{len(grid)} axes of positions",
                "Give inputs with their positions, and Flatten() only behind",
            )
        found = windows(grid, self.sizes, self.strides, self.padding)
        if min(found.out) < 1:
            raise refused(
                self.who,
                f"at least {self.sizes} positions",
                tuple(grid),
                "Use padding SAME, or smaller windows",
            )
        return found

    def alone(self, law):
        """Refuse branches."""
        if isinstance(law, list):
            raise refused(
                self.who,
                "one signal",
                f"{len(law)} branches",
                "Add them by FanInSum() first, or use parallel",
            )


def padded(x, found):
    """Inputs (n, *grid, channels) with what goes on around them."""
    around = [(0, 0), *zip(found.before, found.after, strict=True), (0, 0)]
    return jnp.pad(x, around, mode="wrap" if found.wraps else "constant")


class Conv(OfWindows):
    """z(p) = W_std/sqrt(fan_in) sum over offsets of W_o h(s p + o) + b_std b,
    fan_in = channels x offsets; as Dense else."""

    def __init__(self, out_chan, sizes, strides, padding, W_std, b_std, parameterization, s):
        super().__init__(sizes, strides, padding)
        self.out_chan = out_chan
        self.W_std = W_std
        self.b_std = b_std
        self.standard = parameterization == "standard"
        self.s = s

    @property
    def made(self):
        """Channels that it gives."""
        return self.out_chan * (self.s[1] if self.standard else 1)

    def init(self, key, input_shape):
        out, fan_in = self.windows(input_shape[1:-1]).out, input_shape[-1] * math.prod(self.sizes)
        weight_key, bias_key = jax.random.split(key)
        W = jax.random.normal(weight_key, (*self.sizes, input_shape[-1], self.made))
        b = (
            None
            if self.b_std is None
            else jax.random.normal(bias_key, (*(1,) * (1 + len(out)), self.made))
        )
        if self.standard:
            W = W * self.W_std / math.sqrt(fan_in / self.s[0])
            b = None if b is None else b * self.b_std
        return (input_shape[0], *out, self.made), (W, b)

    def apply(self, params, inputs, **kwargs):
        (W, b), axes = params, len(self.sizes)
        x = padded(jnp.asarray(inputs), self.windows(inputs.shape[1:-1]))
        letters = "HWDEFG"[:axes]
        numbers = jax.lax.conv_dimension_numbers(
            x.shape, W.shape, (f"N{letters}C", f"{letters}IO", f"N{letters}C")
        )
        size = (
            math.sqrt(1 / self.s[0])
            if self.standard
            else self.W_std / math.sqrt(x.shape[-1] * math.prod(self.sizes))
        )
        x, W = jnp.asarray(x, jnp.result_type(x, W)), jnp.asarray(W, jnp.result_type(x, W))
        z = size * jax.lax.conv_general_dilated(
            x, W, self.strides, "VALID", dimension_numbers=numbers
        )
        return z if b is None else z + (b if self.standard else self.b_std * b)

    def law(self, law):
        self.alone(law)
        return law._replace(
            width=self.made,
            is_gaussian=True,
            is_fresh=True,
            is_input=False,
            grid=self.windows(law.grid).out,
        )

    def steps(self, law):
        signal, bias, fan_in = self.W_std**2, (self.b_std or 0.0) ** 2, math.prod(self.sizes)
        learned = (signal, bias)
        if self.standard:
            learned = (
                known_width("Conv", law) * fan_in / self.s[0],
                0.0 if self.b_std is None else 1.0,
            )
        return Convolve(self.windows(law.grid)), affine(signal, bias, *learned)


class OfPools(OfWindows):
    """Means of windows, `total`: sums. `edges`: over the positions that are there."""

    who, pools = "Pool", True

    def __init__(self, sizes, strides, padding, total=False, edges=False):
        super().__init__(sizes, strides, padding)
        self.total, self.edges = total, edges

    def init(self, key, input_shape):
        return (input_shape[0], *self.windows(input_shape[1:-1]).out, input_shape[-1]), ()

    def apply(self, params, inputs, **kwargs):
        found = self.windows(inputs.shape[1:-1])
        window, strides = (1, *self.sizes, 1), (1, *self.strides, 1)

        def added(x):
            # a 0 that is known when it is traced: only then it is a sum to JAX, of which it knows
            # the slope
            return jax.lax.reduce_window(
                padded(x, found), np.zeros((), x.dtype), jax.lax.add, window, strides, "VALID"
            )

        sums = added(jnp.asarray(inputs, float))
        if self.total:
            return sums
        there = (
            added(jnp.ones((1, *inputs.shape[1:-1], 1))) if self.edges else math.prod(self.sizes)
        )
        return sums / there

    def law(self, law):
        self.alone(law)
        return law._replace(grid=self.windows(law.grid).out)

    def steps(self, law):
        size = float(math.prod(self.sizes)) ** 2
        return (
            Pool(self.windows(law.grid), self.edges and not self.total),
            *((affine(size),) if self.total else ()),
        )


class GlobalPool(Layer):
    """The mean over all positions, `total`: the sum."""

    pools = reads = True

    def __init__(self, total: bool):
        self.total = total

    def init(self, key, input_shape):
        return (input_shape[0], input_shape[-1]), ()

    def apply(self, params, inputs, **kwargs):
        pooled = jnp.sum if self.total else jnp.mean
        return pooled(inputs, axis=tuple(range(1, inputs.ndim - 1)))

    def law(self, law):
        if isinstance(law, list) or not law.grid:
            raise refused(
                "Global pooling",
                "signals at positions",
                "branches or none",
                "Put Conv layers before it, or leave it out",
            )
        return law._replace(grid=(), full=False)

    def steps(self, law):
        count = float(math.prod(law.grid))
        total = (affine(count**2),) if self.total else ()
        return (Pool(Windows.whole(law.grid)), Read(), *total)


class LayerNorm(Layer):
    """(h - mean)/sqrt(variance + eps) over `axis`, the channels (the last) among them."""

    def __init__(self, axis, eps: float):
        self.axis, self.eps = (axis,) if isinstance(axis, int) else tuple(axis), eps

    def _axes(self, ndim):
        found = {axis % ndim for axis in self.axis if -ndim <= axis < ndim}
        if ndim - 1 not in found or 0 in found or len(found) < len(self.axis):
            what = "axis that names the channels, the last, and no axis of the batch"
            raise refused(
                "LayerNorm", what, self.axis, "Give axis=-1, or (1, 2, 3) for a whole image"
            )
        return tuple(sorted(found))

    def apply(self, params, inputs, **kwargs):
        axes = self._axes(inputs.ndim)
        centered = inputs - jnp.mean(inputs, axis=axes, keepdims=True)
        return centered / jnp.sqrt(self.eps + jnp.mean(centered**2, axis=axes, keepdims=True))

    def law(self, law):
        if isinstance(law, list) or not law.is_gaussian:
            raise refused(
                "LayerNorm", "Gaussian signals", "others", "Put a Dense or Conv layer before it"
            )
        self._axes(len(law.grid) + 2)
        return law._replace(is_fresh=False)

    def steps(self, law):
        axes = self._axes(len(law.grid) + 2)
        return (Normed(float(self.eps), tuple(axis - 1 for axis in axes[:-1])),)
