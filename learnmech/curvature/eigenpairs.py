"""Eigenpairs: the sharpest and the lowest directions of a landscape where one stands, compiled
once for a structure."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util
from jaxtyping import Float

from learnmech.curvature.lanczos import extremes, is_formed
from learnmech.curvature.operators import check_operator, flattened, product_of
from learnmech.errors import Refused, refused
from learnmech.language import trees
from learnmech.language.parts import plain, whole_number
from learnmech.language.trees import Params
from learnmech.system.landscape import System


class Eigenpairs(NamedTuple):
    """Eigenvalues, unit eigenvectors (their largest entry positive), residuals |Cv - lambda v|, and
    the products this took.

    The largest come first, behind them the lowest from below; NaN where not converged.
    """

    values: Float[np.ndarray, " k"]
    vectors: tuple[Params, ...]
    residuals: Float[np.ndarray, " k"]
    products: int


@eqx.filter_jit
def _found(system, params, start, of, top, bottom, iterations, tolerance, formed):
    return extremes(
        flattened(product_of(system, params, of), params),
        start,
        top,
        bottom,
        iterations,
        tolerance,
        formed=formed,
    )


@eqx.filter_jit
def _missed(system, params, start, of, iterations, tolerance, formed, rows, lowered):
    """The largest eigenpair of what is left where those of these rows are lowered by so much."""
    product = flattened(product_of(system, params, of), params)
    return extremes(
        lambda v: product(v) - lowered * (rows @ v) @ rows,
        start,
        1,
        0,
        iterations,
        tolerance,
        formed=formed,
    )


def _drawn(seed, flat):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(flat.size), flat.dtype)


def eigenpairs(
    system: System,
    params: Params,
    k: int = 1,
    bottom: int = 0,
    of: str = "hessian",
    iterations: int = 1000,
    tolerance: float = 1e-8,
    seed: int = 0,
    partial: bool = False,
    copies: bool = False,
) -> Eigenpairs:
    """The k largest and `bottom` lowest eigenvalues of a curvature (`operators`), with vectors, to
    residuals of `tolerance` times the largest in size.

    What has not converged within `iterations` products is refused with its residual, or with
    `partial` given as NaN. Lanczos from one vector sees each eigenspace once: an eigenvalue of
    multiplicity m may come once in place of m times, and lower ones move up. With `copies` (of the
    largest alone) what was missed is searched for from fresh vectors until nothing above the k-th
    is left: a search more, and one for each copy found.
    """
    check_params("eigenpairs", system, params)
    flat, unflatten = flatten_util.ravel_pytree(params)
    k, bottom, iterations = _counts(flat.size, k, bottom, iterations, copies)
    tolerance, seed = (
        fraction("eigenpairs", "tolerance", tolerance),
        whole_number("eigenpairs", "seed", seed),
    )
    check_operator(system, of)
    knobs = (
        np.asarray(iterations),
        np.asarray(tolerance, np.float64),
        is_formed(flat.size, iterations),
    )
    found = _found(system, params, _drawn(seed, flat), of, k, bottom, *knobs)
    known = [np.asarray(part) for part in (found.said, found.vectors, found.residuals)]
    products, finest = int(found.products), max(tolerance, 100 * np.finfo(flat.dtype).eps)
    for again in range(1, flat.size if copies else 1):
        values, rows, _ = known
        size = max(np.abs(values).max(), np.finfo(flat.dtype).tiny)
        other = _missed(
            system,
            params,
            _drawn([seed, again], flat),
            of,
            *knobs,
            rows,
            jnp.asarray(2 * size, flat.dtype),
        )
        products += int(other.products)
        if not float(other.said[0]) > values[-1] + finest * size:
            break
        known = _merged(known, other, k)
    values, rows, residuals = known
    if not partial and not np.isfinite(values).all():
        worst = np.max(residuals[~np.isfinite(values)])
        remedy = "Raise iterations or tolerance, or take what has converged with partial=True"
        raise refused(
            "eigenpairs",
            f"residuals <= {tolerance:g} of the largest eigenvalue",
            f"{worst:.3g} after {products} products",
            remedy,
        )
    signs = np.sign(np.take_along_axis(rows, np.argmax(np.abs(rows), axis=1)[:, None], axis=1))
    return Eigenpairs(
        values, tuple(unflatten(jnp.asarray(row)) for row in rows * signs), residuals, products
    )


def _counts(size, k, bottom, iterations, copies):
    who = "eigenpairs"
    k, bottom, iterations = (
        whole_number(who, name, value)
        for name, value in (("k", k), ("bottom", bottom), ("iterations", iterations))
    )
    if not 1 <= k + bottom <= size:
        raise refused(
            who,
            f"from 1 to {size} eigenvalues, one for each parameter",
            f"{k} largest and {bottom} lowest",
            "Ask for others",
        )
    if iterations < k + bottom:
        raise refused(
            who,
            f"iterations >= {k + bottom}, one for each eigenvalue",
            iterations,
            "Raise iterations",
        )
    if copies and bottom:
        raise refused(who, "bottom = 0 with copies", bottom, "Ask for the lowest apart")
    return k, bottom, iterations


def fraction(who: str, name: str, value, example: str = "1e-6") -> float:
    """A number between 0 and 1 that a function was given; refuses what is none."""
    found = plain(value)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 < found < 1:
        raise refused(who, f"{name} between 0 and 1", repr(found), f"Give for example {example}")
    return float(found)


def check_params(who: str, system: System, params: Params) -> None:
    """Refuse parameters that the system's network cannot take."""
    try:
        trees.shapes_of(_loss, system, params)
        taken = all(
            jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in jax.tree.leaves(params)
        )
    except Refused:
        raise
    except Exception:  # of whatever kind a network raises that is given what it cannot take
        taken = False
    if not taken:
        raise refused(
            who, "parameters of this system's network", shown(params), "Give those of a state of it"
        )


