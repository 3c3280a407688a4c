"""Blocks: a kernel by so many rows and columns at a time, put together."""

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.errors import refused
from learnmech.machine.memory import check_memory
from learnmech_tangents.kernel import Kernel, sliced


def is_kernel(x) -> bool:
    """Whether it is one Kernel, a leaf of what a network of branches gives."""
    return isinstance(x, Kernel)


def count(x) -> int:
    """How many inputs there are, of a list of them in each."""
    lengths = {len(one) for one in jax.tree.leaves(x)}
    if len(lengths) != 1:
        raise refused(
            "kernel_fn",
            "lists of as many inputs each",
            f"{sorted(lengths)}",
            "Give one row for every input in each array",
        )
    return lengths.pop()


def in_blocks(function, x1, x2, size, kept, symmetric=False):
    """A kernel by blocks of so many rows and columns; `kept` is done to each array of the result.

    x1 and x2 are arrays or lists of them. Of `symmetric` `Kernel`s half the blocks are computed.
    """
    other = x1 if x2 is None else x2
    n1, n2 = count(x1), count(other)
    if max(n1, n2) <= size:
        return jax.tree.map(kept, function(x1, x2))
    check_memory(
        f"The kernel of {n1} by {n2} inputs",
        4 * 8 * n1 * n2,
        "Compute it for fewer inputs at a time",
    )

    def block(rows, columns):
        return function(sliced(x1, rows), sliced(other, columns))

    return _gridded(block, n1, n2, size, kept, x2 is None, symmetric and x2 is None)


def kernel_in_blocks(function, kernel, size, kept):
    """The same of a function of a `Kernel`, or of a list of them."""
    first = jax.tree.leaves(kernel, is_leaf=is_kernel)[0]
    n1, n2 = first.nngp.shape[:2]
    if max(n1, n2) <= size:
        return jax.tree.map(kept, function(kernel))

    def block(rows, columns):
        return function(
            jax.tree.map(lambda one: one.slice(rows, columns), kernel, is_leaf=is_kernel)
        )

    return _gridded(block, n1, n2, size, kept, first.cov2 is None, False)


def _gridded(block, n1, n2, size, kept, same, symmetric):
    blocks = []
    for i in range(0, n1, size):
        done = len(blocks) if symmetric else 0
        before = [
            jax.tree.map(_mirrored, blocks[column][len(blocks)], is_leaf=is_kernel)
            for column in range(done)
        ]
        blocks.append(
            before
            + [block(slice(i, i + size), slice(j, j + size)) for j in range(done * size, n2, size)]
        )
    width = len(blocks[0])

    def joined(*parts):
        grid = [parts[i * width : (i + 1) * width] for i in range(len(blocks))]
        if not is_kernel(parts[0]):
            return _joined_array(grid, kept)
        fields = {}
        for name in ("nngp", "ntk"):
            values = [[getattr(part, name) for part in row] for row in grid]
            fields[name] = None if values[0][0] is None else _joined_array(values, kept)
        cov1 = np.concatenate([np.asarray(row[0].cov1) for row in grid])
        cov2 = np.concatenate([np.asarray(_second(part)) for part in grid[0]])
        shapes = (
            None if shape is None else (n, *shape[1:])
            for n, shape in ((n1, parts[0].shape1), (n2, parts[0].shape2))
        )
        one, two = shapes
        cov2 = None if same else kept(cov2)
        return parts[0].replace(
            **fields, cov1=kept(cov1), cov2=cov2, x1_is_x2=same, shape1=one, shape2=two
        )

    return jax.tree.map(joined, *(one for row in blocks for one in row), is_leaf=is_kernel)


def _second(kernel):
    return kernel.cov1 if kernel.cov2 is None else kernel.cov2


def _joined_array(grid, kept):
    rows = [np.concatenate([np.asarray(part) for part in row], axis=1) for row in grid]
    return kept(np.concatenate(rows))


def _mirrored(kernel):
    """The kernel of the same signals with x1 and x2 exchanged."""
    pairs = () if kernel.diagonal_spatial else range(2, kernel.nngp.ndim, 2)
    order = [1, 0, *range(2, kernel.nngp.ndim)]
    for at in pairs:
        order[at], order[at + 1] = at + 1, at
    nngp, ntk = (
        None if one is None else jnp.transpose(one, order) for one in (kernel.nngp, kernel.ntk)
    )
    shapes = {"shape1": kernel.shape2, "shape2": kernel.shape1}
    return kernel.replace(nngp=nngp, ntk=ntk, cov1=_second(kernel), cov2=kernel.cov1, **shapes)


def batch(kernel_fn, batch_size: int = 0, device_count: int = -1, store_on_device: bool = True):
    """kernel_fn(x1, x2, ...), or kernel_fn(kernel, ...), in blocks of batch_size rows by as many
    columns.

    One block after another on the default device; batch_size 0: all at once. The last block may be
    smaller. store_on_device=False gives numpy arrays. kernel_fn of `stax` is tiled anyway.
    There blocks go to `device_count` devices side by side; here -1, 0 and any number up to those
    there are mean the same.
    """
    if batch_size < 0:
        raise refused("batch", "batch_size >= 0", batch_size, "Give a number of rows, or 0 for all")
    if device_count > jax.device_count():
        raise refused(
            "batch",
            f"device_count of at most {jax.device_count()}",
            device_count,
            "Give -1 for all devices",
        )
    kept = jnp.asarray if store_on_device else np.asarray

    def batched(x1, x2=None, *args, **kwargs):
        leaves = jax.tree.leaves(x1, is_leaf=is_kernel)
        if leaves and all(map(is_kernel, leaves)):
            given = (x2, *args) if x2 is not None or args else ()
            return kernel_in_blocks(
                lambda k: kernel_fn(k, *given, **kwargs),
                x1,
                batch_size or max(leaves[0].nngp.shape[:2]),
                kept,
            )
        size = batch_size or max(count(x1), 0 if x2 is None else count(x2))
        return in_blocks(lambda a, b: kernel_fn(a, b, *args, **kwargs), x1, x2, size, kept)

    return batched
