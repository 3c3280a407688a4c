"""Infinite: kernel_fn of a network, by the tiled and exact engine where its layers stand in one line, and kernels in blocks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from learnmech.adapters.tangents.layers import FLAT, Layer
from learnmech.adapters.tangents.signals import READABLE, Kernel, Law, given, wanted
from learnmech.errors import refused
from learnmech.kernels.infinite import kernel, variances
from learnmech.kernels.recursion import tables
from learnmech.memory import check_memory

ROWS = 512
UNUSED = ("pattern", "mask_constant", "diagonal_batch", "diagonal_spatial", "rng")


class Line(eqx.Module):
    """Layers in one line, as an architecture that has a limit."""

    layer: Layer = eqx.field(static=True)

    def limit(self, d: int, tangent: bool = True) -> tuple:
        """Its steps from d inputs."""
        return self.layer.steps(Law(d, is_input=True))


class KernelFn:
    """kernel_fn(x1, x2=None, get=None): the kernels of the infinite network between the rows of x1 (n1, d) and x2 (n2, d; None: x1), in float64.

    get: "nngp" or "ntk" gives the array (n1, n2), a tuple of names a namedtuple, None a `Kernel`. Inputs enter as x.x'/d. In place of x1 a `Kernel`
    may be given, or a list of them, and the layers act on it.
    """

    def __init__(self, layer: Layer):
        self.layer = layer
        self.whole = jax.jit(lambda x1, x2: _whole(layer, x1, x2))

    def __call__(self, x1, x2=None, get=None, **kwargs):
        names = wanted("kernel_fn", get, READABLE, ())
        for name, value in kwargs.items():
            if name not in UNUSED or (value is not None and name in UNUSED[:2]):
                raise refused("kernel_fn", "dense layers alone, which take none of that", f"{name}={value!r}", "Leave it out")
        if isinstance(x1, (Kernel, list, tuple)):
            if x2 is not None:
                raise refused("kernel_fn", "no x2 beside kernels", f"{type(x2).__name__}", "A Kernel knows both of its inputs; leave x2 out")
            if not all(isinstance(one, Kernel) for one in ([x1] if isinstance(x1, Kernel) else x1)):
                raise refused("kernel_fn", "an array, a Kernel, or a list of Kernels", f"a {type(x1).__name__}", "Take the kernel of each input first")
            found = self.layer.on(list(x1) if isinstance(x1, tuple) else x1)
        else:
            x1, x2 = (None if x is None else _flat(x, self.layer.flattens) for x in (x1, x2))
            found = _of_inputs(self, x1, x2, names)
        return found if get is None else given(get, names, (getattr(found, name) for name in names))


def _flat(x, flattens):
    x = x if isinstance(x, jax.core.Tracer) else np.asarray(x)
    x = x.reshape(len(x), -1) if flattens and x.ndim > 2 else x
    if x.ndim != 2:
        raise refused("kernel_fn", "inputs of shape (n, d)", f"shape {x.shape}", FLAT if x.ndim > 2 else "Give a row of numbers for every input")
    if isinstance(x, np.ndarray) and not (x.dtype.kind in "biuf" and np.isfinite(x).all()):
        raise refused("kernel_fn", "inputs that are finite numbers", f"dtype {x.dtype} or NaN or infinity", "Remove or replace the bad entries")
    return x


def _of_inputs(kernel_fn, x1, x2, names):
    layer = kernel_fn.layer
    law = layer.law(Law(x1.shape[1], is_input=True))  # refuses before anything is computed
    if x2 is not None and x1.shape[1] != x2.shape[1]:
        raise refused("kernel_fn", "inputs of one dimension", f"{x1.shape[1]} and {x2.shape[1]}", "Give both the same number of columns")
    traced = any(isinstance(x, jax.core.Tracer) for x in (x1, x2))
    steps = layer.steps(Law(x1.shape[1], is_input=True)) if layer.straight else ()
    if not steps:
        return kernel_fn.whole(x1, x2) if traced else in_blocks(kernel_fn.whole, x1, x2, ROWS, jnp.asarray, symmetric=True)
    kinds = [name for name in ("nngp", "ntk") if not names or name in names]
    found = dict(zip(kinds, kernel(Line(layer), x1, x2, tuple(kinds)), strict=False)) if len(kinds) == 2 else {}
    if len(kinds) == 1:
        found = {kinds[0]: kernel(Line(layer), x1, x2, kinds[0])}
    numbers = jnp if traced else np
    sides = [None if x is None else jnp.asarray(tables(steps, variances(numbers.asarray(x, float)))[-1].after.variance) for x in (x1, x2)]
    nngp, ntk = (None if name not in found else jnp.asarray(found[name]) for name in ("nngp", "ntk"))
    return Kernel(nngp, ntk, *sides, x1_is_x2=x2 is None, law=law)


def _whole(layer, x1, x2):
    """All pairs at once, layer by layer, from their products and from their distances."""
    x1 = jnp.asarray(x1, float)
    other, d = x1 if x2 is None else jnp.asarray(x2, float), x1.shape[1]
    k = x1 @ other.T / d
    gap = [jax.lax.map(lambda x, s=sign: jnp.sum((x + s * other) ** 2, axis=1) / d, x1) for sign in (-1, 1)]
    cov2 = None if x2 is None else variances(other)
    return layer.on(Kernel(k, jnp.zeros_like(k), variances(x1), cov2, x2 is None, Law(d, is_input=True), *gap))


def _mirrored(kernel):
    """The kernel of the same signals with x1 and x2 exchanged."""
    turned = {name: None if getattr(kernel, name) is None else getattr(kernel, name).T for name in ("nngp", "ntk", "apart", "joint")}
    return Kernel(cov1=kernel.variance2, cov2=kernel.cov1, x1_is_x2=kernel.x1_is_x2, law=kernel.law, **turned)


def in_blocks(function, x1, x2, size, kept, symmetric=False):
    """A kernel by blocks of so many rows and columns, put together; `kept` is done to each array of the result. Of symmetric `Kernel`s half the blocks."""
    other = x1 if x2 is None else x2
    if max(len(x1), len(other)) <= size:
        return jax.tree.map(kept, function(x1, x2))
    check_memory(f"The kernel of {len(x1)} by {len(other)} inputs", 4 * 8 * len(x1) * len(other), "Compute it for fewer inputs at a time")

    def is_kernel(x):
        return isinstance(x, Kernel)

    blocks = []
    for i in range(0, len(x1), size):
        done = len(blocks) if symmetric and x2 is None else 0
        before = [jax.tree.map(_mirrored, blocks[column][len(blocks)], is_leaf=is_kernel) for column in range(done)]
        blocks.append(before + [function(x1[i : i + size], other[j : j + size]) for j in range(done * size, len(other), size)])

    def joined(*parts):
        grid = [parts[i * len(blocks[0]) : (i + 1) * len(blocks[0])] for i in range(len(blocks))]
        if not is_kernel(parts[0]):
            return kept(np.concatenate([np.concatenate([np.asarray(part) for part in row], axis=1) for row in grid]))
        fields = {}
        for name in ("nngp", "ntk", "apart", "joint"):
            values = [getattr(part, name) for part in parts]
            fields[name] = None if values[0] is None else joined(*values)
        cov1, cov2 = (np.concatenate(sides) for sides in ([row[0].cov1 for row in grid], [part.variance2 for part in grid[0]]))
        return Kernel(cov1=kept(cov1), cov2=None if x2 is None else kept(cov2), x1_is_x2=x2 is None, law=parts[0].law, **fields)

    return jax.tree.map(joined, *(block for row in blocks for block in row), is_leaf=is_kernel)


def batch(kernel_fn, batch_size: int = 0, device_count: int = -1, store_on_device: bool = True):
    """kernel_fn(x1, x2, ...) in blocks of batch_size rows by as many columns (0: all at once), one after another on the default device.

    The last block may be smaller. store_on_device=False gives numpy arrays. kernel_fn of `stax` is tiled anyway.
    There blocks go to `device_count` devices side by side; here -1, 0 and any number up to those there are mean the same.
    """
    if batch_size < 0:
        raise refused("batch", "batch_size >= 0", batch_size, "Give a number of rows, or 0 for all")
    if device_count > jax.device_count():
        raise refused("batch", f"device_count of at most {jax.device_count()}", device_count, "Give -1 for all devices")

    def batched(x1, x2=None, *args, **kwargs):
        size = batch_size or max(len(x1), 0 if x2 is None else len(x2))
        return in_blocks(lambda a, b: kernel_fn(a, b, *args, **kwargs), x1, x2, size, jnp.asarray if store_on_device else np.asarray)

    return batched
