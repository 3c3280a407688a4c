"""Kernel: what kernel_fn returns when asked for nothing less, under the names of its fields
there, and names of kernels asked for."""

import collections
import dataclasses
import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.errors import nearest, refused
from learnmech.language.trees import Array
from learnmech_tangents.signals import Law, Signals

ALONE = ("batch_axis", "is_reversed", "diagonal_batch", "mask1", "mask2")
KEPT = {"batch_axis": 0, "is_reversed": False, "diagonal_batch": True, "mask1": None, "mask2": None}


class Kernel(eqx.Module):
    """The kernels of signals of infinite width between the inputs x1 (n1) and x2 (n2).

    nngp = E h(x)h(x') of one unit, ntk = sum over parameters of dh(x)/dw dh(x')/dw (None where
    not asked for), both (n1, n2); cov1 = E h(x)^2 over x1, cov2 over x2 (None: x1 again). Signals
    at positions have axes for these behind: (n1, n2, height, width) with `diagonal_spatial`, else
    of all pairs of positions (n1, n2, height, height, width, width); cov1 (n1, ...) likewise.
    One may be made of a matrix: Kernel(nngp=K, is_gaussian=True); cov1 is then its diagonal.
    `is_gaussian`: whether the units are independent Gaussians of covariance nngp. `is_fresh`:
    whether the weights that made them have made nothing else (None: where they are Gaussian).
    """

    nngp: Float[Array, "n1 n2 ..."]
    ntk: Float[Array, "n1 n2 ..."] | None
    cov1: Float[Array, "n1 ..."]
    cov2: Float[Array, "n2 ..."] | None
    x1_is_x2: bool = eqx.field(static=True)
    is_gaussian: bool = eqx.field(static=True)
    is_reversed: bool = eqx.field(static=True)
    is_input: bool = eqx.field(static=True)
    diagonal_batch: bool = eqx.field(static=True)
    diagonal_spatial: bool = eqx.field(static=True)
    shape1: tuple[int, ...] | None = eqx.field(static=True)
    shape2: tuple[int, ...] | None = eqx.field(static=True)
    batch_axis: int = eqx.field(static=True)
    channel_axis: int = eqx.field(static=True)
    mask1: None
    mask2: None
    is_fresh: bool | None = eqx.field(static=True)

    def __init__(
        self,
        nngp,
        ntk=None,
        cov1=None,
        cov2=None,
        x1_is_x2=None,
        is_gaussian=False,
        is_reversed=False,
        is_input=False,
        diagonal_batch=True,
        diagonal_spatial=False,
        shape1=None,
        shape2=None,
        batch_axis=0,
        channel_axis=-1,
        mask1=None,
        mask2=None,
        is_fresh=None,
    ):
        given = dict(
            zip(ALONE, (batch_axis, is_reversed, diagonal_batch, mask1, mask2), strict=True)
        )
        for name, value in given.items():
            if value is not KEPT[name] and value != KEPT[name]:
                raise refused("Kernel", f"{name}={KEPT[name]}", repr(value), "Leave it out")
        nngp = _numbers("nngp", nngp)
        if nngp.ndim < 2 or (nngp.ndim > 2 and not diagonal_spatial and nngp.ndim % 2):
            said = (
                "nngp of shape (n1, n2), with two axes for each of space behind, or one with"
                " diagonal_spatial"
            )
            raise refused(
                "Kernel",
                said,
                f"shape {nngp.shape}",
                "Give a row for every x1, a column for every x2",
            )
        n1, n2, square = nngp.shape[0], nngp.shape[1], nngp.shape[0] == nngp.shape[1]
        if ntk is not None:
            ntk = _numbers("ntk", ntk)
            ntk = jnp.zeros_like(nngp) if ntk.ndim == 0 else ntk
            _check("ntk", ntk, nngp.shape)
        if cov1 is None and not (square and cov2 is None):
            raise refused(
                "Kernel",
                "cov1 and cov2 where x1 is not x2",
                f"nngp of shape {nngp.shape} alone",
                "Give the variances of both",
            )
        cov1 = jnp.einsum("ii...->i...", nngp) if cov1 is None else _numbers("cov1", cov1)
        _check("cov1", cov1, (n1, *nngp.shape[2:]))
        if cov2 is None and not square:
            raise refused(
                "Kernel",
                "cov2 where x1 is not x2",
                f"nngp of shape {nngp.shape} without",
                "Give the variances of x2",
            )
        if cov2 is not None:
            cov2 = _numbers("cov2", cov2)
            _check("cov2", cov2, (n2, *nngp.shape[2:]))
        self.nngp, self.ntk, self.cov1, self.cov2 = nngp, ntk, cov1, cov2
        known = not isinstance(x1_is_x2, jax.core.Tracer) and x1_is_x2 is not None
        self.x1_is_x2 = bool(x1_is_x2) if known else cov2 is None
        self.is_gaussian, self.is_input = bool(is_gaussian), bool(is_input)
        self.is_reversed, self.diagonal_batch = False, True
        self.diagonal_spatial = bool(diagonal_spatial) and nngp.ndim > 2
        self.shape1, self.shape2 = (None if one is None else tuple(one) for one in (shape1, shape2))
        last = 1 + len(self.grid)
        if channel_axis not in (-1, last):
            raise refused(
                "Kernel", f"channel_axis {last}, the last", repr(channel_axis), "Leave it out"
            )
        self.batch_axis, self.channel_axis = 0, last
        self.mask1 = self.mask2 = None
        self.is_fresh = is_fresh

    @property
    def grid(self) -> tuple[int, ...]:
        """The numbers of positions along each axis of space."""
        return tuple(self.nngp.shape[2 :: 1 if self.diagonal_spatial else 2])

    def replace(self, **changes) -> "Kernel":
        """The same with other values in some fields."""
        return dataclasses.replace(self, **{"channel_axis": -1, **changes})

    def asdict(self) -> dict:
        """Every field by its name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def astuple(self) -> tuple:
        """Every field, in order."""
        return tuple(self.asdict().values())

    def slice(self, n1_slice: slice, n2_slice: slice) -> "Kernel":
        """Of some of x1 and some of x2."""
        cov1, cov2 = self.cov1[n1_slice], (self.cov1 if self.cov2 is None else self.cov2)[n2_slice]
        ntk = None if self.ntk is None else self.ntk[n1_slice, n2_slice]
        shapes = (
            None if shape is None else (len(cov), *shape[1:])
            for shape, cov in ((self.shape1, cov1), (self.shape2, cov2))
        )
        one, two = shapes
        return self.replace(
            nngp=self.nngp[n1_slice, n2_slice],
            ntk=ntk,
            cov1=cov1,
            cov2=cov2,
            x1_is_x2=False,
            shape1=one,
            shape2=two,
        )

    # --- as layers have it

    @classmethod
    def of(cls, signals: Signals) -> "Kernel":
        """As it is shown, from what layers hand on."""
        return cls(**{name: shown(signals, name) for name in READABLE})

    def signals(self) -> Signals:
        """As layers hand it on."""
        full = bool(self.grid) and not self.diagonal_spatial
        width = None if self.shape1 is None else self.shape1[-1]
        law = Law(
            width,
            self.is_gaussian,
            self.is_gaussian if self.is_fresh is None else self.is_fresh,
            self.is_input,
            self.grid,
            full,
        )
        k: Any = None if self.nngp is None else _handed(self.nngp, law)
        t = None if self.ntk is None else _handed(self.ntk, law)
        own1: Any = None if self.cov1 is None else _handed_own(self.cov1, law)
        own2 = None if self.cov2 is None else _handed_own(self.cov2, law)
        return Signals(k, t, own1, own2, self.x1_is_x2, law)


def _numbers(name, value):
    value = value if isinstance(value, (jax.core.Tracer, np.ndarray)) else jnp.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        value = value.astype(float)
    return value


def _check(name, value, shape):
    if tuple(value.shape) != tuple(shape):
        raise refused(
            "Kernel",
            f"{name} of shape {tuple(shape)}",
            f"shape {tuple(value.shape)}",
            "Give one value for each of nngp",
        )


def _shown(values, n1, n2, law):
    """(n1 P, n2 P) or (P, n1, n2) -> (n1, n2, height, height, width, width) or (n1, n2, height,
    width)."""
    axes = len(law.grid)
    if not axes:
        return values
    if not law.full:
        return jnp.moveaxis(values, 0, -1).reshape(n1, n2, *law.grid)
    whole = values.reshape(n1, *law.grid, n2, *law.grid)
    order = (0, axes + 1, *(axis for a in range(axes) for axis in (1 + a, axes + 2 + a)))
    return whole.transpose(order)


def _handed(values, law):
    """The other way."""
    axes, (n1, n2) = len(law.grid), values.shape[:2]
    if not axes:
        return values
    if not law.full:
        return jnp.moveaxis(values.reshape(n1, n2, -1), -1, 0)
    order = (0, *(2 + 2 * a for a in range(axes)), 1, *(3 + 2 * a for a in range(axes)))
    positions = math.prod(law.grid)
    return values.transpose(order).reshape(n1 * positions, n2 * positions)


def _shown_own(own, law):
    """(n, P, P) or (n, P) -> (n, height, height, width, width) or (n, height, width)."""
    if not law.full:
        return own.reshape(len(own), *law.grid)
    axes = len(law.grid)
    order = (0, *(axis for a in range(axes) for axis in (1 + a, axes + 1 + a)))
    return own.reshape(len(own), *law.grid, *law.grid).transpose(order)


def _handed_own(own, law):
    """The other way."""
    if not law.full:
        return own.reshape(len(own), -1) if law.grid else own
    axes, positions = len(law.grid), math.prod(law.grid)
    order = (0, *(1 + 2 * a for a in range(axes)), *(2 + 2 * a for a in range(axes)))
    return own.transpose(order).reshape(len(own), positions, positions)


def shown(signals: Signals, name: str):
    """A field of the Kernel that these are."""
    law, (n1, n2) = signals.law, signals.counts
    if name in ("nngp", "ntk"):
        values = signals.k if name == "nngp" else signals.t
        return None if values is None else _shown(values, n1, n2, law)
    if name in ("cov1", "cov2"):
        own = signals.own1 if name == "cov1" else signals.own2
        return None if own is None else _shown_own(own, law)
    if name in ("shape1", "shape2"):
        return None if law.width is None else (n1 if name == "shape1" else n2, *law.grid, law.width)
    flags = {
        "x1_is_x2": signals.same,
        "diagonal_spatial": bool(law.grid) and not law.full,
        "channel_axis": 1 + len(law.grid),
    }
    flags |= {"is_gaussian": law.is_gaussian, "is_input": law.is_input, "is_fresh": law.is_fresh}
    return (KEPT | flags)[name]


# --- what is asked for

READABLE = tuple(field.name for field in dataclasses.fields(Kernel))


@functools.cache
def named(names: tuple[str, ...]):
    """The class of namedtuples with these fields."""
    return collections.namedtuple("Kernels", names)


def names_of(get) -> tuple[str, ...] | None:
    """The names in `get`, in small letters as there."""
    names = None if get is None else (get,) if isinstance(get, str) else tuple(get)
    return names and tuple(name.lower() if isinstance(name, str) else name for name in names)


def wanted(who: str, get, among: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    """The names asked for by `get`: one name, several, each once, or None."""
    names = default if get is None else names_of(get) or ()
    what = f"get of {', '.join(among)}, or a tuple of them"
    for name in names:
        if name not in among:
            raise refused(who, what, repr(name), nearest(str(name), among))
    if get is not None and not names:
        raise refused(who, what, repr(get), "Name one, or leave get out")
    if len(set(names)) < len(names):
        raise refused(who, f"{what}, each once", repr(get), "Leave out what is named twice")
    return names


def given(get, names: tuple[str, ...], values):
    """One value for a name, a namedtuple for a tuple of names or None."""
    values = tuple(values)
    return values[0] if isinstance(get, str) else named(names)(*values)


def sliced(values, rows: slice):
    """Some of the rows of every array in a list of inputs."""
    return jax.tree.map(lambda x: x[rows], values)


def as_inputs(x):
    """Inputs as an array, or a list of inputs as a list of them; rows of numbers written out are
    one array."""
    if (
        isinstance(x, (list, tuple))
        and x
        and not all(
            isinstance(one, (int, float))
            for row in x
            for one in (row if isinstance(row, (list, tuple)) else [row])
        )
    ):
        return [as_inputs(one) for one in x]
    return x if isinstance(x, jax.core.Tracer) else np.asarray(x)
