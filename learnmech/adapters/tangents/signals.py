"""Signals: the kernels of what passes between two layers of infinite width, what is known of their law, and how steps act on them."""

import collections
import dataclasses
import functools
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float

from learnmech.errors import nearest, refused
from learnmech.kernels.recursion import Pair, rough, tables, walked
from learnmech.trees import Array


class Law(NamedTuple):
    """What is known of signals: their number, whether they are Gaussian, and whether the weights that made them have made nothing else."""

    width: int
    is_gaussian: bool = False
    is_fresh: bool = False
    is_input: bool = False


class Kernel(eqx.Module):
    """The kernels of signals of infinite width between the rows of x1 (n1) and of x2 (n2), as kernel_fn returns them when asked for nothing less.

    nngp = E h(x)h(x') of one unit, ntk = sum over parameters of dh(x)/dw dh(x')/dw, both (n1, n2); cov1 = E h(x)^2 over x1, cov2 over x2 (None: x1 again).
    `apart` and `joint` are E (h(x) -+ h(x'))^2, where they are known better than by difference.
    """

    nngp: Float[Array, "n1 n2"]
    ntk: Float[Array, "n1 n2"] | None
    cov1: Float[Array, " n1"]
    cov2: Float[Array, " n2"] | None
    x1_is_x2: bool = eqx.field(static=True)
    law: Law = eqx.field(static=True)
    apart: Float[Array, "n1 n2"] | None = None
    joint: Float[Array, "n1 n2"] | None = None

    @property
    def is_gaussian(self) -> bool:
        """Whether the units are independent Gaussians of covariance nngp."""
        return self.law.is_gaussian

    @property
    def is_input(self) -> bool:
        """Whether these are the inputs themselves."""
        return self.law.is_input

    @property
    def shape1(self) -> tuple[int, int]:
        """(n1, width)."""
        return (len(self.cov1), self.law.width)

    @property
    def shape2(self) -> tuple[int, int]:
        """(n2, width)."""
        return (len(self.variance2), self.law.width)

    @property
    def variance2(self) -> Float[Array, " n2"]:
        """cov2, also where x1 is x2."""
        return self.cov1 if self.cov2 is None else self.cov2

    def replace(self, **changes) -> "Kernel":
        """The same with other values in some fields."""
        return dataclasses.replace(self, **changes)


READABLE = ("nngp", "ntk", "cov1", "cov2", "x1_is_x2", "is_gaussian", "is_input", "shape1", "shape2")


@functools.cache
def named(names: tuple[str, ...]):
    """The class of namedtuples with these fields."""
    return collections.namedtuple("Kernels", names)


def wanted(who: str, get, among: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    """The names asked for by `get`, one name, several or None."""
    names = default if get is None else (get,) if isinstance(get, str) else tuple(get)
    for name in names:
        if name not in among:
            raise refused(who, f"get of {', '.join(among)}, or a tuple of them", repr(name), nearest(str(name), among))
    return names


def given(get, names: tuple[str, ...], values):
    """One value for a name, a namedtuple for a tuple of names or None."""
    values = tuple(values)
    return values[0] if isinstance(get, str) else named(names)(*values)


_walked = eqx.filter_jit(walked)


def through(steps: tuple, kernel: Kernel, law: Law) -> Kernel:
    """The kernel after the steps. A smooth activation leaves no distances: a rough one after it takes them by difference."""
    if not steps:
        return kernel.replace(law=law)
    if rough(steps) and kernel.apart is None:
        kernel = with_distances(kernel)
    rows, columns = tables(steps, kernel.cov1), tables(steps, kernel.variance2)
    pair = _walked(steps, rows, columns, Pair(kernel.nngp, kernel.ntk, kernel.apart, kernel.joint))
    cov1, cov2 = jnp.asarray(rows[-1].after.variance), None if kernel.cov2 is None else jnp.asarray(columns[-1].after.variance)
    return Kernel(pair.k, pair.t, cov1, cov2, kernel.x1_is_x2, law, pair.apart, pair.joint)


def with_distances(kernel: Kernel) -> Kernel:
    """E (h -+ h')^2 = E h^2 + E h'^2 -+ 2 E hh', to round-off of E h^2; 0 of an input and itself."""
    whole = kernel.cov1[:, None] + kernel.variance2
    apart = jnp.maximum(whole - 2 * kernel.nngp, 0)
    if kernel.x1_is_x2:
        apart = apart * (1 - jnp.eye(len(kernel.cov1)))
    return kernel.replace(apart=apart, joint=jnp.maximum(whole + 2 * kernel.nngp, 0))


def summed(kernels, law: Law) -> Kernel:
    """The kernel of the sum of signals whose cross-covariances vanish: kernels add, and so do all their parts."""

    def total(name):
        values = [getattr(kernel, name) for kernel in kernels]
        return None if any(value is None for value in values) else sum(values)

    fields = {name: total(name) for name in ("nngp", "ntk", "cov1", "cov2", "apart", "joint")}
    return Kernel(x1_is_x2=kernels[0].x1_is_x2, law=law, **fields)
