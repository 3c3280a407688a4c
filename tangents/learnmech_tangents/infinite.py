"""Infinite: kernel_fn of a network, by the tiled and exact engine where its layers stand in one
line, and layer by layer elsewhere."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.grids import Centers, Pool, Positions, on_grid
from learnmech.errors import refused
from learnmech.kernels import positions
from learnmech.kernels.frames import Frame
from learnmech.kernels.infinite import kernel, variances
from learnmech.kernels.own import OWN, of_inputs, own_of, own_walked
from learnmech.kernels.pairs import pair_of
from learnmech.kernels.recursion import tables
from learnmech_tangents.blocks import count, in_blocks, is_kernel
from learnmech_tangents.kernel import READABLE, Kernel, as_inputs, given, shown, wanted
from learnmech_tangents.layers import Layer
from learnmech_tangents.signals import Law, Signals

ROWS = 512
UNUSED = ("pattern", "mask_constant", "diagonal_batch", "diagonal_spatial", "rng")


class Line(eqx.Module):
    """Layers in one line, as an architecture that has a limit."""

    layer: Layer = eqx.field(static=True)

    def limit(self, d: int, tangent: bool = True) -> tuple:
        """Its steps from d inputs."""
        return self.layer.steps(Law(d, is_input=True))


class GridLine(eqx.Module):
    """The same on inputs at positions, given flat, in the end all read by a dense layer."""

    layer: Layer = eqx.field(static=True)
    law: Law = eqx.field(static=True)

    def limit(self, d: int, tangent: bool = True) -> tuple:
        """Its steps from d inputs; behind the last pooling positions need no kernels with each
        other."""
        steps = [Positions(self.law.grid, self.law.full), *self.layer.steps(self.law)]
        if self.law.full and self.layer.pools:
            at = max(index for index, step in enumerate(steps) if isinstance(step, Pool)) + 1
            steps = [*steps[:at], Centers(), *steps[at:]]
        return tuple(steps)


class KernelFn:
    """kernel_fn(x1, x2=None, get=None): the kernels of the infinite network between the rows of x1
    (n1, d) and x2 (n2, d; None: x1), in float64.

    Inputs at positions are (n, height, width, channels) or (n, positions, channels):
    x(p).x(p')/channels. get: "nngp" or "ntk" gives the array (n1, n2), a tuple of names a
    namedtuple, None a `Kernel`. Inputs enter as x.x'/d. A network that begins with `parallel` takes
    lists of inputs. In place of x1 a `Kernel` may be given, or a list of them, and the layers act
    on it.
    """

    def __init__(self, layer: Layer):
        self.layer = layer
        self.whole = jax.jit(lambda x1, x2: _whole(layer, x1, x2))

    def __call__(self, x1, x2=None, get=None, **kwargs):
        names = wanted("kernel_fn", get, READABLE, ())
        for name, value in kwargs.items():
            if name not in UNUSED or (value is not None and name in UNUSED[:2]):
                raise refused(
                    "kernel_fn",
                    "layers of this stax, which take none of that",
                    f"{name}={value!r}",
                    "Leave it out",
                )
        leaves = jax.tree.leaves(x1, is_leaf=is_kernel)
        if any(map(is_kernel, leaves)):
            if x2 is not None:
                raise refused(
                    "kernel_fn",
                    "no x2 beside kernels",
                    f"{type(x2).__name__}",
                    "A Kernel knows both of its inputs; leave x2 out",
                )
            if not all(map(is_kernel, leaves)):
                raise refused(
                    "kernel_fn",
                    "Kernels alone, or inputs alone",
                    "some of each",
                    "Take the kernel of each input first",
                )
            found = _shown(self.layer.on(_each(Kernel.signals, x1)))
        else:
            found = _of_inputs(
                self,
                *(None if x is None else _checked(x, self.layer.flattens) for x in (x1, x2)),
                names,
            )
        return found if get is None else _named(found, get, names)


def _each(function, tree):
    """A function of each Kernel in a list of them, tuples as lists."""
    return (
        [_each(function, one) for one in tree]
        if isinstance(tree, (list, tuple))
        else function(tree)
    )


def _named(found, get, names):
    """What was asked for of a Kernel, of signals, or of each in a list."""
    if isinstance(found, list):
        return [_named(one, get, names) for one in found]
    read = getattr if is_kernel(found) else shown
    return given(get, names, (read(found, name) for name in names))


def _shown(signals):
    return Kernel.of(signals) if isinstance(signals, Signals) else [_shown(one) for one in signals]


def _checked(x, flattens):
    """Inputs (n, d), or a list of them, as arrays of finite numbers."""
    x = as_inputs(x)
    if isinstance(x, list):
        return [_checked(one, flattens) for one in x]
    x = x.reshape(len(x), -1) if flattens and x.ndim > 2 else x
    if x.ndim < 2 or 0 in x.shape:
        raise refused(
            "kernel_fn",
            "inputs of shape (n, d), or (n, height, width, channels)",
            f"shape {x.shape}",
            "Give a row of numbers for every input",
        )
    if isinstance(x, np.ndarray) and not (x.dtype.kind in "biuf" and np.isfinite(x).all()):
        raise refused(
            "kernel_fn",
            "inputs that are finite numbers",
            f"dtype {x.dtype} or NaN or infinity",
            "Remove or replace the bad entries",
        )
    return x


def _of_inputs(kernel_fn, x1, x2, names):
    layer, several = kernel_fn.layer, isinstance(x1, list)
    if x2 is not None and jax.tree.structure(x1) != jax.tree.structure(x2):
        raise refused(
            "kernel_fn",
            "x2 as x1 is, an array or a list",
            f"{_said(x1)} and {_said(x2)}",
            "Give both the same structure",
        )
    start = _law_of(x1, layer)
    law = layer.law(start)  # refuses before anything is computed
    for one, two in zip(*map(jax.tree.leaves, (x1, x2)), strict=False) if x2 is not None else ():
        if one.shape[1:] != two.shape[1:]:
            raise refused(
                "kernel_fn",
                "inputs of one dimension",
                f"{one.shape[1:]} and {two.shape[1:]}",
                "Give both the same shape behind the first axis",
            )
    for x in (x1, x2):
        count(x) if x is not None else None
    traced = any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((x1, x2)))
    steps = (
        layer.steps(start)
        if layer.straight and not several and not (isinstance(law, list) or law.grid)
        else ()
    )
    if not steps:
        size = (
            ROWS
            if several or not start.grid
            else max(1, math.isqrt(positions.TILE // start_frame(start).entries))
        )
        return (
            kernel_fn.whole(x1, x2)
            if traced
            else in_blocks(kernel_fn.whole, x1, x2, size, jnp.asarray, symmetric=True)
        )
    line = GridLine(layer, start) if on_grid(steps) else Line(layer)
    flat = [None if x is None else x.reshape(len(x), -1) for x in (x1, x2)]
    kinds = [name for name in ("nngp", "ntk") if not names or name in names]
    found = kernel(line, *flat, tuple(kinds))._asdict() if kinds else {}
    sides = (
        [None if x is None else _own(line, steps, x, start, traced) for x in flat]
        if not names or {"cov1", "cov2"} & set(names)
        else _unseen(x1, x2)
    )
    nngp, ntk = (
        None if found.get(name) is None else jnp.asarray(found[name]) for name in ("nngp", "ntk")
    )
    signals = Signals(nngp, ntk, *sides, x2 is None, law)
    return signals if names else Kernel.of(signals)


def _own(line, steps, x, start, traced):
    """E h^2 of the outputs on every input."""
    x = (jnp if traced else np).asarray(x, float)
    if isinstance(line, Line):
        return jnp.asarray(tables(steps, variances(x))[-1].after.variance)
    first, *rest = line.limit(x.shape[1])
    frame = Frame().after(first)
    size = len(x) if traced else max(1, OWN // frame.entries)
    parts = [
        (
            own_walked(rest, own_of(x, frame), frame)
            if traced
            else of_inputs(rest, x[at : at + size], frame)
        )[1]
        for at in range(0, len(x), size)
    ]
    return jnp.concatenate([jnp.asarray(part) for part in parts])


def _unseen(x1, x2):
    """Variances that nobody asked for, of the right number."""
    return [None if x is None else np.full(len(x), np.nan) for x in (x1, x2)]


def start_frame(law: Law) -> Frame:
    """Where the inputs are."""
    return Frame(law.grid, law.full)


def _law_of(x, layer):
    """The law of inputs; of those at positions all pairs of these are kept where a layer pools,
    or where none reads all positions."""
    if isinstance(x, list):
        return [_law_of(one, layer) for one in x]
    grid = tuple(x.shape[1:-1])
    return Law(
        x.shape[-1], is_input=True, grid=grid, full=bool(grid) and (layer.pools or not layer.reads)
    )


def _said(x):
    return f"a list of {len(x)}" if isinstance(x, list) else "an array"


def _whole(layer, x1, x2):
    """All pairs at once, layer by layer, from their products and from their distances."""
    return _shown(layer.on(_begun(x1, x2, _law_of(x1, layer))))


def _begun(x1, x2, law):
    if isinstance(x1, list):
        return [
            _begun(one, two, each)
            for one, two, each in zip(x1, x2 or [None] * len(x1), law, strict=True)
        ]
    x1 = jnp.asarray(x1, float)
    if law.grid:
        frame = start_frame(law)
        flat = [None if x is None else jnp.asarray(x, float).reshape(len(x), -1) for x in (x1, x2)]
        pair = pair_of(flat[0], flat[0] if x2 is None else flat[1], frame, True, True)
        owns = [None if x is None else own_of(x, frame) for x in flat]
        return Signals(pair.k, pair.t, *owns, x2 is None, law, pair.apart, pair.joint)
    other, d = x1 if x2 is None else jnp.asarray(x2, float), x1.shape[1]
    k = x1 @ other.T / d
    gap = [
        jax.lax.map(lambda x, s=sign: jnp.sum((x[None] + s * other) ** 2, axis=1) / d, x1)
        for sign in (-1, 1)
    ]
    own2 = None if x2 is None else variances(other)
    return Signals(
        k, jnp.zeros_like(k), variances(x1), own2, x2 is None, Law(d, is_input=True), *gap
    )
