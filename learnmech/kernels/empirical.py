"""Empirical kernels: the tangent kernel of a network as it stands, layer by layer from activations
and back-signals, or by its Jacobian.

T_cc'(x, x') = sum over parameters of factor * df_c(x)/dw df_c'(x')/dw, with the factors that the
architecture's scaling puts on the rate (1 for sp and ntk): the kernel in which a small step, or the
flow, moves the outputs.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from learnmech.architectures.base import Architecture
from learnmech.errors import refused
from learnmech.language import trees
from learnmech.language.trees import Array, Params
from learnmech.machine.memory import check_memory

Inputs = Shaped[Array, "n ..."]
BLOCK_BYTES = 2**26


def tangent_kernel(
    architecture: Architecture,
    params: Params,
    X1: Inputs,
    X2: Inputs | None = None,
    full: bool = False,
    by_layer: bool = False,
) -> Float[Array, "n m"] | Float[Array, "n m k k"] | dict[str, Array]:
    """The tangent kernel at these parameters between the rows of X1 and X2 (None: X1): traced, the
    mean over outputs of T_cc, (n, m); `full`, (n, m, k, k).

    `by_layer` gives {layer: its share}, which sum to the whole. For dense and residual networks it
    is one Gram product per layer of activations, times one of back-signals; else, and for what
    mixes samples (each side then is one batch), the Jacobian is contracted in blocks. Pure, so that
    it can be traced. For the full kernel of many samples see `full_kernel`.
    """
    _fitting(X1, X2)
    architecture, params = architecture.tangent_at(params)
    sublayers = None if architecture.mixes_samples else architecture.dense_layers(params)
    if sublayers is None:
        shares = _by_jacobian(architecture, params, X1, X2, full)
    else:
        shares = _by_signals(architecture, params, sublayers, X1, X2, full)
    return shares if by_layer else sum(shares.values())


def _fitting(X1, X2):
    """Refuse inputs that are no rows, or of unlike dimensions."""
    for name, X in (("X1", X1), ("X2", X1 if X2 is None else X2)):
        if X.ndim < 2 or X.shape[0] == 0 or X.shape[1:] != X1.shape[1:]:
            raise refused(
                "The tangent kernel",
                "inputs (n, d) and (m, d) of one dimension",
                f"shape {X.shape} of {name}",
                "Give a row for every input",
            )


# --- layer by layer


def _by_signals(architecture, params, sublayers, X1, X2, full):
    one = _signals_of(architecture, params, sublayers, X1)
    two = one if X2 is None else _signals_of(architecture, params, sublayers, X2)
    shares = {}
    for name, layer in sublayers.items():
        (h, back), (other, back_other) = one[name], two[name]
        seen = _of(h, layer.weight_rate * layer.weight**2) * (h @ other.T) + _of(
            h, layer.bias_rate * layer.bias**2
        )
        if back is None and full:  # of the last layer the back-signal is the identity
            seen = seen[:, :, None, None] * jnp.eye(params[name]["weight"].shape[0], dtype=h.dtype)
        elif full:
            seen = seen[:, :, None, None] * jnp.einsum("ncu,mgu->nmcg", back, back_other)
        elif back is not None:
            seen = (
                seen
                * (back.reshape(len(back), -1) @ back_other.reshape(len(back_other), -1).T)
                / back.shape[1]
            )
        shares[name] = seen
    return shares


def _of(like, factor):
    """A factor in the precision of an array."""
    return jnp.asarray(factor, like.dtype)


def _signals_of(architecture, params, sublayers, X):
    """{layer: (what it reads (n, fan_in), its back-signals df_c/dz (n, k, fan_out), None for the
    last layer)}."""
    *inner, _ = sublayers

    def moved(shifts):
        seen = {}

        def tap(name, value):
            seen[name] = value
            return value + shifts[name] if name in shifts else value

        return architecture.forward(params, X, tap), seen

    shapes = architecture.signal_shapes(params, X)
    zeros = {
        f"{name}.pre": jnp.zeros(shapes[f"{name}.pre"].shape, shapes[f"{name}.pre"].dtype)
        for name in inner
    }
    outputs, back, signals = jax.vjp(moved, zeros, has_aux=True)
    slopes = {}
    if inner:
        k = outputs.shape[1]
        one_hot = jnp.broadcast_to(jnp.eye(k, dtype=outputs.dtype)[:, None, :], (k, *outputs.shape))
        slopes = {
            name: jnp.moveaxis(slope, 0, 1)
            for name, slope in jax.vmap(lambda cotangent: back(cotangent)[0])(one_hot).items()
        }
    return {
        name: (X if layer.reads is None else signals[layer.reads], slopes.get(f"{name}.pre"))
        for name, layer in sublayers.items()
    }


# --- by the Jacobian


def _by_jacobian(architecture, params, X1, X2, full):
    factors = architecture.rate_factors(params, "sgd")
    if architecture.mixes_samples:
        one, two = (
            jax.jacrev(lambda p, X=X: _flat(architecture.forward(p, X)))(params)
            for X in (X1, X1 if X2 is None else X2)
        )
        return _contracted(one, two, factors, full)

    def slopes(x):
        return jax.jacrev(lambda p: _flat(architecture.forward(p, x[None]))[0])(params)

    leaves = jax.tree.leaves(jax.eval_shape(slopes, X1[0]))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    rows = max(1, min(len(X1), BLOCK_BYTES // size))
    padded = jnp.concatenate([X1, jnp.broadcast_to(X1[-1:], (-len(X1) % rows, *X1.shape[1:]))])

    def block(some):
        one = jax.lax.map(slopes, some)
        seen = jax.lax.map(
            lambda x: _contracted(one, jax.tree.map(lambda s: s[None], slopes(x)), factors, full),
            X1 if X2 is None else X2,
        )
        return jax.tree.map(lambda share: jnp.moveaxis(share[:, :, 0], 0, 1), seen)

    shares = jax.lax.map(block, padded.reshape(-1, rows, *X1.shape[1:]))
    return jax.tree.map(lambda share: share.reshape(-1, *share.shape[2:])[: len(X1)], shares)


def _contracted(one, two, factors, full):
    """{layer: sum over its parameters of factor J J'}, from trees of slopes (n, k, *shape)."""
    shares = {}
    for name in one:
        share = 0.0
        for left, right, factor in zip(
            *(jax.tree.leaves(tree[name]) for tree in (one, two, factors)), strict=True
        ):
            left, right = (side.reshape(*side.shape[:2], -1) for side in (left, right))
            product = (
                jnp.einsum("ncp,mgp->nmcg", left, right)
                if full
                else jnp.einsum("ncp,mcp->nm", left, right) / left.shape[1]
            )
            share = share + _of(product, factor) * product
        shares[name] = share
    return shares


# --- in blocks of rows


def full_kernel(
    architecture: Architecture, params: Params, X1: Inputs, X2: Inputs | None = None
) -> Float[np.ndarray, "n m k k"]:
    """The full tangent kernel (n, m, k, k), written by blocks of rows, so that little more than
    the result is held. Refuses what does not fit into memory."""
    _fitting(X1, X2)
    outputs = _outputs(architecture, params, X1)
    n, m, k = len(X1), len(X1 if X2 is None else X2), outputs.shape[1]
    needed = outputs.dtype.itemsize * n * m * k * k
    check_memory(
        f"The full tangent kernel of {n} by {m} samples and {k} outputs",
        needed,
        "Ask for the traced kernel, fewer samples, or float32",
    )
    if architecture.mixes_samples:
        return np.asarray(_rows_of(architecture, params, X1, X2))
    out = np.empty((n, m, k, k), outputs.dtype)
    rows = max(1, min(n, BLOCK_BYTES * n // needed))
    for at in range(0, n, rows):
        first = min(at, n - rows)  # blocks of one size are one program
        out[first : first + rows] = _rows_of(
            architecture,
            params,
            jnp.asarray(X1[first : first + rows]),
            jnp.asarray(X1 if X2 is None else X2),
        )
    return out


def _outputs(architecture, params, X):
    """The shape and type of the outputs."""
    return trees.shapes_of(_forward, architecture, params, X)


def _forward(architecture, params, X):
    return _flat(architecture.forward(params, X))


def _flat(outputs):
    """(n, k) outputs; those over several axes, as of every position, count as outputs of their
    own."""
    return outputs.reshape(len(outputs), -1)


@eqx.filter_jit
def _rows_of(architecture, params, rows, columns):
    return tangent_kernel(architecture, params, rows, columns, full=True)


traced_kernel = eqx.filter_jit(tangent_kernel)
"""`tangent_kernel`, compiled."""
