"""Sample by sample: the gradient of every sample's own loss, and the slopes of every output, at
parameters where one stands.

Of a network that mixes samples (a batch norm) no sample has a loss of its own, and both are
refused.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from learnmech.curvature.eigenpairs import check_params
from learnmech.data.base import View
from learnmech.errors import refused
from learnmech.language import trees
from learnmech.language.trees import Array, Params
from learnmech.machine.memory import check_memory
from learnmech.system.landscape import System

BLOCK_BYTES = 2**26


def check_apart(who: str, system: System) -> None:
    """Refuse a network in which one sample's outputs depend on the others."""
    if system.architecture.mixes_samples:
        remedy = (
            "Take the gradient of the loss of a batch,"
            " System.at(indices).value_and_gradient(params)"
        )
        raise refused(
            who, "a network that treats samples one by one", repr(system.architecture), remedy
        )


def loss_of_one(system: System, params: Params, sample: View) -> Float[Array, ""]:
    """The loss of one sample alone, x (d,), y (k,) and its weight, without the ridge: that of a
    batch which it alone is."""
    alone = jax.tree.map(lambda part: part[None], sample)
    return system.price(system.architecture.forward(params, alone.X), alone)


def rows_at_once(system: System, params: Params, copies: int = 1) -> int:
    """How many samples' slopes, `copies` times the parameters each, are held at once: a function of
    shapes alone, so that bits do not depend on free memory."""
    size = copies * sum(np.size(leaf) * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
    return max(1, min(system.train.X.shape[0], BLOCK_BYTES // size))


def sample_gradients(
    system: System, params: Params, samples: np.ndarray | list[int] | None = None
) -> Params:
    """The gradient of each training sample's own loss, {layer: {name: (n, *shape)}} as numpy arrays
    [loss/param].

    `samples` are the places of those wanted (None: all n). The loss of a sample is what a batch of
    it alone would cost, without the ridge: where the loss is a mean over samples (`half-mean`,
    `mean`), the mean of the gradients is that of the training loss; where it is a sum, their sum
    is. Made in blocks of samples, so that little more than the result is held; refuses what does
    not fit into memory, and a network that mixes samples.
    """
    who = "sample_gradients"
    check_apart(who, system)
    check_params(who, system, params)
    view, n = system.train, system.train.X.shape[0]
    places = np.arange(n) if samples is None else _places(who, samples, n)
    return _in_blocks(who, _gradients, system, params, view.at(places), 1)


def jacobian(system: System, params: Params, X: Shaped[Array, "n ..."] | None = None) -> Params:
    """The slope of each output of each sample, df_c(x)/dw, {layer: {name: (n, k, *shape)}} as numpy
    arrays [output/param].

    X (n, d) are the inputs (None: the training inputs). JJ', with the factors of the scaling, is
    the tangent kernel (`System.tangent_kernel`), which needs no Jacobian. Made in blocks of
    samples; refuses what does not fit into memory, and a network that mixes samples.
    """
    who = "jacobian"
    check_apart(who, system)
    check_params(who, system, params)
    own = system.train.X
    X = own if X is None else jnp.asarray(X, own.dtype)
    if X.shape[1:] != own.shape[1:] or X.shape[0] == 0:
        raise refused(
            who,
            f"inputs (n, {', '.join(map(str, own.shape[1:]))})",
            f"shape {X.shape}",
            "Give a row for every input",
        )
    outputs = trees.shapes_of(_outputs, system.architecture, params, X)
    return _in_blocks(who, _slopes, system, params, X, outputs.size // len(X))


def _outputs(architecture, params, X):
    return architecture.forward(params, X)


def _places(who, samples, n):
    places = np.atleast_1d(np.asarray(samples))
    if (
        places.ndim != 1
        or places.dtype.kind not in "iu"
        or not places.size
        or places.min() < 0
        or places.max() >= n
    ):
        raise refused(
            who,
            f"places of training samples, from 0 to {n - 1}",
            str(samples),
            "Give whole numbers, each below n",
        )
    return places


def _in_blocks(who, slopes, system, params, given, copies):
    n = len(jax.tree.leaves(given)[0])
    bare = sum(np.size(leaf) * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
    check_memory(f"{who} of {n} samples", n * copies * bare, "Ask for fewer samples, or float32")
    rows, out = min(n, rows_at_once(system, params, copies)), None
    for at in range(0, n, rows):
        first = min(at, n - rows)  # blocks of one size are one program
        block = slopes(
            system,
            params,
            jax.tree.map(lambda part, first=first: part[first : first + rows], given),
        )
        if out is None:
            out = jax.tree.map(lambda part: np.empty((n, *part.shape[1:]), part.dtype), block)
        for held, part in zip(jax.tree.leaves(out), jax.tree.leaves(block), strict=True):
            held[first : first + rows] = part
    return out


@eqx.filter_jit
def _gradients(system, params, block):
    return jax.vmap(jax.grad(functools.partial(loss_of_one, system)), (None, 0))(params, block)


@eqx.filter_jit
def _slopes(system, params, X):
    return jax.vmap(jax.jacrev(lambda p, x: system.architecture.forward(p, x[None])[0]), (None, 0))(
        params, X
    )
