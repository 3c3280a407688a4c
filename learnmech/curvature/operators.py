"""Operators: the Hessian, Gauss-Newton and both Fisher matrices as maps v -> Cv on parameter trees,
linearized once and never formed.

With f(w) the (n, k) outputs on the training inputs, J = df/dw and l(f) the loss in its outputs:

- `hessian`: d^2 L/dw^2 of the training loss, ridge included;
- `gauss-newton`: J' (d^2 l/df^2) J, which leaves out the ridge and the curvature of f;
- `fisher`: E_y [s s'], s the gradient of -log p(y|f), of the likelihood p = exp(-n l_i) that the
  loss stands for, l = sum_i l_i, a mean over samples. Where the curvature of l in f does not depend
  on the targets this is Gauss-Newton (the second Bartlett identity). For c |f_i - y_i|^2 the
  likelihood is normal about f_i with variance 1/(2cn) in each output: 1, 1/2, 1/n and 1/(2n) for
  `half-mean`, `mean`, `half-sum` and `sum`;
- `empirical-fisher`: (1/n) sum_i g_i g_i', g_i the gradient of n l_i at the targets there are.
  Equal to neither, and scales as the square of the loss.

Units [loss/param^2], of the last [loss^2/param^2].  Source: Pearlmutter 1994; Schraudolph 2002;
Kunstner, Balles & Hennig 2019.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util
from jaxtyping import Float

from learnmech.data.base import is_ids
from learnmech.errors import refused
from learnmech.language import trees
from learnmech.language.trees import Array, Params
from learnmech.system.landscape import System

Product = Callable[[Params], Params]
KINDS = ("hessian", "gauss-newton", "fisher", "empirical-fisher")


def product_of(system: System, params: Params, of: str = "hessian") -> Product:
    """v -> Cv at these parameters, for trees v like them."""
    if of == "hessian":
        return system.hessian(params)
    outputs, pushed = jax.linearize(lambda w: system.outputs(w, system.train.X), params)
    pulled = jax.linear_transpose(pushed, params)
    slope = jax.grad(lambda f: _price(system, f))
    if of == "empirical-fisher":
        n, G = system.train.X.shape[0], slope(outputs)
        outer = tuple(range(1, G.ndim))
        return lambda v: pulled(n * G * jnp.sum(G * pushed(v), axis=outer, keepdims=True))[0]
    bent = jax.linearize(slope, outputs)[1]
    return lambda v: pulled(bent(pushed(v)))[0]


def _price(system, outputs, Y=None):
    view = system.train
    return system.price(outputs, view if Y is None else dataclasses.replace(view, Y=Y))


def check_operator(system: System, of: str) -> None:
    """Refuse a system that has no such curvature, before anything is computed."""
    who = f"The curvature {of}"
    if of not in KINDS:
        raise refused("The curvature", "one of " + ", ".join(KINDS), repr(of), "Choose one of them")
    if of == "empirical-fisher" and system.architecture.mixes_samples:
        raise refused(
            who,
            "a gradient of each sample's own",
            "an architecture that mixes samples",
            'Choose of="gauss-newton"',
        )
    if of == "fisher" and not stands_for_a_likelihood(system):
        raise refused(
            who,
            "a loss that is minus a log likelihood",
            f"{system.loss_function!r}",
            'Choose of="gauss-newton" or of="empirical-fisher"',
        )


def stands_for_a_likelihood(system: System) -> bool:
    """Whether the loss bends in its outputs, the same way whatever the targets: then it is a log
    partition function less what the outputs pay the targets."""
    Y = np.asarray(system.train.Y)
    if is_ids(Y):
        return True  # of ids there is cross-entropy alone
    rng = np.random.default_rng(0)
    outputs, along = (jnp.asarray(rng.standard_normal(Y.shape), Y.dtype) for _ in range(2))
    one, other = (
        jax.jvp(jax.grad(lambda f, T=T: _price(system, f, jnp.asarray(T))), (outputs,), (along,))[1]
        for T in (Y, np.roll(Y, 1, axis=0))
    )
    size = float(jnp.max(jnp.abs(one)))
    return size > 0 and float(jnp.max(jnp.abs(one - other))) <= 100 * np.finfo(Y.dtype).eps * size


def flattened(product: Product, like: Params) -> Callable[[Float[Array, " p"]], Float[Array, " p"]]:
    """The same map on flat vectors in the order of `ravel_pytree`."""
    unflatten: Callable = flatten_util.ravel_pytree(like)[1]
    return lambda v: flatten_util.ravel_pytree(product(unflatten(v)))[0]


def count_of(params: Params) -> int:
    """How long a flat vector of these parameters is."""
    return sum(np.size(leaf) for leaf in jax.tree.leaves(params))


def precision_of(params: Params):
    """The precision they are in."""
    return jax.tree.leaves(params)[0].dtype


def balanced(product: Product, multipliers: Params) -> Product:
    """D^(1/2) C D^(1/2) for a tree of positive multipliers D = P^-1: symmetric, with the
    eigenvalues of P^-1 C; v its eigenvector, D^(1/2) v that of P^-1 C."""
    roots = jax.tree.map(jnp.sqrt, multipliers)

    def weighed(v):
        return jax.tree.map(jnp.multiply, roots, v)

    return lambda v: weighed(product(weighed(v)))


def restricted(product: Product, layer: str) -> Product:
    """The diagonal block of one layer: what comes out at the layer for what goes in there."""

    def within(v):
        return {name: part if name == layer else trees.zeros_like(part) for name, part in v.items()}

    return lambda v: within(product(within(v)))


def columns(
    product: Callable[[Float[Array, " p"]], Float[Array, " p"]], size: int, dtype
) -> Float[Array, "p p"]:
    """The matrix of a map on flat vectors, by a product for every parameter, made symmetric; for
    small networks."""
    matrix = jax.lax.map(product, jnp.eye(size, dtype=dtype))
    return (matrix + matrix.T) / 2
