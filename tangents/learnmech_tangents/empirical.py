"""Empirical: Taylor series of a function in its parameters, and the kernels of a finite network, of
any f(params, x, **kwargs).

The conventions of neural-tangents: trace_axes are averaged over, diagonal_axes keep one index, all
others two, in the order of zip(f(x1).shape, f(x2).shape).
"""

import enum
import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Float, PyTree

from learnmech.errors import refused
from learnmech.language.trees import Array, Params, add, subtract
from learnmech_tangents.kernel import given, wanted

KINDS = ("nngp", "ntk")


class NtkImplementation(enum.IntEnum):
    """Names of ways to the same kernel; here all are one, contraction of Jacobians."""

    AUTO = 0
    JACOBIAN_CONTRACTION = 1
    NTK_VECTOR_PRODUCTS = 2
    STRUCTURED_DERIVATIVES = 3


def linearize(f, params: Params):
    """f_lin(w, ...) = f(w_0, ...) + df/dw (w - w_0), w_0 = params."""
    return taylor_expand(f, params, 1)


def taylor_expand(f, params: Params, degree: int):
    """f_tayl(w, ...) = sum over j up to degree of (d/ds)^j f(w_0 + s (w - w_0), ...)/j! at s = 0,
    w_0 = params. Arguments after w pass on to f."""
    if degree < 0 or int(degree) != degree:
        raise refused(
            "taylor_expand", "a whole degree >= 0", degree, "Give 1 for the linearized function"
        )

    def expanded(w, *args, **kwargs):
        moved = subtract(w, params)

        def along(s):
            return f(add(params, jax.tree.map(lambda dw: s * dw, moved)), *args, **kwargs)

        terms = [along]
        for _ in range(int(degree)):
            terms.append(_slope(terms[-1]))
        parts = [
            jax.tree.map(lambda x, j=j: x / math.factorial(j), term(0.0))
            for j, term in enumerate(terms)
        ]
        return jax.tree.map(lambda *values: sum(values), *parts)

    return expanded


def _slope(function):
    return lambda s: jax.jvp(function, (s,), (1.0,))[1]


# --- axes


def axes_of(axes, ndim: int, who: str) -> tuple[int, ...]:
    """Axes as non-negative numbers in order."""
    found = (axes,) if isinstance(axes, int) else tuple(axes)
    if any(not -ndim <= axis < ndim for axis in found):
        raise refused(
            who,
            f"axes of an array of {ndim} axes",
            found,
            f"Give numbers from {-ndim} to {ndim - 1}",
        )
    return tuple(sorted(axis % ndim for axis in found))


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _contracted(one, two, ndim, traced, diagonal):
    """Sum over what comes after the first ndim axes, mean over the traced, one index for each
    diagonal axis, two for every other."""
    shared = set(traced) | set(diagonal)
    first = list(range(ndim))
    second = [axis if axis in shared else ndim + axis for axis in first]
    out = [
        index
        for axis in first
        if axis not in traced
        for index in ((axis,) if axis in diagonal else (axis, ndim + axis))
    ]
    one, two = (side.reshape(*side.shape[:ndim], -1) for side in (one, two))
    total = jnp.einsum(one, [*first, 2 * ndim], two, [*second, 2 * ndim], out)
    return total / math.prod(one.shape[axis] for axis in traced)


def _per_output(parts, shapes, trace_axes, diagonal_axes, who):
    """Kernels of each output by itself; `parts` has for each a list of pairs of arrays whose
    products add."""
    kernels = []
    for pairs, shape in zip(parts, shapes, strict=True):
        traced = axes_of(trace_axes, len(shape), who)
        diagonal = axes_of(diagonal_axes, len(shape), who)
        if set(traced) & set(diagonal):
            raise refused(
                who,
                "trace_axes and diagonal_axes that differ",
                f"{traced} and {diagonal}",
                "Name each axis in one of them",
            )
        kernels.append(
            sum(_contracted(one, two, len(shape), traced, diagonal) for one, two in pairs)
        )
    return kernels


# --- kernels


def empirical_nngp_fn(f, trace_axes=(-1,), diagonal_axes=()):
    """nngp_fn(x1, x2, params, **kwargs): f(x1) f(x2)', by default its mean over outputs, (n1,
    n2). kwargs as for empirical_ntk_fn."""

    def nngp_fn(x1, x2, params, **kwargs) -> PyTree[Float[Array, "..."]]:
        one, two = (
            (x, own) for x, own in zip((x1, x1 if x2 is None else x2), _split(kwargs), strict=True)
        )
        values = [f(params, x, **own) for x, own in (one, two)]
        leaves = [jax.tree.leaves(value) for value in values]
        parts = [[pair] for pair in zip(*leaves, strict=True)]
        kernels = _per_output(
            parts,
            [leaf.shape for leaf in leaves[0]],
            trace_axes,
            diagonal_axes,
            "empirical_nngp_fn",
        )
        return jax.tree.unflatten(jax.tree.structure(values[0]), kernels)

    return nngp_fn


