"""Trees: arithmetic on pytrees of parameters, and the path that names each leaf."""

import functools
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from learnmech.language.faults import unfit
from learnmech.machine.backend import (
    kept,
)  # (double precision must be allowed before the first array)

Array = jax.Array | np.ndarray
"""An array of either library."""

Params: TypeAlias = PyTree
"""Parameters, {layer: {name: array of floats}}; leaf by leaf they are not checked at every call,
which would take as long as tracing."""


def add(a: Params, b: Params) -> Params:
    """a + b, leaf by leaf."""
    return jax.tree.map(jnp.add, a, b)


def subtract(a: Params, b: Params) -> Params:
    """a - b, leaf by leaf."""
    return jax.tree.map(jnp.subtract, a, b)


def scale(factor, a: Params) -> Params:
    """factor * a, in the precision of a."""
    return jax.tree.map(lambda x: jnp.asarray(factor, x.dtype) * x, a)


def zeros_like(a: Params) -> Params:
    """A tree of zeros of the same shape."""
    return jax.tree.map(jnp.zeros_like, a)


def dot(a: Params, b: Params) -> Float[Array, ""]:
    """Inner product over all leaves."""
    products: Any = jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)
    leaves: Any = jax.tree.leaves(products)
    return sum(leaves)


def norm(a: Params) -> Float[Array, ""]:
    """Euclidean norm over all leaves."""
    return jnp.sqrt(dot(a, a))


def power(x: Array, axis: int | None = None) -> Array:
    """The power of two that brings the largest entry (along an axis, which is kept) to about 1;
    1 for zeros and what is no number."""
    most = jnp.max(jnp.abs(x), axis=axis, keepdims=axis is not None, initial=0)
    # at the ends of the exponents, where 2^-e is no normal number any more, about is enough
    bound = jnp.finfo(x.dtype).maxexp - 24
    return jnp.ldexp(jnp.ones_like(most), -jnp.clip(jnp.frexp(most)[1], -bound, bound))


def leveled(x: Array, axis: int | None = None) -> Array:
    """x times `power(x)`: exactly x but for its scale, and its squares neither overflow nor vanish.
    Ratios that know no scale are made of it.

    In float32 the squares of 1e-20 are 0 and those of 1e20 infinite, so that an alignment of what
    is so small or large would be read as 0.
    """
    return x * power(x, axis)


def length(x: Array) -> Float[Array, ""]:
    """Euclidean norm of an array, also where the squares of its entries are no numbers of its
    precision."""
    by = power(x)
    return jnp.linalg.norm(x * by) / by


def cast(tree: PyTree, dtype) -> PyTree:
    """Every floating-point leaf in the given precision."""
    return jax.tree.map(
        lambda x: jnp.asarray(x, dtype) if jnp.issubdtype(jnp.result_type(x), jnp.floating) else x,
        tree,
    )


def alike(one: PyTree, other: PyTree) -> bool:
    """Whether two trees are of one structure."""
    structures: list[Any] = [jax.tree.structure(tree) for tree in (one, other)]
    return structures[0] == structures[1]


def shapes_of(function: Callable, *arguments) -> PyTree:
    """What a function of a module gives, in shapes and types alone; remembered by the function and
    the structure and shapes of its arguments.

    To trace a network takes milliseconds, and a run asks for the shapes of its signals and readings
    some thirty times.
    """
    leaves, structure = jax.tree.flatten(arguments)
    return _shapes_of(
        function,
        structure,
        tuple(
            jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype) if hasattr(leaf, "dtype") else leaf
            for leaf in leaves
        ),
    )


@kept
@functools.lru_cache(maxsize=1024)
def _shapes_of(function, structure, leaves):
    return eqx.filter_eval_shape(function, *jax.tree.unflatten(structure, leaves))


def fitting(
    part: object, method: str, what: str, got: PyTree, like: PyTree, spread: bool = False
) -> PyTree:
    """What a method of a part gave, of the structure and shapes of another tree (`spread`: of
    shapes that spread over those); the part is told of anything else."""
    forms: list[Any] = [jax.tree.structure(tree) for tree in (got, like)]
    if forms[0] != forms[1]:
        raise unfit(part, method, what, kind_of(got))
    for (path, leaf), other in zip(leaves_by_path(got).items(), leaves_by_path(like).values()):
        shape, wanted = np.shape(leaf), np.shape(other)
        if shape != wanted and not (spread and _spreads(shape, wanted)):
            name = f" in {path}" if path else ""
            raise unfit(part, method, what, f"shape {shape}{name} in place of {wanted}")
    return got