def shown(params: Params) -> str:
    """A tree by its paths and shapes, the first few of them."""
    said = [
        f"{path} {getattr(leaf, 'shape', repr(leaf))}"
        for path, leaf in trees.leaves_by_path(params).items()
    ]
    return ", ".join(said[:6]) + (", ..." if len(said) > 6 else "") or repr(params)


def _loss(system, params):
    return system.loss(params)


def _merged(known, other, k):
    """The k largest of those known and one more."""
    values, rows, residuals = (
        np.concatenate([one, np.asarray(two)])
        for one, two in zip(known, (other.said, other.vectors, other.residuals), strict=True)
    )
    order = np.argsort(-values, kind="stable")[:k]
    return values[order], rows[order], residuals[order]


def top_curvature(system: System, params: Params) -> tuple[float, Params]:
    """The largest eigenvalue of the Hessian of the training loss and its unit eigenvector, to a
    residual of 1e-10 of it (100 round-offs where that is more).

    NaN, with a vector of NaN, where it cannot be found.
    """
    found = eigenpairs(system, params, tolerance=1e-10, partial=True)
    value, (vector,) = float(found.values[0]), found.vectors
    return value, vector if np.isfinite(value) else jax.tree.map(
        lambda leaf: jnp.full_like(leaf, jnp.nan), vector
    )


def sharpness(system: System, params: Params) -> float:
    """The largest eigenvalue of the Hessian of the training loss; NaN where it cannot be found."""
    return top_curvature(system, params)[0]


def sharpness_at_least(system: System, params: Params, products: int = 20, seed: int = 0) -> float:
    """A lower bound of the largest eigenvalue of the Hessian of the training loss, from so many
    products: the largest Ritz value, v'Hv of a unit vector v.

    It is no larger than the eigenvalue whether it has converged or not. It has, to 1e-3, where
    fewer products were enough. NaN where the Hessian is not of numbers.  Source: Parlett 1998, sec.
    11.
    """
    check_params("sharpness_at_least", system, params)
    flat, _ = flatten_util.ravel_pytree(params)
    products = min(whole_number("sharpness_at_least", "products", products, 1), flat.size)
    knobs = (np.asarray(products), np.asarray(1e-3, np.float64), is_formed(flat.size, products))
    return float(_found(system, params, _drawn(seed, flat), "hessian", 1, 0, *knobs).values[0])
