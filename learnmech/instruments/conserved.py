"""Conserved: what gradient flow keeps on a deep linear network."""

import jax.numpy as jnp

from learnmech import trees
from learnmech.errors import refused
from learnmech.instruments.base import Instrument
from learnmech.quantity import Quantity


class Balance(Instrument):
    """W_{l+1}'W_{l+1} - W_l W_l' of adjacent layers: conserved by gradient flow, broken at order of the rate by descent.

    `balance1`, `balance2`, ... are the matrices; `balance_drift` is how far each has moved from its start, in Frobenius norm, over the squared
    size of its two layers now.
    Source: Fukumizu 1998; Arora et al. 2018; Du et al. 2018.
    """

    def check(self, system):
        if not _chain(system.architecture):
            raise refused("Balance", "a deep linear network", repr(system.architecture), "Use architectures.DeepLinear, or drop Balance")

    def quantities(self, system, params):
        layers = trees.layers_of(params)
        found = []
        for index in range(1, len(layers)):
            axes = (f"unit{index}", f"unit{index}'")
            symbol = f"W_{index + 1}'W_{index + 1} - W_{index} W_{index}'"
            found.append(Quantity(f"balance{index}", axes, "param^2", symbol, f"balance of layers {index} and {index + 1}"))
        interfaces = (("interface", tuple(f"layer{i}-layer{i + 1}" for i in range(1, len(layers)))),)
        return (*found, Quantity("balance_drift", ("interface",), "1", "|B - B_0|/|W|^2", "change of the balance over the size of its layers", interfaces))

    def read(self, moment):
        weights = [layer["weight"] for layer in trees.layers_of(moment.state.params).values()]
        now, origin = (_balances(params) for params in (moment.state.params, moment.origin))
        sizes = [jnp.sum(before**2) + jnp.sum(after**2) for before, after in zip(weights[:-1], weights[1:], strict=True)]
        drift = [jnp.where(size > 0, jnp.linalg.norm(b - b0) / jnp.where(size > 0, size, 1), 0) for b, b0, size in zip(now, origin, sizes, strict=True)]
        seen = {f"balance{index}": b for index, b in enumerate(now, 1)}
        return seen | {"balance_drift": jnp.stack(drift) if drift else jnp.zeros((0,))}


def _chain(architecture) -> bool:
    return architecture.is_linear and hasattr(architecture, "hidden")


def _balances(params):
    weights = [layer["weight"] for layer in trees.layers_of(params).values()]
    return [after.T @ after - before @ before.T for before, after in zip(weights[:-1], weights[1:], strict=True)]