def empirical_ntk_fn(
    f,
    trace_axes=(-1,),
    diagonal_axes=(),
    vmap_axes=None,
    implementation=NtkImplementation.JACOBIAN_CONTRACTION,
):
    """ntk_fn(x1, x2, params, **kwargs): J(x1) J(x2)' with J = df/dparams, by default its mean over
    outputs, (n1, n2); trace_axes=() gives (n1, n2, k, k).

    All rates are equal: a scaling with factors on the rate (mup, mean-field) has another kernel,
    `kernels.empirical.tangent_kernel`. vmap_axes (an axis, or (in_axes, out_axes, {keyword: axis}))
    says that f acts on every example by itself, which saves n times the work. kwargs go to f; one
    that is a pair of arrays has a value for x1 and one for x2.
    """
    NtkImplementation(implementation)

    def ntk_fn(x1, x2, params, **kwargs) -> PyTree[Float[Array, "..."]]:
        mine, yours = _split(kwargs)
        one, shapes, structure = _slopes(f, params, x1, mine, vmap_axes)
        two = (
            one
            if x2 is None and mine is yours
            else _slopes(f, params, x1 if x2 is None else x2, yours, vmap_axes)[0]
        )
        parts = [list(zip(left, right, strict=True)) for left, right in zip(one, two, strict=True)]
        return jax.tree.unflatten(
            structure, _per_output(parts, shapes, trace_axes, diagonal_axes, "empirical_ntk_fn")
        )

    return ntk_fn


def empirical_kernel_fn(
    f,
    trace_axes=(-1,),
    diagonal_axes=(),
    vmap_axes=None,
    implementation=NtkImplementation.JACOBIAN_CONTRACTION,
):
    """kernel_fn(x1, x2, get, params, **kwargs): "nngp" or "ntk" gives the array, a tuple of them
    or None (both) a namedtuple."""
    functions = {
        "nngp": empirical_nngp_fn(f, trace_axes, diagonal_axes),
        "ntk": empirical_ntk_fn(f, trace_axes, diagonal_axes, vmap_axes, implementation),
    }

    def kernel_fn(x1, x2, get, params, **kwargs):
        names = wanted("empirical_kernel_fn", get, KINDS, KINDS)
        return given(get, names, (functions[name](x1, x2, params, **kwargs) for name in names))

    return kernel_fn


def empirical_ntk_vp_fn(f, x1, x2, params: Params, **kwargs):
    """v -> J(x1) J(x2)' v, without the kernel; v of the shape of f(params, x2)."""
    mine, yours = _split(kwargs)

    def product(v):
        back = jax.vjp(lambda w: f(w, x1 if x2 is None else x2, **yours), params)[1]
        return jax.jvp(lambda w: f(w, x1, **mine), (params,), back(v))[1]

    return product


def _split(kwargs):
    """kwargs for x1 and for x2."""
    if not any(isinstance(value, tuple) and len(value) == 2 for value in kwargs.values()):
        return kwargs, kwargs
    return tuple(
        {
            name: value[side] if isinstance(value, tuple) and len(value) == 2 else value
            for name, value in kwargs.items()
        }
        for side in (0, 1)
    )


def _slopes(f, params, x, kwargs, vmap_axes):
    """For each output its derivatives by each array of parameters (*shape of the output, *of the
    array); the outputs' shapes and structure."""
    outputs = jax.eval_shape(lambda w: f(w, x, **kwargs), params)
    shapes = [leaf.shape for leaf in jax.tree.leaves(outputs)]

    def flat(w, x, kwargs):
        return jax.tree.leaves(f(w, x, **kwargs))

    if vmap_axes is None:
        found = jax.jacrev(flat)(params, x, kwargs)
    else:
        into, out, named = (
            vmap_axes
            if isinstance(vmap_axes, tuple) and len(vmap_axes) == 3
            else (vmap_axes, vmap_axes, {})
        )
        x = jax.tree.map(jnp.asarray, x)
        intos = jax.tree.unflatten(
            jax.tree.structure(x), _for_each(into, len(jax.tree.leaves(x)), vmap_axes)
        )
        outs = _for_each(out, len(shapes), vmap_axes)
        mapped = {name: jnp.asarray(kwargs[name]) for name in named if name in kwargs}
        rest = {name: value for name, value in kwargs.items() if name not in mapped}

        def single(w, x, own):
            kept = {name: jnp.expand_dims(value, named[name]) for name, value in own.items()}
            whole = jax.tree.map(jnp.expand_dims, x, intos)
            return [
                jnp.squeeze(leaf, axis)
                for leaf, axis in zip(flat(w, whole, {**rest, **kept}), outs, strict=True)
            ]

        axes = {name: named[name] for name in mapped}
        found = jax.vmap(
            lambda x, own: jax.jacrev(single)(params, x, own), in_axes=(intos, axes), out_axes=0
        )(x, mapped)
        places = [axis % len(shape) for axis, shape in zip(outs, shapes, strict=True)]
        found = [
            jax.tree.map(lambda J, place=place: jnp.moveaxis(J, 0, place), tree)
            for tree, place in zip(found, places, strict=True)
        ]
    return [jax.tree.leaves(tree) for tree in found], shapes, jax.tree.structure(outputs)


def _for_each(axes, count, given):
    """An axis for each of so many arrays, of one number or of a number for each."""
    found = [axes] * count if isinstance(axes, int) else jax.tree.leaves(axes)
    if len(found) != count or not all(isinstance(axis, int) for axis in found):
        what = "vmap_axes that are whole numbers, one for all arrays or one for each"
        raise refused(
            "empirical_ntk_fn", what, given, "Give 0 for examples along the first axis, or None"
        )
    return found
