"""Sampling: kernels of finite networks, averaged over random starts."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp

from learnmech.errors import refused
from learnmech_tangents.blocks import batch
from learnmech_tangents.empirical import KINDS, NtkImplementation, empirical_kernel_fn
from learnmech_tangents.kernel import as_inputs, given, wanted


def monte_carlo_kernel_fn(
    init_fn,
    apply_fn,
    key,
    n_samples: int | Iterable[int],
    batch_size: int = 0,
    device_count: int = -1,
    store_on_device: bool = True,
    trace_axes=(-1,),
    diagonal_axes=(),
    vmap_axes=None,
    implementation=NtkImplementation.JACOBIAN_CONTRACTION,
):
    """kernel_fn(x1, x2=None, get=None, **kwargs): the mean of the empirical kernels of n_samples
    networks; for an iterable of numbers, a generator of means.

    The networks are those that the same key draws there. Whether a mean is near its limit, an error
    bar over keys tells.
    """
    marks = {n_samples} if isinstance(n_samples, int) else set(n_samples)
    if not marks or min(marks) < 1:
        raise refused(
            "monte_carlo_kernel_fn",
            "n_samples >= 1",
            n_samples,
            "Give a number, or numbers at which to look",
        )
    empirical = empirical_kernel_fn(apply_fn, trace_axes, diagonal_axes, vmap_axes, implementation)
    compiled = {}

    def one(x1, x2, names, params, kwargs):
        if names not in compiled:
            compute = jax.jit(lambda a, b, w, more: tuple(empirical(a, b, names, w, **more)))
            compiled[names] = batch(compute, batch_size, device_count, store_on_device)
        return compiled[names](x1, x2, params, kwargs)

    def means(x1, x2, get, kwargs):
        names = wanted("monte_carlo_kernel_fn", get, KINDS, KINDS)
        onward, total = key, None
        for count in range(1, max(marks) + 1):
            onward, own = jax.random.split(onward)
            _, params = init_fn(jax.random.split(own)[0], jax.tree.map(jnp.shape, x1))
            drawn = one(x1, x2, names, params, kwargs)
            total = drawn if total is None else jax.tree.map(lambda a, b: a + b, total, drawn)
            if count in marks:
                yield given(get, names, jax.tree.map(lambda x, count=count: x / count, total))

    def kernel_fn(x1, x2=None, get=None, **kwargs):
        found = means(as_inputs(x1), None if x2 is None else as_inputs(x2), get, kwargs)
        return next(found) if isinstance(n_samples, int) else found

    return kernel_fn
