"""Convolutional networks: one small map applied at every position of a line or an image."""

import itertools
import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Float

from learnmech.activations.functions import activation
from learnmech.architectures.base import keep
from learnmech.architectures.dense import Normed, dense, drawn_layer, layer_scales
from learnmech.architectures.grids import Centers, Convolve, Pool, Positions, Read, Windows
from learnmech.architectures.limits import Activate, dense_limit, norm_limit
from learnmech.architectures.norms import NORMS, check_norm, normed, with_norms
from learnmech.errors import refused
from learnmech.language.parts import Shorthand, structure
from learnmech.language.spaces import vector
from learnmech.language.trees import Array

Grid = tuple[int, ...]


class Conv(Normed):
    """z(p) = W [h(stride p + o)]_o + b at every position p, o over the `kernel` offsets of each
    axis; h = pool(s(z)); after the last such layer f = W_L h.

    An input lies on a grid, (positions, channels) or (rows, columns, channels), or is flat,
    positions in reading order, the channels of each together: then `shape` is (length,) or (height,
    width), () a line of all d inputs, and has d/positions channels.
    `padding`: `zero` or `circular` keeps as many positions at stride 1, the offsets being centered
    (an even kernel reaches further ahead); `none` stays within. `pooling`, `average` or `max`,
    takes windows of `window` positions along each axis side by side and leaves out an incomplete
    one. `readout`: `flatten` reads every position, `average` their mean. A weight is (out, offsets
    in reading order x channels), so that its fan_in is that of one position. Signals keep the grid,
    (n, *positions, channels): `layerK.pre` before the activation and `layerK.post` after the
    pooling, with the axes `position`, or `row` and `column`, and `channel`. A `norm`, and `affine`,
    are those of Mlp on the channels of each position: `batch` over samples and positions.  Source:
    LeCun et al. 1998.
    """

    shape: Grid = structure(
        default=(),
        at_least=1,
        meaning=(
            "positions of a flat input along each axis, (length,) or (height, width); (): a line of"
            " all inputs, or the grid that the data have"
        ),
    )
    channels: tuple[int, ...] = structure(
        default=(8,), at_least=1, meaning="channels of each convolutional layer"
    )
    kernel: int = structure(
        default=3, at_least=1, meaning="positions that a layer sees along each axis"
    )
    stride: int = structure(
        default=1,
        at_least=1,
        meaning="positions from one place of the kernel to the next, along each axis",
    )
    padding: str = structure(
        default="zero",
        choices=("zero", "circular", "none"),
        meaning=(
            "what lies beyond the edge: zeros, the other side, or nothing, which leaves fewer"
            " positions"
        ),
    )
    pooling: str = structure(
        default="none",
        choices=("none", "average", "max"),
        meaning="what becomes of each window of positions: nothing, their mean, or their largest",
    )
    window: int = structure(
        default=2, at_least=1, meaning="positions of a pooling window along each axis"
    )
    readout: str = structure(
        default="flatten",
        choices=("flatten", "average"),
        meaning="what the last layer reads: every position, or their mean",
    )
    activation: str = structure(
        default="relu",
        meaning=(
            "nonlinearity behind each layer but the last, by name:"
            " `learnmech.activations.functions`"
        ),
    )
    bias: bool = structure(default=False, meaning="whether each channel has a learned bias")
    norm: str = structure(
        default="none",
        choices=NORMS,
        meaning=(
            "what brings the pre-activations of each position to unit size: statistics over samples"
            " and positions, or over its channels"
        ),
    )
    affine: bool = structure(
        default=False, meaning="whether each channel has a learned gain and shift behind the norm"
    )

    def coherent(self):
        activation(self.activation)
        check_norm(self, self.channels)
        if len(self.shape) > 2:
            raise refused(
                "Conv",
                "a shape of one axis or two, without channels",
                self.shape,
                "Give (length,) or (height, width)",
            )

    def shorthands(self):
        """`width` is the channels of every layer at once; read, the fewest."""
        return (
            {
                "width": Shorthand(
                    "channels", min(self.channels), lambda width: (width,) * len(self.channels)
                )
            }
            if self.channels
            else {}
        )

    def positions(self, d: int) -> Grid:
        """The positions of d inputs in a row; refuses inputs of another number."""
        grid = self.shape or (d,)
        if d % math.prod(grid):
            raise refused(
                "Conv",
                f"a multiple of {math.prod(grid)} inputs, as many as shape={self.shape} has"
                " positions",
                d,
                "Change shape, or the data",
            )
        return grid

    def grids(self, grid: Grid) -> list[Grid]:
        """The positions of the inputs, and of what each layer gives after pooling; refuses a
        layer that is left with none."""
        found = [grid]
        for index in range(1, len(self.channels) + 1):
            reach = self.kernel - 1 if self.padding != "none" else 0
            grid = tuple((side + reach - self.kernel) // self.stride + 1 for side in grid)
            grid = grid if self.pooling == "none" else tuple(side // self.window for side in grid)
            if min(grid) < 1:
                raise refused(
                    "Conv",
                    "a position or more in every layer",
                    f"none in layer {index}",
                    "Lower kernel, stride or window, or pad",
                )
            found.append(grid)
        return found

    def init(self, rng, d, k):
        grid = self.positions(d)
        return self._drawn(rng, grid, d // math.prod(grid), k)

    def begun(self, rng, inputs, outputs):
        """Vectors, at the positions of `shape`, or inputs that lie on a grid of their own."""
        if inputs.vocabulary is not None or len(inputs.shape) not in (2, 3):
            return super().begun(rng, inputs, outputs)
        *grid, channels = inputs.shape
        if self.shape and self.shape != tuple(grid):
            raise refused(
                "Conv",
                f"positions {self.shape}, as shape says",
                str(inputs),
                "Drop shape: these inputs have their own",
            )
        if not outputs.is_vector:
            return super().begun(rng, vector(inputs.size, "input"), outputs)
        return self._drawn(rng, tuple(grid), channels, outputs.size)

    def _drawn(self, rng, grid, fan_in, k):
        grids, offsets, params = self.grids(grid), self.kernel ** len(grid), {}
        depth = len(self.channels) + 1
        for index, fan_out in enumerate(self.channels, 1):
            params[f"layer{index}"] = drawn_layer(
                rng,
                self.scaling.layer(index, depth, fan_in * offsets, fan_out),
                fan_in * offsets,
                fan_out,
                self.bias,
            )
            fan_in = fan_out
        read = fan_in * (math.prod(grids[-1]) if self.readout == "flatten" else 1)
        params[f"layer{depth}"] = drawn_layer(
            rng, self.scaling.layer(depth, depth, read, k), read, k, self.bias
        )
        return with_norms(self, params, list(params)[:-1])

    def forward(self, params, X, tap=keep):
        s, scales, n = activation(self.activation), layer_scales(self.scaling, params), X.shape[0]
        h = X if X.ndim > 2 else X.reshape(n, *self.positions(X.shape[1]), -1)
        self.grids(h.shape[1:-1])
        for index in range(1, len(params)):
            name = f"layer{index}"
            z = dense(params[name], scales[name], self._patches(h))
            z = tap(f"{name}.pre", z)
            z = self._normed(params[name], scales[name], z, tap, name)
            h = tap(f"{name}.post", self._pooled(s(z)))
        h = (
            h.reshape(n, -1)
            if self.readout == "flatten"
            else h.mean(axis=tuple(range(1, h.ndim - 1)))
        )
        last = f"layer{len(params)}"
        return tap("output", tap(f"{last}.pre", dense(params[last], scales[last], h)))

    def _patches(self, h: Float[Array, "n *grid c"]) -> Float[Array, "n *positions o"]:
        """What every position sees, offset by offset."""
        axes = h.ndim - 2
        if self.padding != "none":
            before = (self.kernel - 1) // 2
            around = [(0, 0), *[(before, self.kernel - 1 - before)] * axes, (0, 0)]
            h = jnp.pad(h, around, mode="wrap" if self.padding == "circular" else "constant")
        counts = [(side - self.kernel) // self.stride + 1 for side in h.shape[1:-1]]
        seen = []
        for offset in itertools.product(range(self.kernel), repeat=axes):
            cut = [
                slice(o, o + self.stride * (count - 1) + 1, self.stride)
                for o, count in zip(offset, counts, strict=True)
            ]
            seen.append(h[(slice(None), *cut)])
        return jnp.concatenate(seen, axis=-1)

    def _normed(self, layer, scale, z, tap, name):
        """The norm over the channels of every position."""
        rows = z.reshape(-1, z.shape[-1])

        def on_grid(signal, value):
            return (
                tap(signal, value.reshape(z.shape)).reshape(value.shape)
                if signal.endswith(".normed")
                else tap(signal, value)
            )

        return normed(self, layer, scale, rows, on_grid, name).reshape(z.shape)

    def signal_axes(self, name, rank):
        grid = {3: ("position",), 4: ("row", "column")}.get(rank)
        return super().signal_axes(name, rank) if grid is None else ("sample", *grid, "channel")

    def _pooled(self, h):
        if self.pooling == "none":
            return h
        sides = [side // self.window for side in h.shape[1:-1]]
        h = h[(slice(None), *(slice(0, side * self.window) for side in sides))]
        h = h.reshape(
            len(h), *(size for side in sides for size in (side, self.window)), h.shape[-1]
        )
        windows = tuple(range(2, h.ndim - 1, 2))
        return h.mean(axis=windows) if self.pooling == "average" else h.max(axis=windows)

    def dense_layers(self, params):
        return None  # a weight is met at every position

    def limit(self, d, tangent=True):
        unit = norm_limit(self, tangent)
        if self.pooling == "max":
            who, what = (
                "The infinite-width limit of Conv",
                "pooling by a mean, of which kernels know all",
            )
            raise refused(who, what, "pooling=max", "Set pooling to average or none")
        grids, depth = self.grids(self.positions(d)), len(self.channels) + 1
        axes = len(grids[0])
        offsets, last = self.kernel**axes, math.prod(grids[-1]) if self.readout == "flatten" else 1
        reads = (offsets,) * (depth - 1) + (last,)
        affine = dense_limit(
            self.scaling, depth, d // math.prod(grids[0]) * offsets, self.bias, tangent, reads
        )
        pooled = [self.pooling == "average"] * (depth - 1) + [self.readout == "average"]
        steps: list[Any] = [Positions(grids[0], any(pooled))]
        for grid, one, pool in zip(grids[:-1], affine[:-1], pooled[:-1], strict=True):
            windows = self._windows(grid)
            steps += [Convolve(windows), one, Activate(self.activation, *unit)]
            steps += [Pool(self._pools(windows.out))] if pool else []
        steps += [Pool(Windows.whole(grids[-1]))] if pooled[-1] else []
        if any(pooled):  # behind the last pooling positions need no kernels with each other
            at = max(index for index, step in enumerate(steps) if isinstance(step, Pool)) + 1
            steps = [*steps[:at], Centers(), *steps[at:]]
        return (*steps, Read(), affine[-1])

    def _windows(self, grid):
        """What every position of a layer sees of its inputs'."""
        axes, around = len(grid), self.kernel - 1 if self.padding != "none" else 0
        before = around // 2
        sizes, strides, ahead, behind = (
            (side,) * axes for side in (self.kernel, self.stride, before, around - before)
        )
        return Windows(grid, sizes, strides, ahead, behind, self.padding == "circular")

    def _pools(self, grid):
        nothing = (0,) * len(grid)
        return Windows(
            grid, (self.window,) * len(grid), (self.window,) * len(grid), nothing, nothing
        )

    @classmethod
    def example(cls):
        return cls(channels=(3,), activation="tanh", padding="circular", bias=True)
