"""Slices: the loss along measured directions through a point, one or two of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util
from jaxtyping import Float

from learnmech.curvature.eigenpairs import check_params, eigenpairs, shown
from learnmech.errors import refused
from learnmech.language import trees
from learnmech.language.trees import Params
from learnmech.machine.late import late
from learnmech.system.landscape import System

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")


@eqx.filter_jit
def _gradient(system, params):
    return flatten_util.ravel_pytree(system.value_and_gradient(params)[1])[0]


@eqx.filter_jit
def _losses(system, params, rows, places):
    flat, unflatten = flatten_util.ravel_pytree(params)

    def at(place):
        here = unflatten(flat + place @ rows)
        return (
            (system.loss(here),)
            if system.test is None
            else (system.loss(here), system.test_loss(here))
        )

    return jax.lax.map(at, places)


def landscape_slice(
    system: System,
    params: Params,
    along: Sequence[Params | str],
    distances: Sequence[Float[np.ndarray, " m"]],
    unit: bool = True,
) -> "xr.Dataset":
    """L(params + sum_i a_i d_i) at every a_i of `distances[i]`, for one or two directions d_i; of
    the test loss too, where there is a test view.

    A direction is a tree like params (an update, the way to another state: `trees.subtract(other,
    params)`), `"gradient"`, or `"eigenvector1"`, `"eigenvector2"`, ... of the Hessian, the sharpest
    first. With `unit` each is made of length 1, so that a_i is a distance [param]; without, a_i = 1
    is at its end. Axes `along1` and `along2`.  Source: Goodfellow, Vinyals & Saxe 2015; Li et al.
    2018.
    """
    who = "landscape_slice"
    check_params(who, system, params)
    for name, several in (("directions", along), ("distances", distances)):
        if not isinstance(several, (list, tuple)) and not (
            isinstance(several, np.ndarray) and several.ndim
        ):
            raise refused(
                who,
                f"a list of {name}, one for each axis",
                type(several).__name__,
                "Put them into a tuple",
            )
    if not 1 <= len(along) <= 2 or len(along) != len(distances):
        raise refused(
            who,
            "one or two directions and as many lists of distances",
            f"{len(along)} and {len(distances)}",
            "Give them side by side",
        )
    flat, steps = flatten_util.ravel_pytree(params)[0], [_distances(one) for one in distances]
    rows = np.stack([_row(system, params, one, along) for one in along])
    lengths = np.linalg.norm(rows, axis=1)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise refused(
            who, "directions of finite length above zero", lengths.tolist(), "Give other directions"
        )
    if unit:
        rows = rows / lengths[:, None]
    places = np.stack([grid.ravel() for grid in np.meshgrid(*steps, indexing="ij")], axis=1)
    seen = _losses(system, params, jnp.asarray(rows, flat.dtype), jnp.asarray(places, flat.dtype))
    dims, units = tuple(f"along{i}" for i in range(1, len(along) + 1)), "param" if unit else "1"
    said = zip(("loss", "test_loss"), ("L", "L_test"), ("training loss", "test loss"), seen)
    shape = [len(one) for one in steps]
    variables = {
        name: (
            dims,
            np.asarray(value).reshape(shape),
            {"long_name": f"{meaning} along the slice", "units": "loss", "symbol": symbol},
        )
        for name, symbol, meaning, value in said
    }
    named = [one if isinstance(one, str) else "given direction" for one in along]
    coords = {
        dim: (dim, one, {"units": units, "long_name": f"distance along {name}"})
        for dim, one, name in zip(dims, steps, named)
    }
    return xr.Dataset(variables, coords)


def _distances(given):
    try:
        found = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        found = np.full((), np.nan)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        got = (
            repr(given)
            if not found.ndim
            else f"shape {found.shape}"
            if found.ndim > 1 or not found.size
            else "NaN or infinity"
        )
        raise refused(
            "landscape_slice",
            "distances along each direction as a list of finite numbers",
            got,
            "Give for example numpy.linspace(-1, 1, 41)",
        )
    return found


def _check_alike(who, one, other):
    """Refuse a tree that is of another structure, or of other shapes."""
    if not trees.alike(one, other) or list(map(np.shape, jax.tree.leaves(one))) != list(
        map(np.shape, jax.tree.leaves(other))
    ):
        raise refused(
            who,
            f"a tree like params, {shown(one)}",
            shown(other),
            "Give the parameters of one network",
        )


def _row(system, params, direction, along):
    if not isinstance(direction, str):
        _check_alike("landscape_slice", params, direction)
        return np.asarray(flatten_util.ravel_pytree(direction)[0])
    if direction == "gradient":
        return np.asarray(_gradient(system, params))
    place = direction.removeprefix("eigenvector")
    if not direction.startswith("eigenvector") or not place.isdigit() or int(place) < 1:
        raise refused(
            "landscape_slice",
            "a direction as a tree, gradient, or eigenvector1, eigenvector2, ...",
            repr(direction),
            "Choose one of them",
        )
    most = max(
        int(one.removeprefix("eigenvector"))
        for one in along
        if isinstance(one, str) and one.removeprefix("eigenvector").isdigit()
    )
    return np.asarray(
        flatten_util.ravel_pytree(eigenpairs(system, params, most).vectors[int(place) - 1])[0]
    )


def between(
    system: System, one: Params, other: Params, fractions: Float[np.ndarray, " m"]
) -> "xr.Dataset":
    """The loss on the straight way between two states, 0 at the one and 1 at the other."""
    check_params("between", system, one)
    _check_alike("between", one, other)
    return landscape_slice(system, one, (trees.subtract(other, one),), (fractions,), unit=False)