def _spreads(shape, over):
    return len(shape) <= len(over) and all(
        one in (1, other) for one, other in zip(shape[::-1], over[::-1], strict=False)
    )


def kind_of(got: object) -> str:
    """What something is, in a few words: for sentences on what is of another form than asked."""
    if got is None or isinstance(got, (str, bool, int, float)):
        return repr(got)
    if isinstance(got, (jax.Array, np.ndarray, np.generic)):
        return f"an array of {got.dtype} of shape {np.shape(got)}"
    if isinstance(got, (tuple, list)):
        return f"a {type(got).__name__} of {len(got)}"
    if isinstance(got, dict):
        return f"a dict of {', '.join(map(str, list(got)[:4])) or 'nothing'}"
    return f"a {type(got).__name__}"


def is_array_like(got: object) -> bool:
    """Whether it is an array of numbers, or a number."""
    if isinstance(got, (jax.Array, np.ndarray, np.generic)):
        return jnp.issubdtype(got.dtype, jnp.number) or got.dtype == bool
    return isinstance(got, (bool, int, float))


def path_of(keys) -> str:
    """`layer2.weight` from the keys JAX gives to a leaf."""
    return ".".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in keys)


def natural(path: str):
    """A sort key under which `layer10` comes after `layer9`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path)]


def leaves_by_path(tree: PyTree) -> dict[str, Any]:
    """{path: leaf} in natural order: layer1.weight, layer2.weight, ..., layer10.weight."""
    pairs = [(path_of(keys), leaf) for keys, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]]
    return dict(sorted(pairs, key=lambda pair: natural(pair[0])))


def axes_of(path: str, ndim: int) -> tuple[str, ...]:
    """The names of the axes of the array under this path: (layer2.out, layer2.in) of a weight,
    (layer2.out,) of a bias."""
    layer = ".".join(word for word in path.split(".")[:-1])
    own = (
        ("out", "in")
        if ndim == 2
        else ("out",)
        if ndim == 1
        else tuple(f"axis{i}" for i in range(ndim))
    )
    return tuple(f"{layer}.{axis}" for axis in own)


def axes_among(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[str, ...]]:
    """{path: the names of its axes} of all arrays of a tree: those of `axes_of`, and where two
    arrays of a layer differ in the size of one, each its own.

    {layer.ih: (6, 3), layer.hh: (6, 2)} have the axes (layer.out, layer.ih.in) and (layer.out,
    layer.hh.in): an axis belongs to the array. The names depend on the tree alone, whatever of it
    is looked at.
    """
    named = {path: axes_of(path, len(shape)) for path, shape in shapes.items()}
    sizes: dict[str, set] = {}
    for path, axes in named.items():
        for axis, size in zip(axes, shapes[path], strict=True):
            sizes.setdefault(axis, set()).add(size)
    return {
        path: tuple(
            axis if len(sizes[axis]) == 1 else f"{path}.{axis.rsplit('.', 1)[-1]}" for axis in axes
        )
        for path, axes in named.items()
    }


def layers_of(params: Params) -> dict[str, PyTree]:
    """{layer name: its parameters} in natural order; the top level of the tree."""
    return dict(sorted(params.items(), key=lambda pair: natural(pair[0])))


def flat_of(params: Params) -> Float[np.ndarray, " p"]:
    """Every parameter in float64, each array raveled, in the natural order of paths."""
    return np.concatenate(
        [np.ravel(np.asarray(leaf, np.float64)) for leaf in leaves_by_path(params).values()]
    )


def shaped(flat: Float[Array, " p"], like: Params) -> Params:
    """The flat array as a tree of the shapes and precision of `like`."""
    cut, offset = {}, 0
    for path, leaf in leaves_by_path(like).items():
        cut[path] = jnp.asarray(
            flat[offset : offset + np.size(leaf)], jnp.result_type(leaf)
        ).reshape(np.shape(leaf))
        offset += np.size(leaf)
    return jax.tree_util.tree_map_with_path(lambda keys, _: cut[path_of(keys)], like)
